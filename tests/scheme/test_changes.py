"""From a scheme to commands: idempotent by content, and the difference to what was published before."""

import hashlib
import json
import re
from dataclasses import replace
from datetime import date, timedelta
from itertools import pairwise

import msgspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from clearing.core.commands import (
    Command,
    Fund,
    OpenAccount,
    RegisterAsset,
    RegisterParticipant,
    SetCalendar,
    SetCap,
    SetCutoffs,
    SetStatus,
)
from clearing.intake import control
from clearing.scheme.changes import HORIZON_DAYS, RENEW_DAYS, Changes, find_changes, to_commands
from clearing.scheme.model import Scheme
from clearing.scheme.parse import parse
from clearing.scheme.standing import Published

TODAY = date(2026, 11, 23)
BASE = """
name = "Test"
[calendars.hk]
zone = "Asia/Hong_Kong"
holidays = [2026-12-25, 2027-06-09]
[netting_sets.main]
calendar = "hk"
[assets.HKD]
netting_set = "main"
issuer = "HKMA"
ledger = "postgres"
scale = 2
kind = "cash"
cutoffs = ["12:00", "17:00"]
accounts = { prefunded = "50", net_debit_cap = "100" }
[participants.BANKA]
name = "Bank A"
[participants.BANKB]
name = "Bank B"
"""


def scheme_of(text: str = BASE, *edits: tuple[str, str]) -> Scheme:
    for old, new in edits:
        assert old in text
        text = text.replace(old, new)
    scheme = parse(text)
    assert isinstance(scheme, Scheme), scheme
    return scheme


def loaded(*schemes: Scheme, today: date = TODAY) -> Published:
    """What is there after each of these was loaded."""
    published = Published("main")
    for scheme in schemes:
        assert find_changes(scheme, published, "ops", today).refusals == []
    return published


def changes(published: Published, scheme: Scheme, today: date = TODAY) -> Changes:
    return find_changes(scheme, published, "ops", today)


def test_everything_in_the_order_of_registration() -> None:
    commands = to_commands(scheme_of(), "main", "ops", TODAY)
    assert [type(command) for command in commands] == [
        SetCalendar,
        RegisterAsset,
        SetCutoffs,
        RegisterParticipant,
        RegisterParticipant,
        OpenAccount,
        OpenAccount,
    ]
    assert {command.by for command in commands} == {"ops"}
    assert all(re.fullmatch(r"scheme:[0-9a-f]{40}", command.id) for command in commands)


def test_command_ids_are_a_format() -> None:
    """Another id for the same content would apply it twice: change this knowingly."""
    *_, last = to_commands(scheme_of(), "main", "ops", TODAY)
    content = (
        b'main|{"type":"open_account","participant":"BANKB","asset":"HKD","prefunded":"50.00",'
        b'"net_debit_cap":"100.00","overdraft":null,"id":"","by":""}'
    )
    assert last.id == "scheme:" + hashlib.sha256(content).hexdigest()[:40]


def test_ids_differ_between_netting_sets_and_do_not_know_who_asked() -> None:
    one = to_commands(scheme_of(), "main", "ops", TODAY)
    other = scheme_of(BASE.replace("main", "other"))
    assert not {c.id for c in one} & {c.id for c in to_commands(other, "other", "ops", TODAY)}
    assert [c.id for c in one] == [c.id for c in to_commands(scheme_of(), "main", "x", TODAY)]


@given(st.text(min_size=1, max_size=140))
@example("Zürich 銀行 \U0001f3e6")
def test_intake_reads_every_command_whatever_the_names(name: str) -> None:
    """What `scheme check` lets through is not refused at the door."""
    quoted = json.dumps(name, ensure_ascii=False).replace("\x7f", "\\u007f")
    scheme = parse(BASE.replace('"Bank A"', quoted))
    for command in to_commands(scheme, "main", "ops", TODAY) if isinstance(scheme, Scheme) else ():
        item = control.read(0, 0, msgspec.json.encode(command))
        assert item.message == command, item.reject


def test_loading_again_changes_nothing() -> None:
    assert changes(loaded(scheme_of()), scheme_of()).changes == []


def test_what_was_published_is_read_back_from_its_bytes() -> None:
    published = Published("main")
    for command in to_commands(scheme_of(), "main", "ops", TODAY):
        published.apply_record(msgspec.json.encode(command))
    for foreign in (None, b"", b"no json", b'{"type":"unknown"}', b"\xff", b"[" * 100_000):
        published.apply_record(foreign)
    assert changes(published, scheme_of()).changes == []


