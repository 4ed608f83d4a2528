"""release_queued: what an exact solver chose leaves as one, proved again, or not at all (R15)."""

import pytest

from clearing.core.commands import Fund, ReleaseQueued, SetBilateralLimit, SetStatus
from clearing.core.ids import id_text
from clearing.core.reasons import Code
from clearing.core.registry import BisModel
from tests.core.build import linked
from tests.core.scenes import (
    BYPASS,
    DONE,
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


def text(number: int) -> str:
    """The id of a payment as the solver and banks write it."""
    return id_text(number.to_bytes(16, "little").hex())


def release(scene: Scene, *numbers: int) -> str:
    return scene.do(ReleaseQueued, payments=[text(number) for number in numbers])


def waiting() -> Scene:
    """A has 1, the others nothing. A's first one is too large for all that comes in: no set in order helps."""
    scene = Scene(asset(queue=BYPASS), asset("STRICT", queue=FIFO))
    scene.do(Fund, participant=A, asset="HKD", amount="1")
    rows = [row(1, A, B, 30), row(2, A, C, 8), row(3, C, A, 2), row(4, A, D, 6), row(5, D, A, 5)]
    assert scene.pay(*rows, row(6, A, B, 1, "STRICT")) == [QUEUED] * 6
    assert scene.fates == []
    return scene


def test_what_fits_together_leaves_as_one_past_the_others() -> None:  # R15
    scene = waiting()
    assert release(scene, 5, 4) == ""
    assert scene.fates == released(5, 4, how="OPERATOR")
    assert (scene.queue(A), scene.left()) == ([1, 2], {A: 0, B: 0, C: 0, D: 1})
    (batch,) = scene.close("HKD")
    assert (batch.payments, batch.gross) == (2, "11")


def test_it_frees_others() -> None:  # R14
    scene = waiting()
    scene.do(Fund, participant=C, asset="HKD", amount="1")
    assert release(scene, 4, 5) == ""
    assert scene.do(Fund, participant=D, asset="HKD", amount="9") == ""
    scene.pay(row(7, D, C, 1))
    assert scene.fates == released(3, how="SINGLE")


NOT_ALL_WAIT, LIMIT = "not all of these payments wait, each once", "somebody would pass a limit"
PASS = "may not pass others now"
REFUSED: list[tuple[str, tuple[int, ...], str]] = [
    ("nothing", (), NOT_ALL_WAIT),
    ("one twice", (4, 5, 4), NOT_ALL_WAIT),
    ("one that is unknown", (4, 5, 99), NOT_ALL_WAIT),
    ("one that has ended", (4, 5, 7), NOT_ALL_WAIT),
    ("one under FIFO", (4, 5, 6), f"payment {text(6)} {PASS}"),
    ("more than there is", (2, 3), LIMIT),
    ("half of what fits", (4,), LIMIT),
]


@pytest.mark.parametrize(
    ("numbers", "why"), [item[1:] for item in REFUSED], ids=[item[0] for item in REFUSED]
)
def test_refused_as_a_whole(numbers: tuple[int, ...], why: str) -> None:
    scene, gone = waiting(), row(7, A, B, 40)
    assert scene.pay(gone, gone.cancel(8)) == [QUEUED, DONE]
    assert release(scene, *numbers) == why
    assert (scene.fates, scene.queue(A)) == ([], [1, 2, 4])


def test_the_suspended_stay() -> None:  # R32
    scene = waiting()
    scene.do(SetStatus, participant=D, status="SUSPENDED")
    assert release(scene, 4, 5) == f"payment {text(4)} {PASS}"


def test_bilateral_limits_bind() -> None:  # R10
    scene = waiting()
    scene.do(SetBilateralLimit, participant=A, counterparty=D, asset="HKD", limit="0")
    assert release(scene, 4, 5) == LIMIT
    scene.do(SetBilateralLimit, participant=A, counterparty=D, asset="HKD", limit="1")
    assert scene.fates == []
    assert release(scene, 4, 5) == ""


def test_legs_leave_together_or_not_at_all() -> None:  # R20
    scene = Scene(asset(queue=BYPASS), asset("BOND", queue=BYPASS))
    scene.pair("BOND", "HKD", BisModel.NET_NET)
    assert scene.do(Fund, participant=A, asset="BOND", amount="7") == ""
    trade = linked(row(11, A, B, 7, "BOND"), row(12, B, A, 5), link=1)
    incomplete, _ = linked(row(13, A, B, 1), row(14, B, A, 1), link=2)
    first = [row(21, A, C, 9), row(22, B, C, 9)]
    assert scene.pay(*first, *trade, incomplete, row(23, A, B, 5)) == [QUEUED] * 6
    assert scene.fates == []
    assert release(scene, 11, 23) == f"payment {text(11)} leaves with its link's other legs only"
    assert release(scene, 13) == f"payment {text(13)} {PASS}"  # it waits for its other leg
    assert release(scene, 11, 12) == LIMIT
    assert release(scene, 12, 23, 11) == ""
    assert scene.fates == released(12, 23, 11, how="OPERATOR")
    one, other = scene.close()
    assert (one.linked, other.linked) == ([other.id], [one.id])


def test_an_id_it_released_answers_so() -> None:  # R28
    scene = waiting()
    release(scene, 4, 5)
    assert scene.pay(row(4, A, D, 6)) == [Code.ACCEPTED]
