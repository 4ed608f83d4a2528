"""Returns and instructions: what is said of them, to whom, and what is not."""

import uuid

import msgspec
import pytest

from clearing.core.inputs import Decision, Kind
from clearing.core.reasons import Code
from clearing.dispatch.statuses import status_records
from clearing.messages import (
    CancellationAnswer,
    CancellationRequest,
    PaymentStatus,
    Receipt,
    StatusMessage,
    StatusRecord,
)
from tests.dispatch.rows import LogPiece, Row

ID = uuid.UUID("6f1c2a3e-9b1d-4c5e-8f00-0123456789ab")
ORIGINAL = uuid.UUID("0b8a4a52-7f1d-4d0e-8c3c-2d1f5e6a7b02")
decode = msgspec.json.Decoder(StatusMessage).decode


def about(kind: Kind, code: Code, **fields: object) -> Row:
    row = Row(ID, kind=kind, reference=ORIGINAL, code=code, source_offset=4)
    for name, value in fields.items():
        setattr(row, name, value)
    return row


def records_of(*rows: Row) -> dict[str, StatusRecord]:
    piece = LogPiece(list(rows))
    records: dict[str, StatusRecord] = {}
    for name, value in status_records("hk", piece.value(), piece.outcomes()):
        record = decode(value)
        assert isinstance(record, StatusRecord)
        records[name] = record
    return records


def instruction(status: str, kind: str, **fields: object) -> PaymentStatus:
    said = PaymentStatus(
        id=str(ID),
        status="CNCL",
        instruction="cancel",
        reference=str(ORIGINAL),
        end_to_end_id="E2E",
        source=("payments.hk.ALPHA", 0, 4, -1),
    )
    return msgspec.structs.replace(said, status=status, instruction=kind, **fields)


def test_return_names_what_it_gives_back_to_both_sides() -> None:
    """R5: and to the receiver why."""
    records = records_of(about(Kind.RETURN, Code.ACCEPTED, reason="AC04"))
    (status,), (receipt,) = records["ALPHA"].statuses, records["BRAVO"].receipts
    assert (status.status, status.return_of, status.amount) == ("ACSP", str(ORIGINAL), "1.00")
    assert (status.reason, status.instruction, status.reference) == ("", "", "")
    assert receipt == Receipt(
        id=str(ID),
        debtor="ALPHA",
        asset="HKD",
        amount="1.00",
        end_to_end_id="E2E",
        window=3,
        return_of=str(ORIGINAL),
        reason="AC04",
    )


@pytest.mark.parametrize("code", [Code.QUEUED, Code.RETURN_EXCEEDS, Code.NO_ORIGINAL])
def test_return_that_is_not_accepted_is_nobodys_receipt(code: Code) -> None:
    records = records_of(about(Kind.RETURN, code))
    assert records.keys() == {"ALPHA"}
    assert records["ALPHA"].statuses[0].return_of == str(ORIGINAL)


CARRIED_OUT = {"text": "carried out"}
ASKED = {"text": "accepted before: the creditor is asked to give it back"}
REFUSED = {"reason": "XWAI", "text": "the payment does not wait"}
INSTRUCTIONS = [
    # kind, outcome, what its sender is told (R12, R23): never an amount, it moves nothing
    (Kind.CANCEL, Code.DONE, instruction("CNCL", "cancel", **CARRIED_OUT)),
    (Kind.CANCEL, Code.REQUESTED, instruction("PDCR", "cancel", **ASKED)),
    (Kind.CANCEL, Code.NOT_WAITING, instruction("RJCT", "cancel", **REFUSED)),
    (Kind.PRIORITY, Code.DONE, instruction("CNCL", "priority", **CARRIED_OUT)),
    (Kind.PRIORITY, Code.NOT_WAITING, instruction("RJCT", "priority", **REFUSED)),
    (Kind.ANSWER, Code.DONE, instruction("CNCL", "answer", **CARRIED_OUT)),
]


@pytest.mark.parametrize(("kind", "code", "told"), INSTRUCTIONS)
def test_sender_of_an_instruction_is_told_what_became_of_it(
    kind: Kind, code: Code, told: PaymentStatus
) -> None:
    row = about(kind, code, decision=Decision.AGREED)
    assert records_of(row)["ALPHA"].statuses == [told]
    row.repeat = True
    again = records_of(row)
    assert again.keys() == {"ALPHA"}  # R28: nobody is asked or answered twice
    assert again["ALPHA"].statuses == [msgspec.structs.replace(told, repeat=True)]


def test_creditor_of_an_accepted_payment_is_asked_to_give_it_back() -> None:
    """R23: what is accepted is irrevocable; only its receiver can undo it, by a return."""
    records = records_of(about(Kind.CANCEL, Code.REQUESTED, reason="DUPL", amount=1250))
    assert records["BRAVO"] == StatusRecord(
        netting_set="hk",
        log_offset=7,
        index=0,
        time_ms=1_700_000_000_000,
        statuses=[],
        receipts=[],
        requests=[
            CancellationRequest(
                id=str(ID),
                original=str(ORIGINAL),
                debtor="ALPHA",
                asset="HKD",
                amount="12.50",
                end_to_end_id="E2E",
                reason="DUPL",
            )
        ],
    )


@pytest.mark.parametrize("decision", [Decision.AGREED, Decision.DECLINED])
def test_who_asked_hears_the_answer(decision: Decision) -> None:
    """R23 (camt.029)."""
    records = records_of(about(Kind.ANSWER, Code.DONE, decision=decision, reason="LEGL"))
    assert records["BRAVO"].answers == [
        CancellationAnswer(
            request=str(ORIGINAL),
            decision="AGREED" if decision == Decision.AGREED else "DECLINED",
            reason="LEGL",
            creditor="ALPHA",
        )
    ]


@pytest.mark.parametrize(
    ("kind", "code"),
    [
        (Kind.CANCEL, Code.DONE),
        (Kind.CANCEL, Code.NO_ORIGINAL),
        (Kind.PRIORITY, Code.DONE),
        (Kind.ANSWER, Code.NO_REQUEST),
        (Kind.CANCEL, Code.ALREADY_READ),
    ],
)
def test_others_do_not_hear_of_it(kind: Kind, code: Code) -> None:
    """What was cancelled while it waited, the other side never knew of."""
    told = records_of(about(kind, code), Row(uuid.uuid4(), code=Code.LIQUIDITY))
    assert told.keys() == {"ALPHA"}


def test_few_among_many_stand_in_their_places() -> None:
    """Rows told by column and rows told one by one, in the order of the log."""
    rows = [Row(uuid.UUID(int=i)) for i in range(40)]
    for i in (0, 17, 39):
        rows[i] = about(Kind.CANCEL, Code.REQUESTED, id=uuid.UUID(int=i))
    records = records_of(*rows)
    assert [status.id for status in records["ALPHA"].statuses] == [str(row.id) for row in rows]
    assert [i for i, s in enumerate(records["ALPHA"].statuses) if s.instruction] == [0, 17, 39]
    assert len(records["BRAVO"].receipts) == 37
    assert len(records["BRAVO"].requests) == 3
