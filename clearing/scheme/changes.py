"""The commands that make a netting set what its scheme says: from nothing, or from what was published before.

Command ids come from content and from the command before about the same subject. So the same difference has the
same id whoever finds it (published twice, applied once), and a cap that goes 100, 200, 100 is three commands.

Where four eyes are required (R33) what needs them is proposed: it counts when somebody else approves it, and as
long as nobody has, loading again proposes nothing twice.
"""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import date

import msgspec

from clearing.core.approvals import MAX_PROPOSALS, needs_approval
from clearing.core.commands import (
    Command,
    Proposable,
    Propose,
    RegisterAsset,
    SetCutoffs,
    Withdraw,
)
from clearing.scheme import account_drafts, drafts
from clearing.scheme.drafts import Draft
from clearing.scheme.leftovers import leftovers
from clearing.scheme.model import Asset, Pair, Scheme
from clearing.scheme.proposals import proposal_of
from clearing.scheme.standing import ID_PREFIX, Published, subject_of
from clearing.scheme.timetable import HORIZON_DAYS, RENEW_DAYS, Timetable

__all__ = [
    "HORIZON_DAYS",
    "RENEW_DAYS",
    "Change",
    "Changes",
    "Proposed",
    "find_changes",
    "to_commands",
]


@dataclass(frozen=True, slots=True)
class Change:
    """A command to publish, and what it does in words."""

    command: Command
    text: str


@dataclass(frozen=True, slots=True)
class Proposed(Change):
    """A change that takes effect when somebody else approves it."""

    command: Propose


@dataclass(slots=True)
class Changes:
    """What loading a scheme does to one netting set.

    refusals: nothing may be published as long as there are any. proposed: what takes effect only when somebody else
    approves it, in the order to approve it in; the part of it that an earlier loading has published is no change.
    notes: what the file does not say and loading therefore leaves alone.
    """

    netting_set: str
    changes: list[Change] = field(default_factory=list[Change])
    refusals: list[str] = field(default_factory=list[str])
    proposed: list[Proposed] = field(default_factory=list[Proposed])
    notes: list[str] = field(default_factory=list[str])

    @property
    def commands(self) -> list[Command]:
        return [change.command for change in self.changes]

    @property
    def waiting(self) -> list[Proposed]:
        """Proposals of an earlier loading that this one needs, too, and nobody has approved."""
        return [change for change in self.proposed if change not in self.changes]


def to_commands(
    scheme: Scheme,
    netting_set: str,
    by: str,
    today: date,
    horizon_days: int = HORIZON_DAYS,
) -> list[Command]:
    """Everything a netting set needs, in the order of registration, for an engine that knows nothing yet."""
    changes = find_changes(scheme, Published(netting_set), by, today, horizon_days)
    assert not changes.refusals, f"a checked scheme is refused: {changes.refusals[0]}"
    return changes.commands


def find_changes(
    scheme: Scheme,
    published: Published,
    by: str,
    today: date,
    horizon_days: int = HORIZON_DAYS,
) -> Changes:
    """What is between `published` and the scheme. `today`: the UTC date.

    `published` is moved on by this call, to where it is when all that is proposed was approved.
    """
    timetable = Timetable(today, horizon_days)
    finder = _Finder(scheme, published, by, timetable, Changes(published.netting_set))
    finder.find()
    return finder.found


