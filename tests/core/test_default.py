"""Participants that are suspended, default or leave: what stands, what ends, what is refused (R24, R32)."""

import pytest

from clearing.core.commands import SetStatus
from clearing.core.outputs import CommandEvent
from clearing.core.reasons import REASONS, Code
from tests.core.build import linked
from tests.core.scenes import (
    ACCEPTED,
    BYPASS,
    FIFO,
    QUEUED,
    A,
    B,
    C,
    D,
    Scene,
    asset,
    released,
    row,
)

OF_DEBTOR, OF_CREDITOR = Code.DEBTOR_DEFAULTED, Code.CREDITOR_DEFAULTED


def become(scene: Scene, status: str, bank: str = B) -> None:
    assert scene.do(SetStatus, participant=bank, status=status) == ""


@pytest.mark.parametrize(
    ("statuses", "codes"),
    [
        (["SUSPENDED"], (Code.DEBTOR_SUSPENDED, Code.CREDITOR_SUSPENDED)),
        (["SUSPENDED", "ACTIVE"], (ACCEPTED, ACCEPTED)),
        (["DEFAULTED"], (OF_DEBTOR, OF_CREDITOR)),
        (["SUSPENDED", "DEFAULTED"], (OF_DEBTOR, OF_CREDITOR)),
        (["CLOSED"], (Code.DEBTOR_CLOSED, Code.CREDITOR_CLOSED)),
        (["DEFAULTED", "CLOSED"], (Code.DEBTOR_CLOSED, Code.CREDITOR_CLOSED)),
    ],
)
def test_what_is_refused_of_whom(statuses: list[str], codes: tuple[Code, Code]) -> None:  # R32
    scene = Scene(asset(queue=FIFO), held="9")
    for status in statuses:
        become(scene, status)
    assert scene.pay(row(1, B, A, 1), row(2, A, B, 1), row(3, A, C, 1)) == [*codes, ACCEPTED]
    assert REASONS[OF_DEBTOR].iso == REASONS[OF_CREDITOR].iso == "AC06"


def test_the_place_in_the_log_decides() -> None:  # R24
    """What came before the default stands and is settled; what comes after is refused. Nothing is reversed."""
    scene = Scene(asset(), held="9")
    assert scene.pay(row(1, B, A, 5), row(2, A, B, 2)) == [ACCEPTED] * 2
    become(scene, "DEFAULTED")
    assert scene.pay(row(3, B, A, 1), row(1, B, A, 5)) == [OF_DEBTOR, ACCEPTED]
    (batch,) = scene.close()
    assert [(entry.participant, entry.net) for entry in batch.entries] == [(A, "3"), (B, "-3")]
    scene.answer(batch)
    assert scene.windows == [("HKD", 1, 1, "SETTLED")]
    assert scene.left() == {A: 12, B: 6, C: 9, D: 9}


def test_what_waits_from_or_to_a_defaulter_ends_in_order_of_arrival() -> None:  # R24
    scene = Scene()
    rows = [row(1, B, A, 5), row(2, A, C, 4), row(3, A, B, 4), row(4, B, C, 1, priority=2)]
    assert scene.pay(*rows) == [QUEUED] * 4
    become(scene, "DEFAULTED")
    assert scene.fates == [(1, OF_DEBTOR, ""), (3, OF_CREDITOR, ""), (4, OF_DEBTOR, "")]
    assert (scene.queue(A), scene.queue(B)) == ([2], [])
    assert scene.pay(rows[2]) == [OF_CREDITOR]  # R28


def test_what_a_defaulter_blocked_leaves_in_the_same_step() -> None:  # R13, R24
    scene = Scene(held="4")
    assert scene.pay(row(1, A, B, 5), row(2, A, C, 4)) == [QUEUED] * 2
    become(scene, "DEFAULTED")
    assert scene.fates == [(1, OF_CREDITOR, ""), *released(2, how="SINGLE")]


def test_links_of_a_defaulter_end_as_one() -> None:  # R20, R24
    scene = Scene(asset(queue=FIFO), asset("BOND", queue=FIFO))
    scene.pair("BOND", "HKD")
    waits = linked(row(1, A, C, 5, "BOND"), row(2, C, B, 4), row(3, B, A, 4), link=1)
    assert scene.pay(*waits) == [QUEUED] * 3
    incomplete, _ = linked(row(4, A, B, 5), row(5, B, A, 4), link=2)
    others, _ = linked(row(6, A, C, 5), row(7, C, A, 4), link=3)
    assert scene.pay(incomplete, others) == [QUEUED] * 2
    become(scene, "DEFAULTED")
    refused = Code.LINK_REFUSED
    ended = [(1, refused, ""), (2, OF_CREDITOR, ""), (3, refused, ""), (4, OF_CREDITOR, "")]
    assert scene.fates == ended
    assert len(scene.state.links) == 1


def test_the_suspended_keep_what_waits() -> None:  # R32
    scene = Scene()
    assert scene.pay(row(1, B, A, 5), row(2, A, B, 5), row(3, A, C, 9)) == [QUEUED] * 3
    assert scene.fates == released(1, 2, how="BILATERAL")
    become(scene, "SUSPENDED", A)
    scene.fund(A, 9)
    assert scene.fates == []
    become(scene, "ACTIVE", A)
    assert scene.fates == released(3, how="SINGLE")


def test_the_suspended_default_with_all_that_waits() -> None:  # R24
    scene = Scene(asset(queue=BYPASS))
    scene.pay(row(1, B, A, 5))
    become(scene, "SUSPENDED")
    become(scene, "DEFAULTED")
    assert scene.fates == [(1, OF_DEBTOR, "")]


def test_a_defaulter_leaves_when_all_is_settled() -> None:  # R32
    scene = Scene(asset(queue=FIFO), held="9")
    scene.pay(row(1, B, A, 5))
    become(scene, "DEFAULTED")
    unsettled = f"participant {B} has payments that are not settled"
    assert scene.do(SetStatus, participant=B, status="CLOSED") == unsettled
    (batch,) = scene.close()
    assert scene.do(SetStatus, participant=B, status="CLOSED") == unsettled
    scene.answer(batch)
    become(scene, "CLOSED")


def test_nobody_leaves_while_something_waits() -> None:  # R32
    scene = Scene()
    first, _ = linked(row(1, A, B, 5), row(2, B, A, 4), link=1)
    assert scene.pay(first, row(3, C, D, 1)) == [QUEUED] * 2
    for bank in (A, B, C, D):
        assert "not settled" in scene.do(SetStatus, participant=bank, status="CLOSED")


def test_every_change_says_who_asked_for_it() -> None:  # R32
    scene = Scene()
    scene.do(SetStatus, participant=B, status="SUSPENDED", by="ann")
    (told,) = scene.events(CommandEvent)
    assert (told.by, told.command, told.status) == ("ann", "set_status", "DONE")
