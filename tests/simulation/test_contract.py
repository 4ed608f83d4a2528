"""The simulated cluster is faithful: each fact here holds on a real Kafka too, in the same words."""

import time
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from aiokafka import TopicPartition
from aiokafka.errors import OffsetOutOfRangeError, ProducerFenced

from clearing import kafka
from clearing.consuming import GATHER_MS
from tests.simulation.contract import Cluster, Raw, batch, until

Hold = Callable[[Callable[[Cluster], Awaitable[None]]], Awaitable[None]]


def record(topic: str, value: bytes, partition: int = 0) -> kafka.TopicRecord:
    return kafka.TopicRecord(topic, partition, None, value)


async def test_a_second_producer_fences_the_first(hold: Hold) -> None:  # F3
    async def fact(cluster: Cluster) -> None:
        topic = await cluster.topic("out")
        first, second = cluster.producer("owner"), cluster.producer("owner")
        async with kafka.started(second), kafka.started(first):
            await kafka.transact(first, [record(topic, b"kept")], 30)
            await first.begin_transaction()
            await (await first.send(topic, b"open", partition=0))
            async with kafka.started(cluster.producer("owner")) as third:
                with pytest.raises(ProducerFenced):
                    await kafka.transact(second, [record(topic, b"zombie's")], 30)
                with pytest.raises(ProducerFenced):
                    await first.commit_transaction()
                await kafka.transact(third, [record(topic, b"successor's")], 30)
            assert await cluster.values(topic) == [b"kept", b"successor's"]

    await hold(fact)


async def test_what_is_open_holds_the_last_stable_offset_back(hold: Hold) -> None:
    async def fact(cluster: Cluster) -> None:
        topic = await cluster.topic("out")
        uncommitted: dict[str, Any] = {"isolation_level": "read_uncommitted"}
        async with Raw(cluster, "slow") as slow, Raw(cluster, "quick") as quick:
            await slow.begin_producer()
            await quick.begin_producer()
            assert await slow.add(topic) == ""
            assert await quick.add(topic) == ""
            assert await slow.send(topic, [b"a", b"b"], 0) == ("", 0)
            assert await quick.send(topic, [b"c"], 0) == ("", 2)
            assert await quick.end(commit=True) == ""

            async def marked() -> bool:
                return await cluster.end(topic, **uncommitted) == 4

            await until(marked, "the marker behind c")
            # Decided, but behind something that is not.
            assert await cluster.end(topic) == 0
            assert await cluster.values(topic) == []
            assert await cluster.values(topic, **uncommitted) == [b"a", b"b", b"c"]
            assert await slow.end(commit=False) == ""
            await cluster.ends_at(topic, 5)
            assert await cluster.values(topic) == [b"c"]

    await hold(fact)


async def test_a_reader_passes_markers_and_what_was_aborted(hold: Hold) -> None:
    async def fact(cluster: Cluster) -> None:
        topic = await cluster.topic("out")
        async with Raw(cluster, "owner") as owner:
            await owner.begin_producer()
            for number, commit in enumerate((False, True, False)):
                assert await owner.add(topic) == ""
                assert await owner.send(topic, [b"%d" % number], number) == ("", 2 * number)
                assert await owner.end(commit=commit) == ""
            await cluster.ends_at(topic, 6)
        async with kafka.started(cluster.consumer()) as reader:
            at = TopicPartition(topic, 0)
            reader.assign([at])
            found = [(r.offset, r.value) async for r in kafka.read_to_end(reader, at)]
            assert found == [(2, b"1")]
            assert await reader.position(at) == 6  # nothing but aborted records and markers there

    await hold(fact)


