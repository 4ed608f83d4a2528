"""Reads topics as they grow and prints a line for each thing in them. Behind `clearing follow`."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from aiokafka import TopicPartition
from rich.text import Text

from clearing import kafka
from clearing.cli.places import netting_sets
from clearing.cli.session import Session
from clearing.core.outputs import CommandEvent, LedgerAccount, WindowEvent
from clearing.failures import Failure
from clearing.log.records import EVENT_KEY, decode_event, decode_rejected, decode_settlement
from clearing.messages import FinalRecord
from clearing.names import Topics

_POLL_MS = 500
_COLOURS = {
    "ACSP": "green",
    "ACSC": "bold green",
    "RJCT": "red",
    "PDNG": "yellow",
    "DONE": "green",
    "REFUSED": "red",
    "SETTLED": "green",
    "FAILED": "red",
}

Line = tuple[object, Text]


@dataclass(frozen=True)
class Follow:
    """lines: what a record's (key, value) is as data and for people. whole: the topic has one partition."""

    topic: str
    lines: Callable[[bytes | None, bytes], Iterable[Line]]
    whole: bool = False


def _line(data: object, status: str, *words: object) -> Line:
    text = Text.assemble(
        (f"{status:<9}", _COLOURS.get(status, "")), " ".join(str(w) for w in words if w != "")
    )
    return data, text


def status_lines(topic: str) -> Follow:
    from clearing.verify.statuses import decode_status

    def lines(_: bytes | None, value: bytes) -> Iterable[Line]:
        record = decode_status(value)
        if isinstance(record, FinalRecord):
            yield _line(
                record,
                record.status,
                f"window {record.window} of {record.asset} net {record.net}",
                f"({record.sent} sent, {record.received} received)",
                record.reason,
            )
            return
        where = {"netting_set": record.netting_set, "log_offset": record.log_offset}
        for status in record.statuses:
            yield _line(
                where | {"status": status},
                status.status,
                status.id,
                status.amount,
                status.asset,
                f"to {status.creditor}" if status.creditor else "",
                status.reason,
                status.text,
                "(repeat)" if status.repeat else "",
            )
        for receipt in record.receipts:
            yield _line(
                where | {"receipt": receipt},
                "received",
                receipt.id,
                receipt.amount,
                receipt.asset,
                f"from {receipt.debtor}",
            )

    return Follow(topic, lines, whole=True)


def settlement_lines(topics: Topics) -> Follow:
    def lines(_: bytes | None, value: bytes) -> Iterable[Line]:
        message = decode_settlement(value)
        if isinstance(message, LedgerAccount):
            yield _line(
                message,
                "account",
                message.participant,
                message.asset,
                f"overdraft {message.overdraft}",
            )
        else:
            what = (
                f"window {message.window} v{message.version}"
                if message.kind == "net"
                else "funding"
            )
            yield _line(
                message,
                f"#{message.sequence}",
                message.netting_set,
                what,
                f"of {message.asset}:",
                f"{message.payments} payments, gross {message.gross}, {len(message.entries)} entries, "
                f"hash {message.hash[:12]}…",
            )

    return Follow(topics.settlements, lines)


def rejected_lines(topics: Topics) -> Follow:
    def lines(_: bytes | None, value: bytes) -> Iterable[Line]:
        record = decode_rejected(value)
        place = f"{record.topic} offset {record.offset}" + (
            f" item {record.item}" if record.item >= 0 else ""
        )
        yield _line(record, record.reason, place, record.text, record.detail)

    return Follow(topics.rejected, lines)


def event_lines(topics: Topics) -> Follow:
    def lines(key: bytes | None, value: bytes) -> Iterable[Line]:
        if key != EVENT_KEY:
            return
        event = decode_event(value)
        if isinstance(event, WindowEvent):
            yield _line(
                event,
                event.state,
                event.netting_set,
                f"window {event.window} of {event.asset}",
                f"{event.payments} payments, gross {event.gross}" if event.payments else "",
                event.reason,
            )
        elif isinstance(event, CommandEvent):
            yield _line(
                event,
                event.status,
                event.netting_set,
                event.command,
                event.id,
                f"by {event.by}",
                event.reason,
            )
        else:
            yield _line(
                event,
                event.status,
                event.netting_set,
                f"confirmation of batch {event.batch}",
                event.reason,
            )

    return Follow(topics.journal, lines)


async def follow(
    session: Session, what: Follow, netting_set: str | None, from_start: bool, count: int | None
) -> None:
    """Print lines until `count` of them, or for ever."""
    settings = session.settings
    directory = {} if what.whole else await netting_sets(settings, netting_set)
    numbers = [0] if what.whole else sorted(directory.values())
    partitions = [TopicPartition(what.topic, number) for number in numbers]
    left = count
    async with kafka.started(
        kafka.consumer(settings.bootstrap, client="clearing-follow")
    ) as consumer:
        if what.topic not in await consumer.topics():
            raise Failure(f"there is no topic {what.topic}", "clearing scheme load SCHEME")
        consumer.assign(partitions)
        await (consumer.seek_to_beginning if from_start else consumer.seek_to_end)(*partitions)
        while left is None or left > 0:
            for records in (await consumer.getmany(timeout_ms=_POLL_MS)).values():
                for record in records:
                    for data, text in what.lines(record.key, record.value or b""):
                        if left is not None:
                            if left <= 0:
                                return
                            left -= 1
                        if session.json:
                            session.line(data)
                        else:
                            session.out.print(text, highlight=False, soft_wrap=True)
