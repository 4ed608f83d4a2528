"""A netting set's state as bytes and back. STORED FORMAT 2; the shell adds file, checksum and place in the log.

One msgpack header with everything small, then the raw columns in the order the header lists them.
"""

from collections.abc import Iterator, Sequence

import msgspec
import numpy as np

from clearing.core.bilateral import BilateralLimits, Pair
from clearing.core.inputs import I32, I64, U8, U64, Bool
from clearing.core.members import Members, Piece
from clearing.core.registry import BisModel, BusinessDay
from clearing.core.state import Accounts, Asset, Counters, NettingSet, Participant, Pending
from clearing.core.waiting import Link, Proposal, Request, Returned, Waiting

FORMAT = 2
_MAX_INT = (1 << 63) - 1

Column = I32 | I64 | U8 | U64 | Bool
Chunk = bytes | memoryview


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
    waiting: list[Waiting]
    links: list[Link]
    ended_links: dict[str, int]
    requests: dict[str, Request]
    returned: dict[str, Returned]
    pairs: list[tuple[int, int, BisModel]]
    bilateral: list[tuple[Pair, int, int]]  # pair, limit, used
    short_limits: dict[int, int | str]  # a number that msgpack has no room for as a string
    proposals: dict[str, Proposal]
    members: list[tuple[int, int]]  # (asset, window), the columns of each come last
    generations: list[int]
    columns: list[tuple[str, list[int]]]  # dtype, shape


def _columns(state: NettingSet) -> Iterator[Sequence[Column]]:
    """Every column in parts that nothing changes any more: copies, where the state itself may change them."""
    small = (state.status, state.scale, state.maximum, state.days_ahead, state.dirty)
    for column in (*small, *state.accounts.columns()):
        yield [column.copy()]
    for generation in state.ids.generations:
        yield from generation.columns.parts()
    for members in state.members.values():
        yield from members.parts()


def dump(state: NettingSet) -> list[bytes]:
    """The snapshot: its size, its header, and each column; equal states give equal bytes."""
    size, header, columns = _parts(state)
    return [size, header, *(b"".join(map(_bytes_of, parts)) for parts in columns)]


def frozen(state: NettingSet) -> list[Chunk]:
    """The same bytes in other chunks, which share what is large with the state: neither changes the other."""
    size, header, columns = _parts(state)
    return [size, header, *(_bytes_of(part) for parts in columns for part in parts)]


def _bytes_of(part: Column) -> Chunk:
    return np.ascontiguousarray(part).data.cast("B") if part.size else b""


def _parts(state: NettingSet) -> tuple[bytes, bytes, list[Sequence[Column]]]:
    """Size of the header, the header, and the columns."""
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
        waiting=list(state.waiting.values()),
        links=list(state.links.values()),
        ended_links=state.ended_links,
        requests=state.requests,
        returned=state.returned,
        pairs=[(*pair, model) for pair, model in state.pairs.items()],
        bilateral=state.bilateral.tracked(),
        short_limits={
            p: units if units <= _MAX_INT else str(units) for p, units in state.short_limits.items()
        },
        proposals=state.proposals,
        members=list(state.members),
        generations=[generation.day for generation in state.ids.generations],
        columns=[
            (parts[0].dtype.str, [sum(map(len, parts)), *parts[0].shape[1:]]) for parts in columns
        ],
    )
    encoded = msgspec.msgpack.encode(header)
    return len(encoded).to_bytes(8, "big"), encoded, columns


def load(data: memoryview, seed: int) -> NettingSet:
    """State from the bytes of `dump`. Raises ValueError on another format; the caller has checked the checksum."""
    size = int.from_bytes(data[:8], "big")
    header = msgspec.msgpack.decode(data[8 : 8 + size], type=_Header)
    if header.format != FORMAT:
        raise ValueError(f"snapshot has format {header.format}, this version reads {FORMAT}")
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
        waiting={item.id: item for item in header.waiting},
        queues=_queues(header.waiting),
        links={link.id: link for link in header.links},
        ended_links=header.ended_links,
        requests=header.requests,
        asked={item.original for item in header.requests.values()},
        returned=header.returned,
        pairs={(a, b): model for a, b, model in header.pairs},
        bilateral=BilateralLimits(header.bilateral),
        short_limits={p: int(units) for p, units in header.short_limits.items()},
        proposals=header.proposals,
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
    for key in header.members:
        state.members[key] = Members([Piece(*(next(columns).copy() for _ in Piece.__slots__))])
    state.forget_value_room()
    return state


def _queues(waiting: list[Waiting]) -> dict[tuple[int, int], list[Waiting]]:
    queues: dict[tuple[int, int], list[Waiting]] = {}
    for item in sorted((item for item in waiting if item.is_queued), key=lambda item: item.place):
        queues.setdefault(item.account, []).append(item)
    return queues


def _read_columns(data: memoryview, header: _Header) -> Iterator[np.ndarray]:
    at = 0
    for dtype, shape in header.columns:
        count = int(np.prod(shape, dtype=np.int64))
        column = np.frombuffer(data, np.dtype(dtype), count, at).reshape(shape)
        at += column.nbytes
        yield column