async def test_a_transaction_is_all_or_nothing_over_partitions(hold: Hold) -> None:
    async def fact(cluster: Cluster) -> None:
        topic = await cluster.topic("out", 2)
        async with kafka.started(cluster.producer("owner")) as producer:
            both = [record(topic, b"left"), record(topic, b"right", 1)]
            stored = await kafka.transact(producer, both, 30)
            assert [(at.partition, at.offset) for at in stored] == [(0, 0), (1, 0)]
            stored = await kafka.transact(producer, both, 30)
            assert [at.offset for at in stored] == [2, 2]  # a marker took an offset of each
        for partition, value in enumerate((b"left", b"right")):

            async def there(partition: int = partition, value: bytes = value) -> bool:
                return await cluster.values(topic, partition) == [value] * 2

            await until(there, "both partitions")

    await hold(fact)


async def test_a_repeated_batch_is_stored_once(hold: Hold) -> None:  # F15
    async def fact(cluster: Cluster) -> None:
        topic = await cluster.topic("out")
        async with Raw(cluster, "owner") as owner:
            await owner.begin_producer()
            batches = [
                batch([b"%d" % n, b"+"], owner.producer, owner.epoch, 2 * n) for n in range(5)
            ]
            for number, data in enumerate(batches):
                assert await owner.produce(topic, data, transactional=False) == ("", 2 * number)
            for number, data in enumerate(batches):
                assert await owner.produce(topic, data, transactional=False) == ("", 2 * number)
            gap = batch([b"gap"], owner.producer, owner.epoch, 11)
            error, _ = await owner.produce(topic, gap, transactional=False)
            assert error == "OUT_OF_ORDER_SEQUENCE_NUMBER"
        assert await cluster.end(topic) == 10

    await hold(fact)


async def test_an_old_epoch_is_refused_everywhere(hold: Hold) -> None:  # F2 F3
    async def fact(cluster: Cluster) -> None:
        topic = await cluster.topic("out")
        async with Raw(cluster, "owner") as owner:
            await owner.begin_producer()
            old = owner.epoch
            assert await owner.add(topic) == ""
            assert await owner.send(topic, [b"open"], 0) == ("", 0)
            zombies = batch([b"zombie's"], owner.producer, old, 1, transactional=True)
            await owner.begin_producer()
            assert owner.epoch > old
            assert await owner.add(topic, epoch=old) == "INVALID_PRODUCER_EPOCH"
            assert await owner.end(commit=True, epoch=old) == "INVALID_PRODUCER_EPOCH"
            assert await owner.produce(topic, zombies) == ("INVALID_PRODUCER_EPOCH", -1)
            await cluster.ends_at(topic, 2)
            assert await cluster.values(topic) == []

    await hold(fact)


async def test_a_delayed_end_ends_the_transaction_that_it_finds(hold: Hold) -> None:  # F4
    """Why a doubt throws the producer away: with the same epoch the broker cannot tell the two apart."""

    async def fact(cluster: Cluster) -> None:
        topic = await cluster.topic("out")
        async with Raw(cluster, "owner") as owner:
            await owner.begin_producer()
            assert await owner.add(topic) == ""
            assert await owner.send(topic, [b"first"], 0) == ("", 0)
            assert await owner.end(commit=True) == ""
            assert await owner.end(commit=True) == ""  # said again: as the first time
            assert await owner.end(commit=False) == "INVALID_TXN_STATE"
            assert await owner.add(topic) == ""
            assert await owner.send(topic, [b"half"], 1) == ("", 2)
            assert (
                await owner.end(commit=True) == ""
            )  # the delayed one: half a transaction is whole
            await cluster.ends_at(topic, 4)
            assert await cluster.values(topic) == [b"first", b"half"]

    await hold(fact)


async def test_a_batch_outside_of_a_transaction_is_refused(hold: Hold) -> None:  # F6
    async def fact(cluster: Cluster) -> None:
        topic = await cluster.topic("out")
        async with Raw(cluster, "owner") as owner:
            await owner.begin_producer()
            assert await owner.send(topic, [b"never added"], 0) == ("INVALID_TXN_STATE", -1)
            assert await owner.end(commit=True) == "INVALID_TXN_STATE"
        assert await cluster.end(topic, isolation_level="read_uncommitted") == 0

    await hold(fact)


