"""Redrive: bytes that could not be read are published once more, as they are, after two people decided so (R33).

What it would do is tried first: by intake as it reads today, on a copy of the state. What was redriven carries its
origin, and is never redriven again; what it pays is paid once, for payments have ids (R28).
"""

import asyncio
from collections.abc import Iterable
from typing import Any

import msgspec
import numpy as np
from aiokafka import AIOKafkaProducer, TopicPartition

from clearing.console.trial import AccountChange, Breach, Effects, copy_of, effects
from clearing.core.ids import Remembered, hash_ids, id_hex, id_text
from clearing.core.inputs import U64, PaymentRows, SourceSpan
from clearing.core.money import show
from clearing.core.outputs import CommandEvent
from clearing.core.reasons import REASONS, Code
from clearing.core.state import NettingSet
from clearing.core.step import step
from clearing.dispatch.wording import wording
from clearing.intake.exact import record_hash
from clearing.intake.packing import SourceRecord, pack_payments
from clearing.live import Live
from clearing.log import payments
from clearing.log.records import EVENT_KEY, decode_event
from clearing.reading import Reader
from clearing.records import Records

ORIGIN_HEADER = "clearing-origin"
ROWS_SHOWN = 200
TEXT_SHOWN = 2_000
SEND_TIMEOUT_S = 15.0


class Gone(Exception):
    """The bytes cannot be redriven: a sentence."""


class Original(msgspec.Struct, frozen=True, kw_only=True):
    """A record as its sender published it. origin: of one that was redriven itself, "" else."""

    topic: str
    offset: int
    value: bytes
    hash: str
    origin: str

    @property
    def place(self) -> str:
        return f"{self.topic}@{self.offset}"


class RedrivenRow(msgspec.Struct, frozen=True, kw_only=True):
    """A row as it would come in now. readable: by intake, today; outcome: Code's name, status as banks are told."""

    item: int
    id: str
    readable: bool
    outcome: str
    status: str
    reason: str
    text: str
    debtor: str = ""
    creditor: str = ""
    asset: str = ""
    amount: str = ""


class Redriven(msgspec.Struct, frozen=True, kw_only=True):
    """What a record would come to now. still_unreadable: rows that nobody can read; accounts, breaches: as in a
    Preview. cut: there are more rows."""

    rows: list[RedrivenRow]
    still_unreadable: int
    accounts: list[AccountChange]
    breaches: list[Breach]
    cut: bool


async def original(reader: Reader, topic: str, offset: int, digest: str = "") -> Original:
    """The record of a payments topic. Raises Gone where it is not kept any more, or its hash is not `digest`."""
    source = TopicPartition(topic, 0)
    if topic not in await reader.topics():
        raise Gone(f"the topic {topic} does not exist any more")
    first, end = (await reader.bounds([source]))[source]
    if not first <= offset < end:
        raise Gone(
            f"{topic} holds offsets {first} to {end - 1}: offset {offset} is not kept any more"
        )
    async for records in reader.chunks(source, offset, offset + 1):
        for record in records:
            if record.offset == offset:
                value = record.value or b""
                found = record_hash(value)
                if digest not in ("", found):
                    raise Gone(f"{topic} offset {offset} holds other bytes than were rejected")
                return Original(
                    topic=topic, offset=offset, value=value, hash=found, origin=_origin(record)
                )
    raise Gone(f"{topic} has no record at offset {offset}")


def _origin(record: Any) -> str:
    """A reader's record has its headers, whatever kind of record it is."""
    headers: Iterable[tuple[str, bytes]] = getattr(record, "headers", ())
    return next(
        (value.decode("ascii", "replace") for name, value in headers if name == ORIGIN_HEADER), ""
    )


def redriven(live: Live, topic: str, value: bytes) -> Redriven:
    """As if the bytes were the next record of their topic."""
    state, offset = live.state, live.machine.next_offset
    trial = copy_of(state)
    mark = trial.sources.get((topic, 0), 0)
    read = Records.of([SourceRecord(mark, value)])
    (packed,) = pack_payments([(SourceSpan(topic, 0, mark, mark + 1), [read])])
    record = payments.unpack(packed, offset, trial.counters.time_ms)
    rows = record.payments
    assert rows is not None, "of a payments topic"
    trial.ids = _known(state, rows.id)
    out = step(trial, record)
    assert out.outcomes is not None, "a record of payments has outcomes"
    told = [_row(rows, row, int(code)) for row, code in enumerate(out.outcomes.codes[:ROWS_SHOWN])]
    found: Effects = effects(state, trial, out)
    return Redriven(
        rows=told,
        still_unreadable=int(np.count_nonzero(rows.reject)),
        accounts=found.accounts,
        breaches=found.breaches,
        cut=found.cut or len(rows) > ROWS_SHOWN,
    )


def _known(state: NettingSet, ids: U64) -> Remembered:
    """What the state remembers of these ids: a copy of it all may be gigabytes."""
    known, hashes = Remembered(state.seed), hash_ids(ids, state.seed)
    for generation in state.ids.generations:
        entries = np.unique(generation.find(hashes, ids))
        entries = entries[entries >= 0]
        known.add_generation(
            generation.day,
            generation.columns.ids(entries),
            generation.columns.bodies(entries),
            generation.columns.codes(entries),
        )
    return known


def _row(rows: PaymentRows, row: int, code: int) -> RedrivenRow:
    said, item = Code(code), int(rows.item[row])
    reject = rows.rejects.get(row)
    if reject is not None:
        reason = REASONS[Code(reject.code)]
        return RedrivenRow(
            item=item,
            id=reject.id,
            readable=False,
            outcome=Code(reject.code).name,
            status="RJCT",
            reason=reason.iso,
            text=f"{reason.text}: {reject.detail}" if reject.detail else reason.text,
        )
    words = wording(said)
    return RedrivenRow(
        item=item,
        id=id_text(id_hex(rows.id[row])),
        readable=True,
        outcome=said.name,
        status=words.status,
        reason=words.reason,
        text=words.text,
        debtor=rows.participants[int(rows.debtor[row])],
        creditor=rows.participants[int(rows.creditor[row])],
        asset=rows.assets[int(rows.asset[row])],
        amount=show(int(rows.amount[row]), int(rows.decimals[row])),
    )


async def publish(producer: AIOKafkaProducer, source: Original) -> int:
    """The same bytes again, with where they come from; the new offset. Raises KafkaError, TimeoutError.

    Sent twice it does no harm: ids are paid once.
    """
    async with asyncio.timeout(SEND_TIMEOUT_S):
        stored = await producer.send_and_wait(
            source.topic,
            source.value,
            partition=0,
            headers=[(ORIGIN_HEADER, source.place.encode())],
        )
    return stored.offset


async def is_decided(reader: Reader, journal: str, partition: int, identity: str) -> bool:
    """Whether the journal says that a Redrive of this id was done. Reads it from its beginning."""
    async for records in reader.chunks(TopicPartition(journal, partition)):
        for record in records:
            if record.key != EVENT_KEY or identity.encode() not in (record.value or b""):
                continue
            event = decode_event(record.value or b"")
            if isinstance(event, CommandEvent) and (event.id, event.status) == (identity, "DONE"):
                return True
    return False
