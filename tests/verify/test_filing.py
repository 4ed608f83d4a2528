"""A report that can be filed: three formats of the same, a schema, a hash over what was read of each partition."""

import hashlib
from copy import deepcopy
from html.parser import HTMLParser
from pathlib import Path

import msgspec
import pytest
from aiokafka import TopicPartition

from clearing.verify.coverage import Audited, PartitionRead
from clearing.verify.filing import SCHEMA, Filed, filed, schema, write
from clearing.verify.report import Report, Subject
from tests.verify.forge import SOURCES, change_outcome, check_of, replace
from tests.verify.world import ListReader, Record, World


def _without_times(report: Report) -> Report:
    return replace(report, took_ms=0)


def test_the_schema_is_that_of_the_report() -> None:
    assert msgspec.json.decode(SCHEMA.read_bytes()) == schema()


async def test_the_json_says_everything(world: World, tmp_path: Path) -> None:
    report = await world.verify()
    path = tmp_path / "report.json"
    assert write(report, path) == hashlib.sha256(path.read_bytes()).hexdigest()
    said = msgspec.json.decode(path.read_bytes(), type=Filed)
    assert said == filed(report)
    assert said.ok
    assert [claim.name for claim in said.claims] == [check.name for check in report.checks]
    read = {one.topic: one for one in said.coverage}
    assert read["log"].records == len(world.records("log"))
    assert read["payments.hk.ALPHA"].end_offset == len(world.records("payments.hk.ALPHA"))


async def test_the_same_history_gives_the_same_report(day: World, tmp_path: Path) -> None:
    hashes = [
        write(_without_times(await deepcopy(day).verify()), tmp_path / f"{n}.json") for n in (1, 2)
    ]
    assert hashes[0] == hashes[1]


@pytest.mark.parametrize("suffix", [".md", ".html"])
async def test_people_are_told_what_is_wrong(world: World, tmp_path: Path, suffix: str) -> None:
    change_outcome(world, lambda codes: codes == 0, 58)
    report = replace(
        await world.verify(),
        limits=["<nothing> was left | out"],
        subject=Subject(
            bootstrap="kafka:9092",
            topic_prefix="",
            cluster_id="abc",
            ledger="",
            netting_sets=["hk"],
            versions={"clearing": "1"},
            began_at="2026-01-05T12:00:00Z",
            ended_at="2026-01-05T12:00:01Z",
        ),
    )
    path = tmp_path / f"report{suffix}"
    write(report, path)
    text = path.read_text()
    assert "FAILED" in text
    assert "lost-write" in text
    assert "kafka:9092" in text
    assert "<nothing>" not in text
    if suffix == ".html":
        HTMLParser().feed(text)


def test_the_hash_is_of_content_not_of_how_it_was_read() -> None:
    """Chunks may be of any size; offset, time stamp, key and value count, and None is not empty."""
    records = [Record(n, 1_000 + n, b"k" if n % 2 else None, b"v" * n) for n in range(10)]

    def digest(sizes: tuple[int, ...], changed: list[Record]) -> str:
        read, at = PartitionRead(0, 10), 0
        for size in sizes:
            read.add(changed[at : at + size])
            at += size
        return read.sha256

    assert digest((10,), records) == digest((3, 3, 4), records)
    for change in ({"timestamp": 7}, {"key": b""}, {"value": b"x"}, {"offset": 11}):
        other = [*records[:-2], records[-2]._replace(**change), records[-1]]
        assert digest((10,), other) != digest((10,), records)


async def test_it_knows_how_far_it_is(world: World) -> None:
    audited = Audited(ListReader(world))
    log, source = TopicPartition("log", 0), TopicPartition("payments.hk.ALPHA", 0)
    audited.expect(await audited.bounds([log, source]), [log])
    assert audited.done == 0
    async for _ in audited.chunks(log):
        pass
    assert audited.done == pytest.approx(0.5)  # a log is as much work as all the rest
    async for _ in audited.chunks(source):
        pass
    assert audited.done == 1
    assert audited.progress().startswith(", 100 %")


async def test_a_log_that_names_a_strangers_topic(world: World) -> None:
    """A source of a log record has to be one of this netting set."""
    for partitions in (world.partitions, world.ends):
        del partitions[TopicPartition("payments.hk.ALPHA", 0)]
    check = check_of(await world.verify(), SOURCES)
    assert "names payments.hk.ALPHA-0 as a source" in " ".join(check.differences)
