"""Returns, cancellations, priorities and answers: what each is read as, and every way in which it may be wrong."""

from collections.abc import Callable

import pytest

from clearing.core.inputs import Decision, Kind
from clearing.core.reasons import Code
from clearing.intake.decode import decode
from clearing.log import content
from tests.intake.build import (
    ID,
    OTHER_ID,
    PAYMENT,
    THIRD_ID,
    Line,
    ReferenceOf,
    answer,
    bulk,
    cancel,
    lines,
    link,
    payment,
    priority,
    raw,
    refund,
    refusal,
    told_link,
    transfer,
)

LINKED = payment(link=link())


def body_hash(document: dict[str, object]) -> int:
    """Of the row that the document is by itself."""
    return int(content.body_hashes(decode([raw(document)]).rows)[0])


def one(document: dict[str, object]) -> Line:
    [line] = lines(raw(document))
    assert line.detail is None
    return line


def about(original: dict[str, object], amount: int = 1250, decimals: int = 2) -> ReferenceOf:
    words = str(original["id"]).replace("-", "")
    return ReferenceOf(words, body_hash(original), amount, decimals, Decision.NONE)


def test_a_return_is_a_payment_that_quotes_another_one() -> None:
    """R5."""
    line = one(refund(priority="URGT", window=3))
    assert (line.kind, line.debtor, line.creditor, line.asset) == (
        Kind.RETURN, "BETAHKHH", "ALPHHKHH", "HKD",
    )  # fmt: skip
    assert (line.amount, line.decimals, line.priority, line.window) == (5, 0, 2, 3)
    assert (line.reference, line.reason) == (about(PAYMENT), "AC04")
    assert line.id == OTHER_ID.replace("-", "")


def test_a_cancellation_has_the_columns_of_the_original() -> None:
    """R12, R23."""
    original = payment(priority="HIGH", window=3, expires_at="2026-03-02T12:00:00Z")
    line, quoted = one(cancel(original=original)), one(original)
    assert line.kind == Kind.CANCEL
    assert line.id == OTHER_ID.replace("-", "")
    for name in (
        "debtor",
        "creditor",
        "asset",
        "amount",
        "decimals",
        "value_date",
        "end_to_end_id",
    ):
        assert getattr(line, name) == getattr(quoted, name), name
    assert (line.priority, line.window, line.expires_at_ms) == (0, 0, 0)
    assert (line.reference, line.reason) == (about(original), "CUST")


def test_a_change_of_priority_names_its_payment() -> None:
    """R12."""
    line = one(priority())
    assert (line.kind, line.debtor, line.creditor, line.asset) == (
        Kind.PRIORITY,
        "ALPHHKHH",
        "",
        "",
    )
    assert (line.priority, line.amount, line.end_to_end_id) == (1, 0, "")
    assert line.reference == ReferenceOf(ID.replace("-", ""), 0, 0, 0, 0)


@pytest.mark.parametrize("decision", [Decision.AGREED, Decision.DECLINED])
def test_an_answer_names_the_request(decision: Decision) -> None:
    """R23."""
    line = one(answer(decision=decision.name, reason="LEGL"))
    assert (line.kind, line.debtor, line.creditor) == (Kind.ANSWER, "BETAHKHH", "ALPHHKHH")
    assert line.reference == ReferenceOf(OTHER_ID.replace("-", ""), 0, 0, 0, decision)
    assert (line.reason, one(answer()).reason) == ("LEGL", "")


@pytest.mark.parametrize(
    "original",
    [PAYMENT, transfer(), LINKED, transfer(link=link()), payment(amount="12.5", version=1)],
    ids=["payment", "token transfer", "linked", "linked transfer", "other spelling"],
)
def test_a_quoted_original_hashes_as_its_own_row(original: dict[str, object]) -> None:
    """R5, R12: what the engine compares; sent by itself, in a bulk, or quoted from within a bulk."""
    total = "12.50"
    in_bulk = decode([raw(bulk([original], total))]).rows
    expected = body_hash(original)
    assert content.body_hashes(in_bulk).tolist() == [expected]
    quoting = [cancel(original=original), refund(original=original)]
    found = lines(raw(quoting[0]), raw(quoting[1]), raw(bulk([*quoting, PAYMENT], "17.5")))
    assert {line.reference.body_hash for line in found if line.reference} == {expected}
    assert sum(line.reference is not None for line in found) == 4


