"""What the banks were told against what became of their payments: count and value per bank (R23, R41).

Dispatch is at least once with a sequence; a reader drops what it has seen, and so does the tally here.
"""

import hashlib
from collections import OrderedDict

import msgspec
import numpy as np

from clearing.core.reasons import Status
from clearing.messages import FinalRecord, StatusMessage, StatusRecord
from clearing.verify.report import Check, Findings
from clearing.verify.sums import decimal_columns, show_value, values_by_asset
from clearing.verify.tables import Bank, Names
from clearing.verify.told import (
    ANSWERED,
    ASKED,
    RECEIVED,
    REPEAT,
    REST,
    WITHDRAWN,
    Told,
    final_name,
)

decode_status = msgspec.json.Decoder(StatusMessage).decode


REMEMBERED = 4_096  # records of a status topic, with which a repeat is compared
_OF_OTHERS = (RECEIVED, WITHDRAWN, ASKED, ANSWERED)


class StatusTally:
    """Adds up one status topic. Feed it the topic's records in order.

    goals: by netting set, the log offset up to which it is verified; what was told beyond is left for next time.
    floors: see told_from. finals: see to_be_told.
    """

    def __init__(
        self,
        participant: str,
        goals: dict[str, int],
        finals: Names,
        floors: dict[Bank, int] | None = None,
    ) -> None:
        self.participant = participant
        self._finals = finals
        self._goals = goals
        self._floors = floors or {}
        self.told: dict[str, Told] = {}  # by netting set
        self.records = self.repeated = self.too_old = 0
        self.unreadable: list[str] = []
        self.order = Findings()
        self._seen: dict[str, tuple[int, int]] = {}
        self._recent: OrderedDict[tuple[str, int, int], bytes] = OrderedDict()

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
            seen = self._seen.get(message.netting_set, (-1, -1))
            if place <= seen:
                self.repeated += 1
                self._check_repeat((message.netting_set, *place), value)
                continue
            if message.index != (seen[1] + 1 if place[0] == seen[0] else 0):
                self.order.add(
                    f"status of {self.participant}: log offset {place[0]} of {message.netting_set} has number "
                    f"{place[1]}, and none before it"
                )
            self._seen[message.netting_set] = place
            self._remember((message.netting_set, *place), value)
            self.records += 1
            told = self.told.setdefault(message.netting_set, Told())
            told.last = message.log_offset
            if isinstance(message, StatusRecord):
                _tally(message, told, texts)
            else:
                told.finals.append(self._finals.add(_final(message)))
        for (netting_set, kind, asset), amounts in texts.items():
            digits, decimals, _ = decimal_columns(amounts)
            same = np.zeros(len(amounts), np.int64)
            total = values_by_asset(same, digits, decimals)[0]
            self.told[netting_set].add(kind, {asset: total})

    def forget(self) -> None:
        """The topic has ended."""
        self._recent.clear()

    def _remember(self, place: tuple[str, int, int], value: bytes) -> None:
        self._recent[place] = _digest(value)
        if len(self._recent) > REMEMBERED:
            self._recent.popitem(last=False)

    def _check_repeat(self, place: tuple[str, int, int], value: bytes) -> None:
        """Dispatch repeats what it may not have sent before it was stopped, and then it says the same."""
        known = self._recent.get(place)
        self.too_old += known is None
        if known is not None and known != _digest(value):
            self.order.add(
                f"status of {self.participant}: log offset {place[1]} of {place[0]} number {place[2]} comes again, "
                "and is another record"
            )


def _digest(value: bytes) -> bytes:
    return hashlib.blake2b(value, digest_size=16).digest()


def check_order(tallies: list[StatusTally]) -> Check:
    """Each bank's topic has every place (log offset, number) in order and without a hole; what stands there twice
    is the same record (R23).
    """
    found = Findings()
    for tally in tallies:
        found.join(tally.order)
    return found.check(
        "status topics are in order",
        "R23 R30",
        "status topics",
        f"{sum(tally.records for tally in tallies):,} records of {len(tallies):,} banks, "
        f"{sum(tally.repeated for tally in tallies):,} repeated, "
        f"{sum(tally.too_old for tally in tallies):,} of them too late to be compared",
    )


def _tally(message: StatusRecord, told: Told, texts: dict[tuple[str, str, str], list[str]]) -> None:
    name = message.netting_set
    for status in message.statuses:
        if status.repeat:
            told.count(REPEAT, 1)
        elif status.instruction or status.status == Status.RJCT:
            told.count(status.status, 1)
        else:
            texts.setdefault((name, status.status, status.asset), []).append(status.amount)
            if status.remaining:
                texts.setdefault((name, REST, status.asset), []).append(status.remaining)
    told.count(ANSWERED, len(message.answers))
    for kind, rows in (
        (RECEIVED, message.receipts),
        (WITHDRAWN, message.withdrawn),
        (ASKED, message.requests),
    ):
        for row in rows:
            texts.setdefault((name, kind, row.asset), []).append(row.amount)


def _final(message: FinalRecord) -> str:
    return final_name(message.asset, message.window, message.version, message.status, message.hash)


def check_statuses(
    wanted: dict[Bank, Told], tallies: list[StatusTally], unread: list[str], finals: Names
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
            found.extend(_told_differences(key, want, have, finals))
    if behind:
        found.wait_for(f"dispatch is behind for {behind} of {len(wanted)} banks")
    statuses = sum(_number(bank, is_status=True) for bank in told.values())
    others = sum(_number(bank, is_status=False) for bank in told.values())
    ended = sum(len(bank.finals) for bank in told.values())
    repeated = sum(tally.repeated for tally in tallies)
    return found.check(
        "banks were told the truth",
        "R23 R41",
        "status topics",
        f"{statuses:,} statuses, {others:,} receipts and messages of others and {ended:,} final notices of "
        f"{len(told):,} banks, by count and value; {repeated:,} records stood there twice",
    )


def _number(bank: Told, *, is_status: bool) -> int:
    """How many statuses a bank was told, or of everything else."""
    numbers = [(kind, count) for (kind, _), (count, _) in bank.values.items() if kind != REST]
    numbers += bank.counts.items()
    return sum(count for kind, count in numbers if (kind not in _OF_OTHERS) == is_status)


def _told_differences(bank: Bank, want: Told, have: Told, finals: Names) -> list[str]:
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
    wanted, told = (set(side.finals) for side in (want, have))
    for side, which in (("was not told", wanted - told), ("was told wrongly", told - wanted)):
        for number in sorted(which):
            asset, window, _, status, _ = finals.names[number].rsplit("|", 4)
            differences.append(f"{where}: {side} that window {window} of {asset} is {status}")
    return differences