# Each row: what is edited, and the texts of the changes that come of it.
@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ('net_debit_cap = "100"', 'net_debit_cap = "200"', [
            "account of BANKA in HKD: net debit cap 100.00 → 200.00, overdraft 100.00 → 200.00",
            "account of BANKB in HKD: net debit cap 100.00 → 200.00, overdraft 100.00 → 200.00",
        ]),
        ('net_debit_cap = "100"', 'net_debit_cap = "100.00"', []),
        ('prefunded = "50"', 'prefunded = "80"', [
            "account of BANKA in HKD: 30.00 paid in",
            "account of BANKB in HKD: 30.00 paid in",
        ]),
        ('prefunded = "50"', 'prefunded = "0"', [
            "account of BANKA in HKD: 50.00 paid out",
            "account of BANKB in HKD: 50.00 paid out",
        ]),
        ('name = "Bank A"', 'name = "Bank A"\naccounts.HKD = { overdraft = "7" }', [
            "account of BANKA in HKD: overdraft 100.00 → 7.00",
        ]),
        ('name = "Bank A"', 'name = "Bank of A"', [
            "participant BANKA: Bank A is called Bank of A",
        ]),
        ('name = "Bank B"', 'name = "Bank B"\n[participants.BANKC]', [
            "participant BANKC: BANKC",
            "account of BANKC in HKD: prefunded 50.00, net debit cap 100.00",
        ]),
        ('cutoffs = ["12:00", "17:00"]', "every_s = 5\nvalue_days_ahead = 1", [
            "asset HKD: every_s 0 → 5, value_days_ahead 0 → 1",
        ]),
        ('cutoffs = ["12:00", "17:00"]', "", ["no cut-offs of HKD"]),
        ('cutoffs = ["12:00", "17:00"]', 'cutoffs = ["12:00"]', ["cut-offs of HKD until 2027-12-28"]),
        # A holiday that was already in the calendar as published moves the cut-offs, too.
        ("2027-06-09", "2027-06-10", [
            "business days of calendar hk until 2027-12-28",
            "cut-offs of HKD until 2027-12-28",
        ]),
    ],
)  # fmt: skip
def test_an_edit_publishes_what_was_edited(old: str, new: str, expected: list[str]) -> None:
    edited = scheme_of(BASE, (old, new))
    published = loaded(scheme_of())
    found = changes(published, edited)
    assert [change.text for change in found.changes] == expected
    assert found.refusals == []
    assert changes(published, edited).changes == []


@settings(max_examples=20)
@given(st.lists(st.sampled_from(["100", "200", "300"]), min_size=1, max_size=6))
def test_a_cap_may_go_back_and_forth(caps: list[str]) -> None:
    published = loaded(scheme_of())
    ids: list[str] = []
    before = "100"
    for cap in caps:
        edited = scheme_of(BASE, ('net_debit_cap = "100"', f'net_debit_cap = "{cap}"'))
        found = changes(published, edited).commands
        assert len(found) == (2 if cap != before else 0)
        assert all(isinstance(command, SetCap) for command in found)
        ids += [command.id for command in found]
        before = cap
    assert len(set(ids)) == len(ids)


def test_two_who_find_the_same_difference_give_it_the_same_id() -> None:
    """So funding published twice moves once, whoever asked."""
    edited = scheme_of(BASE, ('prefunded = "50"', 'prefunded = "80"'))
    [one, _] = find_changes(edited, loaded(scheme_of()), "alice", TODAY).commands
    [two, _] = find_changes(edited, loaded(scheme_of()), "bob", TODAY).commands
    assert (one.id, type(one)) == (two.id, Fund)


def test_what_operators_did_by_command_counts() -> None:
    """A cap set by hand is set back to the file's; money moved by hand stays where it is."""
    published = loaded(scheme_of())
    by_hand: list[Command] = [
        SetCap(id="h1", by="op", participant="BANKA", asset="HKD", net_debit_cap="1"),
        Fund(id="h2", by="op", participant="BANKA", asset="HKD", amount="500"),
    ]
    assert [published.apply(command) for command in by_hand] == ["", ""]
    [change] = changes(published, scheme_of()).changes
    assert change.text.startswith("account of BANKA in HKD: net debit cap 1.00 → 100.00")


@pytest.mark.parametrize(
    ("old", "new", "refusal"),
    [
        ("scale = 2", "scale = 3", "asset HKD: scale 2 → 3: code, issuer, ledger and scale of a"),
        ('"HKMA"', '"Other"', "asset HKD: issuer HKMA → Other: code, issuer, ledger and scale of"),
    ],
)
def test_what_the_engine_refuses_is_a_refusal(old: str, new: str, refusal: str) -> None:
    found = changes(loaded(scheme_of()), scheme_of(BASE, (old, new)))
    assert len(found.refusals) == 1
    assert found.refusals[0].startswith(refusal)


