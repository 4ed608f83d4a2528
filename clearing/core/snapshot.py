"""A netting set's state as bytes and back. STORED FORMAT 1; the shell adds file, checksum and place in the log.

One msgpack header with everything small, then the raw columns in the order the header lists them.
"""

from collections.abc import Iterator

import msgspec
import numpy as np

from clearing.core.faults import Halt
from clearing.core.inputs import I32, I64, U8, U64, Bool
from clearing.core.registry import BusinessDay
from clearing.core.state import Accounts, Asset, Counters, NettingSet, Participant, Pending

FORMAT = 1

Column = I32 | I64 | U8 | U64 | Bool


class _Header(msgspec.Struct, kw_only=True):
    format: int
    name: str
    retention_days: int
    positions_interval_ms: int
    counters: Counters
    sources: list[tuple[str, int, int]]
    commands: dict[str, str]
    participants: list[Participant]
    assets: list[Asset]
    pending: list[Pending]
    calendar: list[BusinessDay]
    generations: list[int]
    columns: list[tuple[str, list[int]]]  # dtype, shape


def _columns(state: NettingSet) -> Iterator[Column]:
    yield from (state.status, state.scale, state.maximum, state.days_ahead, state.dirty)
    yield from state.accounts.columns()
    for generation in state.ids.generations:
        n = generation.count
        yield from (generation.ids[:n], generation.bodies[:n], generation.codes[:n])


def dump(state: NettingSet) -> list[bytes]:
    """Chunks of the snapshot: copies, so that the state may change while they are written."""
    columns = list(_columns(state))
    header = _Header(
        format=FORMAT,
        name=state.name,
        retention_days=state.retention_days,
        positions_interval_ms=state.positions_interval_ms,
        counters=state.counters,
        sources=[(topic, partition, end) for (topic, partition), end in state.sources.items()],
        commands=state.commands,
        participants=state.participants,
        assets=state.assets,
        pending=list(state.pending.values()),
        calendar=state.calendar,
        generations=[generation.day for generation in state.ids.generations],
        columns=[(column.dtype.str, list(column.shape)) for column in columns],
    )
    encoded = msgspec.msgpack.encode(header)
    return [len(encoded).to_bytes(8, "big"), encoded, *(column.tobytes() for column in columns)]


def load(data: memoryview, seed: int) -> NettingSet:
    """State from the bytes of `dump`. Raises Halt on another format; the caller has checked the checksum."""
    size = int.from_bytes(data[:8], "big")
    header = msgspec.msgpack.decode(data[8 : 8 + size], type=_Header)
    if header.format != FORMAT:
        raise Halt(f"snapshot has format {header.format}, this version reads {FORMAT}")
    columns = _read_columns(data[8 + size :], header)
    status, scale, maximum, days_ahead, dirty = (next(columns).copy() for _ in range(5))
    accounts = Accounts(*(next(columns).copy() for _ in Accounts.__slots__))
    state = NettingSet(
        name=header.name,
        seed=seed,
        retention_days=header.retention_days,
        positions_interval_ms=header.positions_interval_ms,
        counters=header.counters,
        sources={(topic, partition): end for topic, partition, end in header.sources},
        commands=header.commands,
        participants=header.participants,
        assets=header.assets,
        pending={item.batch.id: item for item in header.pending},
        calendar=header.calendar,
        status=status,
        scale=scale,
        maximum=maximum,
        days_ahead=days_ahead,
        accounts=accounts,
        dirty=dirty,
        scratch=np.zeros(dirty.size, np.int64),
        participant_index={item.id: p for p, item in enumerate(header.participants)},
        asset_index={item.spec.id: a for a, item in enumerate(header.assets)},
    )
    for day in header.generations:
        ids, bodies, codes = (next(columns) for _ in range(3))
        state.ids.add_generation(day, ids, bodies, codes)
    return state


def _read_columns(data: memoryview, header: _Header) -> Iterator[np.ndarray]:
    at = 0
    for dtype, shape in header.columns:
        count = int(np.prod(shape, dtype=np.int64))
        column = np.frombuffer(data, np.dtype(dtype), count, at).reshape(shape)
        at += column.nbytes
        yield column
