"""Activity, audit and rejects as they are folded; and one thing that cannot be read does not stop the others."""

import hashlib
import random

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from clearing.core.reasons import Code
from clearing.messages_views import AUDIT_START, ActivityView, AuditView, RejectView
from clearing.topics.contract import contract_folder
from clearing.views import metrics
from clearing.views.fold import Change
from clearing.views.fold_activity import MINUTE_MS, MINUTES_KEPT, Activity, Told
from clearing.views.fold_audit import Audit, broken_link
from clearing.views.fold_rejects import REJECTS_KEPT, Rejects
from clearing.views.projection import Projection, Record
from tests.views import said
from tests.views.said import SET, START_MS, outcomes, record, resolutions

MIXED = [Code.ACCEPTED] * 5 + [Code.QUEUED] * 2 + [Code.LIQUIDITY] * 3 + [
    Code.AMOUNT_ZERO, Code.DONE, Code.REQUESTED, Code.ALREADY_READ,
]  # fmt: skip


def values(changes: list[Change]) -> dict[bytes, msgspec.Struct | None]:
    return {change.key: change.value for change in changes}


def test_a_minute_counts_what_became_of_payments() -> None:
    repeat = [True] + [False] * (len(MIXED) - 1)
    left = [Code.ACCEPTED, Code.CANCELLED, Code.CUTOFF]
    told = [
        Told(7, outcomes(40, MIXED, repeat=repeat)),
        Told(8, resolutions(41, left)),
        Told(9, outcomes(42, [Code.ACCEPTED], time_ms=START_MS + 59_999)),
    ]
    [change] = Activity(SET).take(told)
    assert change.value == ActivityView(
        netting_set=SET,
        minute_ms=START_MS,
        accepted=5,
        queued=2,
        refused=4,
        repeated=1,
        instructions=2,
        released=1,
        ended=2,
        by_reason={"AB03": 1, "AM01": 1, "AM04": 3, "CUST": 1},
        log_offset_first=40,
        log_offset_last=42,
        offset=9,
    )


@given(seed=st.integers(0, 10_000))
def test_activity_is_the_same_however_it_is_cut_and_however_often_it_is_read(seed: int) -> None:
    """Cut into other batches, begun again from any place before with what the topic holds, and with a reader that
    is set back while a batch is collected."""
    chance = random.Random(seed)
    told = [
        Told(n, outcomes(n, chance.choices(MIXED, k=5), time_ms=START_MS + n * 10_000))
        for n in range(40)
    ]
    expected = values(Activity(SET).take(told))
    fold, held, at = Activity(SET), dict[bytes, msgspec.Struct | None](), 0
    while at < len(told):
        if chance.random() < 0.2:
            fold = Activity(SET, [one for one in held.values() if isinstance(one, ActivityView)])
            at = chance.randint(0, at)
        end = min(len(told), at + chance.randint(1, 9))
        set_back = told[chance.randint(0, end) : end] if chance.random() < 0.3 else []
        held |= values(fold.take([*told[at:end], *set_back]))
        at = end
    assert held == expected


def test_a_day_of_minutes_is_kept() -> None:
    fold = Activity(SET)
    changes = fold.take(
        Told(n, outcomes(n, [Code.ACCEPTED], time_ms=START_MS + n * MINUTE_MS))
        for n in range(MINUTES_KEPT + 3)
    )
    forgotten = [key for key, value in values(changes).items() if value is None]
    assert len(values(changes)) == MINUTES_KEPT + 3
    assert len(forgotten) == 3
    assert fold.take([Told(0, outcomes(0, [Code.ACCEPTED]))]) == []  # read again: gone for good


def audit_of(events: int) -> list[AuditView]:
    fold = Audit(SET)
    entries: list[AuditView] = []
    for number in range(events):
        for change in fold.take_event(said.command(number), number):
            assert isinstance(change.value, AuditView)
            entries.append(change.value)
    return entries


def test_the_audit_log_is_a_chain_that_anybody_can_check() -> None:
    entries = audit_of(5)
    assert [entry.number for entry in entries] == [1, 2, 3, 4, 5]
    assert entries[0].previous == AUDIT_START
    assert broken_link(entries) == ""
    assert broken_link(entries[3:], entries[2]) == ""