@pytest.mark.parametrize("make", [payment, transfer])
def test_a_quoted_link_may_stand_as_its_receipt_tells_it(
    make: Callable[..., dict[str, object]],
) -> None:
    """R5, R19: who has received a leg knows no other legs; id and terms are all that counts."""
    declared = make(link=link())
    for told in (told_link(), told_link(partial=...)):
        quoted = make(link=told)
        for document in (cancel(original=quoted), refund(original=quoted)):
            assert one(document).reference == about(declared)
        again = cancel(original=refund(original=quoted))
        assert one(again).reference == about(refund(original=declared), 5, 0)
    for change in ({"terms": "00" * 16}, {"id": THIRD_ID}):
        [line] = lines(raw(cancel(original=make(link=told_link(**change)))))
        assert line.reference is not None
        assert line.reference.body_hash != body_hash(declared)


def test_what_is_sent_declares_its_legs() -> None:
    """R19: the short form is no declaration, not even beside a quotation in a bulk."""
    assert refusal(raw(payment(link=told_link()))) == (Code.FIELD, ID)
    items = [payment(link=told_link()), cancel(original=payment(link=told_link()))]
    assert [line.reject for line in lines(raw(bulk(items, "12.50")))] == [Code.FIELD, 0]


def test_a_cancellation_may_quote_a_return() -> None:
    """R12: a return that waits may be taken back like any payment; its own quotation counts in its content."""
    other = refund(original=payment(end_to_end_id="OTHER"))
    line, again = one(cancel(original=refund())), one(cancel(original=other))
    assert line.reference == about(refund(), 5, 0)
    assert again.reference == about(other, 5, 0)
    assert line.reference != again.reference


CHANGES: list[tuple[str, dict[str, object], dict[str, object]]] = [
    ("of a return: its reason", refund(), {"reason": "AM09"}),
    ("of a return: what it quotes", refund(), {"original": payment(end_to_end_id="X")}),
    ("of a return: whom it quotes", refund(), {"original": payment(id=THIRD_ID)}),
    ("of a cancellation: its reason", cancel(), {"reason": "DUPL"}),
    ("of a cancellation: what it quotes", cancel(), {"original": payment(amount="12.51")}),
    ("of a priority", priority(), {"priority": "URGT"}),
    ("of a priority: the payment", priority(), {"payment": THIRD_ID}),
    ("of an answer: the request", answer(), {"request": ID}),
    ("of an answer: the decision", answer(), {"decision": "AGREED"}),
    ("of an answer: the reason", answer(), {"reason": "LEGL"}),
]


@pytest.mark.parametrize(
    ("document", "change"), [pytest.param(*case[1:], id=case[0]) for case in CHANGES]
)
def test_all_that_an_instruction_says_counts_in_its_hash(
    document: dict[str, object], change: dict[str, object]
) -> None:
    """R28: same id, other content must be told from a repeat."""
    assert body_hash(document) == body_hash(document | {"version": 1})
    assert body_hash(document) != body_hash(document | change)


