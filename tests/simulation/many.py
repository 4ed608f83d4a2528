"""Many seeds on many processes: outcomes as they come, in no order. Ends at once when its reader does."""

import gc
import multiprocessing
import signal
from collections import Counter
from collections.abc import Generator, Iterable
from dataclasses import dataclass, field
from typing import Any, get_origin

import msgspec

from tests.simulation.run import Outcome, run

CHUNK_SEEDS = 4
CHUNKS = 16  # until a process ends, and with it what its runs have left


@dataclass(slots=True)
class Summary:
    """Of all runs: what failed, which faults happened how often, how much there was of what. hashes: by seed."""

    runs: int = 0
    failed: list[Outcome] = field(default_factory=list[Outcome])
    hits: Counter[str] = field(default_factory=Counter[str])
    counts: Counter[str] = field(default_factory=Counter[str])
    hashes: dict[int, str] = field(default_factory=dict[int, str])
    virtual_s: float = 0.0
    cpu_s: float = 0.0

    def add(self, outcome: Outcome) -> None:
        self.runs += 1
        self.hits.update(outcome.hits)
        self.counts.update(outcome.counts)
        self.hashes[outcome.seed] = outcome.hash
        self.virtual_s += outcome.virtual_s
        self.cpu_s += outcome.cpu_s
        if not outcome.ok:
            self.failed.append(outcome)


def encode(summary: Summary) -> bytes:
    """As JSON, for other processes."""
    return msgspec.json.encode(summary)


def decode(data: str | bytes) -> Summary:
    """Inverse of encode."""
    return msgspec.json.decode(data, type=Summary, dec_hook=_counter)


def _counter(kind: Any, value: Any) -> Any:
    assert get_origin(kind) is Counter, kind
    return Counter(value)


def run_many(seeds: Iterable[int], jobs: int) -> Generator[Outcome]:
    """Outcomes of all seeds. A run that breaks is an outcome with the exception as its problem."""
    run_guarded(0)  # what it loads and tries out, machine code first of all, no process does again
    gc.collect()
    gc.freeze()
    context = multiprocessing.get_context("fork")
    with context.Pool(jobs, _begin, maxtasksperchild=CHUNKS) as pool:
        yield from pool.imap_unordered(run_guarded, seeds, CHUNK_SEEDS)


def run_guarded(seed: int) -> Outcome:
    try:
        return run(seed, leave=True)
    except Exception as error:
        return Outcome(
            seed=seed,
            problems=[f"the simulation itself broke: {error!r}"],
            faults=[],
            hits={},
            hash="",
            virtual_s=0.0,
            cpu_s=0.0,
            counts={},
        )


def _begin() -> None:
    """A process ends before what its runs leave is too much: to look for garbage in it takes a fifth of a run."""
    gc.disable()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # it is the parent's