@pytest.mark.parametrize("sample", ["audit_view", "audit_view.proposal"])
def test_the_hash_of_an_entry_is_made_as_the_contract_says(sample: str) -> None:
    """topics/README.md: by anybody, from the JSON alone."""
    text = (contract_folder() / "samples" / f"{sample}.json").read_bytes()
    sent = msgspec.json.format(text, indent=-1)
    fields = msgspec.json.decode(sent)
    blank = sent.replace(f'"hash":"{fields["hash"]}"'.encode(), b'"hash":""')
    blank = blank.replace(f'"offset":{fields["offset"]}}}'.encode(), b'"offset":0}')
    assert hashlib.sha256(blank).hexdigest() == fields["hash"]


@pytest.mark.parametrize(
    ("tampered", "why"),
    [
        (lambda e: [*e[:2], replace(e[2], by="mallory"), *e[3:]], "entry 3 was changed"),
        (lambda e: [*e[:2], *e[3:]], "entry 4 stands where 3 should be"),
        (
            lambda e: [*e[:2], *(replace(one, number=one.number - 1) for one in e[3:])],
            "entry 3 does not follow entry 2",
        ),
        (lambda e: [e[1], e[0], *e[2:]], "entry 2 stands where 1 should be"),
        (lambda e: [replace(e[0], hash=""), *e[1:]], "entry 1 was changed"),
    ],
)
def test_nothing_of_the_audit_log_can_be_changed_unseen(tampered, why: str) -> None:
    assert broken_link(tampered(audit_of(5))).startswith(why)


def test_the_audit_log_goes_on_where_it_stood() -> None:
    """From its last entry alone; where the journal stands is no part of the chain."""
    entries = audit_of(5)
    fold = Audit(SET, entries[2])
    assert fold.take_event(said.command(2), 2) == []  # seen
    [change] = fold.take_event(said.command(3), 3)
    assert change.value == entries[3]
    [moved] = Audit(SET, replace(entries[2], offset=90)).take_event(said.command(3), 91)
    assert moved.value == replace(entries[3], offset=91)


def test_the_last_rejects_are_kept() -> None:
    fold = Rejects(SET)
    changes: list[Change] = []
    for number in range(REJECTS_KEPT + 2):
        changes += fold.take(said.rejected(number), 3, number)
    kept = [one for one in values(changes).values() if isinstance(one, RejectView)]
    assert [kept[0].offset, kept[-1].offset, len(kept)] == [2, REJECTS_KEPT + 1, REJECTS_KEPT]
    assert kept[0].rejected == said.rejected(2)
    again = Rejects(SET, kept)
    assert again.take(said.rejected(5), 3, 5) == []


class Nothing:
    """A table in which nothing is known."""

    def known(self, netting_set: str) -> list[msgspec.Struct]:
        return []


def empty() -> Projection:
    views = ("windows", "batches", "activity", "rejects", "audit")
    return Projection({view: Nothing() for view in views})


def as_read(*messages, partition: int = 0) -> list[Record]:
    made = [record(message) for message in messages]
    return [Record(r.topic, partition, n, r.key, r.value) for n, r in enumerate(made)]


def test_what_cannot_be_read_is_left_out_and_said_so() -> None:
    projection = empty()
    good = as_read(said.window(1, "OPEN"), said.command(1))
    bad = Record("journal", 0, 2, good[0].key, b"{")
    before = metrics.left_out.labels("journal")._value.get()
    changes = projection.journal([good[0], bad, good[1]])
    assert [change.view for change in changes] == ["windows", "audit"]
    assert metrics.left_out.labels("journal")._value.get() == before + 1

    read = as_read(outcomes(1, [0, 0]), outcomes(2, [0]))
    broken = Record("outcomes", 0, 5, read[0].key, b"no arrow")
    [change] = projection.outcomes([read[0], broken, read[1]])
    assert isinstance(change.value, ActivityView)
    assert change.value.accepted == 3


def test_a_netting_set_in_anothers_partition_changes_nothing() -> None:
    projection = empty()
    projection.journal(as_read(said.command(1)))
    other = Record(
        "journal",
        0,
        9,
        b"event/1",
        (as_read(said.command(2))[0].value or b"").replace(b'"hk"', b'"eu"'),
    )
    assert projection.journal([other]) == []
    assert projection.netting_sets == [SET]


def test_one_change_a_key_however_many_records() -> None:
    read = as_read(*(said.window(1, state) for state in ("OPEN", "PENDING_SETTLEMENT", "SETTLED")))
    [change] = empty().journal(read)
    assert change.value is not None
    assert change.value.state == "SETTLED"  # pyright: ignore[reportAttributeAccessIssue]
