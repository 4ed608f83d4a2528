"""What the banks of a simulated run publish and hear, and what must become of it: clearing.dev's workload, small.

Publishes and listens through the product's own clients as one more process; the plan is worked out from the scheme
alone. Schemes are drawn from a few that between them settle in every way.
"""

import asyncio
import random
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache, partial

import msgspec
from aiokafka import TopicPartition
from aiokafka.errors import KafkaConnectionError

from clearing import kafka
from clearing.config import Settings
from clearing.core.commands import CloseWindow
from clearing.dev.banks import split
from clearing.dev.tally import Tally
from clearing.dev.told import Listener
from clearing.dev.watch import Watch
from clearing.dev.workload import Mix, Stream, streams
from clearing.messages import DirectoryEntry
from clearing.names import Topics
from clearing.scheme.changes import to_commands
from clearing.scheme.model import Scheme
from clearing.scheme.parse import parse
from clearing.topics.contract import read_contract, wanted_topics
from tests.simulation.simulation import EPOCH_MS, Simulation

DAY = datetime.fromtimestamp(EPOCH_MS / 1000, UTC).date()
PUBLISHING_S = 2.5
BEAT_S = 0.9
OPERATOR = "operator"
CONNECT_AGAIN_S = 0.2
PATIENCE_MS = 30_000  # of a bank with the broker: what it has to send is sent once

_EAST = """
[netting_sets.east]
[assets.HKD]
netting_set = "east"
issuer = "HKMA"
ledger = "postgres"
scale = 2
kind = "cash"
{every}
queue = "FIFO"
value_days_ahead = 3
accounts = {{ {hkd} }}
[assets.COIN]
netting_set = "east"
issuer = "Coin Ltd"
ledger = "postgres"
scale = 6
kind = "stablecoin"
model = "GROSS/BILATERAL/DEFERRED"
queue = "BYPASS_FIFO"
value_days_ahead = 3
accounts = {{ {coin} }}
[[pairs]]
delivery = "COIN"
payment = "HKD"
model = 2
"""
_WEST = """
[netting_sets.west]
[assets.EUR]
netting_set = "west"
issuer = "ECB"
ledger = "postgres"
scale = 2
kind = "cash"
{every}
value_days_ahead = 3
accounts = {{ net_debit_cap = "100000" }}
"""
_CAP = 'net_debit_cap = "300000"'
_BANKS = """
name = "Simulated"
[participants.ALPHHKHH]
name = "Alpha"
[participants.BETAHKHH]
name = "Beta"
[participants.GAMMHKHH]
name = "Gamma"
"""


class Size(msgspec.Struct, frozen=True, kw_only=True):
    """sets: netting sets. every_s: how often windows close by themselves, 0: only when told to. funded: whether
    accounts are prefunded, each by a batch of its own, or live on their caps."""

    payments: int
    sets: tuple[str, ...]
    every_s: int
    funded: bool
    mix: Mix


def draw_size(chance: random.Random) -> Size:
    sets = chance.choice([("east",)] * 4 + [("west",)] * 3 + [("east", "west")])
    return Size(
        payments=chance.randint(14, 24 if len(sets) == 1 else 32),
        sets=sets,
        every_s=chance.choice([0, 0, 0, 3, 5]),
        funded=chance.random() < 0.3,
        mix=Mix(
            odd=0.15,
            stuck=chance.choice([0.0, 0.02]),
            ring=chance.choice([0.0, 0.02]),
            trade=chance.choice([0.0, 0.05]),
            returned=0.02,
            recalled=0.02,
            bulk=0.2,
            bulk_items=5,
        ),
    )


@cache
def scheme_of(sets: tuple[str, ...], every_s: int, *, funded: bool) -> Scheme:
    values = {
        "every": f"every_s = {every_s}" if every_s else "",
        "hkd": 'prefunded = "200000", net_debit_cap = "100000"' if funded else _CAP,
        "coin": 'prefunded = "200000"' if funded else _CAP,
    }
    parts = {"east": _EAST, "west": _WEST}
    made = parse(_BANKS + "".join(parts[name].format(**values) for name in sets))
    assert isinstance(made, Scheme), made
    return made


@cache
def _opening(sets: tuple[str, ...], every_s: int, *, funded: bool) -> dict[str, list[bytes]]:
    """Netting set → the commands that make it what the scheme says."""
    scheme = scheme_of(sets, every_s, funded=funded)
    return {
        name: [msgspec.json.encode(c) for c in to_commands(scheme, name, "scheme", DAY)]
        for name in sets
    }


_contract = cache(read_contract)


@asynccontextmanager
async def _connected(make: Callable[[], kafka.Client]) -> AsyncIterator[kafka.Client]:
    """A client that is started, again and again if the brokers are away just then."""
    async with AsyncExitStack() as stack:
        while True:
            try:
                client = await stack.enter_async_context(kafka.started(make()))
                break
            except KafkaConnectionError:
                await asyncio.sleep(CONNECT_AGAIN_S)
        yield client


