"""The commands that make a netting set what its scheme says: from nothing, or from what was published before.

Command ids come from content and from the command before about the same subject. So the same difference has the
same id whoever finds it (published twice, applied once), and a cap that goes 100, 200, 100 is three commands.
"""

import hashlib
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta

import msgspec

from clearing.core.commands import (
    Command,
    Fund,
    OpenAccount,
    RegisterAsset,
    RegisterParticipant,
    SetCalendar,
    SetCap,
    SetCutoffs,
)
from clearing.core.money import parse, show
from clearing.core.registry import AssetSpec, BusinessDay
from clearing.scheme.calendars import business_days, cutoff_instants_ms
from clearing.scheme.model import Account, Asset, Scheme
from clearing.scheme.standing import ID_PREFIX, Published, Standing, subject_of

HORIZON_DAYS = 400
# Calendars and cut-offs are published anew when less than this is left of them.
RENEW_DAYS = 200


@dataclass(frozen=True, slots=True)
class Change:
    """A command to publish, and what it does in words."""

    command: Command
    text: str


@dataclass(slots=True)
class Changes:
    """What loading a scheme does to one netting set. refusals: nothing may be published as long as there are
    any. notes: what the file does not say and loading therefore leaves alone."""

    netting_set: str
    changes: list[Change] = field(default_factory=list[Change])
    refusals: list[str] = field(default_factory=list[str])
    notes: list[str] = field(default_factory=list[str])

    @property
    def commands(self) -> list[Command]:
        return [change.command for change in self.changes]


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
    """What is between `published` (moved on by this call) and the scheme. `today`: the UTC date."""
    finder = _Finder(scheme, published, by, today, horizon_days, Changes(published.netting_set))
    finder.find()
    return finder.found


