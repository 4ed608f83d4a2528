"""The machine: the same log gives the same bytes (R29), what is not the log's stops it, outcomes travel whole."""

import random
from collections.abc import Callable
from functools import cache

import msgspec
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clearing.core.commands import Command, Fund, SetShortLimit, SetValuation
from clearing.core.inputs import Links, References
from clearing.core.outputs import Outcomes, Outputs
from clearing.core.reasons import Code
from clearing.core.snapshot import Chunk
from clearing.core.state import NettingSet
from clearing.core.step import step
from clearing.engine.machine import Machine, replay
from clearing.log import control, payments
from clearing.log.records import (
    CHAIN_START,
    OutputRecord,
    UnreadableLog,
    decode_event,
    decode_outcomes,
    decode_resolutions,
    decode_settlement,
    encode,
    encode_outcomes,
    extend_chain,
    read,
)
from tests.core.build import ALPHA, BETA, NOON_MS, Log, Row, opening, packed
from tests.core.streams import MIXED, OFTEN, SCRIPTS, WORLDS, Script, Stream, World

Kafka = tuple[bytes, bytes, int, int]  # key, value, offset, time_ms


def written(script: Script, rows_max: int = 12, world: World = MIXED) -> list[Kafka]:
    """The log of a script as Kafka has it."""
    stream = Stream(world, rows_max)
    records = [stream.open()[0], *(stream.next(*item)[0] for item in script)]
    return [(*packed(record), record.offset, record.time_ms) for record in records]


# What a netting set can hold between two records; the logs of these tests fill all of it.
KEPT = {"accounts", "waiting", "queues", "links", "ended_links", "requests", "returned", "members"}
KEPT |= {"pairs", "bilateral", "short_limits", "pending", "commands", "sources"}


def run(machine: Machine, log: list[Kafka]) -> list[list[OutputRecord]]:
    return [machine.apply(*record) for record in log]


@cache
def long_log(seed: int) -> list[Kafka]:
    rng = random.Random(seed)
    script = [(rng.choice(OFTEN), rng.getrandbits(32)) for _ in range(50)]
    return written(script, rows_max=60)


@settings(max_examples=50)
@given(st.sampled_from(WORLDS), SCRIPTS)
def test_bytes_in_bytes_out_equal_the_oracle(world: World, script: Script) -> None:
    """Of rows; and what the engine says of payments that waited comes back as it was."""
    machine, advisor = Machine("hk"), NettingSet("hk", seed=5)
    stream = Stream(world, engine=lambda record: step(advisor, record))
    for move in (None, *script):
        record, said = stream.open() if move is None else stream.next(*move)
        caused = machine.apply(*packed(record), record.offset, record.time_ms)
        rows = [decode_outcomes(r.value) for r in caused if r.key == b"outcomes/1"]
        found = [list(zip(o.codes.tolist(), o.repeat.tolist(), strict=True)) for o in rows]
        assert found == ([] if record.payments is None else [said.outcomes])
        waited = [decode_resolutions(r.value).items for r in caused if r.key == b"resolution/1"]
        assert stream.told
        assert [item for chunk in waited for item in chunk] == stream.told.resolutions
    assert machine.state.counters.last_batch_hash == stream.oracle.books.last_hash
    assert machine.records == machine.next_offset == 1 + len(script)


@settings(max_examples=50)
@given(SCRIPTS, st.integers(0, 40), st.integers(0, 2**64 - 1))
def test_going_on_from_a_snapshot_gives_the_same_bytes(script: Script, cut: int, seed: int) -> None:
    log = written(script)
    straight = Machine("hk")
    expected = run(straight, log)[cut:]
    begun = Machine("hk", seed)
    run(begun, log[:cut])
    chunks = begun.dump()
    loaded = Machine.load(memoryview(b"".join(chunks)), seed=seed ^ 1)
    assert b"".join(loaded.dump()) == b"".join(chunks)
    assert run(loaded, log[cut:]) == expected  # R29
    assert loaded.chain == straight.chain
    assert b"".join(loaded.dump()) == b"".join(straight.dump())


