"""The paths of a payment that loadtests.regression watches, each as the same work done again and again.

Pure: no broker. Every path works on the same seeded payments and leaves nothing behind: what changes a state gets
it anew from a snapshot. `by` names the reference of the same character, the machine's own speed at such work.
"""

from collections.abc import Callable
from typing import NamedTuple
from uuid import UUID

import msgspec
import numpy as np
import pyarrow as pa

from clearing.client.columns import stream
from clearing.core.ids import Remembered
from clearing.core.inputs import U64, LogRecord
from clearing.core.registry import QueuePolicy
from clearing.core.step import step
from clearing.dispatch.statuses import status_records
from clearing.engine.machine import Machine
from clearing.intake.decode import decode
from clearing.log import payments
from clearing.log.records import encode, read
from clearing.log.rows import RowBatch, strings
from loadtests.core import (
    NETTING_SET,
    NOTHING,
    NOW_MS,
    PLENTY,
    batches,
    opening,
    packed,
    started,
)

ROWS = 4_000
REMEMBERED = 40_000  # payments before the one that is measured
WAITING = 400
SCARCE = "30000.00"  # the net debit cap that some payments reach
BANKS = [f"BANK{i:04d}" for i in range(50)]

Work = Callable[[], object]


class Path(NamedTuple):
    """prepare: gives the work whose CPU counts, outside of it. payments: that one work is for. by: a reference."""

    name: str
    by: str
    payments: int
    prepare: Callable[[], Work]


def references() -> dict[str, Work]:
    """What the machine is measured by: a few ms each, and nothing of the project's own code in it."""
    return {"columns": _columns(np.random.default_rng(7)), "objects": _objects()}


def _columns(rng: np.random.Generator) -> Work:
    """Columns of one log record through NumPy, as the core goes about them: gathers, masks, sums, hashes, sorts."""
    ids = rng.integers(0, 1 << 63, (ROWS, 2)).astype(np.uint64)
    account = rng.integers(0, 200, ROWS)
    amount = rng.integers(1, 1 << 30, ROWS)
    table = rng.integers(0, 1 << 40, 1 << 17)

    def work() -> None:
        for _ in range(6):
            h = ids[:, 0] ^ ids[:, 1]
            for shift in (31, 29, 27):
                h ^= h >> np.uint64(shift)
                h *= np.uint64(0xBF58476D1CE4E5B9)
            slot = (h >> np.uint64(47)).astype(np.int64)
            row = np.flatnonzero(table[slot] & 1)
            total = np.bincount(account.take(row), amount.take(row), 200).astype(np.int64)
            order = np.argsort(account, kind="stable")
            np.cumsum(amount[order])
            np.where(total[account] > amount, amount, 0)
            for _ in range(40):  # what a call costs that has little to do
                row[:16].take(np.flatnonzero(row[:16] > 3))

    return work


def _objects() -> Work:
    """Objects, one by one: JSON to values, look-ups, sorting, and values to JSON."""
    texts = [
        msgspec.json.encode({"id": f"{i:032x}", "debtor": f"B{i % 50}", "amount": f"{i}.50"})
        for i in range(400)
    ]
    decode_text = msgspec.json.Decoder(dict[str, str]).decode

    def work() -> None:
        for _ in range(8):
            found: dict[str, list[int]] = {}
            for text in texts:
                item = decode_text(text)
                whole, _, part = item["amount"].partition(".")
                found.setdefault(item["debtor"], []).append(int(whole + part))
            ordered = sorted(found.items(), key=lambda each: (-sum(each[1]), each[0]))
            msgspec.json.encode(dict(ordered))

    return work


def paths() -> list[Path]:
    """Everything that is watched, made from one seed."""
    rng = np.random.default_rng(1)
    records = REMEMBERED // ROWS
    made = list(batches(BANKS, records + 1, ROWS, rng))
    rows, spans = made[-1]
    values = [payments.pack(*each) for each in made]
    plain, at_risk = (_after(values[:-1], cap) for cap in (PLENTY, SCARCE))
    last = read(payments.KEY, values[-1], len(values), NOW_MS)
    outcomes, held_back = (
        step(Machine.load(snapshot).state, last).outcomes for snapshot in (plain, at_risk)
    )
    assert outcomes is not None
    assert not outcomes.codes.any(), "plain payments are accepted"
    assert held_back is not None
    assert held_back.codes.any(), (
        "some reach their limits, so that the limits are looked at one by one"
    )
    return [
        Path("pack", "columns", ROWS, _again(lambda: payments.pack(rows, spans))),
        Path("unpack", "columns", 4 * ROWS, _again(lambda: _unpacked(values[-4:]))),
        Path("step, plain", "columns", ROWS, _stepping(plain, last)),
        Path("step, accounts at risk", "objects", ROWS, _stepping(at_risk, last)),
        _queueing(),
        Path("ids", "columns", ROWS, _again(_recalling(np.random.default_rng(3)))),
        _decoding(),
        Path("decode Arrow", "columns", ROWS, _again(_decoding_columns(rows))),
        Path(
            "statuses",
            "columns",
            ROWS,
            _again(lambda: status_records(NETTING_SET, values[-1], outcomes)),
        ),
    ]


