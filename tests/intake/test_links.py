"""Linked legs: what senders declare in their own order and spelling is one trade, or is refused (R19, R22)."""

import hashlib
import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clearing.core.reasons import Code
from clearing.intake.decode import decode
from clearing.log.content import body_hashes
from tests.intake.build import (
    ID,
    LEGS,
    LINK_ID,
    LinkOf,
    lines,
    link,
    payment,
    raw,
    refusal,
    transfer,
)

BOND = {"debtor": "BETAHKHH", "creditor": "ALPHHKHH", "asset": "BOND", "amount": "3"}
THREE = (*LEGS, ("GAMMHKHH", "ALPHHKHH", "CNH", "7.1"))


def link_of(document: dict[str, object]) -> LinkOf:
    [line] = lines(raw(document))
    assert line.detail is None
    assert line.link is not None
    return line.link


def test_each_leg_knows_its_place_among_all() -> None:
    """R19. Canonical order: by asset, debtor, creditor, amount."""
    ours, theirs = link_of(payment(link=link())), link_of(payment(**BOND, link=link()))
    assert (ours.link, ours.leg, ours.legs, ours.partial) == (LINK_ID.replace("-", ""), 1, 2, 0)
    assert theirs == ours._replace(leg=0)
    assert link_of(transfer(link=link())) == ours


def test_terms_are_a_stored_format() -> None:
    """As topics/README.md describes them: anybody can work them out."""
    text = '[[["BOND","BETAHKHH","ALPHHKHH","3"],["HKD","ALPHHKHH","BETAHKHH","12.5"]],false]'
    terms = hashlib.sha256(text.encode()).hexdigest()[:32]
    assert terms == "084c5a30cd87a01a768edb5069b1b4c1"
    assert link_of(payment(link=link())).terms == terms


@pytest.mark.parametrize("legs", list(itertools.permutations(THREE)))
def test_the_order_of_declaration_does_not_matter(legs: tuple) -> None:
    """R19: every sender declares all legs in the order it likes."""
    assert link_of(payment(link=link(*legs))) == link_of(payment(link=link(*THREE)))


@pytest.mark.parametrize("amount", ["12.5", "12.50", "12.500000"])
def test_amounts_are_compared_as_numbers(amount: str) -> None:
    declared = link(("ALPHHKHH", "BETAHKHH", "HKD", amount), LEGS[1])
    assert link_of(payment(link=declared)) == link_of(payment(link=link()))
    assert link_of(payment(amount=amount, link=link())) == link_of(payment(link=link()))


@pytest.mark.parametrize(
    "other",
    [
        link(LEGS[0], ("BETAHKHH", "ALPHHKHH", "BOND", "3.1")),
        link(LEGS[0], ("BETAHKHH", "GAMMHKHH", "BOND", "3")),
        link(LEGS[0], ("GAMMHKHH", "ALPHHKHH", "BOND", "3")),
        link(LEGS[0], ("BETAHKHH", "ALPHHKHH", "BOND2", "3")),
        link(*THREE),
        link(partial=True),
    ],
    ids=["amount", "creditor", "debtor", "asset", "a leg more", "partial"],
)
def test_other_legs_are_other_terms(other: dict[str, object]) -> None:
    """R19, R22: who declares something else is found out."""
    assert link_of(payment(link=other)).terms != link_of(payment(link=link())).terms


def test_a_link_says_whether_a_part_may_be_delivered() -> None:
    """R22. Left out it is false."""
    assert link_of(payment(link=link(partial=True))).partial == 1
    assert link_of(payment(link=link(partial=False))) == link_of(payment(link=link()))


def hashes(*documents: dict[str, object]) -> list[int]:
    return body_hashes(decode([raw(document) for document in documents]).rows).tolist()


def test_the_link_is_part_of_the_content() -> None:
    """R28: same id in or out of a trade, in another trade, on other terms: never a repeat."""
    other_id = "11111111-2222-4333-8444-555555555505"
    found = hashes(
        payment(),
        payment(link=link()),
        payment(link=link(id=other_id)),
        payment(link=link(partial=True)),
        payment(link=link(*THREE)),
    )
    assert len(set(found)) == 5
    assert hashes(payment(link=link(*reversed(LEGS)))) == [found[1]]
    assert hashes(payment()) == [found[0]]  # whatever else is in its batch


SIXTEEN = [("ALPHHKHH", "BETAHKHH", "HKD", f"{n}") for n in range(1, 17)]

