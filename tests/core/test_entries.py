"""The lines of a batch are what they say, or nobody posts them: R1, R6, R18, R22."""

from typing import Any, Literal

import pytest

from clearing.core.entries import proved_lines
from clearing.core.faults import Halt
from clearing.core.outputs import Entry, SettlementBatch
from clearing.core.state import NO_HASH

ALPHA, BETA, GAMMA = "ALPHHKHH", "BETAHKHH", "GAMMHKHH"
FIRST, SECOND = (f"{n:08d}-0000-4000-8000-000000000000" for n in (1, 2))


def batch(kind: Literal["net", "gross", "funding"], *entries: Entry) -> SettlementBatch:
    return SettlementBatch(
        id="b",
        kind=kind,
        netting_set="hk",
        sequence=1,
        asset="HKD",
        code="HKD",
        issuer="HKMA",
        ledger="postgres",
        scale=2,
        window=1,
        version=1,
        opened_at_ms=0,
        closed_at_ms=1,
        payments=1,
        gross="0.00",
        entries=list(entries),
        log_first=0,
        log_last=0,
        members_root=NO_HASH,
        previous=NO_HASH,
        hash="",
    )


def entry(participant: str, net: str, debits: str, credits_: str, **more: Any) -> Entry:
    """A line; sent and received as its debits and credits say."""
    sent, received = int(debits != "0.00"), int(credits_ != "0.00")
    return Entry(participant, net, debits, credits_, sent, received, **more)


def pair(
    debtor: str, creditor: str, paid: str, got: str, net: str, set_off: str = ""
) -> tuple[Entry, Entry]:
    """Two sides of what two owe each other; the first one's net is below zero."""
    back = set_off and f"-{set_off}"
    return (
        entry(debtor, f"-{net}", paid, got, counterparty=creditor, set_off=set_off),
        entry(creditor, net, got, paid, counterparty=debtor, set_off=back),
    )


def payment(debtor: str, creditor: str, units: str, id_: str = FIRST) -> tuple[Entry, Entry]:
    return (
        entry(debtor, f"-{units}", units, "0.00", counterparty=creditor, payment=id_),
        entry(creditor, units, "0.00", units, counterparty=debtor, payment=id_),
    )


def nets(*entries: Entry, kind: Literal["net", "gross", "funding"] = "net") -> list[int]:
    return [line.net for line in proved_lines(batch(kind, *entries))]


def test_lines_of_every_kind_of_batch_are_read_in_their_order() -> None:
    """R6"""
    assert nets() == []
    assert nets(entry(ALPHA, "-2.50", "10.00", "7.50"), entry(BETA, "2.50", "7.50", "10.00")) == [
        -250,
        250,
    ]
    assert nets(
        *pair(ALPHA, BETA, "10.00", "7.50", "2.50"), *pair(ALPHA, GAMMA, "1.00", "1.00", "0.00")
    ) == [-250, 250, 0, 0]
    assert nets(
        *payment(ALPHA, BETA, "5.00"), *payment(BETA, ALPHA, "4.00", SECOND), kind="gross"
    ) == [
        -500,
        500,
        400 * -1,
        400,
    ]
    funding = entry("$FUNDING", "-9.00", "9.00", "0.00"), entry(ALPHA, "9.00", "0.00", "9.00")
    assert nets(*funding, kind="funding") == [-900, 900]
    lines = proved_lines(batch("funding", *funding))
    assert [(line.number, line.entry) for line in lines] == [(1, funding[0]), (2, funding[1])]


def test_a_waterfall_stands_in_a_net_batch() -> None:
    """R25: collateral, pool and a survivor pay what ALPHA lacks; no payment stands behind their lines."""
    assert nets(
        entry(ALPHA, "-6.00", "10.00", "4.00"),
        entry("$COLLATERAL", "-2.00", "2.00", "0.00"),
        entry("$POOL", "-1.00", "1.00", "0.00"),
        entry(BETA, "9.00", "1.00", "10.00"),
    ) == [-600, -200, -100, 900]


def test_a_payment_delivered_in_parts_may_stand_in_a_batch_twice() -> None:
    """R22"""
    parts = (*payment(ALPHA, BETA, "5.00"), *payment(ALPHA, BETA, "1.00"))
    assert nets(*parts, kind="gross") == [-500, 500, -100, 100]


def test_what_is_set_off_goes_round() -> None:
    """R18: a ring of three owes nothing after it, but what is more than the smallest of it."""
    ring = (
        *pair(ALPHA, BETA, "5.00", "0.00", "0.00", "5.00"),
        *pair(BETA, GAMMA, "7.00", "0.00", "2.00", "5.00"),
        *pair(GAMMA, ALPHA, "6.00", "0.00", "1.00", "5.00"),
    )
    assert nets(*ring) == [0, 0, -200, 200, -100, 100]


ONE, OTHER = pair(ALPHA, BETA, "10.00", "7.50", "2.50")
PAID, GOT = payment(ALPHA, BETA, "5.00")


