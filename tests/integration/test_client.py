"""The client of banks and ledgers against a real broker; dispatch is the real one, intake and engine are played."""

import asyncio
import uuid
from collections.abc import AsyncIterator

import msgspec
import pytest
from aiokafka import TopicPartition
from aiokafka.admin import NewTopic
from aiokafka.errors import OffsetOutOfRangeError

from clearing import kafka
from clearing.client import (
    Bank,
    BrokenChain,
    Request,
    Status,
    UnknownParticipant,
    dvp,
    settlements,
)
from clearing.client.orders import payment
from clearing.core.outputs import LedgerAccount, SettlementBatch
from clearing.messages import (
    Answer,
    Cancellation,
    FinalRecord,
    Instruction,
    Payment,
    PriorityChange,
    Return,
    StatusRecord,
    TokenTransfer,
)
from clearing.names import Topics
from clearing.scheme.directory import publish_directory
from tests.client.test_chain import FIRST, SECOND, batch
from tests.dispatch.feed import BANKS, create_all, create_topics, decode, feeding, read_told
from tests.integration.test_dispatch import all_told, dispatching

BOUND_S = 30
encode = msgspec.json.Encoder().encode


@pytest.fixture
async def topics(bootstrap: str, topic_prefix: str) -> Topics:
    topics = Topics(topic_prefix)
    await create_all(bootstrap, topics)
    await create_topics(bootstrap, *(NewTopic(topics.payments("hk", b), 1, 1) for b in BANKS))
    return topics


async def take(statuses: AsyncIterator[Status], count: int) -> list[Status]:
    """The first `count` of an endless stream."""
    taken: list[Status] = []
    async with asyncio.timeout(BOUND_S):
        async for status in statuses:
            taken.append(status)
            if len(taken) == count:
                break
    return taken


async def test_what_a_bank_publishes_is_what_intake_reads(bootstrap: str, topics: Topics) -> None:
    """In order, exactly as made, one record each, in the bank's own topic."""
    async with Bank(bootstrap, "ALPHA", "hk", topics.prefix) as bank:
        first = await bank.pay("BRAVO", "HKD", "12.50")
        many = [bank.payment("BRAVO", "HKD", 1 + i, end_to_end_id=f"E{i}") for i in range(8_000)]
        assert await bank.publish(many) == 8_000
        assert await bank.publish([]) == 0
        bulk = bank.bulk(many[:3])
        assert await bank.publish([bulk]) == 1
    read = await published(bootstrap, topics, "ALPHA")
    assert read[0].id == first
    assert read[1:-1] == many
    assert read[-1] == bulk


async def published(bootstrap: str, topics: Topics, bank: str) -> list[Instruction]:
    """All that stands in a bank's payments topic."""
    partition = TopicPartition(topics.payments("hk", bank), 0)
    async with kafka.started(kafka.consumer(bootstrap)) as reader:
        reader.assign([partition])
        return [
            msgspec.json.decode(record.value or b"", type=Instruction)
            async for record in kafka.read_to_end(reader, partition)
        ]


async def test_all_that_a_bank_may_say_is_published(bootstrap: str, topics: Topics) -> None:
    """R5, R12, R19, R23: trades, returns, cancellations, priorities, answers; each method gives the id."""
    trade = dvp("ALPHA", "BRAVO", delivery=("BOND", 10), against=("HKD", "990.00"))
    asked = Request(
        id=str(uuid.uuid4()),
        original=str(uuid.uuid4()),
        counterparty="BRAVO",
        asset="HKD",
        amount="1.00",
        end_to_end_id="E",
        reason="DUPL",
        netting_set="hk",
        log_offset=1,
        time_ms=1,
        offset=1,
    )
    async with Bank(bootstrap, "ALPHA", "hk", topics.prefix) as bank:
        received = payment("BRAVO", "ALPHA", "HKD", "1.00")
        told = Status(
            id=received.id,
            status="ACSC",
            incoming=True,
            counterparty="BRAVO",
            asset="HKD",
            amount="1.00",
            end_to_end_id=received.end_to_end_id,
            window=1,
            value_date=received.value_date,
            netting_set="hk",
            log_offset=1,
            time_ms=1,
            offset=1,
        )
        order = bank.payment("BRAVO", "HKD", 5)
        ids = [
            *await bank.settle(trade, priority="HIGH"),
            await bank.transfer("BRAVO", "USDX", 3, "eip155:1:0xab:0"),
            await bank.give_back(received, "0.40", reason="AC04"),
            await bank.give_back(told, reason="AC04"),
            await bank.cancel(order),
            await bank.prioritise(order.id, "URGT"),
            await bank.answer(asked, agreed=False, reason="LEGL"),
        ]
    read = await published(bootstrap, topics, "ALPHA")
    assert [message.id for message in read] == ids
    leg, transfer, back, all_back, cancellation, change, answer = read
    assert isinstance(leg, Payment)
    assert (leg.link, leg.asset, leg.priority) == (trade, "BOND", "HIGH")
    assert isinstance(transfer, TokenTransfer)
    assert isinstance(back, Return)
    assert (back.original, back.amount) == (received, "0.40")
    assert isinstance(all_back, Return)
    assert (all_back.original, all_back.amount) == (received, "1.00")
    assert isinstance(cancellation, Cancellation)
    assert cancellation.original == order
    assert isinstance(change, PriorityChange)
    assert (change.payment, change.priority) == (order.id, "URGT")
    assert isinstance(answer, Answer)
    assert (answer.request, answer.creditor, answer.decision) == (asked.id, "BRAVO", "DECLINED")


