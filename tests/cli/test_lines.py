"""What `clearing follow` prints of a record: every kind has a line that says whose, how much, and why."""

import msgspec
import pytest

from clearing.cli import lines
from clearing.core.outputs import (
    CommandEvent,
    ConfirmationEvent,
    DeadlockEvent,
    Event,
    ProposalEvent,
    SettlementBatch,
    ShortfallEvent,
    WaitsFor,
    WindowEvent,
)
from clearing.log.records import EVENT_KEY, TRANSACTION_KEY
from clearing.messages import (
    CancellationAnswer,
    CancellationRequest,
    FinalRecord,
    PaymentStatus,
    Receipt,
    StatusRecord,
    Withdrawal,
)

encode = msgspec.json.Encoder().encode
SOURCE = ("payments.hk.ALPHA", 0, 4, -1)
AT = {"netting_set": "hk", "log_offset": 9, "time_ms": 5}


def words(found: list[lines.Line]) -> list[str]:
    """Lines for people, blanks run together."""
    return [" ".join(text.plain.split()) for _, text in found]


def test_everything_a_bank_is_told_has_a_line() -> None:
    """R5, R12, R22, R23, R25, R41: statuses, receipts, what is lost again, requests and answers."""
    record = StatusRecord(
        **AT,
        index=0,
        statuses=[
            PaymentStatus(
                id="p1", status="PDNG", asset="HKD", amount="5", creditor="BRAVO", source=SOURCE
            ),
            PaymentStatus(
                id="p2",
                status="ACSP",
                asset="HKD",
                amount="3",
                remaining="2",
                creditor="BRAVO",
                source=SOURCE,
            ),
            PaymentStatus(
                id="p3",
                status="RJCT",
                asset="HKD",
                amount="1",
                creditor="BRAVO",
                return_of="o1",
                reason="AM09",
                text="too much",
                repeat=True,
                source=SOURCE,
            ),
            PaymentStatus(
                id="c1", status="PDCR", instruction="cancel", reference="p9", source=SOURCE
            ),
        ],
        receipts=[
            Receipt(
                id="r1",
                debtor="BRAVO",
                asset="HKD",
                amount="7",
                end_to_end_id="E",
                return_of="p8",
                reason="AC04",
            )
        ],
        withdrawn=[
            Withdrawal(
                id="r2",
                debtor="BRAVO",
                asset="HKD",
                amount="7",
                end_to_end_id="E",
                reason="XREC",
                text="taken out",
            )
        ],
        requests=[
            CancellationRequest(
                id="c2", original="r3", debtor="BRAVO", asset="HKD", amount="8", reason="DUPL"
            )
        ],
        answers=[
            CancellationAnswer(request="c3", decision="DECLINED", reason="LEGL", creditor="BRAVO")
        ],
    )
    found = list(lines.status_lines(None, encode(record)))
    assert words(found) == [
        "PDNG p1 5 HKD to BRAVO",
        "ACSP p2 3 HKD to BRAVO (2 still waits)",
        "RJCT p3 1 HKD to BRAVO returns o1 AM09 too much (repeat)",
        "PDCR c1 cancel of p9",
        "received r1 7 HKD from BRAVO returns p8 AC04",
        "lost r2 7 HKD from BRAVO XREC taken out",
        "asked c2 to return r3 8 HKD to BRAVO DUPL",
        "DECLINED return asked for by c3 by BRAVO LEGL",
    ]
    sections = [*["status"] * 4, "receipt", "withdrawal", "request", "answer"]
    for (data, _), section in zip(found, sections, strict=True):
        assert isinstance(data, dict)
        assert data.keys() == {"netting_set", "log_offset", section}


def test_end_of_a_window_has_a_line() -> None:
    record = FinalRecord(
        **AT,
        index=0,
        asset="HKD",
        window=3,
        version=1,
        status="RJCT",
        reason="AM04",
        batch="b",
        hash="h",
        net="-2.50",
        debits="5.00",
        credits="2.50",
        sent=2,
        received=1,
    )
    found = list(lines.status_lines(None, encode(record)))
    assert words(found) == ["RJCT window 3 of HKD net -2.50 (2 sent, 1 received) AM04"]
    assert found[0][0] == record


