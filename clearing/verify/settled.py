"""Batches against the payments they settle: recomputed from outcomes and resolutions, version by version (R2, R6).

The first version of a window is what its members add up to. The next is the same sent again, or what a shortfall
made of it: less for those that bear it, or netted anew without what was taken out (R25).
"""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field, replace

import msgspec
import numpy as np

from clearing.core.commands import RegisterAsset, SettleWindow
from clearing.core.inputs import I32
from clearing.core.money import parse, show
from clearing.core.outputs import Entry, SettlementBatch, ShortfallEvent
from clearing.core.registry import AssetSpec, Delay
from clearing.core.shortfall import COLLATERAL, POOL
from clearing.verify.commands import Effective
from clearing.verify.facts import Facts
from clearing.verify.members import NEVER, AllMembers, window_of
from clearing.verify.models import (
    BILATERAL,
    Names,
    Part,
    model_of,
    model_shown,
    netted_anew,
    parts_of,
    set_off_faults,
)
from clearing.verify.report import Check, Findings
from clearing.verify.spooled import has_lines
from clearing.verify.tables import LogTable

Window = tuple[str, int]  # asset, number


@dataclass(slots=True)
class Journal:
    """What the journal says of windows, by what is asked of it.

    sent_at: log offset at which a batch was sent, by id. settled_again: (asset, window) → offsets of settle_window.
    current: the open window of each asset, by what the journal said last. empty: windows SETTLED without a batch.
    """

    sent_at: dict[str, int] = field(default_factory=dict[str, int])
    shortfalls: dict[tuple[str, int, int], list[ShortfallEvent]] = field(
        default_factory=dict[tuple[str, int, int], list[ShortfallEvent]]
    )
    settled_again: dict[Window, set[int]] = field(default_factory=dict[Window, set[int]])
    current: dict[str, int] = field(default_factory=dict[str, int])
    empty: set[Window] = field(default_factory=set[Window])

    @classmethod
    def of(cls, facts: Facts) -> "Journal":
        journal = cls()
        for event in facts.said.windows:
            if event.state == "OPEN":
                journal.current[event.asset] = event.window
            elif event.state == "PENDING_SETTLEMENT":
                journal.sent_at.setdefault(event.batch, event.log_offset)
            elif event.state == "SETTLED" and not event.batch:
                journal.empty.add((event.asset, event.window))
        for event in facts.said.shortfalls:
            key = (event.asset, event.window, event.version)
            journal.shortfalls.setdefault(key, []).append(event)
        for one in facts.commands:
            if isinstance(one.command, SettleWindow):
                key = (one.command.asset, one.command.window)
                journal.settled_again.setdefault(key, set()).add(one.log_offset)
        return journal


class Specs:
    """What each asset was at every place of the log, by its registrations."""

    def __init__(self, commands: Iterable[Effective]) -> None:
        self._specs: defaultdict[str, list[tuple[int, AssetSpec]]] = defaultdict(list)
        for one in commands:
            if isinstance(one.command, RegisterAsset):
                self._specs[one.command.asset.id].append((one.log_offset, one.command.asset))

    def between(self, asset: str, first: int, last: int) -> list[AssetSpec]:
        """What it was from the log record `first` to `last`: one, unless it was changed right there."""
        known = self._specs.get(asset, [])
        before = [spec for at, spec in known if at < first]
        return before[-1:] + [spec for at, spec in known if first <= at <= last]


def check_members(facts: Facts) -> Check:
    """Each batch is what its members add up to, by its asset's model; no accepted payment is left out (R2, R6)."""
    table, members, names = facts.table, facts.members, facts.names
    journal, specs = Journal.of(facts), Specs(facts.commands)
    found = Findings()
    windows = _by_window(table, members)
    sent: defaultdict[Window, list[SettlementBatch]] = defaultdict(list)
    for batch in facts.batches:
        _check_asset(batch, specs, found)
        if batch.kind != "funding":
            sent[batch.asset, batch.window].append(batch)
    versions = 0
    for window, of in sent.items():
        at = windows.get(window)
        if at is None:
            found.add(f"batch {of[0].sequence}: no payment was accepted in {_name(window)}")
        else:
            check = _WindowCheck(members, at, of, journal, specs, names, found)
            check.check()
            versions += len({batch.version for batch in of}) - 1
    in_batches = in_open = 0
    for window, at in windows.items():
        if window in journal.empty and (members.gone_at(at) == NEVER).any():
            found.add(f"{_name(window)} was SETTLED as empty and is not")
        if window in sent:
            in_batches += len(at)
        elif journal.current.get(window[0]) == window[1]:
            in_open += len(at)
            last = int(members.offset_of(at[-1:])[0])
            if all(
                spec.model.delay is Delay.IMMEDIATE for spec in specs.between(window[0], last, last)
            ):
                found.add(f"{_name(window)} is to be settled at once and is still open")
        else:
            found.add(f"{len(at):,} accepted payments of {_name(window)} are in no batch", len(at))
    return found.check(
        "batches are the sum of their payments",
        "R2 R3 R6",
        table.netting_set,
        f"{in_batches:,} payments in {len(sent):,} windows with a batch, "
        f"{in_open:,} in windows still open; {versions:,} later versions",
    )