REFUSED: list[tuple[str, dict[str, object], Code]] = [
    # What all have in common.
    ("no id", cancel(id=...), Code.FIELD),
    ("id no UUID", cancel(id="x"), Code.ID),
    ("version 2", cancel(version=2), Code.VERSION),
    ("unknown field", answer(note="x"), Code.FIELD),
    ("field of another type", cancel(amount="12.50"), Code.FIELD),
    ("number for a text", priority(debtor=1), Code.FIELD),
    # Returns.
    ("return without original", refund(original=...), Code.FIELD),
    ("return without reason", refund(reason=...), Code.FIELD),
    ("return of an id", refund(original=ID), Code.FIELD),
    ("return of null", refund(original=None), Code.FIELD),
    ("reason of 5 characters", refund(reason="AC044"), Code.CHARACTER),
    ("reason empty", refund(reason=""), Code.CHARACTER),
    ("reason in small letters", refund(reason="ac04"), Code.CHARACTER),
    ("reason with a line end", refund(reason="AC0\n"), Code.CHARACTER),
    ("own amount wrong", refund(amount="0"), Code.AMOUNT_ZERO),
    ("return with a link", refund(link=link()), Code.FIELD),
    ("return with a chain reference", refund(chain_reference="x"), Code.FIELD),
    ("parties not reversed", refund(debtor="ALPHHKHH", creditor="BETAHKHH"), Code.QUOTED),
    ("somebody else returns", refund(debtor="GAMMHKHH"), Code.QUOTED),
    ("returned to somebody else", refund(creditor="GAMMHKHH"), Code.QUOTED),
    ("returned in another asset", refund(asset="CNH"), Code.QUOTED),
    ("return of a return", refund(original=refund()), Code.QUOTED),
    ("return of a cancellation", refund(original=cancel()), Code.QUOTED),
    ("return of a bulk", refund(original=bulk([PAYMENT], "12.50")), Code.VERSION),
    # The quoted original is checked as if it came by itself.
    ("quoted type unknown", refund(original=payment(type="refund")), Code.VERSION),
    ("quoted type no text", refund(original=payment(type=[])), Code.FIELD),
    ("quoted with an unknown field", refund(original=payment(note="x")), Code.FIELD),
    ("quoted without a field", cancel(original=payment(value_date=...)), Code.FIELD),
    ("quoted id no UUID", cancel(original=payment(id="x")), Code.ID),
    ("quoted party wrong", cancel(original=payment(creditor="x")), Code.CHARACTER),
    ("quoted amount 0", cancel(original=payment(amount="0.00")), Code.AMOUNT_ZERO),
    ("quoted amount a number", cancel(original=payment(amount=12.5)), Code.AMOUNT_SYNTAX),
    ("quoted amount of 19 digits", cancel(original=payment(amount="1" * 19)), Code.AMOUNT_RANGE),
    ("quoted on 30 February", cancel(original=payment(value_date="2026-02-30")), Code.DATE_SYNTAX),
    ("quoted link is no leg of it", cancel(original=payment(amount="1", link=link())), Code.LEGS),
    *(
        (f"quoted link: {name}", cancel(original=payment(link=told_link(**change))), code)
        for name, change, code in (
            ("no id", {"id": ...}, Code.FIELD),
            ("id no UUID", {"id": "x"}, Code.ID),
            ("terms without leg", {"leg": ...}, Code.FIELD),
            ("terms without legs", {"legs": ...}, Code.FIELD),
            ("leg without terms", {"terms": ...}, Code.FIELD),
            ("terms a number", {"terms": 1}, Code.FIELD),
            ("terms beside the legs", link(), Code.FIELD),
            ("unknown field", {"note": "x"}, Code.FIELD),
            ("leg a text", {"leg": "1"}, Code.FIELD),
            ("leg null", {"leg": None}, Code.FIELD),
            ("partial a number", {"partial": 0}, Code.FIELD),
            ("terms of 30 digits", {"terms": "00" * 15}, Code.CHARACTER),
            ("terms in capitals", {"terms": "AA" * 16}, Code.CHARACTER),
            ("terms with a line end", {"terms": "0" * 31 + "\n"}, Code.CHARACTER),
            ("one leg", {"legs": 1, "leg": 0}, Code.LEGS),
            ("17 legs", {"legs": 17}, Code.LEGS),
            ("leg behind the last", {"leg": 2}, Code.LEGS),
            ("leg before the first", {"leg": -1}, Code.LEGS),
            ("leg with a fraction", {"leg": 1.0}, Code.LEGS),
            ("legs of many digits", {"legs": 10**30}, Code.LEGS),
        )
    ),
    # Cancellations.
    ("cancel without original", cancel(original=...), Code.FIELD),
    ("cancel of an array", cancel(original=[PAYMENT]), Code.FIELD),
    ("cancel of a cancel", cancel(original=cancel()), Code.QUOTED),
    ("cancel of an answer", cancel(original=answer()), Code.QUOTED),
    ("cancel of a priority", cancel(original=priority()), Code.QUOTED),
    ("cancel without reason", cancel(reason=...), Code.FIELD),
    ("cancel's reason wrong", cancel(reason="because"), Code.CHARACTER),
    # Priorities.
    ("priority of no payment", priority(payment=...), Code.FIELD),
    ("payment no UUID", priority(payment="x"), Code.ID),
    ("payment in capitals", priority(payment=ID.upper()), Code.ID),
    ("priority LOW", priority(priority="LOW"), Code.FIELD),
    ("no priority", priority(priority=...), Code.FIELD),
    ("debtor of a priority", priority(debtor="alpha"), Code.CHARACTER),
    # Answers.
    ("request no UUID", answer(request="x"), Code.ID),
    ("no request", answer(request=...), Code.FIELD),
    ("no decision", answer(decision=...), Code.FIELD),
    ("decision MAYBE", answer(decision="MAYBE"), Code.FIELD),
    ("decision NONE", answer(decision="NONE"), Code.FIELD),
    ("creditor of an answer", answer(creditor="x"), Code.CHARACTER),
    ("reason of an answer", answer(reason=" "), Code.CHARACTER),
]  # fmt: skip


