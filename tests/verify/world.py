"""An installation in lists: every topic of a small day, made by the simulation, and a reader over them.

Everything a black box may look at is here, as Kafka would show it: offsets with holes where transaction markers
would be, journal transactions, status topics, the books of an ideal ledger. Tests change a record and look.
"""

import random
import uuid
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import msgspec
from aiokafka import TopicPartition

from clearing.core.commands import CloseWindow, Confirmation, SetStatus
from clearing.core.outputs import SettlementBatch
from clearing.intake.packing import SourceRecord
from clearing.log import control, payments
from clearing.log.records import TRANSACTION_KEY, OutputRecord, Transaction, decode_settlement
from clearing.logfile import LogFileRecord
from clearing.names import Topics
from clearing.reading import Bounds
from clearing.scenario import Recorder, Scenario, read_events, start_of
from clearing.scheme.model import Scheme
from clearing.scheme.parse import parse
from clearing.simulate import Simulation
from clearing.verify import Report
from clearing.verify.collect import Collector, silent
from clearing.verify.facts import Facts
from clearing.verify.ledger import LedgerBooks, Posting, posted_lines
from clearing.verify.rereads import Rereads
from clearing.verify.run import verify_topics

START_MS = 1_767_614_400_000  # 2026-01-05 12:00 UTC
DATE = "2026-01-05"
BANKS = ("ALPHA", "BRAVO", "CHARLIE")

SCHEME = """
name = "Verification"
[netting_sets.hk]
[assets.HKD]
netting_set = "hk"
issuer = "HKMA"
ledger = "postgres"
kind = "cash"
scale = 2
accounts = { prefunded = "5000", net_debit_cap = "20000" }
[assets.COIN]
netting_set = "hk"
issuer = "Pearl"
ledger = "postgres"
kind = "stablecoin"
scale = 6
accounts = { prefunded = "1000", net_debit_cap = "0" }
[participants.ALPHA]
name = "Alpha"
netting_sets = ["hk"]
[participants.BRAVO]
name = "Bravo"
netting_sets = ["hk"]
[participants.CHARLIE]
name = "Charlie"
netting_sets = ["hk"]
"""


class Record(NamedTuple):
    """What a reader uses of a Kafka record."""

    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None


class _Recorded(Simulation):
    """A simulation that keeps what was published."""

    def publish(self, topic: str, partition: int, value: bytes | None) -> SourceRecord:
        record = super().publish(topic, partition, value)
        self.published.append((topic, partition, record))
        return record

    def __post_init__(self) -> None:
        super().__post_init__()
        self.published: list[tuple[str, int, SourceRecord]] = []


@dataclass
class World:
    """The topics of an installation, its ledger, and a verification over both."""

    netting_set: str = "hk"
    topics: Topics = field(default_factory=Topics)
    partitions: dict[TopicPartition, list[Record]] = field(default_factory=dict)
    ends: dict[TopicPartition, int] = field(default_factory=dict)
    books: LedgerBooks = field(default_factory=LedgerBooks)
    aged: set[str] = field(
        default_factory=set[str]
    )  # topics that begin with the first record they have
    # Records that a transaction took back: only who reads uncommitted is given them.
    aborted: dict[TopicPartition, list[Record]] = field(default_factory=dict)
    # What a second reading gives of a partition, where that is something else.
    second: dict[TopicPartition, list[Record]] = field(default_factory=dict)

    def add(self, topic: str, key: bytes | None, value: bytes | None, time_ms: int) -> None:
        partition = TopicPartition(topic, 0)
        offset = self.ends.get(partition, 0)
        self.partitions.setdefault(partition, []).append(Record(offset, time_ms, key, value))
        self.ends[partition] = offset + 1

    def marker(self, topic: str) -> None:
        """A transaction marker takes an offset and is no record."""
        partition = TopicPartition(topic, 0)
        self.ends[partition] = self.ends.get(partition, 0) + 1

    def records(self, topic: str) -> list[Record]:
        return self.partitions[TopicPartition(topic, 0)]

    def replace(self, topic: str, place: int, **changed: object) -> None:
        """Another record in the place of one."""
        records = self.records(topic)
        records[place] = records[place]._replace(**changed)

    async def verify(self, *, ledger: bool = True) -> Report:
        async def books(_: str) -> LedgerBooks:
            return self.books

        return await verify_topics(
            ListReader(self),
            self.topics,
            {self.netting_set: 0},
            books if ledger else None,
            rereads=Rereads(
                ListReader(replace(self, partitions=self.partitions | self.second)),
                ListReader(self, uncommitted=True),
            ),
        )

    async def facts(self) -> Facts:
        """What the checks of the netting set compare, to be changed directly where no topic says it alone."""
        collector = Collector(ListReader(self), self.topics, self.netting_set, 0, silent)
        await collector.mark({partition.topic for partition in self.ends})
        said = await collector.read_outputs()
        logged = await collector.read_log(said)
        return Facts.lay_out(logged.table, said)


