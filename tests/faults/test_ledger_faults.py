"""PostgreSQL dies, hangs, refuses and forgets under load: one set of rows, every batch answered (F9, F10, R31).

A server of its own, since it is killed; the sinks are processes, banks publish throughout. The outcome of a
COMMIT whose reply never came is learned from the ledger's own progress, also where that was set back in time.
"""

import asyncio
import os
import resource
import signal
import subprocess
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import asyncpg
import psutil
from aiokafka import TopicPartition

from clearing import kafka
from clearing.dev.drill import Drill
from clearing.dev.points import Points
from clearing.dev.postgres import EmbeddedPostgres
from tests.faults.conftest import Observe
from tests.faults.harness import drilled, serving, settings_of, sink_of, soon, until

MAX_CONNECTIONS = 24
REFUSALS = 3  # serialization failures in a row; the ledger tries five times
TABLE_BYTES = 6 << 20  # no table of the drill is as large
SERVER = {
    "fsync": "off",  # what dies is the server, not the machine
    "max_connections": MAX_CONNECTIONS,
    "deadlock_timeout": "500ms",
}
SINKS = "application_name = 'clearing-sink'"


@dataclass
class Trouble:
    """What happens to the ledger's server while a drill is on. Each method ends with the sinks at work again."""

    drill: Drill
    postgres: EmbeddedPostgres
    points: Points
    copy: Path  # of the data folder, at an earlier time
    seen: dict[str, int] = field(default_factory=dict[str, int])

    @property
    def _data(self) -> Path:
        return self.postgres.data_dir / "data"

    @asynccontextmanager
    async def session(self) -> AsyncIterator[asyncpg.Connection]:
        connection = await asyncpg.connect(self.postgres.dsn)
        try:
            yield connection
        finally:
            connection.terminate()

    async def ask(self, query: str) -> int:
        async with self.session() as connection:
            return int(await connection.fetchval(query) or 0)

    async def batches(self) -> int:
        return await self.ask("SELECT count(*) FROM clearing.batches")

    async def more_is_posted(self) -> None:
        """Beyond what there is now."""
        async with self.session() as admin:
            counted = "SELECT count(*) FROM clearing.batches"
            before = await admin.fetchval(counted)
            await soon(
                lambda: admin.fetchval(f"SELECT ({counted}) > {before}"),
                "the sinks to post again",
            )

    async def down_for_long(self) -> None:
        """An immediate shutdown; the engine goes on, the sinks' lag grows. A copy of the data is kept."""
        progress = self.drill.watch.progress
        psutil.Process(self.postgres.pid).send_signal(signal.SIGQUIT)
        await until(lambda: not self.postgres.running, "PostgreSQL to end")
        await self.postgres.kill()
        await asyncio.to_thread(subprocess.run, ["cp", "-a", self._data, self.copy], check=True)
        cleared, batches = progress.cleared, len(progress.batches)
        await until(lambda: progress.cleared > cleared + 500, "the engine to go on")
        await until(lambda: len(progress.batches) > batches + 1, "batches nobody can post")
        await soon(self._lags, "the lag of what nobody can post to be seen")
        await self.postgres.start()
        await until(lambda: len(progress.confirmed) > batches, "the sinks to catch up")

    async def _lags(self) -> bool:
        """In the netting set that is looked at; the batches may have been another's."""
        return await self._lag_records() > 1

    async def _lag_records(self) -> int:
        """What tools that watch consumer groups see."""
        settings, number = self.drill.settings, self.drill.partitions["east"]
        partition = TopicPartition(settings.topics.settlements, number)
        group = kafka.consumer(settings.bootstrap, group=settings.topics.group("sink-postgres"))
        async with kafka.started(group) as reader:
            reader.assign([partition])
            committed, _ = (await kafka.committed(reader, [partition]))[partition]
            end = (await reader.end_offsets([partition]))[partition]
        return end - (committed or 0)

    async def sessions_ended(self) -> None:
        """pg_terminate_backend of every sink, in whatever it does, and no slot left for its next session."""
        async with AsyncExitStack() as taken:
            sessions: list[asyncpg.Connection] = []

            async def take() -> None:
                for _ in range(MAX_CONNECTIONS):
                    try:
                        sessions.append(await taken.enter_async_context(self.session()))
                    except asyncpg.TooManyConnectionsError:
                        return

            await take()
            ended = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE " + SINKS
            assert await sessions[0].fetch(ended)

            async def refused() -> bool:
                await take()
                return any("53300" in self._log(name) for name in self.drill.services.of("sink"))

            await soon(refused, "a sink to find no connection")
        await self.more_is_posted()

    def _log(self, name: str) -> str:
        return self.drill.services[name].log.read_text()

    async def killed_before_commit(self) -> None:
        """kill -9 of the server while a sink stands before its COMMIT."""
        async with self._sink_before_commit():
            before = await self.batches()
            await self.postgres.kill()
            await self.postgres.start()
            assert await self.batches() == before
        await self.more_is_posted()

    async def killed_after_commit(self) -> None:
        """kill -9 of the server when it has committed and not said so: it waits for a standby that is not there."""
        committing = f"""SELECT count(*) FROM pg_stat_activity
            WHERE {SINKS} AND query LIKE 'COMMIT%' AND wait_event = 'SyncRep'"""
        async with self.session() as admin, self.session() as probe:
            async with self._sink_before_commit():
                before = await self.batches()
                await admin.execute("ALTER SYSTEM SET synchronous_standby_names = 'nobody'")
                await admin.execute("SELECT pg_reload_conf()")
                waits = asyncio.create_task(self._until_it_waits(probe))
                waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep'"
                await soon(lambda: admin.fetchval(waiting), "the server to wait for a standby")
            await soon(lambda: admin.fetchval(committing), "a sink to wait for its reply")
            await self.postgres.kill()
            await waits
        (self._data / "postgresql.auto.conf").write_text("")
        await self.postgres.start()
        assert await self.batches() > before  # committed, and nobody was told
        await self.more_is_posted()

    async def _until_it_waits(self, probe: asyncpg.Connection) -> None:
        """Commit until a commit gets no answer any more; ends with the server."""
        with suppress(asyncpg.PostgresError, asyncpg.InterfaceError, OSError):
            while True:
                await probe.execute("SELECT pg_logical_emit_message(true, 'probe', '')")

    @asynccontextmanager
    async def _sink_before_commit(self) -> AsyncIterator[None]:
        """A sink stands still before its COMMIT for as long as the block lasts."""
        self.points.arm("sink.committing", "stop")
        await until(lambda: not self.points.armed("sink.committing"), "a sink to commit")
        (pid,) = self.points.hits("sink.committing")
        try:
            yield
        finally:
            self.drill.services.resume(serving(self.drill.services, pid, "sink"))
        for hit in self.points.folder.glob("*.hit-*"):
            hit.unlink()

    async def deadlock(self) -> None:
        """An operator holds accounts and asks for the progress that the sink holds: the sink is ended."""
        before = self._deadlocks()
        async with self.session() as operator, self.session() as admin:
            await operator.execute("SET deadlock_timeout = '60s'; SET statement_timeout = '3s'")
            while self._deadlocks() == before:
                # Who waits looks once, after its deadlock_timeout: if that was too early it is tried again.
                with suppress(asyncpg.QueryCanceledError):
                    await self._cross(operator, admin)
        await self.more_is_posted()

    async def _cross(self, operator: asyncpg.Connection, admin: asyncpg.Connection) -> None:
        waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted"
        async with operator.transaction():
            await operator.execute("SELECT FROM clearing.accounts FOR UPDATE")
            await soon(lambda: admin.fetchval(waiting), "a sink to wait for an account")
            await operator.execute("SELECT FROM clearing.progress FOR UPDATE")

    def _deadlocks(self) -> int:
        return self.postgres.log_path.read_text().count("deadlock detected")

    async def serialization_failures(self) -> None:
        """READ COMMITTED has none of its own: a trigger raises them."""
        async with self.session() as admin:
            await admin.execute(
                f"""
                CREATE SEQUENCE failures;
                CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
                    IF nextval('failures') <= {REFUSALS} THEN
                        RAISE EXCEPTION 'provoked' USING ERRCODE = 'serialization_failure';
                    END IF;
                    RETURN NEW;
                END $$;
                CREATE TRIGGER fails BEFORE INSERT ON clearing.batches
                FOR EACH ROW EXECUTE FUNCTION fail()"""
            )
            await soon(
                lambda: admin.fetchval(f"SELECT last_value > {REFUSALS} FROM failures"),
                "a batch to get through",
            )
            await admin.execute(
                "DROP TRIGGER fails ON clearing.batches; DROP FUNCTION fail; DROP SEQUENCE failures"
            )
        await self.more_is_posted()

    async def writing_fails(self) -> None:
        """F10: the sink's server process cannot write the log of changes any further: no COMMIT can be answered."""
        await soon(self._server_of_sink, "the sink to have a session")
        (pid,) = await self._server_of_sink()
        owner = psutil.Process(pid)
        async with self.session() as admin:
            written = "SELECT file_offset FROM pg_walfile_name_offset(pg_current_wal_insert_lsn())"
            while (limit := int(await admin.fetchval(written) or 0)) < TABLE_BYTES:
                await admin.execute(
                    "SELECT pg_logical_emit_message(false, '', repeat('-', 1000000))"
                )

        def write_no_more() -> None:  # only its own user may say so
            os.setresgid(*owner.gids())
            os.setresuid(*owner.uids())
            resource.prlimit(pid, resource.RLIMIT_FSIZE, (limit, limit))

        await asyncio.to_thread(
            subprocess.run, ["true"], check=True, cwd="/", preexec_fn=write_no_more
        )
        await until(lambda: not psutil.pid_exists(pid), "the server to give up")
        assert "PANIC" in self.postgres.log_path.read_text()

        async def again() -> bool:
            try:
                return bool(await self._server_of_sink())
            except (OSError, asyncpg.PostgresError):
                return False  # it recovers by itself

        await soon(again, "the sink to be back")
        await self.more_is_posted()

    async def _server_of_sink(self) -> list[int]:
        """The server process of the sink that posts east's batches."""
        owner = psutil.Process(await sink_of(self.postgres.dsn, "east"))
        ports = {c.laddr.port for c in owner.net_connections("tcp") if c.raddr}
        async with self.session() as admin:
            rows = await admin.fetch(f"SELECT pid, client_port FROM pg_stat_activity WHERE {SINKS}")
        return [row["pid"] for row in rows if row["client_port"] in ports][:1]

    async def failover_that_lost_commits(self) -> None:
        """The server is killed; its place takes one that had not heard of the last commits."""
        progress = self.drill.watch.progress
        confirmed, posted = len(progress.confirmed), await self.batches()
        await self.postgres.kill()
        await asyncio.to_thread(subprocess.run, ["rm", "-rf", self._data], check=True)
        await asyncio.to_thread(subprocess.run, ["cp", "-a", self.copy, self._data], check=True)
        (self._data / "postmaster.pid").unlink(missing_ok=True)
        await self.postgres.start()
        lost = posted - await self.batches()
        assert lost > 0
        assert confirmed > 0

        async def again() -> bool:
            return await self.batches() >= posted

        await soon(again, "the sinks to post again what was lost")
        self.seen["lost"] = self.seen.get("lost", 0) + lost