async def test_a_bank_hears_of_its_payments_up_to_finality(bootstrap: str, topics: Topics) -> None:
    """The README's loop: accepted, refused, received, final (R23, R41)."""
    async with (
        feeding(bootstrap, topics) as feed,
        Bank(bootstrap, "ALPHA", "hk", topics.prefix) as bank,
        dispatching(bootstrap, topics),
    ):
        statuses = bank.statuses()
        await feed.payments(8)  # window 3 of HKD; every fourth is refused
        told = decode(feed.wanted["ALPHA"][0])
        assert isinstance(told, StatusRecord)
        sent, received = [s.id for s in told.statuses], [r.id for r in told.receipts]
        accepted = [s.id for s in told.statuses if s.status == "ACSP"]
        heard = await take(statuses, len(sent) + len(received))
        assert [status.id for status in heard] == sent + received
        assert [status.incoming for status in heard] == [False] * len(sent) + [True] * len(received)
        await feed.windows(3)
        finals = await take(statuses, len(accepted + received))
        assert [status.id for status in finals] == accepted + received
        assert {status.status for status in finals} == {"ACSC"}


async def test_a_bank_reads_again_from_where_it_wants(bootstrap: str, topics: Topics) -> None:
    """From its beginning, from an offset, without what it receives, or the records themselves."""
    async with feeding(bootstrap, topics) as feed, dispatching(bootstrap, topics):
        for _ in range(3):
            await feed.payments(4)
        await feed.windows(1)
        await all_told(bootstrap, topics, feed)
        async with Bank(bootstrap, "ALPHA", "hk", topics.prefix) as bank:
            everything = await take(bank.statuses(from_beginning=True), 9)
            second = [s for s in everything if s.log_offset == 1]
            assert len(second) == 3
            again = await take(bank.statuses(from_offset=second[0].offset), len(second))
            assert again == second
            sent = [s for s in everything if not s.incoming]
            mine = bank.statuses(from_beginning=True, incoming=False)
            assert await take(mine, len(sent)) == sent
            records: list[tuple[int, StatusRecord | FinalRecord]] = []
            async with asyncio.timeout(BOUND_S):
                async for offset, record in bank.records(from_beginning=True):
                    records.append((offset, record))
                    if len(records) == len(feed.wanted["ALPHA"]):
                        break
            assert [encode(record) for _, record in records] == feed.wanted["ALPHA"]
            await feed.payments(4)
            news = await take(bank.statuses(), 3)  # since it was entered
            assert {s.log_offset for s in news} == {decode(feed.wanted["ALPHA"][-1]).log_offset}


async def test_repeats_in_the_topic_are_not_heard(bootstrap: str, topics: Topics) -> None:
    """Dispatch tells at least once; a reader drops by the sequence (F15)."""
    async with feeding(bootstrap, topics) as feed:
        async with dispatching(bootstrap, topics):
            await feed.payments(4)
            await feed.payments(4)
            await all_told(bootstrap, topics, feed)
        told = (await read_told(bootstrap, topics))["ALPHA"]
        for value in (*told, feed.wanted["ALPHA"][0].replace(b'"log_offset":0', b'"log_offset":9')):
            await feed.log.send_and_wait(topics.status("ALPHA"), value, b"hk", 0)
        await feed.log.send_and_wait(topics.status("ALPHA"), told[0], b"eu", 0)  # of another set
        async with Bank(bootstrap, "ALPHA", "hk", topics.prefix) as bank:
            each = [len(m.statuses) + len(m.receipts) for m in map(_status_record, told)]
            heard = await take(bank.statuses(from_beginning=True), sum(each) + each[0])
            assert [s.log_offset for s in heard][-each[0] :] == [9] * each[0]


def _status_record(value: bytes) -> StatusRecord:
    message = decode(value)
    assert isinstance(message, StatusRecord)
    return message


async def test_who_is_not_in_the_scheme_is_told_so(bootstrap: str, topics: Topics) -> None:
    """No topic is made by asking for it, and nobody waits for one for ever."""
    with pytest.raises(UnknownParticipant, match=r"status\.NOBODY: is NOBODY in the scheme"):
        async with Bank(bootstrap, "NOBODY", "hk", topics.prefix):
            pass
    bank = Bank(bootstrap, "ALPHA", "hk", topics.prefix)
    with pytest.raises(RuntimeError, match="async with"):
        await bank.pay("BRAVO", "HKD", 1)


