"""Verification never objects to an honest engine: random streams of everything that can happen (R1-R33)."""

import random
from collections import Counter
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clearing.core import release
from clearing.verify.days import business_dates
from clearing.verify.facts import Facts
from clearing.verify.flows import flows
from clearing.verify.report import Check
from clearing.verify.run import check_rows, check_rules
from clearing.verify.sources import SourceComparison
from clearing.verify.states import State
from clearing.verify.sums import Values, add_values
from clearing.verify.told import to_be_told
from tests.core.streams import OFTEN, SCRIPTS, WORLDS, Script, World
from tests.verify.forge import INSTRUCTIONS
from tests.verify.streams import facts_of, witness_of


@pytest.fixture(scope="module", autouse=True)
def _searched_each_time() -> Iterator[None]:
    """So that the oracle, which knows what to answer next, goes along."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(release, "SEARCHED_PER_MS", 10**12)
        yield


def checks_of(facts: Facts) -> list[Check]:
    """All claims but those about bytes: sources, replay, ledger."""
    readable: Values = {}
    unread: Values = {}
    for source in facts.table.sources:
        believed = SourceComparison(facts.table, facts.rows, source, 1 << 60, 1 << 60)
        add_values(readable, believed.readable)
        add_values(unread, believed.unread)
    found = flows(facts, readable, unread)
    return check_rows(facts, found, len(facts.table.sources)) + check_rules(facts)


def objections(facts: Facts, script: Script) -> list[tuple[str, list[str]]]:
    """What is wrong. Rows read "again" come from other topics than their own content says, which intake keeps out:
    whether the sender of a cancellation is the one it quotes is then no question for the engine.
    """
    forged = any(kind == "again" for kind, _ in script)
    return [
        (check.name, check.differences)
        for check in checks_of(facts)
        if check.differences and not (forged and check.name == INSTRUCTIONS)
    ]


def script_of(seed: int, n: int) -> Script:
    rng = random.Random(seed)
    return [(rng.choice(OFTEN), rng.getrandbits(32)) for _ in range(n)]


@given(st.sampled_from(WORLDS), SCRIPTS)
def test_an_honest_engine_is_never_blamed(world: World, script: Script) -> None:
    assert objections(facts_of(world, script), script) == []


@pytest.mark.parametrize("world", range(len(WORLDS)))
def test_nor_in_any_scheme(world: int) -> None:
    for seed in range(3):
        script = script_of(seed, 80)
        assert objections(facts_of(WORLDS[world], script), script) == []


@pytest.mark.parametrize("seed", range(4))
def test_business_dates_are_the_engines(seed: int) -> None:  # F12
    """Worked out from times and calendars alone, which come and go in these streams."""
    rng = random.Random(seed)
    script = [(rng.choice(("schedule", "tick", "pay")), rng.getrandbits(32)) for _ in range(120)]
    witness = witness_of(WORLDS[0], script)
    facts = witness.facts()
    dates = business_dates(facts.table, facts.commands)
    assert {at: dates.on(at) for at in witness.dates} == witness.dates
    assert len({*witness.dates.values()}) > 1


def test_streams_meet_what_is_verified() -> None:
    """They are worth something: every state of a row comes up, every way to leave, parts, recasts, shortfalls."""
    seen = Counter[str]()
    for seed in range(48):
        facts = facts_of(WORLDS[seed % len(WORLDS)], script_of(seed, 70))
        seen.update(State(state).name for state in facts.states.tolist())
        seen.update(f"how {how}" for how in facts.resolved.how.tolist())
        seen["recast"] += int(facts.resolved.recast.sum())
        seen["shortfall"] += len(facts.said.shortfalls)
        seen["approved"] += sum(one.approval is not None for one in facts.commands)
        seen["versions"] += sum(batch.version > 1 for batch in facts.batches)
        seen["linked"] += sum(bool(batch.linked) for batch in facts.batches)
        assert to_be_told(facts)
    wanted = [state.name for state in State] + [f"how {how}" for how in range(7)]
    wanted += ["recast", "shortfall", "approved", "versions", "linked"]
    assert [name for name in wanted if not seen[name]] == []
