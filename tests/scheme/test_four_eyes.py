"""Loading a scheme where a second person has to approve (R33): proposed once, counted when approved."""

import hashlib
from datetime import timedelta

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clearing.core.approvals import MAX_PROPOSALS, content_hash
from clearing.core.commands import (
    Approve,
    Command,
    Propose,
    RequireApproval,
    SetCap,
    SetCutoffs,
    Withdraw,
)
from clearing.intake import control
from clearing.scheme.changes import Changes, find_changes, to_commands
from clearing.scheme.model import Scheme
from clearing.scheme.proposals import proposal_of
from clearing.scheme.standing import Published
from tests.scheme.test_changes import BASE, TODAY, scheme_of

STRICT = BASE.replace('calendar = "hk"\n', 'calendar = "hk"\nfour_eyes = true\n', 1)
CAP = 'net_debit_cap = "100"'
CNH = """
[assets.CNH]
netting_set = "main"
issuer = "PBOC"
ledger = "postgres"
scale = 2
kind = "cash"
cutoffs = ["16:00"]
accounts = {}
"""


class Topic:
    """The topic of commands: what is loaded, what people do, and what it has made by now."""

    def __init__(self) -> None:
        self.values: list[bytes] = []

    def load(self, scheme: Scheme, by: str = "alice", days: int = 0) -> Changes:
        found = find_changes(scheme, self.published(), by, TODAY + timedelta(days=days))
        if not found.refusals:
            self.say(*found.commands)
        return found

    def say(self, *commands: Command) -> None:
        self.values += [msgspec.json.encode(command) for command in commands]

    def published(self) -> Published:
        published = Published("main")
        for value in self.values:
            published.apply_record(value)
        return published

    def approve(self, *proposals: Propose, by: str = "bob") -> None:
        for each in proposals:
            self.say(
                Approve(
                    id=f"ok-{len(self.values)}",
                    by=by,
                    proposal=each.id,
                    hash=content_hash(each.command),
                )
            )


def strict(*edits: tuple[str, str]) -> Scheme:
    return scheme_of(STRICT, *edits)


def started() -> Topic:
    topic = Topic()
    assert topic.load(strict()).refusals == []
    return topic


def proposals(found: Changes) -> list[Propose]:
    return [c.command for c in found.proposed if isinstance(c.command, Propose)]


def test_the_first_load_ends_with_what_makes_the_next_ones_need_two() -> None:
    commands = to_commands(strict(), "main", "ops", TODAY)
    assert isinstance(commands[-1], RequireApproval)
    assert commands[-1].required
    assert not [command for command in commands if isinstance(command, Propose)]
    assert commands[:-1] == to_commands(scheme_of(), "main", "ops", TODAY)


def test_what_needs_two_is_proposed_and_the_rest_is_published() -> None:
    topic = started()
    found = topic.load(strict((CAP, 'net_debit_cap = "200"'), ("17:00", "18:00")))
    kinds = [type(command) for command in found.commands]
    assert kinds == [SetCutoffs, Propose, Propose]
    assert [change.text for change in found.proposed] == [
        "account of BANKA in HKD: net debit cap 100.00 → 200.00, overdraft 100.00 → 200.00",
        "account of BANKB in HKD: net debit cap 100.00 → 200.00, overdraft 100.00 → 200.00",
    ]
    assert found.waiting == []
    assert topic.published().accounts["BANKA", "HKD"].net_debit_cap == 100_00


def test_a_proposal_is_bound_to_the_commands_bytes() -> None:
    """STORED FORMAT: approvers compare this hash."""
    [first, _] = proposals(started().load(strict((CAP, 'net_debit_cap = "200"'))))
    command = first.command
    assert isinstance(command, SetCap)
    encoded = (
        b'{"type":"set_cap","participant":"BANKA","asset":"HKD","net_debit_cap":"200.00","overdraft":null,'
        b'"id":"' + command.id.encode() + b'","by":"alice"}'
    )
    assert msgspec.json.encode(command) == encoded
    assert content_hash(command) == hashlib.sha256(encoded).hexdigest()
    assert first.id == f"p-{content_hash(command)[:16]}"
    item = control.read(0, 0, msgspec.json.encode(first))
    assert item.message == first, item.reject


