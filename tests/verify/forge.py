"""Ways to change what an installation's topics say, one record at a time: what a verification must notice.

Every such change also makes a replay say something else (R29); the tests ask for the claim that is about it.
"""

from collections.abc import Callable
from typing import Any, TypeVar

import msgspec
import numpy as np

from clearing.core.batches import batch_hash
from clearing.core.inputs import U8, Bool
from clearing.core.outputs import Event, Resolution, Resolutions, SettlementBatch
from clearing.log.records import (
    EVENT_KEY,
    OUTCOMES_KEY,
    RESOLUTION_KEY,
    decode_event,
    decode_outcomes,
    decode_resolutions,
    decode_settlement,
    encode_outcomes,
)
from clearing.verify.report import Check, Report
from clearing.verify.statuses import decode_status
from tests.verify.world import Record, World

SOURCES = "every record of the sources is in the log once"
OUTCOMES = "every row of the log has one outcome"
RESOLUTIONS = "what waits ends once"
FLOWS = "what entered is one thing each"
IDS = "no id counts twice"
REJECTED = "what could not be read is kept"
ZERO = "every batch sums to zero"
MEMBERS = "batches are the sum of their payments"
FUNDING = "funding is what was commanded"
CHAIN = "batches are chained"
WINDOWS = "windows settle once, on their ledger's word"
POSITIONS = "positions are what is unsettled"
LIMITS = "nothing was accepted beyond its limits"
LINKS = "linked legs are accepted together"
STANDING = "nothing is accepted of who may not pay"
INSTRUCTIONS = "returns and recalls fit their originals"
SHORTFALLS = "shortfalls are borne exactly"
FOUR_EYES = "two people stand behind what needs them"
REPLAY = "replay gives the same bytes"
LEDGER = "the ledger equals the batches"
BALANCES = "balances are the sum of their entries"
STATUSES = "banks were told the truth"
ARRIVED = "the engine has processed the log"
WRITER = "only the engine wrote its outputs"
JOURNAL = "the journal has no holes"
OFFSETS = "offsets never go back"
AGAIN = "a second reading gives the same"
ABORTED = "nothing aborted was used"
CONFIRMED = "what ledgers confirmed, they have"
AT_EVERY_READ = "the ledger sums to zero at every read"
STATUS_ORDER = "status topics are in order"

E = TypeVar("E", bound=Event)
M = TypeVar("M")

encode = msgspec.json.encode
replace = msgspec.structs.replace


def failed(report: Report) -> set[str]:
    return {check.name for check in report.checks if check.verdict == "FAILED"}


def said(report: Report, name: str) -> str:
    """What a claim says is wrong, all of it."""
    return " | ".join(check_of(report, name).differences)


def check_of(report: Report, name: str) -> Check:
    return next(check for check in report.checks if check.name == name)


def first(records: list[Record], key: bytes) -> int:
    return next(place for place, record in enumerate(records) if record.key == key)


def find_event(world: World, kind: type[E], **fields: object) -> tuple[int, E]:
    """The first event of the journal with these fields, and its place there."""
    for place, record in enumerate(world.records(world.topics.journal)):
        if record.key == EVENT_KEY:
            event = decode_event(record.value or b"")
            if isinstance(event, kind) and all(
                getattr(event, name) == value for name, value in fields.items()
            ):
                return place, event
    raise AssertionError(f"no {kind.__name__} with {fields}")


def change_event(world: World, kind: type[Event], wanted: dict[str, Any], **changed: Any) -> None:
    place, event = find_event(world, kind, **wanted)
    world.replace(world.topics.journal, place, value=encode(replace(event, **changed)))


def drop_event(world: World, kind: type[Event], **wanted: Any) -> None:
    place, _ = find_event(world, kind, **wanted)
    del world.records(world.topics.journal)[place]


def change_outcome(
    world: World, which: Callable[[U8], Bool], code: int, nth: int = 0, *, repeats: bool = False
) -> None:
    """Give the nth row of a kind another outcome; where it is accepted now, in the window that is open."""
    for place, record in enumerate(world.records(world.topics.outcomes)):
        if record.key == OUTCOMES_KEY:
            outcomes = decode_outcomes(record.value or b"")
            rows = np.flatnonzero(which(outcomes.codes) & (outcomes.repeat == repeats))
            if nth < len(rows):
                codes = outcomes.codes.copy()
                codes[rows[nth]] = code
                outcomes.codes = codes
                if code == 0:
                    outcomes.windows = {"HKD": 1, "GBP": 1, "SGD": 1} | outcomes.windows
                value = encode_outcomes(world.netting_set, outcomes)
                world.replace(world.topics.outcomes, place, value=value)
                return
            nth -= len(rows)
    raise AssertionError("no such row")


def change_resolution(
    world: World,
    wanted: dict[str, Any],
    change: Callable[[Resolution], list[Resolution]] | None = None,
    **changed: Any,
) -> None:
    """Replace the first resolution with these fields: by a changed one, or by what `change` makes of it."""
    for place, record in enumerate(world.records(world.topics.outcomes)):
        if record.key != RESOLUTION_KEY:
            continue
        whole = decode_resolutions(record.value or b"")
        for n, item in enumerate(whole.items):
            if all(getattr(item, name) == value for name, value in wanted.items()):
                instead = change(item) if change else [replace(item, **changed)]
                items = [*whole.items[:n], *instead, *whole.items[n + 1 :]]
                _put_resolutions(world, place, replace(whole, items=items))
                return
    raise AssertionError(f"no resolution with {wanted}")


def _put_resolutions(world: World, place: int, whole: Resolutions) -> None:
    if whole.items:
        world.replace(world.topics.outcomes, place, value=encode(whole))
    else:
        del world.records(world.topics.outcomes)[place]


def change_batch(
    world: World,
    change: Callable[[SettlementBatch], SettlementBatch],
    kind: str = "net",
    **wanted: object,
) -> None:
    """Change the first such batch and give it the hash of its new content: a careful forger."""
    for place, record in enumerate(world.records(world.topics.settlements)):
        message = decode_settlement(record.value or b"")
        if (
            isinstance(message, SettlementBatch)
            and message.kind == kind
            and all(getattr(message, name) == value for name, value in wanted.items())
        ):
            changed = change(message)
            changed = replace(changed, hash=batch_hash(changed))
            world.replace(world.topics.settlements, place, value=encode(changed))
            return
    raise AssertionError(f"no {kind} batch with {wanted}")


def change_status(
    world: World, participant: str, kind: type[M], change: Callable[[M], M | None]
) -> None:
    """Change the first message of a status topic of which `change` makes another one."""
    topic = world.topics.status(participant)
    for place, record in enumerate(world.records(topic)):
        message = decode_status(record.value or b"")
        if isinstance(message, kind) and (changed := change(message)) is not None:
            world.replace(topic, place, value=encode(changed))
            return
    raise AssertionError(f"no {kind.__name__} to change")
