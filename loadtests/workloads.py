"""The seeded workloads: who pays whom, in which form, and what is wrong or waits. Same seed, same bytes.

They turn the knobs of clearing.dev.workload, which knows beforehand what must become of each payment.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import cycle

from clearing.dev.workload import PLAIN, SIMPLE, Mix, Stream, streams
from clearing.scheme.model import Scheme

CORE = 4  # banks that mostly pay one another
CORE_SHARE = 0.75  # of what they pay, and of what the others pay to them
HOT_SHARE = 0.7
CHUNK_ROWS = 500
WEIGHTS = 1_000  # creditors are drawn from a list of about so many names


@dataclass(frozen=True, slots=True)
class Workload:
    """mix: see clearing.dev.workload. netting_set: of bench.toml. pattern: who pays how much to whom.

    chunk: rows that a bank sends before it is another's turn.
    """

    name: str
    says: str
    mix: Mix = PLAIN
    netting_set: str = "load"
    pattern: str = "uniform"
    chunk: int = CHUNK_ROWS


def _bulk(items: int, *, columns: bool) -> Mix:
    return PLAIN._replace(bulk=1.0, bulk_items=items, stream_every=1 if columns else 0)


_ALL = (
    Workload("uniform", "one payment a record, every bank pays every other alike"),
    Workload("core", "few large banks pay one another, many small ones pay them", pattern="core"),
    Workload("hot", "one bank sends 70 % of all payments", pattern="hot"),
    Workload("refused", "5 % wrong, refused or repeated", mix=SIMPLE._replace(odd=0.05, bulk=0.0)),
    Workload(
        "queued",
        "1 % wait, are hastened and taken back",
        mix=PLAIN._replace(stuck=0.1),
        netting_set="waits",
        chunk=50,
    ),
    Workload("bulk", "JSON, 500 payments a record", mix=_bulk(500, columns=False)),
    Workload(
        "arrow",
        "columns, 5,000 payments a record",
        mix=_bulk(5_000, columns=True),
        chunk=5_000,
    ),
)
WORKLOADS: Mapping[str, Workload] = {workload.name: workload for workload in _ALL}


def made(
    workload: Workload, scheme: Scheme, netting_set: str, payments_in_all: int, seed: int
) -> list[Stream]:
    """A stream for each bank of the netting set, each drawing its creditors as the pattern says.

    payments_in_all: rows of everything that is ever published in the netting set, of which amounts depend.
    """
    # A bank that sends nearly everything has to have the means for it.
    budget = payments_in_all * len(scheme.members[netting_set])
    ours = [
        stream
        for stream in streams(scheme, payments=budget, seed=seed, mix=workload.mix)
        if stream.netting_set == netting_set
    ]
    banks = [stream.bank for stream in ours]
    for place, stream in enumerate(ours):
        weights = dict(zip(banks, _weights(workload.pattern, place, len(banks)), strict=True))
        for line in stream.lines:
            line.creditors = [
                name for name in line.creditors for _ in range(max(1, round(weights[name])))
            ]
    return ours


def _weights(pattern: str, place: int, banks: int) -> list[float]:
    """How often the bank at `place` pays each of the others, out of about WEIGHTS."""
    if pattern != "core":
        return [1.0] * banks
    small = banks - CORE
    core = [1 / (rank + 1) for rank in range(CORE) if rank != place]
    inner = WEIGHTS * CORE_SHARE / sum(core)
    outer = WEIGHTS * (1 - CORE_SHARE) / sum(1 / (rank + 1) for rank in range(small))
    return [
        inner / (rank + 1) if rank < CORE else outer / (rank - CORE + 1) for rank in range(banks)
    ]


def shares(workload: Workload, rows: int, banks: int) -> list[int]:
    """Rows that each bank sends: whole chunks, so that a bulk is never short; together at least `rows`."""
    match workload.pattern:
        case "hot":
            weights = [HOT_SHARE] + [(1 - HOT_SHARE) / (banks - 1)] * (banks - 1)
        case "core":
            weights = [1 / (rank + 1) for rank in range(banks)]
        case _:
            weights = [1.0] * banks
    size = workload.mix.bulk_items if workload.mix.bulk else 1
    whole = sum(weights)
    return [size * max(1, -(-int(rows * weight / whole) // size)) for weight in weights]


def turns(
    workload: Workload, ours: list[Stream], rows: int
) -> Iterator[tuple[Stream, list[bytes]]]:
    """The records in the order in which they are published: bank after bank, a chunk each."""
    left = shares(workload, rows, len(ours))
    for place in cycle(range(len(ours))):
        if not any(left):
            break
        if count := min(left[place], workload.chunk):
            left[place] -= count
            yield ours[place], ours[place].take(count)
    for stream in ours:
        stream.finish()
        if stream.owes:
            yield stream, stream.take(0)