@pytest.mark.parametrize("by", ["alice", "carol"])
def test_loading_again_proposes_nothing_twice_whoever_loads(by: str) -> None:
    topic, changed = started(), strict((CAP, 'net_debit_cap = "200"'))
    first = topic.load(changed)
    again = topic.load(changed, by, days=1)
    assert again.changes == []
    assert again.waiting == first.proposed


def test_approved_it_counts_and_nothing_differs_any_more() -> None:
    topic, changed = started(), strict((CAP, 'net_debit_cap = "200"'))
    [one, two] = proposals(topic.load(changed))
    topic.approve(one)
    assert topic.published().accounts["BANKA", "HKD"].net_debit_cap == 200_00
    assert proposals(topic.load(changed)) == [two]
    topic.approve(two)
    after = topic.load(changed)
    assert (after.changes, after.proposed) == ([], [])


@pytest.mark.parametrize("spoilt", ["own", "hash", "proposal"])
def test_an_approval_that_is_refused_changes_nothing(spoilt: str) -> None:  # R33
    topic, changed = started(), strict((CAP, 'net_debit_cap = "200"'))
    [one, two] = proposals(topic.load(changed))
    approval = Approve(
        id="a",
        by="alice" if spoilt == "own" else "bob",
        proposal="p-other" if spoilt == "proposal" else one.id,
        hash=content_hash(two.command if spoilt == "hash" else one.command),
    )
    assert topic.published().apply(approval) != ""
    topic.say(approval, approval)
    assert proposals(topic.load(changed)) == [one, two]


def test_what_was_turned_down_can_be_proposed_again() -> None:
    topic, changed = started(), strict((CAP, 'net_debit_cap = "200"'))
    [one, two] = proposals(topic.load(changed))
    topic.say(Withdraw(id="w", by="bob", proposal=one.id))
    found = topic.load(changed)
    [again, kept] = proposals(found)
    assert (kept, found.waiting) == (two, [found.proposed[1]])
    assert again.command.id != one.command.id
    topic.approve(again, kept)
    assert topic.load(changed).proposed == []


def test_a_file_that_says_something_else_by_now_takes_its_proposals_back() -> None:
    topic = started()
    old = proposals(topic.load(strict((CAP, 'net_debit_cap = "200"'))))
    found = topic.load(strict((CAP, 'net_debit_cap = "300"')))
    assert [type(command) for command in found.commands] == [Withdraw, Withdraw, Propose, Propose]
    assert list(topic.published().proposals.values()) == proposals(found)
    back = topic.load(strict())
    assert [type(command) for command in back.commands] == [Withdraw, Withdraw]
    assert topic.published().proposals == {}
    topic.approve(*old)
    assert topic.published().accounts["BANKA", "HKD"].net_debit_cap == 100_00


def test_operators_proposals_are_none_of_its_business() -> None:
    topic = started()
    by_hand = proposal_of(
        SetCap(id="h1", by="op", participant="BANKA", asset="HKD", net_debit_cap="1")
    )
    topic.say(by_hand)
    found = topic.load(strict())
    assert (found.changes, found.proposed) == ([], [])
    topic.approve(by_hand)
    assert topic.published().accounts["BANKA", "HKD"].net_debit_cap == 1_00
    [change, *_] = topic.load(strict()).proposed
    assert change.text.startswith("account of BANKA in HKD: net debit cap 1.00 → 100.00")


def test_a_new_asset_is_proposed_whole_in_the_order_to_approve_it_in() -> None:
    """Its cut-offs too, though they need nobody: there is nothing to cut off before somebody approves."""
    topic, more = started(), scheme_of(STRICT + CNH)
    found = topic.load(more)
    kinds = [type(each.command).__name__ for each in proposals(found)]
    assert kinds == ["RegisterAsset", "SetCutoffs", "OpenAccount", "OpenAccount"]
    assert all(isinstance(command, Propose) for command in found.commands)
    tomorrow = topic.load(more, days=3)
    assert (tomorrow.changes, proposals(tomorrow)) == ([], proposals(found))
    topic.approve(*proposals(found))
    after = topic.load(more, days=3)
    assert (after.changes, after.proposed) == ([], [])