@dataclass(slots=True)
class _Finder:
    scheme: Scheme
    published: Published
    by: str
    timetable: Timetable
    found: Changes
    four_eyes: bool = False
    proposed_assets: set[str] = field(default_factory=set[str])

    def find(self) -> None:
        published = self.published
        home = self.scheme.netting_sets[published.netting_set]
        self.four_eyes = published.four_eyes
        if not self.four_eyes:
            self._withdraw_proposals()  # what they propose is published itself now
        self._publish(self.timetable.calendar(home.calendar, published.calendar))
        for asset in self.scheme.assets_of(home.name):
            self._asset(asset)
        self._participants()
        self._accounts()
        for pair in self.scheme.pairs_of(home.name):
            if all(self._as_published(self.scheme.assets[name]) for name in _names(pair)):
                self._publish(drafts.pair(pair, published))
        self._publish(drafts.four_eyes(home.four_eyes, published))
        if self.four_eyes:
            self._withdraw_proposals()
            self._count_proposals()
        self.found.notes += leftovers(self.scheme, published)

    def _count_proposals(self) -> None:
        """The engine keeps so many; those that are left in `published` now are operators' own."""
        there = len(self.found.proposed) + len(self.published.proposals)
        if there > MAX_PROPOSALS:
            self.found.refusals.append(
                f"{there} proposals would be open, {MAX_PROPOSALS} may be: load fewer changes at once"
            )

    def _asset(self, asset: Asset) -> None:
        published = self.published
        self._publish(drafts.asset(asset, published))
        if not self._as_published(asset):
            return
        self._cutoffs(asset)
        self._publish(drafts.pool(asset, published))
        self._publish(drafts.valuation(asset, published))

    def _as_published(self, asset: Asset) -> bool:
        """Else the asset was refused, which has been said: its amounts cannot be compared."""
        return self.published.assets.get(asset.spec.id) == asset.spec

    def _participants(self) -> None:
        name = self.published.netting_set
        for participant in self.scheme.participants.values():
            if name not in participant.netting_sets:
                continue
            if participant.id in self.published.closed:
                self.found.refusals.append(
                    f"participant {participant.id} is closed: it cannot come back"
                )
                continue
            self._publish(drafts.participant(participant, self.published))
            if self.scheme.has_valuations(name):
                self._publish(drafts.short_limit(participant, self.published))

    def _accounts(self) -> None:
        """Limits come last: they are between accounts."""
        accounts = [
            (account, self.scheme.assets[account.asset].spec.scale)
            for account in self.scheme.accounts_of(self.published.netting_set)
            if self._as_published(self.scheme.assets[account.asset])
        ]
        for account, scale in accounts:
            self._publish(account_drafts.account(account, scale, self.published))
        for account, scale in accounts:
            self._publish(account_drafts.limits(account, scale, self.published))

    def _publish(self, found: Iterable[Draft]) -> None:
        """Give each command its id, ask the engine's rules about it, and publish or propose it."""
        for text, draft in found:
            command = self._signed(draft)
            proposal = self._open_proposal(command)
            if proposal is None and self._is_to_be_proposed(command):
                proposal = proposal_of(command)
            if proposal is not None:
                self._propose(text, proposal)
            elif reason := self.published.apply(command):
                self.found.refusals.append(f"{text}: {reason}")
            else:
                self.found.changes.append(Change(command, text))

    def _signed(self, draft: Proposable) -> Proposable:
        before = self.published.last.get(subject_of(draft), "")
        content = msgspec.json.encode(msgspec.structs.replace(draft, id=before))
        digest = hashlib.sha256(self.published.netting_set.encode() + b"|" + content).hexdigest()
        return msgspec.structs.replace(draft, id=ID_PREFIX + digest[:40], by=self.by)

    def _is_to_be_proposed(self, command: Proposable) -> bool:
        """Also cut-offs of an asset that is not registered that way before somebody approves it."""
        if isinstance(command, SetCutoffs) and command.asset in self.proposed_assets:
            return True
        return self.four_eyes and needs_approval(command)

    def _propose(self, text: str, proposal: Propose) -> None:
        """Propose it unless it is proposed already, and count on it in what comes after it."""
        is_new = proposal.id not in self.published.proposals
        reason = self.published.apply(proposal) if is_new else ""
        if reason := reason or self.published.approve(proposal):
            self.found.refusals.append(f"{text}: {reason}")
            return
        self.found.proposed.append(Proposed(proposal, text))
        if is_new:
            self.found.changes.append(self.found.proposed[-1])
        if isinstance(proposal.command, RegisterAsset):
            self.proposed_assets.add(proposal.command.asset.id)

    def _open_proposal(self, command: Proposable) -> Propose | None:
        """Whoever proposed it: the same difference has the same command id."""
        proposals = self.published.proposals.values()
        return next((each for each in proposals if each.command.id == command.id), None)

    def _cutoffs(self, asset: Asset) -> None:
        """Cut-offs proposed with their asset may wait for days: what they say of the days to come still holds."""
        name = asset.spec.id
        for proposal in list(self.published.proposals.values()):
            command = proposal.command
            if not isinstance(command, SetCutoffs) or command.asset != name:
                continue
            if _is_ours(proposal) and not any(self.timetable.cutoffs(asset, command.cutoffs_ms)):
                self._propose(f"cut-offs of {name}", proposal)
                return
        self._publish(self.timetable.cutoffs(asset, self.published.cutoffs.get(name, [])))

    def _withdraw_proposals(self) -> None:
        """Take back what an earlier loading proposed and the file says no longer, first of all: it makes room."""
        withdrawn: list[Change] = []
        for proposal in filter(_is_ours, list(self.published.proposals.values())):
            digest = hashlib.sha256(f"withdraw|{proposal.id}".encode()).hexdigest()
            command = Withdraw(id=ID_PREFIX + digest[:40], by=self.by, proposal=proposal.id)
            reason = self.published.apply(command)
            assert not reason, f"the open proposal {proposal.id} cannot be withdrawn: {reason}"
            text = f"proposal {proposal.id} is withdrawn: the file has come to say something else"
            withdrawn.append(Change(command, text))
        self.found.changes[:0] = withdrawn


def _names(pair: Pair) -> tuple[str, str]:
    return pair.delivery, pair.payment


def _is_ours(proposal: Propose) -> bool:
    """Made by loading a scheme, not by an operator."""
    return proposal.command.id.startswith(ID_PREFIX)
