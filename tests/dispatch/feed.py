"""Writes log and outcomes as intake and engine do, and reads back what dispatch told: for tests with a broker."""

import asyncio
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import msgspec
from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.admin import NewTopic, RecordsToDelete

from clearing import kafka
from clearing.core.inputs import SourceSpan
from clearing.core.outputs import Entry, Outcomes, Resolution, Resolutions, WindowEvent
from clearing.core.reasons import Code
from clearing.dispatch.resolutions import resolution_records
from clearing.dispatch.statuses import final_record
from clearing.log import control, payments
from clearing.log.records import OUTCOMES_KEY, RESOLUTION_KEY, WINDOW_KEY, encode_outcomes
from clearing.messages import StatusMessage
from clearing.names import Topics
from tests.dispatch.rows import LogPiece, Row

BANKS = ("ALPHA", "BRAVO", "CHARLIE")

decode = msgspec.json.Decoder(StatusMessage).decode
encode = msgspec.json.Encoder().encode

Told = dict[str, list[bytes]]  # by bank, in order


async def create_topics(bootstrap: str, *new: NewTopic) -> None:
    async with kafka.administration(bootstrap) as admin:
        await admin.create_topics(list(new))
        names = {topic.name for topic in new}

        async def known() -> bool:
            return names.issubset(await admin.list_topics())

        await until(known)


async def create_all(
    bootstrap: str, topics: Topics, partitions: int = 1, banks: tuple[str, ...] = BANKS
) -> None:
    """log, outcomes and a status topic per bank."""
    await create_topics(
        bootstrap,
        NewTopic(topics.log, partitions, 1),
        NewTopic(topics.outcomes, partitions, 1),
        *(NewTopic(topics.status(bank), 1, 1) for bank in banks),
    )


@dataclass
class Feed:
    """One netting set. `wanted`: what its banks are to be told, by the plain reading of the rules."""

    log: AIOKafkaProducer
    engine: AIOKafkaProducer  # transactional
    topics: Topics
    netting_set: str = "hk"
    partition: int = 0
    wanted: Told = field(default_factory=dict[str, list[bytes]])

    async def payments(self, n: int, of: int = 0) -> int:
        """A log record of n payments around the banks and its outcomes; its log offset."""
        senders = [BANKS[(of + i) % len(BANKS)] for i in range(2)]
        piece = LogPiece(
            [
                Row(
                    uuid.uuid4(),
                    debtor=senders[i % 2],
                    creditor=BANKS[(BANKS.index(senders[i % 2]) + 1 + i % 2) % len(BANKS)],
                    amount=100 + i,
                    source=i % 2,
                    source_offset=i,
                    code=(0, 0, 0, 58)[i % 4],
                )
                for i in range(n)
            ],
            [SourceSpan(f"payments.{self.netting_set}.{bank}", 0, 0, n) for bank in senders],
        )
        piece.log_offset = await self.append(payments.KEY, piece.value())
        await self.commit((OUTCOMES_KEY, encode_outcomes(self.netting_set, piece.outcomes())))
        for bank, record in piece.told(self.netting_set).items():
            self.wanted.setdefault(bank, []).append(encode(record))
        return piece.log_offset

    async def releases(self, chunks: int, window: int) -> int:
        """A log record with a payment, `chunks` records of resolutions and a window's end; its log offset."""
        piece = LogPiece(
            [Row(uuid.uuid4(), debtor="ALPHA", creditor="BRAVO", code=Code.QUEUED)],
            [SourceSpan(f"payments.{self.netting_set}.ALPHA", 0, 0, 1)],
        )
        offset = piece.log_offset = await self.append(payments.KEY, piece.value())
        for bank, record in piece.told(self.netting_set).items():
            self.wanted.setdefault(bank, []).append(encode(record))
        outputs = [(OUTCOMES_KEY, encode_outcomes(self.netting_set, piece.outcomes()))]
        told = {"ALPHA": 1}
        for _ in range(chunks):
            chunk = Resolutions(
                netting_set=self.netting_set,
                log_offset=offset,
                time_ms=1,
                items=[_released(window)],
            )
            outputs.append((RESOLUTION_KEY, encode(chunk)))
            for bank, value in resolution_records(chunk, told):
                self.wanted.setdefault(bank, []).append(bytes(value))
                told[bank] = told.get(bank, 0) + 1
        entry = Entry("ALPHA", net="0.00", debits="0.00", credits="0.00", sent=1, received=0)
        event = _settled(self.netting_set, offset, window, [entry])
        outputs.append((WINDOW_KEY, encode(event)))
        self.wanted["ALPHA"].append(final_record(event, entry, told["ALPHA"]))
        await self.commit(*outputs)
        return offset

    async def windows(self, *numbers: int, banks: tuple[str, ...] = BANKS) -> list[WindowEvent]:
        """A control record of the log that settles these windows: an outcomes record for each."""
        offset = await self.append(control.KEY, control.TICK)
        entries = [
            Entry(bank, net="0.00", debits="1.00", credits="1.00", sent=1, received=1)
            for bank in banks
        ]
        events = [_settled(self.netting_set, offset, number, entries) for number in numbers]
        await self.commit(*((WINDOW_KEY, encode(event)) for event in events))
        for index, event in enumerate(events):
            for entry in entries:
                self.wanted.setdefault(entry.participant, []).append(
                    final_record(event, entry, index)
                )
        return events

    async def append(self, key: bytes, value: bytes) -> int:
        """One log record; its offset."""
        sent = await self.log.send_and_wait(self.topics.log, value, key, self.partition)
        return sent.offset

    async def commit(self, *outputs: tuple[bytes, bytes], abort: bool = False) -> None:
        """Outcomes records in one transaction."""
        await self.engine.begin_transaction()
        for key, value in outputs:
            await self.engine.send_and_wait(self.topics.outcomes, value, key, self.partition)
        await (self.engine.abort_transaction() if abort else self.engine.commit_transaction())

    async def abort(self, outcomes: Outcomes) -> None:
        value = encode_outcomes(self.netting_set, outcomes)
        await self.commit((OUTCOMES_KEY, value), abort=True)


