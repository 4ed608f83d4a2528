"""What a line of an events file says, and where it goes.

JSON lines, each one of:
  {"type": "payment", …} | token_transfer | return | cancel | priority | answer | bulk
                                                      into the payments topic of its (first) sender
  {"type": "close_window", …} | any other command     an `approve` may leave out the hash of what was proposed
  {"type": "confirmation", …}                         a ledger's answer, word for word
  {"type": "ledger", "asset": "HKD", "answer": …}     how the simulation's own ledger answers, see LedgerAnswer
  {"at": …, "owner": …, "netting_set": …, "message": {…}}   the same, with the time or the place said
  {"raw": "not json", "owner": …}                     any bytes, as a bank might send them
  {"at": …}                                           time passes
  # …                                                 a remark
`at` is RFC 3339 with zone or epoch milliseconds; a line without it follows the one before.
"""

from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime, time
from typing import Literal

import msgspec

from clearing.failures import ExitCode, Failure
from clearing.simulate import LedgerAnswer

PAYMENT_TYPES = frozenset(
    {"payment", "token_transfer", "return", "cancel", "priority", "answer", "bulk"}
)
NOON = time(12, 0, tzinfo=UTC)

Kind = Literal["", "payments", "commands", "confirmations", "ledger"]


class _Peek(msgspec.Struct):
    """What routing needs to know of a message."""

    type: str = ""
    debtor: str = ""
    asset: str | dict[str, object] = ""
    value_date: str = ""
    items: list["_Peek"] = []
    original: "_Peek | None" = None
    # Of commands.
    id: str = ""
    delivery: str = ""
    participant: str = ""
    proposal: str = ""
    hash: str = ""
    command: "_Peek | None" = None


class _Line(msgspec.Struct):
    at: int | str | None = None
    owner: str = ""
    netting_set: str = ""
    message: msgspec.Raw = msgspec.Raw()
    raw: str | None = None
    type: str = ""


class ScenarioEvent(msgspec.Struct, frozen=True):
    """One line; kind "" where only time passes.

    asset decides the netting set where none is named, else of a command its proposal, then its participant; what
    says none of them concerns all. proposes: id of a proposal. approves: of one whose hash is left out.
    """

    line: int
    at_ms: int | None
    kind: Kind
    owner: str
    netting_set: str
    asset: str
    value: bytes
    value_date: str
    participant: str = ""
    proposal: str = ""
    proposes: str = ""
    approves: str = ""
    ledger: LedgerAnswer | None = None


_line = msgspec.json.Decoder(_Line).decode
_peek = msgspec.json.Decoder(_Peek).decode
_ledger = msgspec.json.Decoder(LedgerAnswer).decode


def read_events(lines: Iterable[bytes], name: str) -> list[ScenarioEvent]:
    """Events of a file. Raises Failure naming the first line that is none."""
    events: list[ScenarioEvent] = []
    for number, line in enumerate(lines, start=1):
        text = line.strip()
        if text and not text.startswith(b"#"):
            try:
                events.append(_event(number, text))
            except (msgspec.MsgspecError, ValueError) as error:
                raise Failure(f"{name}:{number}: {error}", code=ExitCode.USAGE) from error
    return events


def _event(number: int, text: bytes) -> ScenarioEvent:
    line = _line(text)
    peek = _Peek()
    if line.type:
        value, peek = text, _peek(text)
    elif value := bytes(line.message):
        peek = _peek(value)
    elif line.raw is not None:
        if not line.owner:
            raise ValueError("a raw record needs its owner")
        value = line.raw.encode()
    elif line.at is None:
        raise ValueError("a line has a type, or a message, raw or at")
    kind: Kind = "payments" if line.raw is not None else _kind(peek.type) if value else ""
    first = peek.items[0] if peek.items else peek.command or peek
    # A cancellation is its debtor's, in the asset of what it cancels.
    terms = first.original if first.original and not first.debtor else first
    asset = terms.asset or first.delivery
    return ScenarioEvent(
        line=number,
        at_ms=None if line.at is None else instant_ms(line.at),
        kind=kind,
        owner=line.owner or terms.debtor,
        netting_set=line.netting_set,
        asset=asset if isinstance(asset, str) else "",
        value=value,
        value_date=first.value_date,
        participant=first.participant,
        proposal=peek.proposal,
        proposes=peek.id if peek.command else "",
        approves=peek.proposal if peek.type == "approve" and not peek.hash else "",
        ledger=_ledger(value) if kind == "ledger" else None,
    )


def _kind(message_type: str) -> Kind:
    if message_type in PAYMENT_TYPES:
        return "payments"
    if message_type == "confirmation":
        return "confirmations"
    return "ledger" if message_type == "ledger" else "commands"


def instant_ms(at: int | str) -> int:
    """Epoch milliseconds of RFC 3339 text with a zone, or of a number of them. Raises ValueError."""
    if isinstance(at, int):
        return at
    moment = datetime.fromisoformat(at)
    if moment.tzinfo is None:
        raise ValueError(f"{at!r} has no zone: write 2026-01-05T09:00:00Z")
    return round(moment.timestamp() * 1000)


def start_of(events: Sequence[ScenarioEvent]) -> int:
    """When a scenario begins if nobody says: with its first `at`, else at noon UTC of its first value date."""
    for event in events:
        if event.at_ms is not None:
            return event.at_ms
        if event.value_date:
            day = date.fromisoformat(event.value_date)
            return round(datetime.combine(day, NOON).timestamp() * 1000)
    return round(datetime.combine(date(2026, 1, 5), NOON).timestamp() * 1000)