REFUSED: list[tuple[str, object, Code]] = [
    ("null", None, Code.FIELD),
    ("a text", LINK_ID, Code.FIELD),
    ("an array", [link()], Code.FIELD),
    ("no id", link(id=...), Code.FIELD),
    ("id a number", link(id=1), Code.FIELD),
    ("id no UUID", link(id="trade-1"), Code.ID),
    ("id in capitals", link(id=LINK_ID.upper()), Code.ID),
    ("unknown field", link(note="x"), Code.FIELD),
    ("no legs", link(legs=...), Code.FIELD),
    ("legs no array", link(legs={}), Code.FIELD),
    ("partial a text", link(partial="true"), Code.FIELD),
    ("partial a number", link(partial=1), Code.FIELD),
    ("partial null", link(partial=None), Code.FIELD),
    ("legs empty", link(legs=[]), Code.LEGS),
    ("one leg", link(LEGS[0]), Code.LEGS),
    ("17 legs", link(*SIXTEEN, LEGS[0]), Code.LEGS),
    ("a leg twice", link(*LEGS, LEGS[1]), Code.LEGS),
    ("a leg twice, spelt differently", link(*LEGS, ("BETAHKHH", "ALPHHKHH", "BOND", "3.0")), Code.LEGS),
    ("the payment is none of them", link(LEGS[1], THREE[2]), Code.LEGS),
    ("other amount", link(("ALPHHKHH", "BETAHKHH", "HKD", "12.51"), LEGS[1]), Code.LEGS),
    ("other creditor", link(("ALPHHKHH", "GAMMHKHH", "HKD", "12.50"), LEGS[1]), Code.LEGS),
    ("a leg no object", link(legs=[1, 2]), Code.FIELD),
    ("a leg without amount", link(legs=[BOND, {k: v for k, v in BOND.items() if k != "amount"}]), Code.FIELD),
    ("a leg with more", link(legs=[BOND, BOND | {"value_date": "2026-03-02"}]), Code.FIELD),
    ("a leg's asset a number", link(legs=[BOND, BOND | {"asset": 1}]), Code.FIELD),
    ("a leg's debtor", link(LEGS[0], ("beta", "ALPHHKHH", "BOND", "3")), Code.CHARACTER),
    ("a leg's creditor", link(LEGS[0], ("BETAHKHH", "A", "BOND", "3")), Code.CHARACTER),
    ("a leg's asset", link(LEGS[0], ("BETAHKHH", "ALPHHKHH", "BO/ND", "3")), Code.CHARACTER),
    ("a leg's amount 0", link(LEGS[0], ("BETAHKHH", "ALPHHKHH", "BOND", "0.0")), Code.AMOUNT_ZERO),
    ("a leg's amount 03", link(LEGS[0], ("BETAHKHH", "ALPHHKHH", "BOND", "03")), Code.AMOUNT_SYNTAX),
    ("a leg's amount a number", link(legs=[BOND, BOND | {"amount": 3}]), Code.AMOUNT_SYNTAX),
    ("a leg of 19 digits", link(LEGS[0], ("BETAHKHH", "ALPHHKHH", "BOND", "1" * 19)), Code.AMOUNT_RANGE),
]  # fmt: skip


@pytest.mark.parametrize(
    ("declared", "code"), [pytest.param(*case[1:], id=case[0]) for case in REFUSED]
)
def test_a_link_that_does_not_hold_is_refused(declared: object, code: Code) -> None:
    assert refusal(raw(payment(link=declared))) == (code, ID)
    assert refusal(raw(transfer(link=declared))) == (code, ID)


def test_sixteen_legs_are_allowed() -> None:
    found = link_of(payment(amount="16", link=link(*SIXTEEN)))
    assert (found.leg, found.legs) == (sorted(str(n) for n in range(1, 17)).index("16"), 16)


_LEG = st.tuples(
    st.sampled_from(["ALPHHKHH", "BETAHKHH", "GAMMHKHH"]),
    st.sampled_from(["ALPHHKHH", "BETAHKHH", "GAMMHKHH"]),
    st.sampled_from(["HKD", "BOND", "CNH"]),
    st.integers(1, 40).map(lambda tenths: f"{tenths // 10}.{tenths % 10}0"),
)


@given(st.lists(_LEG, min_size=2, max_size=16, unique=True), st.data())
def test_all_senders_of_a_trade_agree_on_it(legs: list, data: st.DataObject) -> None:
    """R19: the legs' numbers are 0 to n - 1, each once, whoever declares them in whatever order."""
    found: list[LinkOf] = []
    for debtor, creditor, asset, amount in legs:
        declared = link(*data.draw(st.permutations(legs)))
        document = payment(
            debtor=debtor, creditor=creditor, asset=asset, amount=amount, link=declared
        )
        found.append(link_of(document))
    assert sorted(one.leg for one in found) == list(range(len(legs)))
    assert len({one._replace(leg=0) for one in found}) == 1