@pytest.mark.parametrize("seed", range(3))
def test_a_snapshot_after_every_record_changes_nothing(seed: int) -> None:
    log = long_log(seed)
    straight = Machine("hk", seed=1)
    run(straight, log)
    hopping, seen = Machine("hk", seed=2), set[str]()
    for n, record in enumerate(log):
        hopping.apply(*record)
        seen |= {name for name in KEPT if getattr(hopping.state, name)}
        hopping = Machine.load(memoryview(b"".join(hopping.dump())), seed=n)
    assert hopping.chain == straight.chain
    assert (hopping.next_offset, hopping.records) == (straight.next_offset, straight.records)
    assert seen == KEPT


def test_a_snapshot_does_not_move_with_the_machine() -> None:
    """It is written aside while clearing goes on."""
    log = long_log(1)
    machine = Machine("hk")
    run(machine, log[:30])
    chunks, chain = machine.dump(), machine.chain
    before = b"".join(chunks)
    run(machine, log[30:])
    assert b"".join(chunks) == before
    loaded = Machine.load(memoryview(bytearray(before)))
    assert loaded.chain == chain
    replay(loaded, log[30:])
    assert loaded.chain == machine.chain


@pytest.mark.parametrize("seed", range(3))
def test_a_frozen_machine_is_the_dumped_one_however_far_the_machine_goes_on(seed: int) -> None:
    """It shares its columns with the machine, at every place of the log."""
    machine = Machine("hk", seed)
    kept: list[tuple[bytes, list[Chunk]]] = []
    for record in long_log(seed):
        machine.apply(*record)
        kept.append((b"".join(machine.dump()), machine.frozen()))
    assert all(b"".join(chunks) == dumped for dumped, chunks in kept)


def test_the_same_log_gives_the_same_bytes_whatever_the_seed() -> None:
    log = long_log(2)
    first, second, other = Machine("hk", 0), Machine("hk", 0), Machine("hk", 99)
    assert run(first, log) == run(second, log) == run(other, log)  # R29
    assert first.chain == second.chain == other.chain != CHAIN_START


def test_the_chain_knows_every_byte_and_every_offset() -> None:
    record = OutputRecord("journal", b"key", b"value")
    chain = extend_chain(CHAIN_START, 5, [record])
    others = [
        extend_chain(chain, 5, [record]),
        extend_chain(CHAIN_START, 6, [record]),
        extend_chain(CHAIN_START, 5, []),
        extend_chain(CHAIN_START, 5, [record, record]),
        extend_chain(CHAIN_START, 5, [record._replace(topic="rejected")]),
        extend_chain(CHAIN_START, 5, [record._replace(key=b"keyv", value=b"alue")]),
        extend_chain(CHAIN_START, 5, [record._replace(value=b"valuE")]),
    ]
    assert len({chain, *others}) == 8


def test_another_format_of_snapshot_is_refused() -> None:
    machine = Machine("hk")
    place, size, header, *columns = machine.dump()
    other = msgspec.msgpack.encode(msgspec.msgpack.decode(header) | {"format": 99})
    size = len(other).to_bytes(8, "big")
    with pytest.raises(ValueError, match="format 99, this version reads"):
        Machine.load(memoryview(b"".join((place, size, other, *columns))))


def test_an_offset_comes_once_and_may_leave_some_out() -> None:
    machine = Machine("hk")
    for offset in (0, 1, 5):  # transaction markers leave holes
        machine.apply(control.KEY, control.TICK, offset, NOON_MS)
    assert (machine.next_offset, machine.records) == (6, 3)
    with pytest.raises(AssertionError, match="log offset 5 again"):
        machine.apply(control.KEY, control.TICK, 5, NOON_MS)


# --- what is no log record ---------------------------------------------------------------------------------------


def good_payments() -> bytes:
    return packed(Log().payments(*(Row(i, ALPHA, BETA, 1) for i in range(5))))[1]


def arrow(
    change: Callable[[dict[str, pa.Array]], dict[str, pa.Array]], *, batches: int = 1
) -> bytes:
    """A log record with other columns."""
    batch = pa.ipc.open_stream(good_payments()).read_next_batch()
    columns = change({name: batch.column(name) for name in batch.schema.names})
    changed = pa.record_batch(columns).replace_schema_metadata(batch.schema.metadata)
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, changed.schema) as writer:
        for _ in range(batches):
            writer.write_batch(changed)
    return sink.getvalue().to_pybytes()