def _settled(netting_set: str, log_offset: int, window: int, entries: list[Entry]) -> WindowEvent:
    return WindowEvent(
        netting_set=netting_set,
        log_offset=log_offset,
        time_ms=1,
        asset="HKD",
        window=window,
        version=1,
        state="SETTLED",
        batch=f"b{window}",
        hash="h",
        entries=entries,
    )


def _released(window: int) -> Resolution:
    return Resolution(
        id=str(uuid.uuid4()),
        code=Code.ACCEPTED,
        kind=1,
        debtor="ALPHA",
        creditor="BRAVO",
        asset="HKD",
        amount="1.00",
        log_offset=0,
        row=0,
        source=("payments.hk.ALPHA", 0, 0, -1),
        how="SINGLE",
        window=window,
    )


async def read_told(bootstrap: str, topics: Topics, banks: tuple[str, ...] = BANKS) -> Told:
    """Everything that stands in the status topics."""
    told: Told = {}
    async with kafka.started(kafka.consumer(bootstrap)) as reader:
        for bank in banks:
            partition = TopicPartition(topics.status(bank), 0)
            reader.assign([partition])
            told[bank] = [
                record.value or b"" async for record in kafka.read_to_end(reader, partition)
            ]
    return told


def as_read(values: list[bytes]) -> dict[str, list[bytes]]:
    """By netting set, what a reader is left with that drops what is not above the last it has seen."""
    last: dict[str, tuple[int, int]] = {}
    left: dict[str, list[bytes]] = {}
    for value in values:
        message = decode(value)
        place = (message.log_offset, message.index)
        if place > last.get(message.netting_set, (-1, -1)):
            last[message.netting_set] = place
            left.setdefault(message.netting_set, []).append(value)
    return left


async def until(condition: Callable[[], Awaitable[bool]], bound_s: float = 40) -> None:
    """Wait until a condition holds; fail after the bound."""
    deadline = time.monotonic() + bound_s
    while not await condition():
        assert time.monotonic() < deadline, "the condition did not come true in time"
        await asyncio.sleep(0.05)


@asynccontextmanager
async def feeding(
    bootstrap: str, topics: Topics, netting_set: str = "hk", partition: int = 0
) -> AsyncIterator[Feed]:
    log = kafka.producer(bootstrap)
    engine = kafka.producer(bootstrap, transactional_id=topics.transactional_id(netting_set))
    async with kafka.started(log), kafka.started(engine):
        yield Feed(log, engine, topics, netting_set, partition)


async def committed(bootstrap: str, topics: Topics, partition: int = 0) -> int | None:
    """The group's offset in outcomes."""
    group = kafka.consumer(bootstrap, group=topics.group("dispatch"))
    async with kafka.started(group):
        return await group.committed(TopicPartition(topics.outcomes, partition))


async def commit(bootstrap: str, topics: Topics, offset: int) -> None:
    """Set the group's offset in outcomes, as an operator would."""
    partition = TopicPartition(topics.outcomes, 0)
    group = kafka.consumer(bootstrap, group=topics.group("dispatch"))
    async with kafka.started(group):
        group.assign([partition])
        await group.commit({partition: offset})


async def until_committed(bootstrap: str, topics: Topics, offset: int) -> None:
    async def check() -> bool:
        return await committed(bootstrap, topics) == offset

    await until(check)


async def delete_topic(bootstrap: str, topic: str) -> None:
    async with kafka.administration(bootstrap) as admin:
        await admin.delete_topics([topic])


async def delete_records(bootstrap: str, partition: TopicPartition, before: int) -> None:
    async with kafka.administration(bootstrap) as admin:
        await admin.delete_records({partition: RecordsToDelete(before_offset=before)})