def _unpacked(values: list[bytes]) -> list[LogRecord]:
    return [read(payments.KEY, value, offset, NOW_MS) for offset, value in enumerate(values)]


def _again(work: Work) -> Callable[[], Work]:
    return lambda: work


def _after(values: list[bytes], cap: str) -> memoryview:
    """A snapshot of a machine with this cap on all accounts, behind these log records."""
    machine = started(opening(BANKS, QueuePolicy.NONE, cap))
    for i, value in enumerate(values, 1):
        machine.apply(payments.KEY, value, i, NOW_MS)
    return memoryview(b"".join(machine.dump()))


def _stepping(snapshot: memoryview, record: LogRecord) -> Callable[[], Work]:
    """The step and the bytes it puts out, from the same state each time."""

    def prepare() -> Work:
        state = Machine.load(snapshot).state

        def work() -> object:
            return encode(NETTING_SET, record.offset, NOW_MS, step(state, record))

        return work

    return prepare


def _queueing() -> Path:
    """Payments that cannot be paid come to wait, among as many that wait already, and offsetting is tried."""
    machine = started(opening(BANKS, QueuePolicy.FIFO, NOTHING))
    first, second = packed(BANKS, 2, WAITING, np.random.default_rng(2))
    machine.apply(payments.KEY, first, 1, NOW_MS)
    assert len(machine.state.waiting) > WAITING // 2, "most of them cannot be paid"
    snapshot = memoryview(b"".join(machine.dump()))
    record = read(payments.KEY, second, 2, NOW_MS + 60_000)
    return Path("queue", "objects", WAITING, _stepping(snapshot, record))


def _recalling(rng: np.random.Generator) -> Work:
    """Ids that are remembered, half of them from the day before: nothing new, so that nothing grows."""
    remembered = Remembered(seed=5)
    days: list[tuple[U64, U64]] = []
    for day in (1, 2):
        ids = rng.integers(0, 1 << 63, (100_000, 2)).astype(np.uint64)
        bodies = ids[:, 0].copy()
        remembered.recall(ids, bodies, day)
        days.append((ids[: ROWS // 2], bodies[: ROWS // 2]))
    (old, old_bodies), (new, new_bodies) = days
    ids, bodies = np.concatenate((old, new)), np.concatenate((old_bodies, new_bodies))
    return lambda: remembered.codes(remembered.recall(ids, bodies, 2).ref)


def _decoding() -> Path:
    """One JSON payment a record."""
    rng = np.random.default_rng(4)
    ids = [UUID(bytes=rng.bytes(16), version=4) for _ in range(1_000)]
    lines = [
        msgspec.json.encode(
            {
                "type": "payment",
                "id": str(id_),
                "debtor": BANKS[i % 50],
                "creditor": BANKS[(i + 7) % 50],
                "asset": "HKD",
                "amount": f"{i + 1}.25",
                "value_date": "2025-10-09",
                "end_to_end_id": f"E{i}",
                "priority": "NORM",
            }
        )
        for i, id_ in enumerate(ids)
    ]
    decoded = decode(lines)
    assert not decoded.rows.reject.any(), "sound payments"
    return Path("decode JSON", "objects", len(lines), _again(lambda: decode(lines)))


def _decoding_columns(rows: RowBatch) -> Work:
    """The same payments as one Arrow stream."""
    ids = rows.id.copy()
    ids[:, 6] = ids[:, 6] & 0x0F | 0x40
    ids[:, 8] = ids[:, 8] & 0x3F | 0x80
    columns = {
        "id": pa.array([id_.tobytes() for id_ in ids], pa.binary(16)),
        **{
            name: strings(getattr(rows, name)).dictionary_encode()
            for name in ("debtor", "creditor", "asset")
        },
        "amount": pa.array(rows.amount),
        "decimals": pa.array(rows.decimals),
        "value_date": pa.array(rows.value_date).cast(pa.date32()),
        "end_to_end_id": strings(rows.end_to_end_id),
    }
    record = stream(pa.record_batch(columns), bulk_id=UUID(bytes=bytes(16), version=4))
    decoded = decode([record])
    assert len(decoded.rows) == ROWS
    assert not decoded.rows.reject.any(), "sound payments"
    return lambda: decode([record])