def foreign_columns() -> list[tuple[str, bytes]]:
    """Every column missing, as floats, as text, with nulls; and one that nobody knows."""
    batch = pa.ipc.open_stream(good_payments()).read_next_batch()
    found = [("unknown", arrow(lambda c: c | {"colour": pa.array(["red"] * 5)}))]
    for name in batch.schema.names:
        others = {
            "floats": pa.array([1.0] * 5),
            "lists": pa.array([[1]] * 5),
            "nulls": pa.nulls(5, batch.column(name).type),
        }
        found += [
            (f"{name} {kind}", arrow(lambda c, n=name, o=other: c | {n: o}))
            for kind, other in others.items()
        ]
        if name != "decimals":  # left out where it holds only its default
            found.append(
                (f"no {name}", arrow(lambda c, n=name: {k: v for k, v in c.items() if k != n}))
            )
    return found


FOREIGN: list[tuple[str, bytes | None, bytes]] = [
    ("no key", None, control.TICK),
    ("unknown key", b"payments/2", good_payments()),
    ("empty key", b"", control.TICK),
    ("empty payments", payments.KEY, b""),
    ("empty control", control.KEY, b""),
    ("JSON as payments", payments.KEY, control.TICK),
    ("payments as control", control.KEY, good_payments()),
    ("null", control.KEY, b"null"),
    ("a list", control.KEY, b"[]"),
    ("two documents", control.KEY, b"{}{}"),
    ("unknown command", control.KEY, b'{"items":[{"source":0,"offset":0,"message":{"type":"x"}}]}'),
    ("wrong type", control.KEY, b'{"items":[{"source":"0","offset":0}]}'),
    ("no batch", payments.KEY, arrow(lambda c: c, batches=0)),
    *((name, payments.KEY, value) for name, value in foreign_columns()),
]


@pytest.mark.parametrize(("key", "value"), [f[1:] for f in FOREIGN], ids=[f[0] for f in FOREIGN])
def test_what_is_no_log_record_is_unreadable(key: bytes | None, value: bytes) -> None:
    machine = Machine("hk")
    with pytest.raises(UnreadableLog, match="log offset 7"):
        machine.apply(key, value, 7, NOON_MS)
    assert (machine.next_offset, machine.records, machine.chain) == (0, 0, CHAIN_START)


def test_a_record_without_a_value_is_unreadable() -> None:
    with pytest.raises(UnreadableLog):
        Machine("hk").apply(control.KEY, None, 0, NOON_MS)


def test_a_record_that_was_cut_off_is_unreadable_or_whole() -> None:
    value = good_payments()
    whole = 0
    for end in range(len(value)):
        try:
            record = read(payments.KEY, value[:end], 7, NOON_MS)
        except UnreadableLog:
            continue
        assert record.payments is not None
        assert len(record.payments) == 5
        whole += 1
    assert whole == 8  # without Arrow's end of stream, or a part of it


@given(st.binary(max_size=200), st.sampled_from([payments.KEY, control.KEY]))
def test_any_bytes_are_read_or_unreadable(value: bytes, key: bytes) -> None:
    try:
        record = read(key, value, 0, NOON_MS)
    except UnreadableLog:
        return
    assert key == control.KEY
    assert record.payments is None


def test_the_largest_limits_and_prices_survive_a_snapshot() -> None:  # R10
    """In the unit of account with nine decimals: more than msgpack's integers hold."""
    machine, log = Machine("hk"), Log()
    largest = "9999999999999999999.999999999"
    asked = [
        SetShortLimit(id="l", by="op", participant=ALPHA, limit=largest),
        SetValuation(id="v", by="op", asset="HKD", price="9223372036.854775807", haircut_bp=0),
    ]
    machine.apply(*packed(log.control(*opening(), *asked)), 0, NOON_MS)
    assert max(machine.state.short_limits.values()) == 10**28 - 1
    again = Machine.load(memoryview(b"".join(machine.dump())))
    assert again.state.short_limits == machine.state.short_limits
    assert again.dump() == machine.dump()


# --- what travels ------------------------------------------------------------------------------------------------