async def test_postgres_that_dies_hangs_and_forgets_keeps_one_set_of_rows(
    bootstrap: str, topic_prefix: str, tmp_path: Path, rounds: int, observed: Observe
) -> None:  # F9 F10 R2 R7 R11 R30 R31
    points = Points(tmp_path / "points")
    done: list[Trouble] = []

    async with EmbeddedPostgres(tmp_path / "postgres", settings=SERVER) as postgres:

        async def trouble(drill: Drill) -> None:
            await until(lambda: drill.watch.progress.settled > 0, "work to begin")
            for number in range(rounds):
                made = Trouble(drill, postgres, points, tmp_path / f"copy-{number}")
                await made.down_for_long()
                await made.killed_before_commit()
                await made.killed_after_commit()
                await made.sessions_ended()
                await made.deadlock()
                await made.serialization_failures()
                await made.writing_fails()
                await made.failover_that_lost_commits()
                done.append(made)
            drill.banks.finish()

        result = await drilled(
            settings_of(bootstrap, postgres.dsn, topic_prefix, tmp_path),
            tmp_path,
            {"intake": 1, "engine": 1, "dispatch": 1, "sink": 1},
            payments=60_000 * rounds,
            rows_per_s=400,
            seed=9,
            during=trouble,
            command=points.command,
        )
    assert result.ok, str(result)
    assert len(done) == rounds
    services = result.drill.services
    assert all(services[name].restarts == 0 for name in services.names)  # none of it ends a sink
    lost = sum(made.seen["lost"] for made in done)
    for fault, injected, seen in (
        (
            "F9",
            "PostgreSQL shut down at once and away for seconds",
            "engine went on, lag visible, caught up",
        ),
        ("F9", "kill -9 of PostgreSQL before COMMIT", "batch not there: posted again, once"),
        (
            "F9",
            "kill -9 of PostgreSQL after COMMIT, before its reply",
            "batch found: not posted again",
        ),
        ("F9", "sessions ended, then all connections taken", "waited, went on; one set of rows"),
        (
            "F9",
            "deadlock with an operator's session",
            "the sink's transaction was ended and tried again",
        ),
        ("F9", f"{REFUSALS} serialization failures in a row", "tried again; posted once"),
        (
            "F9",
            f"failover that lost the last commits ({lost} batches)",
            "posted again from the ledger's own progress; engine's confirmations stood",
        ),
        (
            "F10",
            "write error under the server process of the sink",
            "no COMMIT answered; server recovered, posted again",
        ),
    ):
        observed(fault, injected, rounds, seen)
