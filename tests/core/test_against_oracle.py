"""The engine equals the plain meaning on random streams: all that is said, all that is known (R1-R33).

HYPOTHESIS_PROFILE=explore looks longer.
"""

import random
from collections import Counter
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clearing.core import bilateral, release
from clearing.core.reasons import FIRST_REFUSAL, Code
from clearing.core.state import NettingSet
from clearing.core.step import step
from tests.core.oracle_compare import compare, compare_state
from tests.core.streams import MIXED, OFTEN, SCRIPTS, WORLDS, Script, Stream, World
from tests.core.worlds import PLAIN


@pytest.fixture(scope="module", autouse=True)
def _searched_each_time() -> Iterator[None]:
    """The oracle never tires: the engine's pauses between searches that found nothing have tests of their own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(release, "SEARCHED_PER_MS", 10**12)
        yield


def play(script: Script, stream: Stream) -> None:
    state = NettingSet("hk", seed=3)
    stream.engine = lambda record: step(state, record)
    for move in (None, *script):
        record, said = stream.open() if move is None else stream.next(*move)
        assert stream.told
        compare(stream.told, said, record, stream.oracle.books)
        compare_state(state, stream.oracle)


def script_of(seed: int, n: int) -> Script:
    rng = random.Random(seed)
    return [(rng.choice(OFTEN), rng.getrandbits(32)) for _ in range(n)]


@given(st.sampled_from(WORLDS), SCRIPTS)
def test_engine_equals_oracle(world: World, script: Script) -> None:
    play(script, Stream(world))


@pytest.mark.parametrize("world", range(len(WORLDS)))
def test_engine_equals_oracle_in_every_scheme(world: int) -> None:
    for seed in range(4):
        play(script_of(seed, 60), Stream(WORLDS[world]))


def test_engine_equals_oracle_where_limits_are_looked_up_by_search(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """R10: as it is with so many banks that a table of all pairs would be too large."""
    monkeypatch.setattr(bilateral, "_DENSE_CELLS", 0)
    for world in (world for world in WORLDS if world.limited):
        play(script_of(5, 40), Stream(world))


@pytest.mark.parametrize("world", [PLAIN, MIXED], ids=["plain", "mixed"])
def test_engine_equals_oracle_over_long_streams(world: World) -> None:
    """Records of many rows: the quick paths, growing tables, many windows."""
    stream = Stream(world, rows_max=300 if world is PLAIN else 60)
    play(script_of(1, 80), stream)
    assert len(stream.sent) > 500
    assert stream.oracle.books.sequence > 30


def test_streams_meet_everything() -> None:
    """The streams are worth something: every outcome, release and event that they are made for comes up."""
    seen = Counter[str]()
    for world in WORLDS:
        for seed in range(5):
            stream = Stream(world)
            stream.open()
            for move in script_of(seed, 60):
                _, said = stream.next(*move)
                seen.update(Code(code).name for code, _ in said.outcomes)
                seen.update(Code(r["code"]).name for r in said.resolutions)
                seen.update(r["how"] for r in said.resolutions)
                seen.update(said.answers)
                seen.update(event["state"] for event in (*said.windows, *said.proposals))
                seen.update(kind for b in said.batches for kind in _kinds(b))
                seen["deadlock"] += len(said.deadlocks)
                seen["shortfall"] += len(said.shortfalls)
    expected = {code.name for code in Code if code >= FIRST_REFUSAL or code <= Code.REQUESTED}
    expected |= {"SINGLE", "BILATERAL", "MULTILATERAL", "LINK", "PARTIAL", "OPERATOR"}
    expected |= {"OPEN", "PENDING_SETTLEMENT", "SETTLED", "ABORTED", "FAILED"}
    expected |= {"DONE", "REFUSED", "REPEATED", "PROPOSED", "APPROVED", "WITHDRAWN"}
    expected |= {"net", "gross", "funding", "linked", "set off", "deadlock", "shortfall"}
    assert expected - {name for name, times in seen.items() if times} == {"POSITION_RANGE"}


def _kinds(batch: dict[str, object]) -> list[str]:
    lines = batch["entries"]
    assert isinstance(lines, list)
    found = [str(batch["kind"])]
    found += ["linked"] if batch.get("linked") else []
    return found + (["set off"] if any("set_off" in line for line in lines) else [])
