"""A whole installation for the tests of what is cleared how (test_clearing_*.py), and the hands and eyes they have.

Real Kafka and PostgreSQL, the services as processes, a netting set for each module. Banks speak by clearing.client,
operators by the commands topic; all that is known of it comes from topics and the ledger.
"""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from pathlib import Path
from types import ModuleType
from typing import Any, TypeVar
from zoneinfo import ZoneInfo

import asyncpg
import msgspec
from aiokafka import AIOKafkaProducer, TopicPartition

from clearing import kafka
from clearing.client import Bank
from clearing.config import Settings
from clearing.core.commands import CloseWindow, Command, Fund, SetCap
from clearing.core.outputs import CommandEvent, Event, Resolution, SettlementBatch
from clearing.dev.services import Services, supervised
from clearing.dev.setup import in_force, prepare
from clearing.log.records import (
    EVENT_KEY,
    RESOLUTION_KEY,
    decode_event,
    decode_resolutions,
    decode_settlement,
)
from clearing.reading import partitions
from clearing.scheme.model import Scheme
from clearing.scheme.parse import parse
from clearing.verify.ledger import LedgerBooks, connect, read_books
from clearing.verify.report import Check
from clearing.verify.run import verify_topics
from tests.integration.desk import BOUND_S, Desk, Order, until

BANKS = ("ALPHA", "BRAVO", "CHARLIE", "DELTA", "ECHO")
# Of every asset, unless its module says otherwise. Accounts begin with nothing: a test says what its banks have.
COMMON = {"issuer": "T", "ledger": "postgres", "kind": "cash", "scale": 2, "accounts": {}}

C = TypeVar("C", bound=Command)
E = TypeVar("E", bound=Event)


# --- the installation --------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Installation:
    """Services at work; `today` is the business date, `netting_sets` the partition of each."""

    settings: Settings
    services: Services
    netting_sets: dict[str, int]
    today: date


@asynccontextmanager
async def installed(
    settings: Settings, folder: Path, modules: Sequence[ModuleType]
) -> AsyncIterator[Installation]:
    """modules: each with NETTING_SET, ASSETS (id → what differs from COMMON) and, if it has any, PAIRS."""
    now = datetime.now(UTC)
    zone = f"Etc/GMT{now.hour - 12:+d}"  # where it is noon: no business day ends while tests run
    netting_sets = await prepare(settings, _scheme(modules, zone), by="test")
    counts = {"intake": 1, "engine": 1, "dispatch": 1, "sink": 1}
    async with supervised(settings, folder, counts) as services:
        await services.ready()
        await in_force(settings, netting_sets)
        yield Installation(settings, services, netting_sets, now.astimezone(ZoneInfo(zone)).date())


def _scheme(modules: Sequence[ModuleType], zone: str) -> Scheme:
    document = {
        "name": "Cleared in tests",
        "calendars": {"noon": {"zone": zone, "weekend": []}},
        "netting_sets": {module.NETTING_SET: {"calendar": "noon"} for module in modules},
        "assets": {
            name: COMMON | {"netting_set": module.NETTING_SET} | own
            for module in modules
            for name, own in module.ASSETS.items()
        },
        "participants": {bank: {} for bank in BANKS},
        "pairs": [pair for module in modules for pair in getattr(module, "PAIRS", [])],
    }
    scheme = parse("\n".join(f"{key} = {_toml(value)}" for key, value in document.items()))
    assert isinstance(scheme, Scheme), scheme
    return scheme


def _toml(value: object) -> str:
    """Scalars and lists of scalars are the same in JSON."""
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{key} = {_toml(each)}" for key, each in value.items()) + " }"
    if isinstance(value, list):
        return "[" + ", ".join(map(_toml, value)) + "]"
    return json.dumps(value)


# --- a netting set -----------------------------------------------------------------------------------------------


