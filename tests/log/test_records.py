"""Outputs to records: which topic, which key, in which order; every kind is read back as it was written."""

import msgspec
import numpy as np
import pytest

from clearing.core.outputs import (
    CommandEvent,
    ConfirmationEvent,
    DeadlockEvent,
    Entry,
    Event,
    Outcomes,
    Outputs,
    ProposalEvent,
    Resolution,
    Resolutions,
    ShortfallEvent,
    WaitsFor,
    WindowEvent,
)
from clearing.core.reasons import Code
from clearing.log import records
from clearing.log.records import (
    EVENT_KEY,
    OUTCOMES_KEY,
    RESOLUTION_KEY,
    WINDOW_KEY,
    OutputRecord,
    decode_event,
    decode_outcomes,
    decode_resolutions,
    encode,
)

RELEASED = Resolution(
    id="6f1c2a3e-9b1d-4c5e-8f00-0123456789ab",
    code=Code.ACCEPTED,
    kind=1,
    debtor="ALPHA",
    creditor="BRAVO",
    asset="HKD",
    amount="10.00",
    log_offset=3,
    row=8,
    source=("payments.hk.ALPHA", 0, 4, -1),
    end_to_end_id="E2E",
    how="MULTILATERAL",
    window=2,
)
OPENED = WindowEvent(
    netting_set="hk", log_offset=9, time_ms=5, asset="HKD", window=3, version=1, state="OPEN"
)
SETTLED = msgspec.structs.replace(
    OPENED,
    window=2,
    state="SETTLED",
    entries=[Entry("ALPHA", net="0.00", debits="1.00", credits="1.00", sent=1, received=1)],
)
EVENTS: list[Event] = [
    OPENED,
    SETTLED,
    CommandEvent(
        netting_set="hk", log_offset=9, time_ms=5, id="c", by="op", command="set_cap", status="DONE"
    ),
    ConfirmationEvent(netting_set="hk", log_offset=9, time_ms=5, batch="b", status="DONE"),
    DeadlockEvent(
        netting_set="hk",
        log_offset=9,
        time_ms=5,
        asset="HKD",
        payments=2,
        value="30.00",
        waits=[
            WaitsFor(
                participant="ALPHA",
                asset="HKD",
                payment=RELEASED.id,
                lacks="10.00",
                limit="LIQUIDITY",
                waits_for=["BRAVO"],
            )
        ],
        extra_participant="ALPHA",
        extra="10.00",
        all_extra={"ALPHA": "10.00", "BRAVO": "20.00"},
    ),
    ShortfallEvent(
        netting_set="hk",
        log_offset=9,
        time_ms=5,
        asset="HKD",
        window=2,
        version=2,
        participant="ALPHA",
        shortfall="3.00",
        collateral="1.00",
        pool="1.00",
        survivors={"BRAVO": "1.00"},
    ),
    ProposalEvent(
        netting_set="hk",
        log_offset=9,
        time_ms=5,
        proposal="p",
        hash="0" * 64,
        by="op",
        state="PROPOSED",
        command="{}",
    ),
]


def outcomes(*codes: int) -> Outcomes:
    n = len(codes)
    return Outcomes(9, 5, np.array(codes, np.uint8), np.zeros(n, np.bool_), {"HKD": 3})


def written(outputs: Outputs) -> list[OutputRecord]:
    return encode("hk", 9, 5, outputs)


def test_outcomes_tell_rows_then_what_waited_then_windows() -> None:
    """The order of the topic is the order in which banks are told; the journal has every event (R29)."""
    made = written(
        Outputs(outcomes=outcomes(0, 1), resolutions=[RELEASED], events=[OPENED, SETTLED])
    )
    assert [(record.topic, record.key) for record in made] == [
        ("outcomes", OUTCOMES_KEY),
        ("outcomes", RESOLUTION_KEY),
        ("windows", b"hk|HKD"),
        ("journal", EVENT_KEY),
        ("outcomes", WINDOW_KEY),
        ("journal", EVENT_KEY),
    ]
    assert decode_outcomes(made[0].value).codes.tolist() == [0, 1]


def test_resolutions_without_rows_know_their_place() -> None:
    """A tick may end what has expired: there is no outcomes record to take the place from (R17)."""
    expired = msgspec.structs.replace(RELEASED, code=Code.EXPIRED, how="", window=0)
    (record,) = written(Outputs(resolutions=[expired]))
    assert decode_resolutions(record.value) == Resolutions(
        netting_set="hk", log_offset=9, time_ms=5, items=[expired]
    )


@pytest.mark.parametrize(("items", "chunks"), [(0, []), (3, [3]), (4, [3, 1]), (7, [3, 3, 1])])
def test_many_resolutions_are_cut_in_order(
    items: int, chunks: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(records, "RESOLUTIONS_PER_RECORD", 3)
    resolutions = [msgspec.structs.replace(RELEASED, row=row) for row in range(items)]
    read = [decode_resolutions(r.value).items for r in written(Outputs(resolutions=resolutions))]
    assert [len(chunk) for chunk in read] == chunks
    assert [item for chunk in read for item in chunk] == resolutions


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: type(event).__name__)
def test_every_event_is_read_from_the_journal_as_it_was(event: Event) -> None:
    journal = [r for r in written(Outputs(events=[event])) if r.topic == "journal"]
    assert [(record.key, decode_event(record.value)) for record in journal] == [(EVENT_KEY, event)]


def test_operators_events_are_not_for_banks() -> None:
    """Deadlocks, shortfalls and proposals stand in the journal alone."""
    made = written(Outputs(events=EVENTS[2:]))
    assert {record.topic for record in made} == {"journal"}