def test_approved_in_the_wrong_order_it_is_proposed_again() -> None:
    topic, more = started(), scheme_of(STRICT + CNH)
    asset, cutoffs, first, second = proposals(topic.load(more))
    topic.approve(second, asset, cutoffs, first)
    [again] = proposals(topic.load(more))
    assert type(again.command) is type(second.command)
    assert again.command.id != second.command.id
    topic.approve(again)
    assert topic.load(more).proposed == []


def test_what_the_engine_would_refuse_is_not_proposed() -> None:
    topic = started()
    found = topic.load(strict(("scale = 2", "scale = 3")))
    assert found.refusals[0].startswith("asset HKD: scale 2 → 3: code, issuer, ledger and scale of")


def test_ending_it_needs_two_and_then_one_is_enough() -> None:
    topic = started()
    off = strict(("four_eyes = true", "four_eyes = false"), (CAP, 'net_debit_cap = "200"'))
    cap_a, cap_b, last = proposals(topic.load(off))
    assert last.command == RequireApproval(id=last.command.id, by="alice", required=False)
    topic.approve(last)
    found = topic.load(off)
    assert [type(c) for c in found.commands] == [Withdraw, Withdraw, SetCap, SetCap]
    assert not {c.id for c in found.commands} & {cap_a.command.id, cap_b.command.id}
    assert topic.load(off).changes == []


def test_a_file_that_does_not_say_leaves_it_as_it_is_and_notes_it() -> None:
    found = started().load(scheme_of())
    assert found.changes == []
    assert found.notes == ["four eyes are required, which the file does not say: they stay"]


def test_more_than_the_engine_keeps_is_refused_at_once() -> None:
    topic = started()
    topic.say(
        *(
            proposal_of(
                SetCap(id=f"h{n}", by="o", participant="BANKA", asset="HKD", net_debit_cap="1")
            )
            for n in range(MAX_PROPOSALS - 1)
        )
    )
    found = topic.load(strict((CAP, 'net_debit_cap = "200"')))
    assert found.refusals == [
        f"{MAX_PROPOSALS + 1} proposals would be open, {MAX_PROPOSALS} may be: load fewer changes at once"
    ]


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["load", "approve", "withdraw", "reverse"]),
        st.sampled_from(["100", "200", "300"]),
        st.sampled_from(["50", "80", "10"]),
        st.booleans(),
    ),
    max_size=8,
)


@settings(max_examples=50, deadline=None)
@given(STEPS)
def test_whatever_happens_approving_all_that_is_left_makes_it_as_the_file_says(steps: list) -> None:
    """Loads of any versions, approvals in and out of order, withdrawals: it always comes to the last file."""
    topic, wanted = started(), strict()
    for what, cap, prefunded, has_more in steps:
        waiting = list(topic.published().proposals.values())
        if what == "load":
            text = STRICT + CNH if has_more else STRICT
            edits = (
                (CAP, f'net_debit_cap = "{cap}"'),
                ('prefunded = "50"', f'prefunded = "{prefunded}"'),
            )
            wanted = scheme_of(text, *edits)
            topic.load(wanted)
        elif what == "withdraw":
            topic.say(
                *(
                    Withdraw(id=f"w{len(topic.values)}{p.id}", by="eve", proposal=p.id)
                    for p in waiting[1:]
                )
            )
        else:
            topic.approve(*(waiting[::-1] if what == "reverse" else waiting[:2]))
    for _ in range(2):  # what was approved out of order before may have to be proposed again
        topic.approve(*proposals(topic.load(wanted)))
    found = topic.load(wanted)
    assert (found.changes, found.proposed, found.refusals) == ([], [], [])
    ids = [msgspec.json.decode(value)["id"] for value in topic.values]
    assert len(set(ids)) == len(ids)


def test_an_approval_that_comes_too_late_closes_its_proposal() -> None:
    """Somebody has used the command's id meanwhile: the proposal is gone, and what it proposed not done."""
    topic = started()
    proposal = proposal_of(
        SetCap(id="taken", by="op", participant="BANKA", asset="HKD", net_debit_cap="1")
    )
    topic.say(proposal, Withdraw(id="taken", by="eve", proposal="p-none"))
    topic.approve(proposal)
    published = topic.published()
    assert published.proposals == {}
    assert published.accounts["BANKA", "HKD"].net_debit_cap == 100_00
    assert topic.load(strict()).changes == []