@dataclass(slots=True)
class _Finder:
    scheme: Scheme
    published: Published
    by: str
    today: date
    horizon_days: int
    found: Changes

    def find(self) -> None:
        name = self.published.netting_set
        self._calendar()
        for asset in self.scheme.assets_of(name):
            self._asset(asset)
        for participant in self.scheme.participants.values():
            if name in participant.netting_sets:
                self._participant(participant.id, participant.name)
        for account in self.scheme.accounts_of(name):
            if self._as_published(self.scheme.assets[account.asset]):
                self._account(account)
        self._note_what_is_left()

    def _as_published(self, asset: Asset) -> bool:
        """Else the asset was refused, which has been said: its amounts cannot be compared."""
        return self.published.assets.get(asset.spec.id) == asset.spec

    def _publish(self, text: str, command: Command) -> None:
        """Give the command its id, and ask the engine's rules about it."""
        before = self.published.last.get(subject_of(command), "")
        content = msgspec.json.encode(msgspec.structs.replace(command, id=before, by=""))
        digest = hashlib.sha256(self.published.netting_set.encode() + b"|" + content).hexdigest()
        command = msgspec.structs.replace(command, id=ID_PREFIX + digest[:40])
        if reason := self.published.apply(command):
            self.found.refusals.append(f"{text}: {reason}")
        else:
            self.found.changes.append(Change(command, text))

    def _calendar(self) -> None:
        calendar = self.scheme.netting_sets[self.published.netting_set].calendar
        wanted = business_days(calendar, self.today, self.horizon_days) if calendar else []
        before = self.published.calendar
        today = _days(self.today)
        if not self._same(
            [(day.date, day) for day in before], [(day.date, day) for day in wanted], today, 1
        ):
            text = f"business days of calendar {calendar.name}" if calendar else "no calendar"
            self._publish(
                f"{text}{_until([_date(day) for day in wanted])}",
                SetCalendar(id="", by=self.by, days=wanted),
            )

    def _asset(self, asset: Asset) -> None:
        spec, before = asset.spec, self.published.assets.get(asset.spec.id)
        if before is None:
            text = f"asset {spec.id}: {spec.code} of {spec.issuer} on {spec.ledger}"
            self._publish(text, RegisterAsset(id="", by=self.by, asset=spec))
        elif before != spec:
            text = f"asset {spec.id}: {_differences(before, spec)}"
            self._publish(text, RegisterAsset(id="", by=self.by, asset=spec))
        if spec.every_s:
            return
        schedule = asset.schedule
        wanted = cutoff_instants_ms(schedule, self.today, self.horizon_days) if schedule else []
        known = self.published.cutoffs.get(spec.id, [])
        midnight = int(datetime.combine(self.today, time(), UTC).timestamp()) * 1000
        day_ms = 86_400_000
        if not self._same(
            [(at, at) for at in known], [(at, at) for at in wanted], midnight, day_ms
        ):
            text = f"cut-offs of {spec.id}" if wanted else f"no cut-offs of {spec.id}"
            dates = [datetime.fromtimestamp(at // 1000, UTC).date() for at in wanted]
            command = SetCutoffs(id="", by=self.by, asset=spec.id, cutoffs_ms=wanted)
            self._publish(f"{text}{_until(dates)}", command)

    def _same(
        self,
        known: list[tuple[int, object]],
        wanted: list[tuple[int, object]],
        today: int,
        day: int,
    ) -> bool:
        """Whether what is known says, from today on, the same as what is wanted, and reaches far enough.

        Pairs of (when, what), ascending; `today` and `day` in the unit of `when`.
        """
        known, wanted = [[pair for pair in pairs if pair[0] >= today] for pairs in (known, wanted)]
        if not known or not wanted:
            return not known and not wanted
        common = min(known[-1][0], wanted[-1][0])
        enough = today + min(RENEW_DAYS, self.horizon_days // 2) * day
        return known[-1][0] >= min(enough, wanted[-1][0]) and (
            [pair for pair in known if pair[0] <= common]
            == [pair for pair in wanted if pair[0] <= common]
        )

    def _participant(self, participant: str, name: str) -> None:
        before = self.published.participants.get(participant)
        if participant in self.published.closed:
            self.found.refusals.append(f"participant {participant} is closed: it cannot come back")
        elif before != name:
            text = f"participant {participant}"
            text += f": {name}" if before is None else f": {before} is called {name}"
            command = RegisterParticipant(id="", by=self.by, participant=participant, name=name)
            self._publish(text, command)

    def _account(self, account: Account) -> None:
        key = account.participant, account.asset
        before = self.published.accounts.get(key)
        wanted = self._wanted(account, before.overdraft if before else 0)
        label = f"account of {account.participant} in {account.asset}"
        if before is None:
            command = OpenAccount(
                id="",
                by=self.by,
                participant=account.participant,
                asset=account.asset,
                prefunded=account.prefunded,
                net_debit_cap=account.net_debit_cap,
                overdraft=account.overdraft,
            )
            text = f"prefunded {account.prefunded}, net debit cap {account.net_debit_cap}"
            self._publish(f"{label}: {text}", command)
            return
        scale = self.scheme.assets[account.asset].spec.scale
        if (before.net_debit_cap, before.overdraft) != (wanted.net_debit_cap, wanted.overdraft):
            text = ", ".join(
                f"{name} {show(old, scale)} → {show(new, scale)}"
                for name, old, new in (
                    ("net debit cap", before.net_debit_cap, wanted.net_debit_cap),
                    ("overdraft", before.overdraft, wanted.overdraft),
                )
                if old != new
            )
            command = SetCap(
                id="",
                by=self.by,
                participant=account.participant,
                asset=account.asset,
                net_debit_cap=account.net_debit_cap,
                overdraft=account.overdraft,
            )
            self._publish(f"{label}: {text}", command)
        if moved := wanted.prefunded - before.prefunded:
            command = Fund(
                id="",
                by=self.by,
                participant=account.participant,
                asset=account.asset,
                amount=show(moved, scale),
            )
            way = "paid in" if moved > 0 else "paid out"
            self._publish(f"{label}: {show(abs(moved), scale)} {way}", command)

    def _wanted(self, account: Account, overdraft: int) -> Standing:
        """What the file says; where it names no overdraft, the ledger's stays unless the cap needs more (R9)."""
        scale = self.scheme.assets[account.asset].spec.scale
        prefunded, cap = parse(account.prefunded, scale), parse(account.net_debit_cap, scale)
        assert prefunded is not None
        assert cap is not None
        below = max(cap, overdraft)
        if account.overdraft is not None:
            below = parse(account.overdraft, scale)
        assert below is not None
        return Standing(prefunded, cap, below)

    def _note_what_is_left(self) -> None:
        """Taking something out of the file undoes nothing: who leaves is suspended or closed by command."""
        accounts = {(account.participant, account.asset) for account in self.scheme.accounts}
        members = self.scheme.members[self.published.netting_set]
        assets = {asset.spec.id for asset in self.scheme.assets_of(self.published.netting_set)}
        for name in sorted(self.published.assets.keys() - assets):
            self.found.notes.append(f"asset {name} is registered but not in the file: it stays")
        for name in sorted(self.published.participants.keys() - members - self.published.closed):
            self.found.notes.append(
                f"participant {name} is registered but not in the file: suspend or close it by command"
            )
        for participant, asset in sorted(self.published.accounts.keys() - accounts):
            if participant in members:
                self.found.notes.append(
                    f"account of {participant} in {asset} is open but not in the file: it stays"
                )


def _differences(before: AssetSpec, after: AssetSpec) -> str:
    """ "every_s 5 → 10, scale 2 → 3"."""
    names = [n for n in after.__struct_fields__ if getattr(before, n) != getattr(after, n)]
    return ", ".join(f"{n} {getattr(before, n)} → {getattr(after, n)}" for n in names)


def _days(day: date) -> int:
    return (day - date(1970, 1, 1)).days


def _date(day: BusinessDay) -> date:
    return date(1970, 1, 1) + timedelta(days=day.date)


def _until(dates: list[date]) -> str:
    return f" until {dates[-1]}" if dates else ""
