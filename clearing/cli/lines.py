"""What records of status, settlements, rejected and journal say, a line each: as data and for people.

Pure: a record's (key, value) in, lines out. `clearing follow` reads the topics and prints them.
"""

from collections.abc import Iterable, Iterator
from typing import Any

import msgspec
from rich.text import Text

from clearing.client.following import decode_status
from clearing.core.outputs import (
    CommandEvent,
    ConfirmationEvent,
    DeadlockEvent,
    Event,
    LedgerAccount,
    ProposalEvent,
    ShortfallEvent,
    WaitsFor,
    WindowEvent,
)
from clearing.log.records import EVENT_KEY, decode_event, decode_rejected, decode_settlement
from clearing.messages import (
    CancellationAnswer,
    CancellationRequest,
    FinalRecord,
    PaymentStatus,
    Receipt,
    Withdrawal,
)

WAITS_SHOWN = 5

_COLOURS = {
    "ACSP": "green",
    "ACSC": "bold green",
    "AGREED": "green",
    "APPROVED": "green",
    "CNCL": "green",
    "DONE": "green",
    "SETTLED": "green",
    "CANC": "yellow",
    "PDCR": "yellow",
    "PDNG": "yellow",
    "PROPOSED": "yellow",
    "asked": "yellow",
    "DEADLOCK": "red",
    "DECLINED": "red",
    "FAILED": "red",
    "REFUSED": "red",
    "RJCT": "red",
    "SHORTFALL": "red",
    "lost": "red",
}

Line = tuple[object, Text]
Row = PaymentStatus | Receipt | CancellationRequest | CancellationAnswer | Withdrawal


def _text(head: str, *words: object) -> Text:
    """A coloured word and what is said behind it; empty words are left out."""
    said = " ".join(str(word) for word in words if word != "")
    return Text.assemble((f"{head:<9} ", _COLOURS.get(head, "")), said)


def _if(value: str, text: str) -> str:
    """`text` with {} filled by the value, nothing where that is empty."""
    return text.format(value) if value else ""


def status_lines(_: bytes | None, value: bytes) -> Iterator[Line]:
    """Of a status topic: payments and instructions of its participant, what it receives, how its windows end."""
    record = decode_status(value)
    if isinstance(record, FinalRecord):
        yield record, _final(record)
        return
    where = {"netting_set": record.netting_set, "log_offset": record.log_offset}
    sections: dict[str, Iterable[Row]] = {
        "status": record.statuses,
        "receipt": record.receipts,
        "withdrawal": record.withdrawn,
        "request": record.requests,
        "answer": record.answers,
    }
    for section, rows in sections.items():
        for row in rows:
            yield where | {section: row}, _row(row)


def _final(record: FinalRecord) -> Text:
    return _text(
        record.status,
        f"window {record.window} of {record.asset} net {record.net}",
        f"({record.sent} sent, {record.received} received)",
        record.reason,
    )


def _row(row: Row) -> Text:
    match row:
        case PaymentStatus():
            return _text(
                row.status,
                row.id,
                f"{row.instruction} of {row.reference}" if row.instruction else "",
                row.amount,
                row.asset,
                _if(row.creditor, "to {}"),
                _if(row.remaining, "({} still waits)"),
                _if(row.return_of, "returns {}"),
                row.reason,
                row.text,
                "(repeat)" if row.repeat else "",
            )
        case Receipt():
            return _text(
                "received",
                row.id,
                row.amount,
                row.asset,
                f"from {row.debtor}",
                _if(row.remaining, "({} still waits)"),
                _if(row.return_of, "returns {}"),
                row.reason,
            )
        case Withdrawal():
            said = (row.id, row.amount, row.asset, f"from {row.debtor}", row.reason, row.text)
            return _text("lost", *said)
        case CancellationRequest():
            return _text(
                "asked",
                row.id,
                f"to return {row.original}",
                row.amount,
                row.asset,
                f"to {row.debtor}",
                row.reason,
            )
        case CancellationAnswer():
            return _text(
                row.decision, f"return asked for by {row.request}", f"by {row.creditor}", row.reason
            )


