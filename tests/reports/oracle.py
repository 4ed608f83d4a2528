"""The end of a day as one would count it by hand: row by row, in decimals, everything in memory."""

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from decimal import Decimal

from clearing.core.inputs import Kind, PaymentRows
from clearing.core.outputs import Outcomes, Resolution, SettlementBatch, WindowEvent
from clearing.core.reasons import REASONS, Code
from clearing.log.records import (
    EVENT_KEY,
    OUTCOMES_KEY,
    RESOLUTION_KEY,
    decode_event,
    decode_outcomes,
    decode_resolutions,
    decode_settlement,
    read,
)
from clearing.names import owner_of
from clearing.reports import Day
from tests.verify.world import World

Account = tuple[str, str]


@dataclass
class Counted:
    """numbers, values: by participant, asset and name of the column. reasons: by participant, asset, kind, ISO."""

    numbers: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    values: defaultdict[tuple[str, str, str], Decimal] = field(
        default_factory=lambda: defaultdict(Decimal)
    )
    reasons: Counter[tuple[str, str, str, str]] = field(default_factory=Counter)
    longest_ms: dict[Account, int] = field(default_factory=dict)
    nets: dict[tuple[str, str, int], Decimal] = field(default_factory=dict)
    finality_ms: dict[tuple[str, int], int | None] = field(default_factory=dict)

    def add(self, participant: str, asset: str, name: str, amount: Decimal) -> None:
        self.numbers[participant, asset, name] += 1
        self.values[participant, asset, name] += amount


def count(world: World, day: Day) -> Counted:
    counted = Counted()
    _count_payments(counted, world, day)
    _count_windows(counted, world, day)
    return counted


def _count_payments(counted: Counted, world: World, day: Day) -> None:
    log = {
        record.offset: read(record.key, record.value or b"", record.offset, record.timestamp)
        for record in world.records(world.topics.log)
    }
    assets = {event.asset for event in _windows(world)}
    waiting: dict[tuple[int, int], tuple[str, str, Decimal]] = {}  # place → debtor, asset, amount
    times: dict[int, int] = {}
    for record in world.records(world.topics.outcomes):
        if record.key == OUTCOMES_KEY:
            said = decode_outcomes(record.value or b"")
            times[said.log_offset] = said.time_ms
            if said.time_ms < day.to_ms:
                rows = log[said.log_offset].payments
                assert rows is not None
                owners = [owner_of(span.topic) for span in log[said.log_offset].sources]
                _count_rows(counted, rows, owners, said, waiting, assets, day)
        elif record.key == RESOLUTION_KEY:
            resolutions = decode_resolutions(record.value or b"")
            for item in resolutions.items if resolutions.time_ms < day.to_ms else []:
                _count_resolution(counted, item, resolutions.time_ms, waiting, times, day)
    end_ms = min(day.to_ms, max(record.timestamp for record in world.records(world.topics.log)))
    for (offset, _), (debtor, asset, amount) in waiting.items():
        counted.add(debtor, asset, "waiting", amount)
        _waited(counted, debtor, asset, end_ms - times[offset])


def _count_rows(
    counted: Counted,
    rows: PaymentRows,
    owners: list[str],
    said: Outcomes,
    waiting: dict[tuple[int, int], tuple[str, str, Decimal]],
    assets: set[str],
    day: Day,
) -> None:
    for row, code in enumerate(said.codes.tolist()):
        owner = owners[rows.source[row]]
        is_today = day.has(said.time_ms)
        if code == Code.ALREADY_READ or (not is_today and code != Code.QUEUED):
            continue
        if said.repeat[row]:
            counted.numbers[owner, "", "repeated"] += is_today
        elif 10 <= code < 40:
            counted.numbers[owner, "", "unreadable"] += 1
            counted.reasons[owner, "", "unreadable", REASONS[Code(code)].iso] += 1
        elif rows.kind[row] > Kind.RETURN:
            counted.numbers[owner, "", "instructions"] += 1
        else:
            debtor, creditor = (
                rows.participants[side[row]] for side in (rows.debtor, rows.creditor)
            )
            asset = rows.assets[rows.asset[row]]
            amount = Decimal(int(rows.amount[row])).scaleb(-int(rows.decimals[row]))
            if code == Code.QUEUED:
                waiting[said.log_offset, row] = debtor, asset, amount
            if code == Code.ACCEPTED:
                counted.add(debtor, asset, "sent", amount)
                counted.add(creditor, asset, "received", amount)
            elif code == Code.QUEUED and is_today:
                counted.add(debtor, asset, "queued", amount)
            elif code >= 40:
                known = asset if asset in assets else ""
                counted.numbers[owner, known, "refused"] += 1
                counted.reasons[owner, known, "refused", REASONS[Code(code)].iso] += 1


def _count_resolution(
    counted: Counted,
    item: Resolution,
    time_ms: int,
    waiting: dict[tuple[int, int], tuple[str, str, Decimal]],
    times: dict[int, int],
    day: Day,
) -> None:
    amount, place = Decimal(item.amount), (item.log_offset, item.row)
    if item.code != Code.RECAST:
        if item.how == "PARTIAL":
            waiting[place] = item.debtor, item.asset, Decimal(item.remaining)
        else:
            del waiting[place]
    if not day.has(time_ms):
        return
    if item.code == Code.RECAST:
        counted.add(item.debtor, item.asset, "taken_out_sent", amount)
        counted.add(item.creditor, item.asset, "taken_out_received", amount)
        return
    _waited(counted, item.debtor, item.asset, time_ms - times[item.log_offset])
    if item.code == Code.ACCEPTED:
        counted.add(item.debtor, item.asset, "sent", amount)
        counted.add(item.debtor, item.asset, "released", amount)
        counted.add(item.creditor, item.asset, "received", amount)
    else:
        counted.add(item.debtor, item.asset, "ended", amount)
        counted.reasons[item.debtor, item.asset, "ended", REASONS[Code(item.code)].iso] += 1


def _waited(counted: Counted, debtor: str, asset: str, wait_ms: int) -> None:
    key = debtor, asset
    counted.longest_ms[key] = max(wait_ms, counted.longest_ms.get(key, 0))


def _windows(world: World) -> list[WindowEvent]:
    events = [
        decode_event(record.value or b"")
        for record in world.records(world.topics.journal)
        if record.key == EVENT_KEY
    ]
    return [event for event in events if isinstance(event, WindowEvent)]


def _count_windows(counted: Counted, world: World, day: Day) -> None:
    histories: defaultdict[tuple[str, int], list[WindowEvent]] = defaultdict(list)
    for event in _windows(world):
        if event.state != "OPEN":
            histories[event.asset, event.window].append(event)
    batches = [
        message
        for record in world.records(world.topics.settlements)
        if isinstance(message := decode_settlement(record.value or b""), SettlementBatch)
    ]
    for key, events in histories.items():
        if not day.has(events[0].time_ms):
            continue
        last = events[-1]
        settled = last.state == "SETTLED"
        counted.finality_ms[key] = last.time_ms - events[0].time_ms if settled else None
        mine = [b for b in batches if (b.asset, b.window) == key and b.kind != "funding"]
        for batch in mine if last.batch else []:
            if batch.version < max(b.version for b in mine if b.part == batch.part):
                continue
            for entry in batch.entries:
                net = entry.participant, batch.asset, batch.window
                counted.nets[net] = counted.nets.get(net, Decimal(0)) + Decimal(entry.net)