@dataclass(slots=True)
class Town:
    """Everybody outside of the product: banks that publish and listen, an operator, a reader of all topics."""

    simulation: Simulation
    size: Size
    topics: Topics
    scheme: Scheme
    streams: list[Stream]
    directory: dict[str, int]
    listener: Listener
    watch: Watch
    rows: int = 0  # published and acknowledged
    commands: int = 0  # published by the operator
    _drawing: int = 0
    _publishing: int = -1  # streams with something to send, -1: it has not begun
    _heard: asyncio.Event | None = None

    @classmethod
    def build(cls, simulation: Simulation, size: Size, seed: int) -> "Town":
        scheme = scheme_of(size.sets, size.every_s, funded=size.funded)
        # As if there were to be more: chance spreads widely over so few.
        made = streams(scheme, payments=3 * size.payments, seed=seed, mix=size.mix, today=DAY)
        scales = {name: asset.spec.scale for name, asset in scheme.assets.items()}
        directory = {name: number for number, name in enumerate(size.sets)}
        watch = Watch("", Topics(), sorted(directory.values()), scales)
        town = cls(simulation, size, Topics(), scheme, made, directory, Listener(scales), watch)
        town._install()
        return town

    @property
    def scales(self) -> dict[str, int]:
        return self.listener.scales

    def _install(self) -> None:
        """Topics, the directory, and the scheme's commands."""
        broker = self.simulation.broker
        members = self.scheme.members
        size = self.size
        opening = _opening(size.sets, size.every_s, funded=size.funded)
        for wanted in wanted_topics(_contract(), self.topics, members, len(self.directory), 3):
            partitions = 1 if wanted.partitions == 1 else len(self.directory)
            broker.create_topic(
                wanted.name,
                partitions,
                log_append_time=wanted.spec.timestamps == "log append",
            )
        for name, number in self.directory.items():
            entry = msgspec.json.encode(DirectoryEntry(netting_set=name, partition=number))
            broker.publish(self.topics.netting_sets, 0, name.encode(), entry)
            for command in opening[name]:
                broker.publish(self.topics.commands, number, name.encode(), command)
                self.commands += 1

    def close_windows(self) -> None:
        """The operator ends the day."""
        for name, number in self.directory.items():
            command = msgspec.json.encode(CloseWindow(id=f"close-{name}", by=OPERATOR))
            self.simulation.broker.publish(self.topics.commands, number, name.encode(), command)
            self.commands += 1

    def plan(self) -> Tally:
        whole = Tally()
        for stream in self.streams:
            whole.add(stream.tally)
        return whole

    async def run(self, settings: Settings) -> None:
        """The process of all banks: publish everything in pieces, listen, answer."""
        self._heard = asyncio.Event()
        self._drawing = self._publishing = len(self.streams)
        shares = split(self.size.payments, len(self.streams))
        make = partial(
            kafka.producer, settings.bootstrap, client="banks", request_timeout_ms=PATIENCE_MS
        )
        async with _connected(make) as producer, asyncio.TaskGroup() as group:
            group.create_task(self._listen(settings))
            chance = random.Random(self.size.payments)
            for stream, share in zip(self.streams, shares, strict=True):
                seed = chance.getrandbits(32)
                group.create_task(self._publish(producer, stream, share, random.Random(seed)))

    async def _publish(
        self, producer: kafka.AIOKafkaProducer, stream: Stream, rows: int, chance: random.Random
    ) -> None:
        assert self._heard is not None
        left = rows
        while left:
            piece = min(left, chance.randint(max(1, rows // 3), max(2, 2 * rows // 3)))
            pause_s = chance.uniform(0, 2 * PUBLISHING_S * piece / rows)
            await asyncio.sleep(self._until_beat_s(pause_s))
            await self._send(producer, stream, piece)
            left -= piece
        stream.finish()
        self._drawing -= 1
        while stream.owes or not self._is_done():
            if stream.owes:
                await self._send(producer, stream, 0)
            else:
                await self._heard.wait()
        self._publishing -= 1
        self._tell_others()

    def _until_beat_s(self, seconds: float) -> float:
        """From now until the first beat after so long: banks pay at the same moments."""
        now_s = self.simulation.now_s
        return -(-(now_s + seconds) // BEAT_S) * BEAT_S - now_s

    @property
    def done(self) -> bool:
        """All is sent and acknowledged."""
        return self._publishing == 0

    def _is_done(self) -> bool:
        return not self._drawing and not any(s.due or s.owes for s in self.streams)

    def _tell_others(self) -> None:
        assert self._heard is not None
        self._heard.set()
        self._heard = asyncio.Event()

    async def _send(self, producer: kafka.AIOKafkaProducer, stream: Stream, rows: int) -> None:
        before = stream.taken
        topic = self.topics.payments(stream.netting_set, stream.bank)
        sent = [await producer.send(topic, value, partition=0) for value in stream.take(rows)]
        await asyncio.gather(*sent)
        self.rows += stream.taken - before
        self._tell_others()

    async def _listen(self, settings: Settings) -> None:
        """Read the status topics of all banks, and let them answer."""
        banks = sorted({stream.bank for stream in self.streams})
        partitions = {TopicPartition(self.topics.status(bank), 0): bank for bank in banks}
        dealings = {stream.netting_set: stream.dealings for stream in self.streams}
        make = partial(kafka.consumer, settings.bootstrap, client="banks")
        async with _connected(make) as reader:
            reader.assign(list(partitions))
            for partition in partitions:
                reader.seek(partition, 0)
            while True:
                for partition, records in (await reader.getmany(timeout_ms=5_000)).items():
                    for record in records:
                        bank = partitions[partition]
                        message = self.listener.hear(bank, record.value or b"")
                        if message is not None:
                            dealings[message.netting_set].heard(message)
                    self._tell_others()