def settlement_lines(_: bytes | None, value: bytes) -> Iterator[Line]:
    message = decode_settlement(value)
    if isinstance(message, LedgerAccount):
        said = (message.participant, message.asset, f"overdraft {message.overdraft}")
        yield message, _text("account", *said)
        return
    window = f"window {message.window} v{message.version}"
    part = f" part {message.part}/{message.parts}" if message.parts > 1 else ""
    what = "funding" if message.kind == "funding" else f"{message.kind} {window}{part}"
    yield (
        message,
        _text(
            f"#{message.sequence}",
            message.netting_set,
            what,
            f"of {message.asset}:",
            f"{message.payments} payments, gross {message.gross}, {len(message.entries)} entries, "
            f"hash {message.hash[:12]}…",
            f"linked with {len(message.linked)} more" if message.linked else "",
        ),
    )


def rejected_lines(_: bytes | None, value: bytes) -> Iterator[Line]:
    record = decode_rejected(value)
    place = f"{record.topic} offset {record.offset}" + (
        f" item {record.item}" if record.item >= 0 else ""
    )
    yield record, _text(record.reason, place, record.text, record.detail)


def event_lines(key: bytes | None, value: bytes) -> Iterator[Line]:
    """Of the journal: its events; what the engine notes there for itself is none."""
    if key == EVENT_KEY:
        event = decode_event(value)
        yield event, _event(event)


def _event(event: Event) -> Text:
    match event:
        case WindowEvent():
            payments = f"{event.payments} payments, gross {event.gross}" if event.payments else ""
            window = f"window {event.window} of {event.asset}"
            return _text(event.state, event.netting_set, window, payments, event.reason)
        case CommandEvent():
            said = (event.netting_set, event.command, event.id, f"by {event.by}", event.reason)
            return _text(event.status, *said)
        case ConfirmationEvent():
            batch = f"confirmation of batch {event.batch}"
            return _text(event.status, event.netting_set, batch, event.reason)
        case DeadlockEvent():
            return _text("DEADLOCK", event.netting_set, deadlock_text(event))
        case ShortfallEvent():
            window = f"window {event.window} v{event.version} of {event.asset}:"
            return _text("SHORTFALL", event.netting_set, window, shortfall_text(event))
        case ProposalEvent():
            said = (event.proposal, f"by {event.by}: {command_of(event)}", f"hash {event.hash}")
            return _text(event.state, event.netting_set, *said)


def deadlock_text(event: DeadlockEvent) -> str:
    """R16: what waits, who waits for whom, and the least that would free something."""
    more = len(event.waits) - WAITS_SHOWN
    waits = [waits_text(one) for one in event.waits[:WAITS_SHOWN]]
    waits += [f"{more} more"] if more > 0 else []
    freed = freed_text(event)
    waits += [f"freed by {freed}"] if freed else []
    return f"{event.payments} payments of {event.value} {event.asset} wait: {'; '.join(waits)}"


def freed_text(event: DeadlockEvent) -> str:
    """The smallest extra liquidity with which something can leave; "" where none is known."""
    more = f"{event.extra} {event.extra_asset} more for {event.extra_participant}"
    return more if event.extra else ""


def waits_text(one: WaitsFor) -> str:
    whom = f", waits for {', '.join(one.waits_for)}" if one.waits_for else ""
    return f"{one.participant} lacks {one.lacks} {one.asset} ({one.limit}){whom}"


def shortfall_text(event: ShortfallEvent) -> str:
    """R25: who pays what a participant could not."""
    payers = {f"collateral of {event.participant}": event.collateral, "the pool": event.pool}
    paid = [
        f"{amount} from {payer}"
        for payer, amount in (payers | event.survivors).items()
        if amount.strip("0.")
    ]
    return f"{event.participant} lacks {event.shortfall}: {', '.join(paid)}"


def command_of(event: ProposalEvent) -> str:
    """Type of the command that is proposed, and what it says beyond who and when."""
    command: dict[str, Any] = msgspec.json.decode(event.command)
    fields = {name: value for name, value in command.items() if name not in ("type", "id", "by")}
    return " ".join([str(command.get("type", "")), *(f"{k}={_flat(v)}" for k, v in fields.items())])


def _flat(value: object) -> str:
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()