@pytest.mark.parametrize(
    ("kind", "changes", "said"),
    [
        ("net", {}, "net window 3 v2 of HKD:"),
        ("gross", {"part": 2, "parts": 3}, "gross window 3 v2 part 2/3 of HKD:"),
        ("funding", {"window": 0}, "funding of HKD:"),
    ],
)
def test_batch_says_of_which_kind_it_is(kind: str, changes: dict[str, int], said: str) -> None:
    """R6."""
    batch = SettlementBatch(
        id="b",
        kind="net",
        netting_set="hk",
        sequence=7,
        asset="HKD",
        code="HKD",
        issuer="HKMA",
        ledger="rtgs",
        scale=2,
        window=3,
        version=2,
        opened_at_ms=1,
        closed_at_ms=2,
        payments=4,
        gross="9.00",
        entries=[],
        log_first=1,
        log_last=2,
        members_root="",
        previous="",
        hash="0123456789abcdef",
        linked=["c"],
    )
    value = encode(msgspec.structs.replace(batch, kind=kind, **changes))
    assert words(list(lines.settlement_lines(None, value))) == [
        f"#7 hk {said} 4 payments, gross 9.00, 0 entries, hash 0123456789ab… linked with 1 more"
    ]


def waits(participant: str, *whom: str) -> WaitsFor:
    return WaitsFor(
        participant=participant,
        asset="HKD",
        payment="p",
        lacks="10.00",
        limit="LIQUIDITY",
        waits_for=list(whom),
    )


EVENTS: list[tuple[Event, str]] = [
    (
        WindowEvent(**AT, asset="HKD", window=3, version=1, state="FAILED", reason="AM04"),
        "FAILED hk window 3 of HKD AM04",
    ),
    (
        CommandEvent(**AT, id="c", by="op", command="set_cap", status="REFUSED", reason="no"),
        "REFUSED hk set_cap c by op no",
    ),
    (ConfirmationEvent(**AT, batch="b", status="DONE"), "DONE hk confirmation of batch b"),
    (
        DeadlockEvent(
            **AT,
            asset="HKD",
            payments=2,
            value="30.00",
            waits=[waits("ALPHA", "BRAVO"), waits("BRAVO")],
            extra_participant="ALPHA",
            extra="10.00",
        ),
        (
            "DEADLOCK hk 2 payments of 30.00 HKD wait: ALPHA lacks 10.00 HKD (LIQUIDITY), waits for BRAVO; "
            "BRAVO lacks 10.00 HKD (LIQUIDITY); freed by 10.00 more for ALPHA"
        ),
    ),
    (
        DeadlockEvent(
            **AT, asset="HKD", payments=7, value="1.00", waits=[waits(f"B{i}") for i in range(7)]
        ),
        "DEADLOCK hk 7 payments of 1.00 HKD wait: "
        + "; ".join(f"B{i} lacks 10.00 HKD (LIQUIDITY)" for i in range(5))
        + "; 2 more",
    ),
    (
        ShortfallEvent(
            **AT,
            asset="HKD",
            window=3,
            version=2,
            participant="ALPHA",
            shortfall="6.00",
            collateral="1.00",
            pool="0.00",
            survivors={"BRAVO": "5.00"},
        ),
        (
            "SHORTFALL hk window 3 v2 of HKD: ALPHA lacks 6.00: 1.00 from collateral of ALPHA, "
            "5.00 from BRAVO"
        ),
    ),
    (
        ProposalEvent(
            **AT,
            proposal="p",
            hash="ab",
            by="op",
            state="PROPOSED",
            command='{"type":"set_cap","id":"c","by":"op","participant":"ALPHA","cap":"5","days":[1]}',
        ),
        "PROPOSED hk p by op: set_cap participant=ALPHA cap=5 days=[1] hash ab",
    ),
]


@pytest.mark.parametrize(("event", "said"), EVENTS)
def test_every_event_has_a_line(event: Event, said: str) -> None:
    """R16, R25, R33 among them."""
    found = list(lines.event_lines(EVENT_KEY, encode(event)))
    assert words(found) == [said]
    assert found[0][0] == event


def test_what_the_engine_notes_for_itself_is_no_event() -> None:
    assert list(lines.event_lines(TRANSACTION_KEY, b"{}")) == []
