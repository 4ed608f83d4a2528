"""The engine equals the plain meaning on random streams: outcomes, batches, windows, accounts (R1-R9, R28)."""

import random

import msgspec
import pytest
from hypothesis import given

from clearing.core.inputs import LogRecord
from clearing.core.outputs import CommandEvent, ConfirmationEvent, Outputs, WindowEvent
from clearing.core.state import NettingSet
from clearing.core.step import step
from tests.core.build import batches
from tests.core.oracle import Oracle
from tests.core.oracle_books import Said
from tests.core.streams import OFTEN, SCRIPTS, Script, Stream


def compare(out: Outputs, said: Said, record: LogRecord) -> None:
    """Everything one log record caused."""
    if record.payments is None:
        assert out.outcomes is None
    else:
        assert out.outcomes is not None
        codes, repeats = out.outcomes.codes.tolist(), out.outcomes.repeat.tolist()
        assert list(zip(codes, repeats, strict=True)) == said.outcomes
        assert out.outcomes.windows == said.open_windows
    assert msgspec.to_builtins(batches(out)) == said.batches
    windows = [e for e in out.events if isinstance(e, WindowEvent)]
    assert [(e.asset, e.window, e.version, e.state) for e in windows] == said.windows
    answers = [e for e in out.events if isinstance(e, CommandEvent | ConfirmationEvent)]
    assert [e.status for e in answers] == said.answers
    assert len(out.rejected) == said.rejected


def compare_state(state: NettingSet, oracle: Oracle) -> None:
    accounts = state.accounts
    found = {
        (participant.id, asset.spec.id): tuple(
            int(column[p, a]) for column in (accounts.prefunded, accounts.cap, accounts.position)
        )
        for p, participant in enumerate(state.participants)
        for a, asset in enumerate(state.assets)
        if accounts.open[p, a]
    }
    assert found == {key: (a.held, a.cap, a.position) for key, a in oracle.accounts.items()}
    assert {asset.spec.id: asset.unsettled for asset in state.assets} == {
        name: oracle.unsettled(name) for name in oracle.assets
    }
    assert {a.spec.id: a.window.cutoff_ms for a in state.assets} == {
        name: asset.window.cutoff_ms for name, asset in oracle.assets.items()
    }
    assert list(state.pending) == list(oracle.waiting)
    assert len(state.ids) == len(oracle.seen)
    assert not state.scratch.any()
    assert not accounts.position.sum(axis=0).any()  # R1: what one owes another is owed


def play(script: Script, stream: Stream) -> None:
    state = NettingSet("hk", seed=3)
    for record, said in [stream.open(), *((stream.next(*item)) for item in script)]:
        compare(step(state, record), said, record)
    compare_state(state, stream.oracle)


@given(SCRIPTS)
def test_engine_equals_oracle(script: Script) -> None:
    play(script, Stream())


@pytest.mark.parametrize("seed", range(4))
def test_engine_equals_oracle_over_long_streams(seed: int) -> None:
    """Records of hundreds of rows: the quick paths, growing tables, many windows."""
    rng = random.Random(seed)
    script = [(rng.choice(OFTEN), rng.getrandbits(32)) for _ in range(60)]
    stream = Stream(rows_max=300)
    play(script, stream)
    assert len(stream.sent) > 1500
    assert stream.oracle.sequence > 15


def test_long_streams_meet_everything() -> None:
    """The streams are worth something: every outcome that they are made for comes up."""
    seen, answers, states = set[int](), set[str](), set[str]()
    for seed in range(12):
        rng, stream = random.Random(seed), Stream(rows_max=60)
        stream.open()
        for _ in range(60):
            _, said = stream.next(rng.choice(OFTEN), rng.getrandbits(32))
            seen |= {code for code, _ in said.outcomes}
            answers |= set(said.answers)
            states |= {state for *_, state in said.windows}
    missing = {0, 2, 12, *range(40, 60)} - seen
    assert missing <= {57}, missing  # POSITION_RANGE has its own tests
    assert answers == {"DONE", "REPEATED", "REFUSED"}
    assert states == {"OPEN", "PENDING_SETTLEMENT", "SETTLED", "FAILED"}
