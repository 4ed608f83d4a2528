"""From what banks send, through intake's packing and the engine's machine, to what each of them reads."""

from hypothesis import given, settings
from hypothesis import strategies as st

from clearing.client.following import Answer, Request, Status
from clearing.messages import Answer as AnswerMessage
from clearing.messages import Cancellation, Leg, Link, Payment, PriorityChange, Return
from tests.dispatch.banks import BANKS, DAY, Banks, identity, pay


def give_back(original: Payment, amount: str) -> Return:
    return Return(
        id=identity(),
        debtor=original.creditor,
        creditor=original.debtor,
        asset=original.asset,
        amount=amount,
        value_date=DAY,
        end_to_end_id="BACK",
        original=original,
        reason="AC04",
    )


def test_a_payment_waits_is_released_and_becomes_final() -> None:
    """R12, R14, R23: PDNG to its sender alone; ACSP to both when liquidity comes, ACSC with that window."""
    banks = Banks()
    first, second = pay("ALPHA", "BRAVO", "150.00"), pay("ALPHA", "CHARLIE", "1.00")
    banks.send("ALPHA", first, second)
    assert banks.statuses("ALPHA") == [("PDNG", ""), ("PDNG", "")]  # R13: behind a blocked head
    assert banks.heard["BRAVO"] == banks.heard["CHARLIE"] == []
    banks.close()  # R17: it rolls
    banks.send("BRAVO", pay("BRAVO", "ALPHA", "60.00"))
    assert banks.statuses("ALPHA", first, second)[2:] == [("ACSP", ""), ("ACSP", "")]
    banks.close()
    for bank in BANKS:
        assert banks.followers[bank].take_incomplete() == []
    released = [one for one in banks.heard["BRAVO"] if isinstance(one, Status) and one.incoming]
    assert [(one.id, one.status, one.window) for one in released] == [
        (first.id, "ACSP", 2),
        (first.id, "ACSC", 2),
    ]


def test_what_waits_is_cancelled_by_its_sender() -> None:
    """R12: CNCL for the cancellation, CANC for the payment; the receiver never hears of either."""
    banks = Banks()
    payment = pay("ALPHA", "BRAVO", "150.00")
    banks.send("ALPHA", payment)
    banks.send("ALPHA", Cancellation(id=identity(), original=payment, reason="CUST"))
    assert banks.instructions("ALPHA") == [("cancel", "CNCL", payment.id)]
    assert banks.statuses("ALPHA") == [("PDNG", ""), ("CANC", "CUST")]
    assert banks.heard["BRAVO"] == []


def test_priority_of_what_waits_is_changed() -> None:
    """R12: the one behind passes the one before it."""
    banks = Banks()
    large, small = pay("ALPHA", "BRAVO", "150.00"), pay("ALPHA", "BRAVO", "2.00")
    change = PriorityChange(id=identity(), debtor="ALPHA", payment=small.id, priority="URGT")
    banks.send("ALPHA", large, small)
    banks.send("ALPHA", change)
    assert banks.instructions("ALPHA") == [("priority", "CNCL", small.id)]
    assert banks.statuses("ALPHA", small) == [("PDNG", ""), ("ACSP", "")]
    assert banks.statuses("ALPHA", large) == [("PDNG", "")]


def test_what_is_accepted_is_asked_back_answered_and_returned() -> None:
    """R5, R23: PDCR, the receiver's request, its answer, and a return that names the original."""
    banks = Banks()
    payment = pay("ALPHA", "BRAVO", "50.00")
    recall = Cancellation(id=identity(), original=payment, reason="DUPL")
    banks.send("ALPHA", payment, recall)
    assert banks.instructions("ALPHA") == [("cancel", "PDCR", payment.id)]
    (request,) = [one for one in banks.heard["BRAVO"] if isinstance(one, Request)]
    assert (request.id, request.original, request.counterparty) == (recall.id, payment.id, "ALPHA")
    assert (request.amount, request.reason) == ("50.00", "DUPL")
    agreed = AnswerMessage(
        id=identity(), debtor="BRAVO", creditor="ALPHA", request=recall.id, decision="AGREED"
    )
    back = give_back(payment, "50.00")
    banks.send("BRAVO", agreed, back, give_back(payment, "0.01"))
    assert banks.instructions("BRAVO") == [("answer", "CNCL", recall.id)]
    (answer,) = [one for one in banks.heard["ALPHA"] if isinstance(one, Answer)]
    assert (answer.request, answer.decision, answer.counterparty) == (recall.id, "AGREED", "BRAVO")
    (received,) = [o for o in banks.heard["ALPHA"] if isinstance(o, Status) and o.incoming]
    assert (received.id, received.return_of, received.reason) == (back.id, payment.id, "AC04")
    assert banks.statuses("BRAVO")[-1] == ("RJCT", "AM09")


