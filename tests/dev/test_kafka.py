"""The embedded broker: real, on its own port, with data that survives stop, restart and kill -9."""

import os
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import UnknownTopicOrPartitionError

from clearing.dev.cache import cache_dir
from clearing.dev.kafka import EmbeddedKafka
from clearing.dev.kafka_home import KafkaHome, random_id
from clearing.dev.process import ServerError
from tests.dev.test_process import gone, wait_gone


@pytest.fixture(scope="module")
async def broker(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[EmbeddedKafka]:
    """A broker of this module's own: its tests stop and kill it."""
    async with EmbeddedKafka(tmp_path_factory.mktemp("broker"), heap_mib=256) as server:
        yield server


async def create_topic(bootstrap: str, name: str) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    try:
        await admin.create_topics([NewTopic(name, 1, 1)])
    finally:
        await admin.close()


async def publish(bootstrap: str, topic: str, value: bytes) -> None:
    async with AIOKafkaProducer(bootstrap_servers=bootstrap, enable_idempotence=True) as producer:
        await producer.send_and_wait(topic, value)


async def values(bootstrap: str, topic: str) -> list[bytes | None]:
    """Everything in the one partition of a topic."""
    partition = TopicPartition(topic, 0)
    async with AIOKafkaConsumer(bootstrap_servers=bootstrap) as consumer:
        consumer.assign([partition])
        end = (await consumer.end_offsets([partition]))[partition]
        consumer.seek(partition, 0)
        return [(await consumer.getone()).value for _ in range(end)]


async def test_acknowledged_records_survive_restart_and_kill(broker: EmbeddedKafka) -> None:
    address = broker.bootstrap
    await create_topic(address, "kept")
    await publish(address, "kept", b"before the restart")
    await broker.restart()
    assert broker.bootstrap == address, "clients are not to be told a new address"
    await publish(address, "kept", b"before the kill")
    killed = broker.pid
    await broker.kill()
    assert gone(killed)
    assert not broker.running
    await broker.start()
    assert broker.bootstrap == address
    await publish(address, "kept", b"after")
    assert await values(address, "kept") == [b"before the restart", b"before the kill", b"after"]


async def test_topic_that_is_only_named_is_not_created(broker: EmbeddedKafka) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=broker.bootstrap)
    await admin.start()
    try:
        (answer,) = await admin.describe_topics(["no-such-topic"])
        assert answer["error_code"] == UnknownTopicOrPartitionError.errno
        assert "no-such-topic" not in await admin.list_topics()
    finally:
        await admin.close()


async def test_large_record_is_taken(broker: EmbeddedKafka) -> None:
    await create_topic(broker.bootstrap, "large")
    large = bytes(15 << 20)
    async with AIOKafkaProducer(
        bootstrap_servers=broker.bootstrap, max_request_size=16 << 20
    ) as producer:
        await producer.send_and_wait("large", large)
    assert await values(broker.bootstrap, "large") == [large]


async def test_second_start_needs_no_network(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, broker: EmbeddedKafka
) -> None:
    assert broker.running, "so everything is in the cache"
    for name in ("CLEARING_MAVEN_URL", "http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    async with EmbeddedKafka(tmp_path / "offline", heap_mib=256, long_lived=True) as other:
        assert other.bootstrap != broker.bootstrap
        assert other.pid != broker.pid
        if Path("/proc").exists():
            assert _compilers(other.pid) > _compilers(broker.pid), "the one that optimises, too"


def _compilers(pid: int) -> int:
    """How many kinds of compiler threads a JVM has: C1 alone, or C1 and C2."""
    names = {task.read_text().split()[0] for task in Path(f"/proc/{pid}/task").glob("*/comm")}
    return len({name for name in names if name in ("C1", "C2")})


async def test_writes_below_its_own_folder_only(broker: EmbeddedKafka) -> None:
    opened = Path(f"/proc/{broker.pid}/fd")
    if not opened.exists():
        pytest.skip("needs Linux' /proc")
    inside = (str(broker.data_dir), str(cache_dir()), sys.prefix, "/dev/", "/proc/")
    # Sockets and pipes show names that are no paths.
    paths = [str(link.readlink()) for link in opened.iterdir()]
    files = [path for path in paths if path.startswith("/")]
    assert any(path.startswith(str(broker.data_dir / "data")) for path in files)
    assert [path for path in files if not path.startswith(inside)] == []


async def test_what_stops_a_start_is_told(tmp_path: Path) -> None:
    broken = EmbeddedKafka(tmp_path, settings={"num.io.threads": 0})
    with pytest.raises(ServerError, match=r"(?s)Kafka ended with 1 .*num\.io\.threads"):
        await broken.start()
    assert not broken.running


async def test_states_that_make_no_sense_are_refused(tmp_path: Path, broker: EmbeddedKafka) -> None:
    fresh = EmbeddedKafka(tmp_path)
    with pytest.raises(ServerError, match="has not been started"):
        _ = fresh.bootstrap
    with pytest.raises(ServerError, match="does not run"):
        _ = fresh.pid
    with pytest.raises(ServerError, match="runs already"):
        await broker.start()
    await fresh.stop()  # nothing to stop is no error
    assert not fresh.running


def test_ends_with_a_killed_parent(tmp_path: Path) -> None:
    code = (
        "import asyncio, sys\n"
        "from pathlib import Path\n"
        "from clearing.dev.kafka import EmbeddedKafka\n"
        "async def main():\n"
        "    async with EmbeddedKafka(Path(sys.argv[1]), heap_mib=256) as kafka:\n"
        "        print(kafka.pid, flush=True)\n"
        "        await asyncio.sleep(600)\n"
        "asyncio.run(main())\n"
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path / "orphan")], stdout=subprocess.PIPE
    )
    assert parent.stdout is not None
    child = int(parent.stdout.readline())
    assert not gone(child)
    parent.kill()
    parent.wait(10)
    parent.stdout.close()
    assert wait_gone(child)


def test_archive_fits_one_set_of_jars(tmp_path: Path) -> None:
    jar = tmp_path / "one.jar"
    jar.write_bytes(b"")
    os.utime(jar, ns=(0, 1))
    before = KafkaHome(tmp_path, (jar,)).archive
    os.utime(jar, ns=(0, 2))  # fetched anew: the JVM would not use the old archive
    assert KafkaHome(tmp_path, (jar,)).archive != before


def test_ids_are_such_as_kafka_makes() -> None:
    ids = {random_id() for _ in range(1_000)}
    assert len(ids) == 1_000
    assert {len(one) for one in ids} == {22}
    assert not any(one.startswith("-") for one in ids)