@dataclass(repr=False, eq=False)
class Clearing:
    """A netting set: its banks, its operators, what its engine has said so far, its ledger."""

    installation: Installation
    netting_set: str
    banks: dict[str, Desk]
    producer: AIOKafkaProducer
    ledger: asyncpg.Connection
    events: list[Event] = field(default_factory=list[Event])
    resolutions: list[Resolution] = field(default_factory=list[Resolution])
    batches: list[SettlementBatch] = field(default_factory=list[SettlementBatch])
    commands: int = 0

    @property
    def partition(self) -> int:
        return self.installation.netting_sets[self.netting_set]

    def desks(self, *names: str) -> list[Desk]:
        return [self.banks[name] for name in names]

    async def follow(self) -> None:
        """Take in what the engine says, from its first word."""
        topics = self.installation.settings.topics
        journal, outcomes, settlements = (
            TopicPartition(topic, self.partition)
            for topic in (topics.journal, topics.outcomes, topics.settlements)
        )
        async with kafka.started(kafka.consumer(self.installation.settings.bootstrap)) as reader:
            reader.assign([journal, outcomes, settlements])
            await reader.seek_to_beginning()
            while True:
                for partition, records in (await reader.getmany(timeout_ms=1_000)).items():
                    for key, value in ((record.key, record.value or b"") for record in records):
                        if partition == settlements:
                            message = decode_settlement(value)
                            if isinstance(message, SettlementBatch):
                                self.batches.append(message)
                        elif key == EVENT_KEY:
                            self.events.append(decode_event(value))
                        elif key == RESOLUTION_KEY:
                            self.resolutions += decode_resolutions(value).items

    # what operators do

    def command(self, kind: type[C], by: str = "test", **terms: Any) -> C:
        self.commands += 1
        return kind(id=f"{self.netting_set}-{self.commands}", by=by, **terms)

    async def ask(self, kind: type[Command], by: str = "test", **terms: Any) -> CommandEvent:
        """What the engine says to a command."""
        command = self.command(kind, by, **terms)
        topic = self.installation.settings.topics.commands
        value = msgspec.json.encode(command)
        await self.producer.send_and_wait(topic, value, partition=self.partition)
        return await self.event(CommandEvent, id=command.id)

    async def do(self, kind: type[Command], by: str = "test", **terms: Any) -> int:
        """Have it carried out; its place in the log."""
        answer = await self.ask(kind, by, **terms)
        assert answer.status == "DONE", answer
        return answer.log_offset

    async def fund(self, asset: str, **amounts: object) -> None:
        """Prefunding of banks by name, in or out."""
        for bank, amount in amounts.items():
            await self.do(Fund, participant=bank, asset=asset, amount=str(amount))

    async def cap(self, asset: str, *banks: str, amount: object) -> None:
        for bank in banks:
            await self.do(SetCap, participant=bank, asset=asset, net_debit_cap=str(amount))

    async def close(self, asset: str) -> int:
        return await self.do(CloseWindow, asset=asset)

    # what can be seen

    def seen(self, kind: type[E], **fields: object) -> list[E]:
        """Events with these fields, so far."""
        return [
            event
            for event in self.events
            if isinstance(event, kind)
            and all(getattr(event, name) == value for name, value in fields.items())
        ]

    async def event(self, kind: type[E], **fields: object) -> E:
        """Wait for the first event with these fields."""
        what = f"no {kind.__name__} with {fields}"
        await until(lambda: bool(self.seen(kind, **fields)), lambda: what)
        return self.seen(kind, **fields)[0]

    async def how(self, payment: Order | str) -> str:
        """How a payment that waited was released."""
        id_ = payment if isinstance(payment, str) else payment.id

        def found() -> list[str]:
            return [each.how for each in self.resolutions if each.id == id_ and each.how]

        await until(lambda: bool(found()), lambda: f"{id_} was not released")
        [how] = found()
        return how

    def batches_of(self, asset: str) -> list[SettlementBatch]:
        """All but funding."""
        return [each for each in self.batches if each.asset == asset and each.kind != "funding"]

    async def balances(self, asset: str) -> dict[str, str]:
        """What the ledger holds for each bank, and the scheme, if it is anything."""
        rows = await self.ledger.fetch(
            "SELECT participant, balance::text FROM clearing.balances WHERE netting_set = $1 "
            "AND asset = $2 AND participant <> '$FUNDING' AND balance <> 0 ORDER BY participant",
            self.netting_set,
            asset,
        )
        return {row["participant"]: row["balance"] for row in rows}

    async def lines(self, asset: str, bank: str) -> list[tuple[str | None, str | None, str]]:
        """Its statement from the ledger: counterparty, payment and amount of each line but funding."""
        rows = await self.ledger.fetch(
            "SELECT counterparty, payment::text, amount::text FROM clearing.statements WHERE netting_set = $1 "
            "AND asset = $2 AND participant = $3 AND kind <> 'funding' ORDER BY number, line",
            self.netting_set,
            asset,
            bank,
        )
        return [(row["counterparty"], row["payment"], row["amount"]) for row in rows]

    async def unproved(self) -> list[Check]:
        """What `clearing verify` cannot prove of this netting set, once nothing is under way any more."""
        settings = self.installation.settings

        async def books(netting_set: str) -> LedgerBooks:
            connection = await connect(settings.dsn)
            try:
                return await read_books(connection, netting_set)
            finally:
                await connection.close()

        directory = {self.netting_set: self.partition}
        deadline = time.monotonic() + BOUND_S
        async with partitions(settings.bootstrap, "test") as reader:
            while True:
                report = await verify_topics(reader, settings.topics, directory, books)
                assert report.checks
                if report.ok or report.failed or time.monotonic() > deadline:
                    return [check for check in report.checks if check.verdict != "ok"]
                await asyncio.sleep(0.2)


@asynccontextmanager
async def cleared(installation: Installation, netting_set: str) -> AsyncIterator[Clearing]:
    """A netting set with every bank at its desk."""
    settings = installation.settings
    async with AsyncExitStack() as stack:
        banks = [Bank(settings.bootstrap, n, netting_set, settings.topic_prefix) for n in BANKS]
        await asyncio.gather(*(stack.enter_async_context(bank) for bank in banks))
        desks = {bank.name: Desk(bank, installation.today) for bank in banks}
        producer = await stack.enter_async_context(
            kafka.started(kafka.producer(settings.bootstrap))
        )
        ledger = await asyncpg.connect(settings.dsn)
        stack.push_async_callback(ledger.close)
        clearing = Clearing(installation, netting_set, desks, producer, ledger)
        listening = [
            asyncio.create_task(work)
            for work in (clearing.follow(), *(desk.listen() for desk in desks.values()))
        ]
        try:
            yield clearing
        finally:
            for task in listening:
                task.cancel()
            ended = await asyncio.gather(*listening, return_exceptions=True)
        assert all(isinstance(each, asyncio.CancelledError) for each in ended), ended
