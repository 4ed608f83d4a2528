"""What banks count of what they are told: first answers apart from last words, whatever comes in between."""

import msgspec
import pytest

from clearing.dev.told import Listener, Told
from clearing.messages import FinalRecord, PaymentStatus, Receipt

A = "ALPHHKHH"
ID, OTHER = "16d487fd-7c86-4261-a8dc-dd84a77db544", "26d487fd-7c86-4261-a8dc-dd84a77db544"
PLACE = ("payments.hk.ALPHHKHH", 0, 7, -1)


def status(is_: str, offset: int = 7, **fields: object) -> PaymentStatus:
    values = {"id": ID, "status": is_, "source": (*PLACE[:2], offset, -1), "asset": "HKD"}
    return msgspec.convert(values | fields, PaymentStatus)


def record(at: int, *statuses: PaymentStatus, **fields: object) -> bytes:
    values = {
        "netting_set": "hk",
        "log_offset": at,
        "index": 0,
        "time_ms": 1,
        "statuses": list(statuses),
        "receipts": [],
    }
    return msgspec.json.encode({"type": "status"} | values | fields)


def heard(*records: bytes) -> Told:
    listener = Listener({"HKD": 2})
    for value in records:
        listener.hear(A, value)
    return listener.told


def test_a_payment_that_waits_is_answered_once_and_has_one_last_word() -> None:  # R17, R41
    waiting = heard(record(1, status("PDNG")))
    assert (waiting.rows, waiting.waited, waiting.accepted) == (1, 1, 0)
    assert waiting.waiting == {PLACE}
    assert not waiting.reasons
    released = heard(record(1, status("PDNG")), record(2, status("ACSP")))
    assert (released.rows, released.waited, released.accepted) == (1, 1, 1)
    assert not released.waiting
    ended = heard(record(1, status("PDNG")), record(2, status("CANC", reason="CUST")))
    assert (ended.rows, ended.accepted, ended.reasons) == (1, 0, {"CUST": 1})
    assert not ended.waiting


def test_parts_are_no_last_word() -> None:  # R22
    told = heard(
        record(1, status("PDNG")),
        record(2, status("ACSP", amount="3.00", remaining="2.00")),
    )
    assert (told.rows, told.accepted, told.waiting) == (1, 0, {PLACE})
    receipt = Receipt(id=ID, debtor=A, asset="HKD", amount="3.00", end_to_end_id="E")
    part = msgspec.structs.replace(receipt, remaining="2.00")
    assert heard(record(1, receipts=[part]), record(2, receipts=[receipt])).receipts == 1


def test_what_else_is_said_under_the_id_of_a_payment_that_waits_is_of_another_row() -> None:  # R28
    told = heard(
        record(1, status("PDNG")),
        record(2, status("RJCT", offset=8, reason="AM05")),
        record(3, status("PDNG", offset=9, repeat=True)),
    )
    assert (told.rows, told.repeated, told.waited) == (3, 1, 1)
    assert told.reasons == {"AM05": 1}
    assert told.waiting == {PLACE}


def test_what_is_taken_out_of_its_window_was_accepted_before() -> None:  # R25
    gone = status("RJCT", reason="XREC", source=("", 0, -1, -1))
    told = heard(record(1, status("ACSP")), record(2, gone))
    assert (told.rows, told.accepted, told.reasons) == (1, 0, {"XREC": 1})


def test_instructions_are_counted_apart() -> None:  # R12, R23
    done = status("CNCL", offset=8, id=OTHER, instruction="cancel", reference=ID)
    asked = status("PDCR", offset=9, id=OTHER, instruction="cancel", reference=ID)
    told = heard(record(1, done, asked))
    assert (told.rows, told.accepted) == (2, 0)
    assert told.instructions == {"CNCL": 1, "PDCR": 1}


def test_a_record_told_again_counts_once() -> None:
    told = heard(record(1, status("ACSP")), record(1, status("ACSP")))
    assert (told.rows, told.accepted, told.doubled) == (1, 1, 1)


@pytest.mark.parametrize(
    ("is_", "net", "finals", "unsettled"), [("ACSC", -1250, 1, 0), ("RJCT", 0, 0, 1)]
)
def test_nets_are_those_of_windows_that_are_final(
    is_: str, net: int, finals: int, unsettled: int
) -> None:  # R23
    final = FinalRecord(
        netting_set="hk",
        log_offset=9,
        index=0,
        time_ms=1,
        asset="HKD",
        window=1,
        version=1,
        status=msgspec.convert(is_, FinalRecord.__annotations__["status"]),
        batch="b",
        hash="h",
        net="-12.50",
        debits="12.50",
        credits="0.00",
        sent=1,
        received=0,
    )
    told = heard(msgspec.json.encode(final))
    assert told.nets[A, "HKD"] == net
    assert (told.finals, told.unsettled) == (finals, unsettled)


def test_latency_is_until_the_first_answer_whatever_it_is() -> None:
    listener = Listener({"HKD": 2})
    listener.sample(b'{"type":"payment","id":"%b","debtor":"A"}' % ID.encode())
    listener.hear(A, record(1, status("PDNG")))
    listener.hear(A, record(2, status("ACSP")))
    assert len(listener.told.latencies_s) == 1


def test_whoever_asks_hears_every_word_about_an_id() -> None:
    listener = Listener({"HKD": 2})
    listener.words[ID] = []
    listener.hear(A, record(1, status("PDNG"), status("ACSP", offset=8, id=OTHER)))
    listener.hear(A, record(5, status("ACSP")))
    assert [(at, said.status) for at, said in listener.words[ID]] == [(1, "PDNG"), (5, "ACSP")]
