"""Scenes hold the engine to their text: what goes another way ends the demo, and says what was found."""

from collections.abc import Callable
from types import SimpleNamespace
from typing import cast

import pytest

from clearing.dev.drill import Drill, DrillFailed
from clearing.dev.records import Fields
from clearing.dev.stage import Stage
from clearing.dev.tally import Tally
from clearing.dev.told import Listener
from clearing.messages import PaymentStatus


class Told:
    """A drill of which a scene asks no more than what banks were told."""

    def __init__(self) -> None:
        self.seed = 1
        listener = Listener({"HKD": 2})
        self.banks = SimpleNamespace(
            streams=[SimpleNamespace(value_dates={"HKD": "2026-03-02"})],
            listener=listener,
            planned=Tally(),
            scales=listener.scales,
        )

    async def until(self, condition: Callable[[], bool], what: str) -> None:
        if not condition():
            raise DrillFailed(f"waited for {what}")


@pytest.fixture
def stage() -> Stage:
    return Stage(cast(Drill, Told()), lambda _: None)


def say(stage: Stage, payment: Fields, *words: tuple[int, str, str]) -> None:
    stage.drill.banks.listener.words[payment.id] = [
        (
            offset,
            PaymentStatus(id=payment.id, status=status, reason=reason, source=("t", 0, 0, -1)),  # pyright: ignore[reportArgumentType]
        )
        for offset, status, reason in words
    ]


async def test_a_payment_may_wait_before_it_is_accepted_and_counts_in_the_plan(
    stage: Stage,
) -> None:
    payment = stage.payment("A", "B", "HKD", "12.50")
    assert (payment.value_date, payment.priority) == ("2026-03-02", "URGT")
    say(stage, payment, (4, "PDNG", ""), (9, "ACSP", ""))
    assert await stage.waits(payment) == 4
    offset, _ = await stage.accepted(payment)
    assert offset == 9
    plan = stage.drill.banks.planned
    assert (plan.outcomes, plan.accepted) == ({"accepted": 1}, {"HKD": 1250})
    assert plan.nets == {("A", "HKD"): -1250, ("B", "HKD"): 1250}


async def test_a_payment_that_ends_counts_with_its_reason(stage: Stage) -> None:  # R24
    payment = stage.payment("A", "B", "HKD", "1.00")
    say(stage, payment, (4, "PDNG", ""), (9, "RJCT", "AC06"))
    await stage.ended(payment, "defaulted", "AC06")
    plan = stage.drill.banks.planned
    assert (plan.outcomes, plan.reasons) == ({"defaulted": 1}, {"AC06": 1})
    assert not plan.nets


@pytest.mark.parametrize(
    ("words", "found"),
    [
        ([(4, "RJCT", "AM23")], "AM23"),
        ([(4, "PDNG", ""), (5, "RJCT", "AB03")], "AB03"),
        ([(4, "PDNG", "")], "waited for A"),
        ([], "waited for A"),
    ],
)
async def test_what_goes_another_way_is_named(
    stage: Stage, words: list[tuple[int, str, str]], found: str
) -> None:
    payment = stage.payment("A", "B", "HKD", "1.00")
    say(stage, payment, *words)
    with pytest.raises(DrillFailed, match=found):
        await stage.accepted(payment)


async def test_what_is_accepted_at_once_does_not_wait(stage: Stage) -> None:
    payment = stage.payment("A", "B", "HKD", "1.00")
    say(stage, payment, (4, "ACSP", ""))
    with pytest.raises(DrillFailed, match="not as the scene has it"):
        await stage.waits(payment)


def test_what_is_kept_is_said_too() -> None:
    heard: list[str] = []
    stage = Stage(cast(Drill, Told()), heard.append)
    stage.say("now")
    stage.keep("for the end")
    assert heard == ["now", "for the end"]
    assert stage.said == ["for the end"]