def changed(line: Entry, **changes: object) -> Entry:
    fields = {name: getattr(line, name) for name in line.__struct_fields__}
    return Entry(**(fields | changes))  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize(
    ("kind", "entries", "says"),
    [
        # R1
        ("net", [entry(ALPHA, "-1.00", "1.00", "0.00")], "sums to -1.00 HKD, not to zero"),
        ("gross", [*payment(ALPHA, BETA, "5.00")[:1]], "sums to -5.00 HKD, not to zero"),
        # amounts
        ("net", [entry(ALPHA, "1e2", "0.00", "1.00")], "'1e2' of ALPHHKHH is no amount at scale 2"),
        ("net", [entry(ALPHA, "1.00", "0.001", "1.00")], "'0.001' of ALPHHKHH is no amount"),
        ("net", [entry(ALPHA, "1.00", "0.00", "")], "'' of ALPHHKHH is no amount"),
        ("net", [changed(ONE, set_off="x")], "'x' of ALPHHKHH is no amount"),
        ("net", [entry(ALPHA, f"{2**63 // 100}.08", "0.00", "0.00")], "is no amount"),
        # credits less debits, and what was set off, are the net
        ("net", [entry(ALPHA, "-1.00", "0.99", "0.00")], "net -1.00 of ALPHHKHH is not credits"),
        ("net", [entry(ALPHA, "1.00", "-1.00", "0.00")], "net 1.00 of ALPHHKHH is not credits"),
        ("net", [changed(ONE, set_off="0.01")], "net -2.50 of ALPHHKHH is not credits"),
        # lines against everybody
        (
            "net",
            [entry(ALPHA, "1.00", "0.00", "1.00"), entry(ALPHA, "-1.00", "1.00", "0.00")],
            "names ALPHHKHH twice",
        ),
        ("funding", [ONE, OTHER], "a funding line of ALPHHKHH is against one other"),
        (
            "net",
            [
                entry(ALPHA, "0.00", "5.00", "0.00", set_off="5.00"),
                entry(BETA, "0.00", "0.00", "5.00", set_off="-5.00"),
            ],
            "a net line of ALPHHKHH is against one other",
        ),
        (
            "net",
            [changed(PAID, counterparty=""), changed(GOT, counterparty="")],
            "a net line of ALPHHKHH is against one other",
        ),
        # pairs
        ("net", [ONE, OTHER, entry(GAMMA, "0.00", "0.00", "0.00")], "has 3 lines, not pairs"),
        ("net", [ONE, changed(OTHER, counterparty="")], "lines 1 and 2, of ALPHHKHH and BETAHKHH"),
        ("net", [ONE, changed(OTHER, counterparty=GAMMA)], "are not the two sides of a pair"),
        ("net", [ONE, changed(OTHER, debits="7.00", credits="9.50")], "are not the two sides"),
        ("net", [ONE, changed(OTHER, sent=2)], "are not the two sides"),
        (
            "net",
            [changed(ONE, counterparty=ALPHA), changed(OTHER, participant=ALPHA)],
            "lines 1 and 2, of ALPHHKHH and ALPHHKHH",
        ),
        ("net", [*pair(GAMMA, BETA, "1.00", "1.00", "0.00"), OTHER, ONE, ONE, OTHER], "twice"),
        ("net", [PAID, GOT], "a net line of ALPHHKHH is one of payment"),
        # each pair is right for itself, and the pairs are mixed up
        (
            "net",
            [
                ONE,
                pair(GAMMA, BETA, "10.00", "7.50", "2.50")[1],
                pair(GAMMA, BETA, "10.00", "7.50", "2.50")[0],
                OTHER,
            ],
            "lines 1 and 2, of ALPHHKHH and BETAHKHH",
        ),
        # payments
        ("gross", [ONE, OTHER], "'' is no payment id"),
        ("gross", [*payment(ALPHA, BETA, "5.00", "payment-1")], "'payment-1' is no payment id"),
        ("gross", [*payment(ALPHA, BETA, "5.00", FIRST.upper() + "F")], "is no payment id"),
        ("gross", [PAID, changed(GOT, payment=SECOND)], "are not the two sides"),
        ("gross", [GOT, PAID], "is not one of BETAHKHH"),
        ("gross", [changed(PAID, sent=2), changed(GOT, received=2)], "is not one of ALPHHKHH"),
        (
            "gross",
            [
                changed(PAID, debits="6.00", set_off="1.00"),
                changed(GOT, credits="6.00", set_off="-1.00"),
            ],
            "is not one of ALPHHKHH",
        ),
        ("gross", [entry(ALPHA, "0.00", "0.00", "0.00")] * 2, "are not the two sides"),
        # R18
        ("net", [*pair(ALPHA, BETA, "5.00", "0.00", "3.00", "2.00")], "gives ALPHHKHH 2.00 HKD"),
        (
            "net",
            [
                entry(ALPHA, "1.00", "5.00", "0.00", counterparty=BETA, set_off="6.00"),
                entry(BETA, "-1.00", "0.00", "5.00", counterparty=ALPHA, set_off="-6.00"),
            ],
            "gives ALPHHKHH a new obligation",
        ),
        (
            "net",
            [
                entry(ALPHA, "-6.00", "5.00", "0.00", counterparty=BETA, set_off="-1.00"),
                entry(BETA, "6.00", "0.00", "5.00", counterparty=ALPHA, set_off="1.00"),
            ],
            "gives ALPHHKHH a new obligation",
        ),
    ],
)
def test_anything_else_halts(
    kind: Literal["net", "gross", "funding"], entries: list[Entry], says: str
) -> None:
    with pytest.raises(Halt, match=says):
        proved_lines(batch(kind, *entries))
