"""A netting set under a random stream of everything: what must always hold, replay and snapshots (R1-R33).

What is expected of each record is the oracle's to say (test_against_oracle.py); here nobody is asked but the
inputs and outputs themselves. HYPOTHESIS_PROFILE=explore looks longer.
"""

import copy

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from clearing.core.inputs import LogRecord
from clearing.core.outputs import Outputs
from clearing.core.release import offset_queues
from clearing.core.snapshot import dump, load
from clearing.core.state import NettingSet
from clearing.core.step import step
from tests.core.invariants import Watch, encoded
from tests.core.streams import KINDS, OFTEN, WORLDS, Stream, World

SEEDS = st.integers(0, 2**32 - 1)


class Clearing(RuleBasedStateMachine):
    """records: the log so far, each with what it caused."""

    @initialize(world=st.sampled_from(WORLDS))
    def open(self, world: World) -> None:
        self.state = NettingSet("hk", seed=1)
        self.watch = Watch(self.state)
        self.stream = Stream(world, engine=self.step)
        self.records: list[tuple[LogRecord, bytes]] = []
        self.stream.open()

    def step(self, record: LogRecord) -> Outputs:
        out = step(self.state, record)
        self.records.append((record, encoded(out)))
        self.watch.after(record, out)
        return out

    @rule(kind=st.sampled_from(OFTEN), seed=SEEDS)
    def happens(self, kind: str, seed: int) -> None:
        self.stream.next(kind, seed)

    @rule(seeds=st.lists(SEEDS, min_size=2, max_size=5))
    def banks_pay(self, seeds: list[int]) -> None:
        for seed in seeds:
            self.stream.next("pay", seed)

    @rule(kind=st.sampled_from([*KINDS]), seed=SEEDS)
    def something_rare_happens(self, kind: str, seed: int) -> None:
        self.stream.next(kind, seed)

    @rule(seed=SEEDS)
    def goes_on_from_a_snapshot(self, seed: int) -> None:
        chunks = b"".join(dump(self.state))
        self.watch.state = self.state = load(memoryview(chunks), seed)
        assert b"".join(dump(self.state)) == chunks

    @precondition(lambda self: not self.state.counters.search_due)  # put off: too much waits
    @rule()
    def nothing_more_can_leave(self) -> None:
        """R14: the engine looks only where something may have changed; it must not overlook anything."""
        other = copy.deepcopy(self.state)
        other.stir_all()
        other.counters.search_due = True
        out = Outputs()
        offset_queues(other, len(self.records), out, now=True)
        assert out.resolutions == []

    def teardown(self) -> None:
        """R29: the same log gives the same bytes, from its first record and without any snapshot."""
        replayed = NettingSet("hk", seed=2)
        for record, said in self.records:
            assert encoded(step(replayed, record)) == said
        assert b"".join(dump(replayed)) == b"".join(dump(self.state))


TestClearing = Clearing.TestCase
TestClearing.settings = settings(stateful_step_count=30)