async def test_statuses_end_when_the_bank_is_left(bootstrap: str, topics: Topics) -> None:
    """Not with an error in the middle of somebody's loop."""
    heard = asyncio.Event()

    async def listen(bank: Bank) -> int:
        count = 0
        async for _ in bank.statuses():
            count += 1
            heard.set()
        return count

    async with feeding(bootstrap, topics) as feed, dispatching(bootstrap, topics):
        async with Bank(bootstrap, "ALPHA", "hk", topics.prefix) as bank:
            listening = asyncio.create_task(listen(bank))
            await feed.payments(4)
            await asyncio.wait_for(heard.wait(), BOUND_S)
        assert await asyncio.wait_for(listening, BOUND_S) == 3


class Ledger:
    """The settlements topic with a directory, and a writer of batches in transactions."""

    def __init__(self, bootstrap: str, topics: Topics) -> None:
        self.bootstrap, self.topics = bootstrap, topics

    async def create(self) -> None:
        await create_topics(
            self.bootstrap,
            NewTopic(self.topics.settlements, 2, 1),
            NewTopic(self.topics.netting_sets, 1, 1),
        )
        await publish_directory(self.bootstrap, self.topics, ["hk", "eu"])

    async def write(self, *values: object, partition: int = 0, abort: bool = False) -> None:
        producer = kafka.producer(self.bootstrap, transactional_id=f"w-{uuid.uuid4()}")
        async with kafka.started(producer):
            await producer.begin_transaction()
            for value in values:
                topic = self.topics.settlements
                await producer.send_and_wait(topic, encode(value), partition=partition)
            await (producer.abort_transaction() if abort else producer.commit_transaction())
        await self._readable(TopicPartition(self.topics.settlements, partition))

    async def _readable(self, where: TopicPartition) -> None:
        """Kafka answers a commit before its markers are written: wait for those."""
        committed, everything = (
            kafka.consumer(self.bootstrap, isolation_level=level)
            for level in ("read_committed", "read_uncommitted")
        )
        async with kafka.started(committed), kafka.started(everything), asyncio.timeout(BOUND_S):
            while True:
                if await committed.end_offsets([where]) == await everything.end_offsets([where]):
                    return
                await asyncio.sleep(0.02)

    async def read(
        self, netting_set: str | None, *args: int, **options: str
    ) -> list[SettlementBatch]:
        prefix = self.topics.prefix
        found = settlements(
            self.bootstrap, netting_set, *args, prefix=prefix, follow=False, **options
        )
        async with asyncio.timeout(BOUND_S):
            return [batch async for _, batch in found]


@pytest.fixture
async def ledger(bootstrap: str, topic_prefix: str) -> Ledger:
    ledger = Ledger(bootstrap, Topics(topic_prefix))
    await ledger.create()
    return ledger


ACCOUNT = LedgerAccount(
    netting_set="hk", asset="HKD", ledger="postgres", scale=2, participant="P0", overdraft="0"
)


async def test_a_ledger_reads_committed_batches_in_order(ledger: Ledger) -> None:
    """Accounts are left out, aborted batches never seen, netting sets apart (R7)."""
    european = batch(1, "0" * 64, netting_set="eu")
    await ledger.write(batch(1, "0" * 64, "9.00", "-9.00"), abort=True)
    await ledger.write(ACCOUNT, FIRST)
    await ledger.write(european, partition=1)
    await ledger.write(SECOND, batch(99, "0" * 64), abort=True)
    await ledger.write(SECOND)
    assert await ledger.read("hk") == [FIRST, SECOND]
    assert sorted((b.netting_set, b.sequence) for b in await ledger.read(None)) == [
        ("eu", 1),
        ("hk", 1),
        ("hk", 2),
    ]
    with pytest.raises(LookupError, match="there are: eu, hk"):
        await ledger.read("us")


async def test_a_ledger_goes_on_where_it_stopped(ledger: Ledger) -> None:
    await ledger.write(FIRST)
    prefix = ledger.topics.prefix
    following = settlements(ledger.bootstrap, "hk", prefix=prefix)
    offset, first = await asyncio.wait_for(anext(following), BOUND_S)
    assert first == FIRST
    await ledger.write(SECOND)
    assert (await asyncio.wait_for(anext(following), BOUND_S))[1] == SECOND
    assert await ledger.read("hk", offset + 1, previous=first.hash) == [SECOND]
    with pytest.raises(BrokenChain, match="does not follow"):
        await ledger.read("hk", offset + 1, previous=SECOND.hash)
    with pytest.raises(ValueError, match="name it"):
        await ledger.read(None, offset + 1)
    with pytest.raises(OffsetOutOfRangeError):
        await asyncio.wait_for(
            anext(settlements(ledger.bootstrap, "hk", 99, prefix=prefix)), BOUND_S
        )


async def test_a_ledger_is_never_handed_a_wrong_batch(ledger: Ledger) -> None:
    """Every good one before it, then BrokenChain (R1, R7)."""
    await ledger.write(FIRST, SECOND, SECOND)
    following = settlements(ledger.bootstrap, "hk", prefix=ledger.topics.prefix)
    async with asyncio.timeout(BOUND_S):
        assert [(await anext(following))[1] for _ in range(2)] == [FIRST, SECOND]
        with pytest.raises(BrokenChain, match="batch 2 follows batch 2"):
            await anext(following)