def _check_asset(batch: SettlementBatch, specs: Specs, found: Findings) -> None:
    """R3: an asset is its code, issuer and ledger, which never change."""
    says = (batch.code, batch.issuer, batch.ledger, batch.scale)
    spec = next(iter(specs.between(batch.asset, batch.log_first, batch.log_last)), None)
    if spec is None or says != (spec.code, spec.issuer, spec.ledger, spec.scale):
        found.add(f"batch {batch.sequence} is of another asset than {batch.asset}")


def _by_window(table: LogTable, members: AllMembers) -> dict[Window, I32]:
    """Places of the members of each window in canonical order, by asset and number."""
    parts: defaultdict[int, list[I32]] = defaultdict(list)
    for place, some in members.pieces():
        order = np.argsort(some.key, kind="stable")
        keys = some.key[order]
        begins = np.flatnonzero(np.diff(keys, prepend=-1))
        for first, stop in zip(begins, [*begins[1:], len(keys)], strict=True):
            parts[int(keys[first])].append(place[order[first:stop]].astype(np.int32))
    windows: dict[Window, I32] = {}
    for key in sorted(parts):
        asset, number = window_of(key)
        windows[table.assets.names[asset], number] = np.concatenate(parts.pop(key))
    return windows


def _name(window: Window) -> str:
    return f"window {window[1]} of {window[0]}"


@dataclass(slots=True)
class _WindowCheck:
    """The batches of one window, in the order in which they were sent, against its members `at`."""

    members: AllMembers
    at: I32
    batches: list[SettlementBatch]
    journal: Journal
    specs: Specs
    names: Names
    found: Findings

    def check(self) -> None:
        firsts = [batch for batch in self.batches if batch.version == 1]
        first = firsts[0] if firsts else self.batches[0]
        if not firsts or [b.part for b in firsts] != list(range(1, first.parts + 1)):
            self._differ(first, "the parts of its window are not all there")
            return
        parts = self._check_first(firsts)
        last = {batch.part: batch for batch in firsts}
        for batch in self.batches:
            if batch.version == 1:
                continue
            before = last.get(batch.part)
            if before is None or batch.version != before.version + 1:
                self._differ(batch, f"version {batch.version} follows no version before it")
                return
            wanted = self._next(batch, before, parts[batch.part - 1])
            if wanted is None:
                self._differ(batch, f"nobody asked for version {batch.version} of its window")
                return
            self._compare(batch, wanted)
            if batch.parts != before.parts:
                self._differ(batch, "it has other parts than the version before")
            parts[batch.part - 1], last[batch.part] = wanted, batch

    def _check_first(self, firsts: list[SettlementBatch]) -> list[Part]:
        """The first version of each part; what it has to be."""
        first, members = firsts[0], self.members
        begun, ended = (int(at) for at in members.offset_of(self.at[[0, -1]]))
        closed_at = self.journal.sent_at.get(first.id, ended)
        specs = self.specs.between(first.asset, begun, closed_at)
        model = model_shown(first)
        if all(model_of(spec) != model for spec in specs):
            self._differ(first, f"it is {model}, which its asset is not")
        if (
            specs
            and all(spec.model.delay is Delay.IMMEDIATE for spec in specs)
            and begun != closed_at
        ):
            self._differ(
                first, "it was to be settled with the log record that accepted its payments"
            )
        parts = parts_of(model, members, self.at, self.names, first.scale)
        if len(parts) != first.parts or any(batch.parts != first.parts for batch in firsts):
            self._differ(first, f"its window has {len(parts)} parts, not {first.parts}")
            parts += [parts[-1]] * (first.parts - len(parts))
        for batch, part in zip(firsts, parts, strict=False):
            self._compare(batch, part)
        if _is_set_off(firsts) or all(spec.set_off for spec in specs):
            for fault in set_off_faults(first) if model == BILATERAL else ():
                self._differ(first, fault)
            if not any(spec.set_off for spec in specs):
                self._differ(first, "its asset has no set-off")
        return parts

    def _next(self, batch: SettlementBatch, before: SettlementBatch, part: Part) -> Part | None:
        """What the next version has to be; None if there is no reason for it."""
        sent_at = self.journal.sent_at.get(batch.id)
        key = (batch.asset, batch.window)
        if shortfalls := self.journal.shortfalls.get((*key, batch.version)):
            lines = part.entries(self.members, self.names, batch.scale)
            return replace(part, net=borne(lines, shortfalls, batch.scale), places=None)
        gone_at = self.members.gone_at(self.at)
        if sent_at is not None and (gone_at == sent_at).any():
            left = self.at[(gone_at == NEVER) | (gone_at > sent_at)]
            return netted_anew(self.members, left, self.names, batch.scale) if len(left) else None
        return part if sent_at in self.journal.settled_again.get(key, ()) else None

    def _differ(self, batch: SettlementBatch, what: str) -> None:
        self.found.add(f"batch {batch.sequence} ({_name((batch.asset, batch.window))}): {what}")

    def _compare(self, batch: SettlementBatch, part: Part) -> None:
        """Where a batch says something else than its members."""
        facts: dict[str, tuple[object, object]] = {
            "payments": (batch.payments, part.payments),
            "gross": (batch.gross, show(part.gross, batch.scale)),
            "log_first": (batch.log_first, part.log_first),
            "log_last": (batch.log_last, part.log_last),
            "members_root": (batch.members_root, part.members_root),
        }
        for fact, (says, is_) in facts.items():
            if says != is_:
                self._differ(batch, f"{fact} is {says}, its payments say {is_}")
        lines = part.entries(self.members, self.names, batch.scale)
        if batch.kind == "gross":
            if has_lines(batch, lines):
                return
            for number, (said, is_) in enumerate(zip(batch.entries, lines, strict=False), 1):
                if said != is_:
                    self._differ(batch, f"line {number} is {said}, not {is_}")
            if len(batch.entries) != len(lines):
                self._differ(batch, f"it has {len(batch.entries)} lines, not {len(lines)}")
            return
        said_lines = {_line(entry): _plain(entry, batch.scale) for entry in batch.entries}
        wanted = {_line(entry): entry for entry in lines}
        if len(said_lines) != len(batch.entries):
            self._differ(batch, "a participant, or a pair of them, has two entries")
        for line in sorted({*said_lines, *wanted}):
            if said_lines.get(line) != wanted.get(line):
                name = " with ".join(filter(None, line))
                self._differ(
                    batch, f"entry of {name} is {said_lines.get(line)}, not {wanted.get(line)}"
                )


