"""What the banks were told against what became of their payments: count and value per bank (R23, R41).

Dispatch is at least once with a sequence; a reader drops what it has seen, and so does the tally here.
"""

from dataclasses import dataclass, field

import msgspec
import numpy as np

from clearing.core.inputs import I64, Bool
from clearing.core.outputs import WindowEvent
from clearing.core.reasons import Code, Status
from clearing.messages import FinalRecord, StatusMessage, StatusRecord
from clearing.names import owner_of
from clearing.verify.accounting import Values
from clearing.verify.report import Check, Findings
from clearing.verify.sums import decimal_columns, show_value, values_by_asset
from clearing.verify.tables import NO_OUTCOME, LogTable, Names, Rows

decode_status = msgspec.json.Decoder(StatusMessage).decode


Bank = tuple[str, str]  # netting set, participant
Final = tuple[str, int, int, str, str]  # asset, window, version, status, hash of the batch

_PLAIN_STATUS = {Code.ACCEPTED: Status.ACSP, Code.QUEUED: Status.PDNG}


@dataclass(slots=True)
class Told:
    """What one bank was told, or is to be told, about one netting set.

    values: by kind (ACSP, PDNG, received) and asset; counts: of RJCT and of repeats, whose asset may be unknown.
    last: log offset of the last thing told.
    """

    values: dict[tuple[str, str], tuple[int, int]] = field(
        default_factory=dict[tuple[str, str], tuple[int, int]]
    )
    counts: dict[str, int] = field(default_factory=dict[str, int])
    finals: set[Final] = field(default_factory=set[Final])
    last: int = -1

    def add(self, kind: str, by_asset: Values) -> None:
        for asset, (count, value) in by_asset.items():
            before = self.values.get((kind, asset), (0, 0))
            self.values[(kind, asset)] = (before[0] + count, before[1] + value)

    def count(self, kind: str, more: int) -> None:
        if more:
            self.counts[kind] = self.counts.get(kind, 0) + more


class StatusTally:
    """Adds up one status topic. Feed it the topic's records in order.

    goals: by netting set, the log offset up to which it is verified; what was told beyond is left for next time.
    floors: see told_from.
    """

    def __init__(
        self, participant: str, goals: dict[str, int], floors: dict[Bank, int] | None = None
    ) -> None:
        self.participant = participant
        self._goals = goals
        self._floors = floors or {}
        self.told: dict[str, Told] = {}  # by netting set
        self.records = self.repeated = 0
        self.unreadable: list[str] = []
        self._seen: dict[str, tuple[int, int]] = {}

    def feed(self, values: list[bytes]) -> None:
        """Take in the next records; those seen before are dropped."""
        texts: dict[tuple[str, str, str], list[str]] = {}  # netting set, kind, asset -> amounts
        for value in values:
            try:
                message = decode_status(value)
            except msgspec.MsgspecError as error:
                self.unreadable.append(f"status of {self.participant}: {error}")
                continue
            floor = self._floors.get((message.netting_set, self.participant), -1)
            if not floor < message.log_offset < self._goals.get(message.netting_set, 0):
                continue
            place = (message.log_offset, message.index)
            if place <= self._seen.get(message.netting_set, (-1, -1)):
                self.repeated += 1
                continue
            self._seen[message.netting_set] = place
            self.records += 1
            told = self.told.setdefault(message.netting_set, Told())
            told.last = message.log_offset
            if isinstance(message, StatusRecord):
                _tally(message, told, texts)
            else:
                told.finals.add(_final(message))
        for (netting_set, kind, asset), amounts in texts.items():
            digits, decimals, _ = decimal_columns(amounts)
            same = np.zeros(len(amounts), np.int64)
            total = values_by_asset(same, digits, decimals)[0]
            self.told[netting_set].add(kind, {asset: total})


def _tally(message: StatusRecord, told: Told, texts: dict[tuple[str, str, str], list[str]]) -> None:
    name = message.netting_set
    for status in message.statuses:
        if status.repeat:
            told.count("repeat", 1)
        elif status.status == Status.RJCT:
            told.count(Status.RJCT, 1)
        else:
            texts.setdefault((name, status.status, status.asset), []).append(status.amount)
    for receipt in message.receipts:
        texts.setdefault((name, "received", receipt.asset), []).append(receipt.amount)


def _final(message: FinalRecord) -> Final:
    return (message.asset, message.window, message.version, message.status, message.hash)