@given(
    st.lists(st.tuples(st.sampled_from(list(Code)), st.booleans()), max_size=50),
    st.dictionaries(st.text(max_size=8), st.integers(0, 2**40), max_size=4),
    st.integers(0, 2**62),
)
def test_outcomes_come_back_as_they_were(
    rows: list[tuple[Code, bool]], windows: dict[str, int], offset: int
) -> None:
    codes = np.array([code for code, _ in rows], np.uint8)
    repeat = np.array([again for _, again in rows], np.bool_)
    told = Outcomes(offset, NOON_MS, codes, repeat, windows)
    found = decode_outcomes(encode_outcomes("hk", told))
    assert (found.log_offset, found.time_ms, found.windows) == (offset, NOON_MS, windows)
    assert found.codes.tolist() == codes.tolist()
    assert found.repeat.tolist() == repeat.tolist()


def test_an_ordinary_payment_takes_little_room_in_the_outcomes() -> None:
    def size(n: int) -> int:
        codes, repeat = np.zeros(n, np.uint8), np.zeros(n, np.bool_)
        return len(encode_outcomes("hk", Outcomes(1, NOON_MS, codes, repeat, {"HKD": 1})))

    assert size(5000) - size(1000) <= 4000 + 64  # a byte a row


def test_outputs_go_to_their_topics_in_one_order() -> None:
    machine, log = Machine("hk"), Log()
    fund = Fund(id="f", by="op", participant=ALPHA, asset="HKD", amount="1")
    key, value = packed(log.control(*opening(held="5"), fund))
    caused = machine.apply(key, value, 0, NOON_MS)
    topics = [record.topic for record in caused]
    order = ("outcomes", "settlements", "windows", "journal", "positions", "rejected")
    assert topics[:4] == ["settlements"] * 4
    assert topics.count("settlements") == 3 + 3 + 1
    assert topics.index("windows") == topics.index("journal") - 1
    assert topics[-3:] == ["positions"] * 3
    assert set(topics) <= set(order)
    for record in caused:
        if record.topic == "settlements":
            assert msgspec.json.encode(decode_settlement(record.value)) == record.value
        if record.topic == "journal":
            assert msgspec.json.encode(decode_event(record.value)) == record.value
    assert [record.key for record in caused if record.topic == "positions"] == [
        f"hk|{bank}|HKD".encode() for bank in (ALPHA, BETA, "GAMMHKHH")
    ]


def test_nothing_caused_is_nothing_written() -> None:
    assert encode("hk", 7, NOON_MS, Outputs()) == []


def columns(of: Links | References | None) -> list[list[int]] | None:
    return of and [getattr(of, name).tolist() for name in of.__slots__]


@settings(max_examples=50)
@given(SCRIPTS)
def test_a_packed_record_is_unpacked_as_it_was(script: Script) -> None:
    stream = Stream()
    for record, _ in [stream.open(), *(stream.next(*item) for item in script)]:
        found = read(*packed(record), record.offset, record.time_ms)
        assert (found.offset, found.time_ms) == (record.offset, record.time_ms)
        assert found.sources == record.sources
        assert found.control == record.control
        mine, other = record.payments, found.payments
        if mine is None or not len(mine):
            continue
        assert other is not None
        for name in ("id", "amount", "decimals", "value_date", "priority", "kind", "window", "body_hash",
                     "expires_at_ms", "source", "source_offset", "item", "reject"):  # fmt: skip
            assert getattr(mine, name).tolist() == getattr(other, name).tolist(), name
        for one, two in ((mine.links, other.links), (mine.references, other.references)):
            assert columns(one) == columns(two)
        assert [mine.texts(row) for row in range(len(mine))] == [
            other.texts(row) for row in range(len(other))
        ]
        for name in ("debtor", "creditor"):
            assert [mine.participants[i] for i in getattr(mine, name)] == [
                other.participants[i] for i in getattr(other, name)
            ]
        assert [mine.assets[i] for i in mine.asset] == [other.assets[i] for i in other.asset]
        assert mine.rejects == other.rejects


def test_commands_keep_their_type_on_the_way() -> None:
    record = Log().control(*opening())
    found = read(*packed(record), 0, NOON_MS)
    assert [item.message for item in found.control] == [item.message for item in record.control]
    assert all(isinstance(item.message, Command) for item in found.control)