def test_what_waits_at_the_cut_off_is_dropped() -> None:
    """R17."""
    banks = Banks(at_cutoff="DROP")
    payment = pay("ALPHA", "BRAVO", "150.00")
    banks.send("ALPHA", payment)
    banks.close()
    assert banks.statuses("ALPHA") == [("PDNG", ""), ("RJCT", "AB03")]


def test_parts_are_delivered_and_become_final_each() -> None:
    """R19, R22: both legs wait, a part of both is delivered at the cut-off, the rest when it can."""
    banks = Banks()
    bonds, money = ("ALPHA", "BRAVO", "BOND", "4"), ("BRAVO", "ALPHA", "HKD", "160.00")
    legs = [
        Leg(debtor=debtor, creditor=creditor, asset=asset, amount=amount)
        for debtor, creditor, asset, amount in (bonds, money)
    ]
    link = Link(id=identity(), legs=legs, partial=True)
    delivery = pay("ALPHA", "BRAVO", "4", "BOND", link=link)
    payment = pay("BRAVO", "ALPHA", "160.00", link=link)
    banks.send("ALPHA", delivery)
    banks.send("BRAVO", payment)
    assert banks.statuses("BRAVO") == [("PDNG", "")]
    banks.close("BOND")
    banks.fund("BRAVO", "500.00")
    banks.close("BOND")
    banks.simulation.flush()
    for bank, mine, other in (("ALPHA", delivery, payment), ("BRAVO", payment, delivery)):
        assert banks.followers[bank].take_incomplete() == []
        for order, first, rest in (
            (mine, *_parts(mine)),
            (other, *_parts(other)),
        ):
            told = [
                (one.amount, one.remaining)
                for one in banks.heard[bank]
                if isinstance(one, Status) and one.id == order.id and one.status == "ACSC"
            ]
            assert told == [first, rest]


def _parts(order: Payment) -> tuple[tuple[str, str], tuple[str, str]]:
    """A half is all that 100.00 HKD buy of 4 BOND for 160.00 HKD in proportion."""
    if order.asset == "BOND":
        return ("2", "2"), ("2", "")
    return ("80.00", "80.00"), ("80.00", "")


def test_recast_takes_back_what_a_party_could_not_pay() -> None:
    """R25: both sides of its payments hear XREC; the rest becomes final."""
    banks = Banks(on_shortfall="RECAST", confirm=False)
    for batch in banks.batches:
        banks.answer(batch, "POSTED")
    bad, good = pay("ALPHA", "BRAVO", "50.00"), pay("BRAVO", "CHARLIE", "20.00")
    banks.send("ALPHA", bad)
    banks.send("BRAVO", good)
    banks.close()
    banks.answer(banks.batches[-1], "REFUSED", ALPHA="50.00")
    banks.answer(banks.batches[-1], "POSTED")
    assert banks.statuses("ALPHA", bad) == [("ACSP", ""), ("RJCT", "XREC")]
    assert banks.statuses("BRAVO", bad) == [("ACSP", ""), ("RJCT", "XREC")]
    assert banks.statuses("BRAVO", good) == [("ACSP", ""), ("ACSC", "")]
    assert banks.statuses("CHARLIE", good) == [("ACSP", ""), ("ACSC", "")]
    assert [banks.followers[bank].take_incomplete() for bank in BANKS] == [[], [], []]


ORDERS = st.tuples(
    st.sampled_from(BANKS),
    st.sampled_from(BANKS),
    st.integers(1, 15_000),
    st.sampled_from(["pay", "pay", "pay", "cancel", "close"]),
)


@settings(max_examples=60, deadline=None)
@given(st.lists(ORDERS, max_size=25), st.sampled_from(["ROLL", "DROP"]))
def test_every_payment_has_one_end_on_each_side_that_heard_of_it(
    orders: list[tuple[str, str, int, str]], at_cutoff: str
) -> None:
    """R23, R30: whatever waits, leaves and ends: ACSP once, then ACSC once; or one refusal; both sides alike."""
    banks = Banks(at_cutoff=at_cutoff)
    sent: list[Payment] = []
    for debtor, creditor, cents, what in orders:
        if what == "close":
            banks.close()
        elif what == "cancel" and sent:
            original = sent[cents % len(sent)]
            cancellation = Cancellation(id=identity(), original=original, reason="CUST")
            banks.send(original.debtor, cancellation)
        elif debtor != creditor:
            sent.append(pay(debtor, creditor, f"{cents // 100}.{cents % 100:02}"))
            banks.send(debtor, sent[-1])
    banks.close()
    for payment in sent:
        said = [status for status, _ in banks.statuses(payment.debtor, payment)]
        waited = said[:1] == ["PDNG"]
        ends = (["ACSP", "ACSC"], ["RJCT"], ["CANC"], []) if waited else (["ACSP", "ACSC"],)
        assert said[waited:] in ends
        heard = [status for status, _ in banks.statuses(payment.creditor, payment)]
        assert heard == (["ACSP", "ACSC"] if "ACSP" in said else [])
    assert [banks.followers[bank].take_incomplete() for bank in BANKS] == [[], [], []]
