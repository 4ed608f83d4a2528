"""The embedded PostgreSQL: real, behind a password, with commits that survive stop, restart and kill -9."""

import os
import stat
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import psutil
import pytest

from clearing.dev.postgres import EmbeddedPostgres
from clearing.dev.process import ServerError
from tests.dev.test_process import gone, wait_gone


@pytest.fixture(scope="module")
async def server(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[EmbeddedPostgres]:
    """A server of this module's own: its tests stop and kill it."""
    async with EmbeddedPostgres(tmp_path_factory.mktemp("server")) as postgres:
        yield postgres


async def ask(dsn: str, query: str) -> object:
    connection = await asyncpg.connect(dsn)
    try:
        return await connection.fetchval(query)
    finally:
        await connection.close()


async def test_commits_survive_restart_and_kill(server: EmbeddedPostgres) -> None:
    dsn = server.dsn
    await ask(dsn, "CREATE TABLE kept (word text)")
    await ask(dsn, "INSERT INTO kept VALUES ('before the restart')")
    await server.restart()
    assert server.dsn == dsn, "clients are not to be told a new address"
    connection = await asyncpg.connect(dsn)
    await connection.execute("INSERT INTO kept VALUES ('before the kill')")
    transaction = connection.transaction()
    await transaction.start()
    await connection.execute("INSERT INTO kept VALUES ('never committed')")
    everybody = [server.pid, *(child.pid for child in psutil.Process(server.pid).children())]
    await server.kill()
    assert [pid for pid in everybody if not gone(pid)] == []
    connection.terminate()
    await server.start()
    assert server.dsn == dsn
    assert await ask(dsn, "SELECT string_agg(word, ', ') FROM kept") == (
        "before the restart, before the kill"
    )


async def test_is_the_server_that_the_ledger_needs(server: EmbeddedPostgres) -> None:
    assert str(await ask(server.dsn, "SHOW server_version")).startswith("18.")
    assert await ask(server.dsn, "SHOW fsync") == "on"
    assert await ask(server.dsn, "SHOW timezone") == "UTC"
    assert await ask(server.dsn, "SHOW server_encoding") == "UTF8"
    assert await ask(server.dsn, "SELECT 'a' > 'B'"), "text sorts by its bytes"


async def test_password_is_needed_and_only_ours_to_read(server: EmbeddedPostgres) -> None:
    wrong = server.dsn.replace(":", ":x", 2).replace("postgresql:x", "postgresql:")
    with pytest.raises(asyncpg.InvalidPasswordError):
        await asyncpg.connect(wrong)
    secret = server.data_dir / "password"
    assert stat.S_IMODE(secret.stat().st_mode) == 0o600


async def test_leaves_nothing_outside_of_its_folder(server: EmbeddedPostgres) -> None:
    maps = Path(f"/proc/{server.pid}/maps")
    if not maps.exists():
        pytest.skip("needs Linux' /proc")
    assert "/dev/shm/PostgreSQL" not in maps.read_text()
    assert await ask(server.dsn, "SHOW unix_socket_directories") == ""


async def test_reused_process_number_is_no_obstacle(server: EmbeddedPostgres) -> None:
    await server.kill()
    pid_file = server.data_dir / "data" / "postmaster.pid"
    lines = pid_file.read_text().splitlines()
    pid_file.write_text("\n".join([str(os.getpid()), *lines[1:]]))  # a stranger has it now
    await server.start()
    assert await ask(server.dsn, "SELECT 1") == 1


async def test_half_made_folder_is_made_anew(tmp_path: Path) -> None:
    (tmp_path / "data" / "base").mkdir(parents=True)
    (tmp_path / "password").write_text("of a start that was cut off\n")
    async with EmbeddedPostgres(tmp_path) as postgres:
        assert await ask(postgres.dsn, "SELECT current_database()") == "clearing"


async def test_what_stops_a_start_is_told(tmp_path: Path) -> None:
    broken = EmbeddedPostgres(tmp_path, settings={"shared_buffers": "many"})
    with pytest.raises(ServerError, match=r"(?s)PostgreSQL ended with 1 .*shared_buffers"):
        await broken.start()
    assert not broken.running


async def test_states_that_make_no_sense_are_refused(
    tmp_path: Path, server: EmbeddedPostgres
) -> None:
    fresh = EmbeddedPostgres(tmp_path)
    with pytest.raises(ServerError, match="has not been started"):
        _ = fresh.dsn
    with pytest.raises(ServerError, match="does not run"):
        _ = fresh.pid
    with pytest.raises(ServerError, match="runs already"):
        await server.start()
    await fresh.stop()  # nothing to stop is no error
    assert not fresh.running


def test_ends_with_a_killed_parent(tmp_path: Path) -> None:
    code = (
        "import asyncio, sys\n"
        "from pathlib import Path\n"
        "import psutil\n"
        "from clearing.dev.postgres import EmbeddedPostgres\n"
        "async def main():\n"
        "    async with EmbeddedPostgres(Path(sys.argv[1])) as postgres:\n"
        "        workers = psutil.Process(postgres.pid).children(recursive=True)\n"
        "        print(postgres.pid, *(one.pid for one in workers), flush=True)\n"
        "        await asyncio.sleep(600)\n"
        "asyncio.run(main())\n"
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path / "orphan")], stdout=subprocess.PIPE
    )
    assert parent.stdout is not None
    children = [int(word) for word in parent.stdout.readline().split()]
    assert len(children) > 3
    parent.kill()
    parent.wait(10)
    parent.stdout.close()
    assert all(wait_gone(child) for child in children)