async def test_a_transaction_that_takes_too_long_is_aborted_and_its_producer_fenced(
    hold: Hold,
) -> None:  # F7
    async def fact(cluster: Cluster) -> None:
        topic = await cluster.topic("out")
        async with Raw(cluster, "owner") as owner:
            await owner.begin_producer(timeout_ms=1_000)
            assert await owner.add(topic) == ""
            assert await owner.send(topic, [b"late"], 0) == ("", 0)
            await cluster.ends_at(topic, 2)
            assert await owner.end(commit=True) == "INVALID_PRODUCER_EPOCH"
            assert await cluster.values(topic) == []

    await hold(fact)


async def test_the_broker_stamps_time(hold: Hold) -> None:  # R2
    async def fact(cluster: Cluster) -> None:
        stamped = await cluster.topic("stamped", message_timestamp_type="LogAppendTime")
        asked = await cluster.topic("asked")
        async with kafka.started(cluster.producer()) as producer:
            for topic in (stamped, asked):
                await producer.send_and_wait(topic, b"v", partition=0, timestamp_ms=1_000)
        for topic, kept in ((stamped, False), (asked, True)):
            async with kafka.started(cluster.consumer()) as reader:
                at = TopicPartition(topic, 0)
                reader.assign([at])
                times = [r.timestamp async for r in kafka.read_to_end(reader, at)]
                assert [time == 1_000 for time in times] == [kept]

    await hold(fact)


async def test_a_position_beyond_the_end_is_an_error(hold: Hold) -> None:  # F14
    async def fact(cluster: Cluster) -> None:
        topic = await cluster.topic("out")
        async with kafka.started(cluster.producer()) as producer:
            await producer.send_and_wait(topic, b"v", partition=0)
        async with kafka.started(cluster.consumer()) as reader:
            at = TopicPartition(topic, 0)
            reader.assign([at])
            reader.seek(at, 5)
            with pytest.raises(OffsetOutOfRangeError):
                await reader.getmany(at, timeout_ms=10_000)

    await hold(fact)


async def test_who_wants_more_than_there_is_gets_what_there_is_after_his_time(hold: Hold) -> None:
    async def fact(cluster: Cluster) -> None:
        topic = await cluster.topic("little")
        at = TopicPartition(topic, 0)
        async with kafka.started(cluster.producer()) as producer:
            await producer.send_and_wait(topic, b"v", partition=0)
            more: dict[str, Any] = {"fetch_min_bytes": 1 << 20, "fetch_max_wait_ms": 300}
            async with kafka.started(cluster.consumer(**more)) as reader:
                reader.assign([at])
                reader.seek(at, 0)
                began_s = time.monotonic()
                first = await reader.getmany(at, timeout_ms=10_000)
                assert time.monotonic() - began_s >= 0.3
                assert [record.value for record in first[at]] == [b"v"]

    await hold(fact)


async def test_a_reader_that_gathers_waits_for_more_behind_what_has_come(hold: Hold) -> None:
    async def fact(cluster: Cluster) -> None:
        topic = await cluster.topic("gathered")
        at = TopicPartition(topic, 0)
        async with (
            kafka.started(cluster.producer()) as producer,
            kafka.started(cluster.consumer(gathers=True)) as reader,
        ):
            reader.assign([at])
            reader.seek(at, 0)
            await producer.send_and_wait(topic, b"first", partition=0)
            assert await reader.getmany(at, timeout_ms=10_000)
            began_s = time.monotonic()  # nothing was asked for since
            await producer.send_and_wait(topic, b"second", partition=0)
            assert await reader.getmany(at, timeout_ms=10_000)
            assert time.monotonic() - began_s >= GATHER_MS / 1000

    await hold(fact)