class ListReader:
    """The reader's interface over a world's lists, a few records a chunk."""

    CHUNK = 7

    def __init__(self, world: World, *, uncommitted: bool = False) -> None:
        self._world = world
        self._uncommitted = uncommitted

    async def topics(self) -> set[str]:
        return {partition.topic for partition in self._world.ends}

    async def bounds(self, partitions: Iterable[TopicPartition]) -> Bounds:
        return {partition: self._bounds(partition) for partition in partitions}

    def _bounds(self, partition: TopicPartition) -> tuple[int, int]:
        records = self._world.partitions.get(partition, [])
        end = self._world.ends.get(partition, 0)
        if partition.topic in self._world.aged:
            return (records[0].offset if records else end), end
        return 0, end

    async def chunks(
        self, partition: TopicPartition, start: int | None = None, end: int | None = None
    ) -> AsyncIterator[list[Record]]:
        records = [
            record
            for record in self._world.partitions.get(partition, [])
            if (start is None or record.offset >= start) and (end is None or record.offset < end)
        ]
        if self._uncommitted:
            records = sorted([*records, *self._world.aborted.get(partition, [])])
        for at in range(0, len(records), self.CHUNK):
            yield records[at : at + self.CHUNK]


class Writer:
    """Writes what a simulation says into a world's topics, a transaction every few log records.

    The ledger's books follow what the ledgers of the simulation have answered.
    """

    RECORDS_PER_TRANSACTION = 3

    def __init__(self, world: World) -> None:
        self._world = world
        self._recorder = Recorder(world.netting_set)
        self._sent: dict[str, tuple[SettlementBatch, int]] = {}
        self._told = 0
        self._sequence = 0
        self._since = 0
        self.simulation: Simulation | None = None

    def observe(self, record: LogFileRecord, outputs: Sequence[OutputRecord]) -> None:
        world = self._world
        if record.key == control.KEY:
            for item in control.unpack(record.value or b"", record.offset, 0).control:
                if isinstance(item.message, Confirmation) and item.message.batch in self._sent:
                    self._post(*self._sent.pop(item.message.batch), item.message)
        world.add(world.topics.log, record.key, record.value, record.time_ms)
        for output in outputs:
            world.add(getattr(world.topics, output.topic), output.key, output.value, record.time_ms)
            if output.topic == "settlements":
                message = decode_settlement(output.value)
                if isinstance(message, SettlementBatch):
                    settlements = TopicPartition(world.topics.settlements, 0)
                    self._sent[message.id] = message, world.ends[settlements] - 1
        self._recorder.observe(record, outputs)
        for told in self._recorder.result.statuses[self._told :]:
            topic = world.topics.status(told.participant)
            world.add(topic, world.netting_set.encode(), bytes(told.message), record.time_ms)
        self._told = len(self._recorder.result.statuses)
        self._since += 1
        if self._since == self.RECORDS_PER_TRANSACTION:
            self.commit()

    def commit(self) -> None:
        """The journal's record that ends a transaction."""
        assert self.simulation is not None
        machine, world = self.simulation.machine, self._world
        if not self._since:
            return
        self._since = 0
        self._sequence += 1
        transaction = Transaction(
            netting_set=world.netting_set,
            next_offset=machine.next_offset,
            sequence=self._sequence,
            chain=machine.chain.hex(),
            time_ms=machine.state.counters.time_ms,
            snapshot="",
            engine="test",
            owner="test",
            records=machine.records,
        )
        value = msgspec.json.encode(transaction)
        world.add(world.topics.journal, TRANSACTION_KEY, value, 0)
        for topic in (world.topics.journal, world.topics.outcomes, world.topics.settlements):
            world.marker(topic)

    def _post(self, message: SettlementBatch, offset: int, answer: Confirmation) -> None:
        """What the ledger of an answer has booked."""
        books = self._world.books
        posted = answer.status == "POSTED"
        posting = Posting(
            id=message.id,
            hash=message.hash,
            ledger=message.ledger,
            asset=message.asset,
            kind=message.kind,
            window=message.window,
            version=message.version,
            sequence=message.sequence,
            source_offset=offset,
            status=answer.status,
            reason=answer.reason,
            part=message.part,
            parts=message.parts,
            linked=message.linked,
            short=answer.short,
            entries=posted_lines(message) if posted else {},
        )
        books.postings.append(posting)
        books.sequences[message.ledger] = message.sequence
        for line in posting.entries.values():
            account = (message.ledger, message.asset, line.participant)
            books.balances[account] = books.balances.get(account, 0) + line.units
            books.running.append((account, line.units, books.balances[account]))


def payment(rng: random.Random, debtor: str, **fields: object) -> dict[str, object]:
    creditor = rng.choice([bank for bank in BANKS if bank != debtor])
    asset = rng.choice(["HKD", "COIN"])
    amount = rng.choice(
        ["1", "2.5", "10.25", "7.50"] if asset == "HKD" else ["0.000001", "3.1", "5"]
    )
    return {
        "type": "payment",
        "id": str(uuid.UUID(int=rng.getrandbits(128), version=4)),
        "debtor": debtor,
        "creditor": creditor,
        "asset": asset,
        "amount": amount,
        "value_date": DATE,
        "end_to_end_id": f"E{rng.randrange(10**6)}",
    } | fields