def _is_set_off(batches: list[SettlementBatch]) -> bool:
    """Whether a line says so; two lines a payment never do."""
    return any(
        entry.set_off for batch in batches if batch.kind != "gross" for entry in batch.entries
    )


def _line(entry: Entry) -> tuple[str, str]:
    return entry.participant, entry.counterparty


def _plain(entry: Entry, scale: int) -> Entry:
    """The entry before set-off, which is checked by itself."""
    if not entry.set_off:
        return entry
    net, off = (parse(text, scale) or 0 for text in (entry.net, entry.set_off))
    return msgspec.structs.replace(entry, net=show(net - off, scale), set_off="")


def borne(entries: list[Entry], shortfalls: list[ShortfallEvent], scale: int) -> list[Entry]:
    """The entries after a waterfall: more for who was short, less for those that bear it, the scheme included."""
    changes: defaultdict[str, int] = defaultdict(int)
    for event in shortfalls:
        changes[event.participant] += parse(event.shortfall, scale) or 0
        changes[COLLATERAL] -= parse(event.collateral, scale) or 0
        changes[POOL] -= parse(event.pool, scale) or 0
        for name, text in event.survivors.items():
            changes[name] -= parse(text, scale) or 0
    nothing = show(0, scale)
    known = {entry.participant for entry in entries}
    fresh = [
        Entry(name, nothing, nothing, nothing, 0, 0)
        for name, units in changes.items()
        if units and name not in known
    ]
    return [_changed(entry, changes[entry.participant], scale) for entry in [*entries, *fresh]]


def _changed(entry: Entry, units: int, scale: int) -> Entry:
    """A change stands in debits, if it is less, or in credits."""
    net, debits, credits_ = (
        parse(text, scale) or 0 for text in (entry.net, entry.debits, entry.credits)
    )
    return msgspec.structs.replace(
        entry,
        net=show(net + units, scale),
        debits=show(debits + max(-units, 0), scale),
        credits=show(credits_ + max(units, 0), scale),
    )