@pytest.mark.parametrize(
    ("document", "code"), [pytest.param(*case[1:], id=case[0]) for case in REFUSED]
)
def test_what_cannot_be_read(document: dict[str, object], code: Code) -> None:
    """The id told is that of the message, never that of what it quotes."""
    told = document.get("id", "")
    assert refusal(raw(document)) == (code, "" if told == "x" else told)


@pytest.mark.parametrize(("document", "within"), [(cancel(), b"original"), (LINKED, b"link")])
def test_a_key_twice_within_is_refused(document: dict[str, object], within: bytes) -> None:
    before, name, after = raw(document).partition(within)
    twice = after.replace(b'"asset": "HKD"', b'"asset": "HKD", "asset": "HKD"', 1)
    assert twice != after
    assert refusal(before + name + twice) == (Code.DUPLICATE_KEY, "")


def test_details_name_the_place_and_never_the_senders_words() -> None:
    poison = "<script>"
    for document, place in (
        (refund(original=payment(debtor=poison)), "original: debtor"),
        (cancel(original=cancel(reason=poison)), "original is no"),
        (cancel(original=payment(link=link(id=poison))), "original: link: id"),
        (answer(decision=poison), "decision"),
    ):
        [line] = lines(raw(document))
        assert line.detail is not None
        assert line.detail.detail.startswith(place)
        assert "script" not in line.detail.detail


def test_what_has_no_amount_counts_as_nothing_in_a_control_sum() -> None:
    items = [PAYMENT, cancel(), priority(), answer(), refund(amount="0.25"), LINKED]
    found = lines(raw(bulk(items, "25.25")))
    assert [line.kind for line in found] == [
        Kind.PAYMENT, Kind.CANCEL, Kind.PRIORITY, Kind.ANSWER, Kind.RETURN, Kind.PAYMENT,
    ]  # fmt: skip
    assert [line.item for line in found] == list(range(6))
    assert refusal(raw(bulk(items, "37.75")))[0] == Code.CONTROL_SUM
    assert [line.reject for line in lines(raw(bulk([cancel()], "0")))] == [0]


@pytest.mark.parametrize("make", [refund, cancel, priority, answer])
def test_an_item_that_is_wrong_is_refused_alone(make: Callable[..., dict[str, object]]) -> None:
    items = [PAYMENT, make(note="x"), make()]
    total = {refund: "22.50"}.get(make, "12.50")
    found = lines(raw(bulk(items, total)))
    assert [line.reject for line in found] == [0, Code.FIELD, 0]
    assert found[1].detail is not None
    assert found[1].detail.item == 1