def build(seed: int = 1) -> World:
    """A day of plain payments: accepted, refused, rejected, repeated, in bulks; commands, rows read twice."""
    rng = random.Random(seed)
    with written(SCHEME, "hk") as (world, scenario):
        _publish_day(scenario.simulations["hk"], rng)
    return world


def played(scheme: str, events: Iterable[bytes]) -> World:
    """What came of a scheme of one netting set, "main", and a file of events; all windows are closed at the end."""
    read = read_events(events, "events")
    with written(scheme, "main", start_of(read)) as (world, scenario):
        for event in read:
            scenario.play(event)
        scenario.simulations["main"].command(CloseWindow(id="the-end", by="test"))
    return world


@contextmanager
def written(
    scheme_text: str, netting_set: str, start_ms: int = START_MS
) -> Iterator[tuple[World, Scenario]]:
    """A world in which a scheme was loaded; complete when the context is left."""
    scheme = parse(scheme_text)
    assert isinstance(scheme, Scheme), scheme
    world = World(netting_set)
    writer = Writer(world)
    simulation = _Recorded(netting_set, start_ms, [writer.observe])
    writer.simulation = simulation
    scenario = Scenario(scheme, {netting_set: simulation})
    scenario.load_scheme()
    yield world, scenario
    simulation.finish()
    writer.commit()
    for topic, _, record in simulation.published:
        world.add(topic, None, record.value, start_ms)
    for bank in scheme.members[netting_set]:  # topics exist, whether or not somebody wrote to them
        for name in (world.topics.payments(netting_set, bank), world.topics.status(bank)):
            world.ends.setdefault(TopicPartition(name, 0), 0)


def _publish_day(simulation: Simulation, rng: random.Random) -> None:
    encode = msgspec.json.encode
    log_payments: list[bytes] = []

    def keep(record: LogFileRecord, _: Sequence[OutputRecord]) -> None:
        if record.key == payments.KEY:
            log_payments.append(record.value or b"")

    simulation.observers = [*simulation.observers, keep]
    for part in range(3):
        sent: list[dict[str, object]] = []
        for _ in range(40):
            debtor = rng.choice(BANKS)
            sent.append(payment(rng, debtor))
            simulation.pay(debtor, encode(sent[-1]))
        simulation.pay(
            "ALPHA",
            encode(
                payment(rng, "ALPHA", type="token_transfer", asset="COIN", amount="1")
                | {"chain_reference": f"eip155:1:0x{part}:0", "priority": "URGT"}
            ),
        )
        for late in ("2026-01-06T00:00:00.500Z", "2026-01-05T00:00:00+08:00"):  # the second is past
            order = payment(rng, "BRAVO", asset="HKD", amount="1.00", expires_at=late)
            simulation.pay("BRAVO", encode(order))
        simulation.pay("BRAVO", encode(payment(rng, "BRAVO", window=part + 1)))
        debtor = str(sent[0]["debtor"])
        simulation.pay(debtor, encode(sent[0]))  # the same again
        simulation.pay(debtor, encode(sent[0] | {"end_to_end_id": "OTHER"}))  # AM05
        simulation.pay("ALPHA", encode(payment(rng, "ALPHA", asset="HKD", amount="999999")))  # AM23
        simulation.pay(
            "BRAVO", encode(payment(rng, "BRAVO", asset="COIN", amount="999999"))
        )  # AM04
        simulation.pay("BRAVO", encode(payment(rng, "ALPHA")))  # not the owner
        simulation.pay("CHARLIE", encode(payment(rng, "CHARLIE", creditor="NOBODY")))
        simulation.pay("CHARLIE", encode(payment(rng, "CHARLIE", asset="GOLD")))
        simulation.pay("CHARLIE", b"not json")
        simulation.pay("CHARLIE", encode(payment(rng, "CHARLIE", amount="1e2")))
        simulation.pay("ALPHA", None)
        for broken in (0, 1, 2):
            items = [payment(rng, "BRAVO", asset="HKD", amount="1.50") for _ in range(3)]
            if broken == 1:
                items[1]["creditor"] = "b\u0430d"  # Cyrillic: this item is rejected alone
            total = "4.50" if broken != 2 else "9"  # 2: the bulk as a whole
            bulk = {"type": "bulk", "id": str(uuid.UUID(int=rng.getrandbits(128), version=4))}
            simulation.pay(
                "BRAVO", encode(bulk | {"count": 3, "control_sum": total, "items": items})
            )
        simulation.pass_time(simulation.now_ms + 250)
        simulation.append(payments.KEY, log_payments[-1])  # what another intake worker wrote too
        simulation.command(b'{"type":"close_window","id":"x"}')  # not readable: no `by`
        if part == 1:
            simulation.command(
                SetStatus(id="s1", by="test", participant="CHARLIE", status="SUSPENDED")
            )
        if part < 2:
            simulation.command(CloseWindow(id=f"close-{part}", by="test"))