def to_be_told(
    table: LogTable, rows: Rows, events: list[WindowEvent], floors: dict[Bank, int] | None = None
) -> dict[str, Told]:
    """By participant, everything log × outcomes say a bank must hear about this netting set.

    floors: see told_from; what was told up to there is left out.
    """
    owners = [""] * len(table.sources)
    for (topic, _), number in table.sources.items():
        owners[number] = owner_of(topic)
    names = Names()
    owner = np.array([names.add(name) for name in owners] or [-1], np.int64)[rows.source]
    creditor = np.array([names.add(n) for n in table.participants.names] or [-1], np.int64)[
        rows.creditor
    ]
    result: dict[str, Told] = {name: Told() for name in names.names}
    offsets = np.array(table.offsets or [-1], np.int64)
    where = offsets[rows.record]
    floor_of = {
        bank: floor for (name, bank), floor in (floors or {}).items() if name == table.netting_set
    }
    floor = np.array([floor_of.get(name, -1) for name in names.names] or [-1], np.int64)
    kept = where > floor[owner]
    received = rows.accepted & (where > floor[creditor])
    for code, status in _PLAIN_STATUS.items():
        mine = kept & rows.fresh & (rows.code == code) & ~rows.repeat
        _add_values(table, rows, result, names, owner, mine, status)
    _add_values(table, rows, result, names, creditor, received, "received")
    told = kept & rows.fresh & (rows.code != NO_OUTCOME) & (rows.code != Code.ALREADY_READ)
    negative = told & ~rows.repeat & (rows.code > Code.QUEUED)
    for kind, mine in ((str(Status.RJCT), negative), ("repeat", told & rows.repeat)):
        for number, count in enumerate(np.bincount(owner[mine], minlength=1).tolist()):
            if count:
                result[names.names[number]].count(kind, count)
    for who, mine in ((owner, told), (creditor, received)):
        last = np.full(max(len(names.names), 1), -1, np.int64)
        np.maximum.at(last, who[mine], where[mine])
        for number in np.flatnonzero(last >= 0).tolist():
            bank = result[names.names[number]]
            bank.last = max(bank.last, int(last[number]))
    _add_finals(events, result, floor_of)
    return {name: bank for name, bank in result.items() if bank.last >= 0}


def _add_values(
    table: LogTable,
    rows: Rows,
    result: dict[str, Told],
    names: Names,
    who: I64,
    mine: Bool,
    kind: str,
) -> None:
    width = max(len(table.assets.names), 1)
    keys = who[mine] * width + rows.asset[mine]
    found = values_by_asset(keys, rows.amount[mine], rows.decimals[mine])
    for key, total in found.items():
        bank = result[names.names[key // width]]
        bank.add(kind, {table.assets.names[key % width]: total})


def _add_finals(events: list[WindowEvent], result: dict[str, Told], floors: dict[str, int]) -> None:
    for event in events:
        status = {"SETTLED": "ACSC", "FAILED": "RJCT"}.get(event.state)
        for entry in event.entries:
            if event.log_offset <= floors.get(entry.participant, -1):
                continue
            bank = result.setdefault(entry.participant, Told())
            if status is not None:
                bank.finals.add((event.asset, event.window, event.version, status, event.hash))
            bank.last = max(bank.last, event.log_offset)


def check_statuses(
    wanted: dict[Bank, Told], tallies: list[StatusTally], unread: list[str]
) -> Check:
    """Each bank was told of each of its payments and receipts once, and how its windows ended (R23, R41).

    wanted: by (netting set, participant). unread: participants without a status topic.
    """
    found = Findings()
    told = {
        (netting_set, tally.participant): bank
        for tally in tallies
        for netting_set, bank in tally.told.items()
    }
    for tally in tallies:
        found.extend(tally.unreadable)
    behind = 0
    for key in sorted({*wanted, *told}):
        want, have = wanted.get(key, Told()), told.get(key, Told())
        if key[1] in unread:
            found.add(f"{key[1]} has no status topic")
        elif have.last < want.last:
            behind += 1  # counts cannot agree yet
        else:
            found.extend(_told_differences(key, want, have))
    if behind:
        found.wait_for(f"dispatch is behind for {behind} of {len(wanted)} banks")
    statuses = sum(
        sum(count for (kind, _), (count, _) in bank.values.items() if kind != "received")
        + sum(bank.counts.values())
        for bank in told.values()
    )
    receipts = sum(
        count
        for bank in told.values()
        for (kind, _), (count, _) in bank.values.items()
        if kind == "received"
    )
    finals = sum(len(bank.finals) for bank in told.values())
    repeated = sum(tally.repeated for tally in tallies)
    return found.check(
        "banks were told the truth",
        "R23 R41",
        "status topics",
        f"{statuses:,} statuses, {receipts:,} receipts and {finals:,} final notices of "
        f"{len(told):,} banks, by count and value; {repeated:,} records stood there twice",
    )


def _told_differences(bank: Bank, want: Told, have: Told) -> list[str]:
    where = f"{bank[1]} in {bank[0]}"
    differences: list[str] = []
    for kind, asset in sorted({*want.values, *have.values}):
        wanted, told = (side.values.get((kind, asset), (0, 0)) for side in (want, have))
        if wanted != told:
            differences.append(
                f"{where}: told {told[0]:,} {kind} of {show_value(told[1])} {asset}, "
                f"it were {wanted[0]:,} of {show_value(wanted[1])}"
            )
    differences += [
        f"{where}: told {have.counts.get(kind, 0):,} {kind}, it were {want.counts.get(kind, 0):,}"
        for kind in sorted({*want.counts, *have.counts})
        if want.counts.get(kind, 0) != have.counts.get(kind, 0)
    ]
    for final in sorted(want.finals ^ have.finals):
        side = "was not told" if final in want.finals else "was told wrongly"
        differences.append(f"{where}: {side} that window {final[1]} of {final[0]} is {final[3]}")
    return differences
