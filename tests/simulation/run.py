"""One seed, one run: faults while banks pay; then none, and all must drain in bounded time; then the audit."""

import gc
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path

import msgspec

from tests.simulation.auditor import audit, safety
from tests.simulation.faults import Fault, draw_plan
from tests.simulation.injection import Injection
from tests.simulation.loop import Livelock
from tests.simulation.stage import Stage

FAULTS_S = 5.0  # faults stop then, or when the last one is over
# Bounds of virtual time for each step after that. A transaction that hangs is ended after 6 s, a session after 3.
DRAIN_S = 60.0
SETTLE_S = 30.0
QUIET_S = 4.5  # nothing more is written then: positions follow later, the later for a new owner
LOOK_S = 0.25
# Of the time from one close of windows to the next: positions have been written by then (POSITIONS_INTERVAL_MS).
BEFORE_NEXT_CLOSE = 0.8
_IN_MEMORY = "/dev/shm" if Path("/dev/shm").is_dir() else None
_left: list[Stage] = []


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """problems: empty if the run is as it must be. hits: faults that happened, by kind. hash: of the history."""

    seed: int
    problems: list[str]
    faults: list[Fault]
    hits: dict[str, int]
    hash: str
    virtual_s: float
    cpu_s: float
    counts: dict[str, int]

    @property
    def ok(self) -> bool:
        return not self.problems


def run(
    seed: int,
    faults: list[Fault] | None = None,
    tell: Callable[[str], None] | None = None,
    only: Sequence[str] = (),
    *,
    leave: bool = False,
) -> Outcome:
    """faults: in the place of those the seed draws, of the kinds in `only`. tell: takes the lines of the trace.

    leave: to take all of it down costs a tenth of a run; left as it stands, it goes with the process. Not for more
    runs than there is memory for.
    """
    collecting = gc.isenabled()
    gc.disable()  # once a run, when it is over, and without what was there before
    set_aside()
    try:
        return _run(seed, faults, tell, only, leave=leave)
    finally:
        if collecting:
            gc.enable()


def _run(
    seed: int,
    faults: list[Fault] | None,
    tell: Callable[[str], None] | None,
    only: Sequence[str],
    *,
    leave: bool,
) -> Outcome:
    began_s = time.process_time()
    with tempfile.TemporaryDirectory(prefix="clearing-sim-", dir=_IN_MEMORY) as folder:
        stage = Stage(seed, Path(folder), tell)
        plan = draw_plan(seed, list(stage.services), only) if faults is None else faults
        with stage.sized():
            with stage.built():
                try:
                    stuck = _play(stage, plan)
                    ended_s = stage.simulation.now_s
                finally:
                    if leave:
                        _left.append(stage)
                    else:
                        stage.simulation.close(collect=True)
            stage.onlooker.look()
            problems = [*safety(stage), stuck] if stuck else audit(stage)
    return Outcome(
        seed=seed,
        problems=problems,
        faults=plan,
        hits=dict(stage.hits),
        hash=stage.hash(),
        virtual_s=ended_s,
        cpu_s=time.process_time() - began_s,
        counts=_counts(stage),
    )


@cache
def set_aside() -> None:
    """What is there before the first run stays: looking for garbage in it takes longer than a run."""
    gc.collect()
    gc.freeze()


def _play(stage: Stage, plan: list[Fault]) -> str:
    """The run itself. What does not get through when there are no faults any more, in words."""
    simulation = stage.simulation
    injection = Injection(stage, plan)
    stage.begin()
    try:
        simulation.run(max(FAULTS_S, *(fault.at_s + fault.for_s + 0.1 for fault in plan), 0.0))
        injection.stop()
        return _drain(stage)
    except Livelock as error:
        return f"livelock {error}"


def _drain(stage: Stage) -> str:
    """Everything gets through, within bounds; what does not, in words."""
    town, told, progress = stage.town, stage.town.listener.told, stage.town.watch.progress

    def drained() -> bool:
        return (
            town.done
            and told.rows >= town.rows
            and len(told.waiting) <= town.plan().outcomes["dropped"]
        )

    def settled() -> bool:
        stage.onlooker.look()
        return (
            len(progress.commands) == town.commands
            and not told.waiting
            and progress.all_settled
            and told.finals >= progress.finals
            and not stage.unmarked()
        )

    if not stage.until(drained, DRAIN_S, LOOK_S):
        return (
            f"liveness: {DRAIN_S:.0f} s after the last fault banks still wait: all sent: {town.done}, "
            f"{told.rows} of {town.rows} answered, {len(told.waiting)} wait for a last word"
        )
    town.close_windows()
    stage.trace.note("operator", "closes all windows")
    if not stage.until(settled, SETTLE_S, LOOK_S):
        return (
            f"liveness: {SETTLE_S:.0f} s after the close not all is settled: windows "
            f"{dict(Counter(progress.windows.values()))}, unconfirmed {progress.unconfirmed}, "
            f"unmarked {stage.unmarked()}, finals told {told.finals} of {progress.finals}"
        )
    if town.size.every_s:
        stage.simulation.run(_past_a_close_s(stage.simulation.now_s, town.size.every_s))
    elif not stage.until(stage.is_quiet, SETTLE_S, QUIET_S):
        return f"liveness: {SETTLE_S:.0f} s after all is settled the engine still writes"
    return ""


def _past_a_close_s(now_s: float, every_s: int) -> float:
    """From now on until the next windows have closed, empty, and some time before the ones after them do."""
    last_s = now_s + QUIET_S / 2
    return (last_s // every_s + 1) * every_s + BEFORE_NEXT_CLOSE * every_s - now_s


def _counts(stage: Stage) -> dict[str, int]:
    """What there was in the run, so that coverage is visible."""
    progress = stage.town.watch.progress
    return {
        "rows": stage.town.rows,
        "windows settled": progress.settled,
        "batches": len(progress.batches),
        "transactions": sum(map(len, progress.transactions.values())),
        "restarts": sum(max(0, s.starts - 1) for s in stage.services.values()),
        "doubts": stage.trace.said["doubt"],
        "fenced": stage.trace.said["fenced"],
        "snapshots loaded": stage.trace.said["replayed"],
        "snapshots refused": stage.trace.said["snapshot_refused"],
        "steps": stage.simulation.loop.steps,
    }
