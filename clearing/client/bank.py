"""A bank's side: publish payments, hear what became of them. Writes its payments topic, reads its status topic.

Everything here could be done with any Kafka client and the schemas in topics/; this does it in a few lines.
"""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Iterable, Iterator, Sequence
from contextlib import aclosing
from types import TracebackType
from typing import Self, Unpack

import msgspec
import pyarrow as pa
import structlog
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.errors import ConsumerStoppedError
from aiokafka.producer.message_accumulator import BatchBuilder

from clearing import kafka
from clearing.client import columns, orders
from clearing.client.following import Follower, Request, Status, Told, decode_status
from clearing.client.orders import Amount, Fields, LinkedTerms, Priority, Terms
from clearing.kafka import RawRecord
from clearing.messages import (
    Bulk,
    FinalRecord,
    Instruction,
    Item,
    Link,
    Payment,
    Return,
    StatusRecord,
    TokenTransfer,
)
from clearing.metadata import existing
from clearing.names import Topics
from clearing.security import Security

POLL_MS = 1_000
BATCHES_IN_FLIGHT = 2  # of 1 MiB

_encode = msgspec.json.Encoder().encode
_log = structlog.get_logger()


class UnknownParticipant(LookupError):
    """There is no such participant in this netting set, or its topics are not made yet."""