def test_a_participant_that_was_closed_does_not_come_back_by_loading() -> None:
    published = loaded(scheme_of())
    published.apply(SetStatus(id="h1", by="op", participant="BANKA", status="CLOSED"))
    assert changes(published, scheme_of()).refusals == [
        "participant BANKA is closed: it cannot come back"
    ]
    gone = scheme_of(BASE, ('[participants.BANKA]\nname = "Bank A"', "[participants.BANKC]"))
    found = changes(published, gone)
    assert (found.refusals, found.notes) == ([], [])


def test_what_is_taken_out_of_the_file_stays_and_is_noted() -> None:
    found = changes(
        loaded(scheme_of()),
        scheme_of(
            BASE,
            ("[assets.HKD]", "[assets.CNH]"),
            ('[participants.BANKA]\nname = "Bank A"', "[participants.BANKC]"),
            ('name = "Bank B"', 'name = "Bank B"\naccounts.CNH = false'),
            ('"HKMA"', '"PBOC"'),
        ),
    )
    assert found.refusals == []
    assert found.notes == [
        "asset HKD is registered but not in the file: it stays",
        "participant BANKA is registered but not in the file: suspend or close it by command",
        "account of BANKB in HKD is open but not in the file: it stays",
    ]


def test_calendars_and_cutoffs_are_renewed_in_time_and_not_before() -> None:
    published = loaded(scheme_of())
    for days in (1, 30, HORIZON_DAYS - RENEW_DAYS - 7):
        later = TODAY + timedelta(days=days)
        assert changes(published, scheme_of(), later).changes == []
    renewed = changes(published, scheme_of(), TODAY + timedelta(days=HORIZON_DAYS - RENEW_DAYS + 1))
    assert [type(command) for command in renewed.commands] == [SetCalendar, SetCutoffs]


def test_a_calendar_renewed_follows_on_from_the_one_before() -> None:
    """Days that both calendars know open at the same instant, whenever they were worked out."""
    [first] = [
        c for c in to_commands(scheme_of(), "main", "o", TODAY) if isinstance(c, SetCalendar)
    ]
    for days in range(1, 20):
        later = TODAY + timedelta(days=days)
        [then] = [
            c for c in to_commands(scheme_of(), "main", "o", later) if isinstance(c, SetCalendar)
        ]
        known = {day.date: day.opens_at_ms for day in first.days}
        common = [day for day in then.days if day.date in known]
        assert all(known[day.date] == day.opens_at_ms for day in common)
        assert all(before.date < after.date for before, after in pairwise(then.days))


def test_switching_between_schedules_and_back_leaves_no_old_cutoff_behind() -> None:
    every = scheme_of(BASE, ('cutoffs = ["12:00", "17:00"]', "every_s = 5"))
    by_command = scheme_of(BASE, ('cutoffs = ["12:00", "17:00"]', ""))
    published = loaded(scheme_of(), every)
    found = changes(published, by_command)
    assert [change.text for change in found.changes] == [
        "asset HKD: every_s 5 → 0",
        "no cut-offs of HKD",
    ]
    assert published.cutoffs["HKD"] == []


def test_a_calendar_taken_away_makes_every_utc_day_a_business_day() -> None:
    own = 'cutoffs = ["12:00", "17:00"]\nzone = "Asia/Hong_Kong"\ncalendar = "hk"'
    edited = scheme_of(BASE, ('\ncalendar = "hk"', ""), ('cutoffs = ["12:00", "17:00"]', own))
    [change] = changes(loaded(scheme_of()), edited).changes
    assert change.text == "no calendar"
    assert isinstance(change.command, SetCalendar)
    assert change.command.days == []


def test_accounts_of_another_netting_set_are_left_alone() -> None:
    two = scheme_of(BASE + "[netting_sets.other]\n" + BASE[BASE.index("[assets") :].split("[part")[0]
        .replace("assets.HKD", "assets.EUR").replace('"main"', '"other"').replace("HKMA", "ECB")
        .replace('cutoffs = ["12:00", "17:00"]', ""))  # fmt: skip
    assert changes(loaded(scheme_of()), two).changes == []
    commands = to_commands(two, "other", "ops", TODAY)
    assert {c.asset for c in commands if isinstance(c, OpenAccount)} == {"EUR"}


def test_an_empty_scheme_of_a_netting_set_has_no_accounts() -> None:
    nobody = replace(scheme_of(), accounts=())
    assert not [c for c in to_commands(nobody, "main", "o", TODAY) if isinstance(c, OpenAccount)]
