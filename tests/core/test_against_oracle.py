"""The engine equals the plain meaning on random streams: all that is said, all that is known (R1-R33)."""


from hypothesis import given
from hypothesis import strategies as st

from clearing.core.state import NettingSet
from clearing.core.step import step
from tests.core.oracle_compare import compare, compare_state
from tests.core.streams import SCRIPTS, WORLDS, Script, Stream


def play(script: Script, stream: Stream) -> None:
    state = NettingSet("hk", seed=3)
    stream.engine = lambda record: step(state, record)
    for move in (None, *script):
        record, said = stream.open() if move is None else stream.next(*move)
        assert stream.told
        compare(stream.told, said, record, stream.oracle.books)
    compare_state(state, stream.oracle)


@given(st.sampled_from(WORLDS), SCRIPTS)
def test_engine_equals_oracle(world, script: Script) -> None:
    play(script, Stream(world))