class Bank:
    """One participant in one netting set. Use it as an async context manager.

    prefix: what the installation's topics begin with. secured: TLS and login (None: in the clear, or what
    clearing.security.use was told). Entering raises KafkaError when Kafka cannot be reached,
    UnknownParticipant when the topics are missing.
    """

    def __init__(
        self,
        bootstrap: str,
        name: str,
        netting_set: str,
        prefix: str = "",
        secured: Security | None = None,
    ) -> None:
        self.name = name
        self.netting_set = netting_set
        self._bootstrap = bootstrap
        self._secured = secured
        topics = Topics(prefix)
        self._payments = topics.payments(netting_set, name)
        self._status = TopicPartition(topics.status(name), 0)
        self._entered_at = 0  # end of the status topic when the bank was entered
        self._producer: AIOKafkaProducer | None = None
        self._readers: set[AIOKafkaConsumer] = set()

    async def __aenter__(self) -> Self:
        topics = {self._payments, self._status.topic}
        async with kafka.started(kafka.consumer(self._bootstrap, secured=self._secured)) as reader:
            missing = topics - await existing(reader, topics)
            if missing:
                names = " and no topic ".join(sorted(missing))
                raise UnknownParticipant(f"no topic {names}: is {self.name} in the scheme?")
            reader.assign([self._status])
            self._entered_at = (await reader.end_offsets([self._status]))[self._status]
        producer = kafka.producer(
            self._bootstrap, client=f"bank-{self.name}", secured=self._secured
        )
        try:
            await producer.start()
        except BaseException:
            await producer.stop()
            raise
        self._producer = producer
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._producer is not None:
            await self._producer.stop()
            self._producer = None
        for reader in tuple(self._readers):  # of loops that were left early
            await reader.stop()

    def payment(
        self, to: str, asset: str, amount: Amount, **fields: Unpack[Fields]
    ) -> Payment | TokenTransfer:
        """A payment order of this bank that is not sent yet; amount: an exact decimal, never a float."""
        return orders.payment(self.name, to, asset, amount, **fields)

    def bulk(self, items: Sequence[Item]) -> Bulk:
        """Many messages as one record, with count and control sum."""
        return orders.bulk(items)

    async def pay(self, to: str, asset: str, amount: Amount, **fields: Unpack[Fields]) -> str:
        """Publish one payment; its id, once Kafka has it.

        To be safe against a KafkaError here, make the order with payment() and publish() it again: the same id
        with the same content has no second effect (R28).
        """
        return await self._send(self.payment(to, asset, amount, **fields))

    async def transfer(
        self,
        to: str,
        asset: str,
        amount: Amount,
        chain_reference: str,
        **terms: Unpack[LinkedTerms],
    ) -> str:
        """Publish one transfer of tokens; its id. As pay()."""
        return await self.pay(to, asset, amount, chain_reference=chain_reference, **terms)

    async def settle(self, trade: Link, **terms: Unpack[Terms]) -> list[str]:
        """Publish every leg of a trade that this bank owes (R19); the payments' ids.

        Every other sender does the same with the same Link: all legs settle, or none. See orders.dvp, orders.pvp.
        """
        legs = orders.own_legs(trade, self.name, **terms)
        await self.publish(legs)
        return [leg.id for leg in legs]

    async def give_back(
        self,
        original: Status | Payment | TokenTransfer,
        amount: Amount | None = None,
        *,
        reason: str,
        **terms: Unpack[Terms],
    ) -> str:
        """Return what `original` brought to this bank, or a part of it (R5); the return's id. reason: e.g. AC04.

        original: the status by which this bank was told of it, or the message itself.
        """
        if isinstance(original, Status):
            amount = original.amount if amount is None else amount
            original = orders.original_of(original, self.name)
        return await self._send(orders.give_back(original, amount, reason=reason, **terms))

    async def cancel(
        self,
        original: Payment | TokenTransfer | Return,
        *,
        reason: str = orders.REQUESTED_BY_CUSTOMER,
    ) -> str:
        """Take a payment of this bank back; the cancellation's id.

        A payment that waits is cancelled (its own status is CANC). Of an accepted one the creditor is asked to
        give it back: an Answer follows in told(), and if it agrees, a return (R23).
        """
        return await self._send(orders.cancellation(original, reason=reason))

    async def prioritise(self, payment_id: str, priority: Priority) -> str:
        """Give a payment of this bank that waits another priority (R12); the instruction's id."""
        return await self._send(orders.reprioritisation(self.name, payment_id, priority))

    async def answer(self, request: Request, *, agreed: bool, reason: str = "") -> str:
        """Answer a bank that asks for its payment back (R23); the answer's id. Agreed: give_back() follows."""
        return await self._send(orders.answer(self.name, request, agreed=agreed, reason=reason))

    async def _send(self, message: Item) -> str:
        await self._entered().send_and_wait(self._payments, _encode(message), partition=0)
        return message.id

    async def publish(self, instructions: Iterable[Instruction]) -> int:
        """Publish many, in order; how many, once Kafka has them all.

        Raises KafkaError, after which some may be published: publishing the same again is harmless (R28).
        """
        producer = self._entered()
        count, sent = 0, deque[Awaitable[object]]()
        for batch in self._batches(producer, instructions):
            count += batch.record_count()
            sent.append(await producer.send_batch(batch, self._payments, partition=0))
            if len(sent) > BATCHES_IN_FLIGHT:
                await sent.popleft()
        await asyncio.gather(*sent)
        return count

    async def publish_columns(self, payments: pa.RecordBatch) -> None:
        """Publish up to 50,000 payments as one record, by columns; see topics/README.md, "Bulk as columns".

        Raises KafkaError. To be safe against one, make the record with columns.stream() and send the same again.
        """
        await self._entered().send_and_wait(self._payments, columns.stream(payments), partition=0)

    def _batches(
        self, producer: AIOKafkaProducer, instructions: Iterable[Instruction]
    ) -> Iterator[BatchBuilder]:
        """Full batches and what is left, each closed: Kafka takes it as one."""
        batch = producer.create_batch()
        for instruction in instructions:
            value = _encode(instruction)
            if batch.append(timestamp=None, key=None, value=value) is None:  # full
                yield batch
                batch = producer.create_batch()
                batch.append(timestamp=None, key=None, value=value)
        if batch.record_count():
            batch.close()
            yield batch

    async def statuses(
        self,
        *,
        from_beginning: bool = False,
        from_offset: int | None = None,
        incoming: bool = True,
        remember: int = 1_000_000,
    ) -> AsyncIterator[Status]:
        """Statuses of this bank's payments as they come, and with `incoming` of those in its favour. Never ends.

        Starts with what was told since the bank was entered, or at the first record kept, or at `from_offset`
        (a Status's own offset: once more what it came with). ACSC comes for the accepted payments seen here: to
        miss none after a restart, start at the oldest that is not final. At most `remember` of them are kept
        (BufferError beyond); 0: keep none, give no ACSC.
        """
        told = self.told(from_beginning=from_beginning, from_offset=from_offset, remember=remember)
        async with aclosing(told):
            async for one in told:
                if isinstance(one, Status) and (incoming or not one.incoming):
                    yield one

    async def told(
        self,
        *,
        from_beginning: bool = False,
        from_offset: int | None = None,
        remember: int = 1_000_000,
    ) -> AsyncGenerator[Told, None]:
        """All that statuses() gives, and what other banks ask and answer: Request, Answer (R23). Never ends."""
        follower = Follower(remember)
        async for record in self._follow(from_beginning, from_offset):
            for one in follower.take(record.value or b"", record.offset):
                yield one
            for netting_set, asset, window in follower.take_incomplete():
                _log.warning(
                    "final_with_payments_unseen",
                    netting_set=netting_set,
                    asset=asset,
                    window=window,
                )

    async def records(
        self, *, from_beginning: bool = False, from_offset: int | None = None
    ) -> AsyncIterator[tuple[int, StatusRecord | FinalRecord]]:
        """The records of the status topic themselves with their offsets, repeats dropped. Never ends.

        Among them how each window ended, also when its ledger refused it (RJCT).
        """
        last = (-1, -1)
        async for record in self._follow(from_beginning, from_offset):
            message = decode_status(record.value or b"")
            if (message.log_offset, message.index) > last:
                last = (message.log_offset, message.index)
                yield record.offset, message

    async def _follow(
        self, from_beginning: bool, from_offset: int | None
    ) -> AsyncIterator[RawRecord]:
        """Records of this netting set in the status topic."""
        self._entered()
        key = self.netting_set.encode()
        reader = kafka.consumer(
            self._bootstrap,
            client=f"bank-{self.name}",
            secured=self._secured,
            **kafka.AT_A_DISTANCE,
        )
        self._readers.add(reader)
        try:
            await reader.start()
            start = await self._start(reader, from_beginning, from_offset)
            reader.assign([self._status])
            reader.seek(self._status, start)
            while True:
                batches = await reader.getmany(self._status, timeout_ms=POLL_MS)
                for record in batches.get(self._status, ()):
                    if record.key == key:
                        yield record
        except ConsumerStoppedError:
            return  # the bank was left
        finally:
            self._readers.discard(reader)
            await reader.stop()

    async def _start(
        self, reader: AIOKafkaConsumer, from_beginning: bool, from_offset: int | None
    ) -> int:
        if from_offset is not None:
            return from_offset
        if not from_beginning:
            return self._entered_at
        reader.assign([self._status])
        return (await reader.beginning_offsets([self._status]))[self._status]

    def _entered(self) -> AIOKafkaProducer:
        if self._producer is None:
            raise RuntimeError("a Bank is used as `async with Bank(…) as bank`")
        return self._producer
