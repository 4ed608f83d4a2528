"""A console over a netting set in memory: topics are lists, views folded by the real folds, its engine a Town.

Nothing here is a mock of what the console does: what reads Kafka reads the lists, and commands go to the core.
"""

from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar
from uuid import UUID

import httpx
import msgspec
from aiokafka import TopicPartition
from argon2 import PasswordHasher
from litestar.testing import AsyncTestClient
from litestar.types import ASGIApp, Receive, Scope, Send

from clearing.asof import History
from clearing.config import Settings
from clearing.console.access import Front
from clearing.console.accounts import Accounts, Role
from clearing.console.app import shielded
from clearing.console.board import Board
from clearing.console.cluster import Cluster, Standing
from clearing.console.copies import Copies, lag_sample_at
from clearing.console.desk import Desk
from clearing.console.files import WebFile
from clearing.console.following import Following
from clearing.core.commands import Command
from clearing.core.outputs import CommandEvent
from clearing.engine.snapshots import SnapshotStore
from clearing.explain.story import Story
from clearing.explain.topics import TopicStories
from clearing.failures import Failure
from clearing.live import Follower, Live, Tell
from clearing.log.records import EVENT_KEY, decode_event
from clearing.messages import DirectoryEntry
from clearing.messages_views import LagSample, encode
from clearing.names import VIEW_NAMES
from clearing.views.projection import Projection, Record
from tests.explain.town import Lists, Town

T = TypeVar("T")

PASSWORD = "correct horse battery staple"
PORT = 8780
ORIGIN = f"http://127.0.0.1:{PORT}"
# As cheap as argon2 gets: what it costs is argon2's business.
CHEAP = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
PEOPLE: dict[str, list[Role]] = {
    "vera": ["viewer"],
    "alice": ["operator"],
    "bob": ["approver"],
    "otto": ["operator", "approver"],
    "audrey": ["auditor"],
}


class ListedCopies(Copies):
    """Over lists instead of Kafka, in the test's own loop."""

    def __init__(self, settings: Settings, lists: Lists, folder: Path) -> None:
        super().__init__(settings)
        self._lists, self._topics = lists, settings.topics
        store = SnapshotStore(folder, "", "hk")
        self._follower = Follower(lists, settings.topics, "hk", 0, store)
        self.history = History(settings.topics, "hk", 0, store)
        self._stories = TopicStories(lists, lists, settings.topics, "hk", 0, store)

    async def live(
        self,
        netting_set: str,
        partition: int,
        look: Callable[[Live], T],
        *,
        entered: bool = False,
    ) -> T:
        return look(await self._follower.refresh())

    async def past(
        self, netting_set: str, partition: int, at_ms: int, look: Callable[[Live], T]
    ) -> T:
        return look(await self.history.at(self._lists, self._lists, at_ms))

    async def bounds_ms(self, netting_set: str, partition: int) -> tuple[int, int] | None:
        return await self.history.bounds_ms(self._lists)

    async def story(
        self, netting_set: str, partition: int, payment: UUID, tell: Tell
    ) -> Story | None:
        tell("hk")
        return await self._stories.story(payment)

    async def lag_at(self, at_ms: int) -> LagSample | None:
        samples = TopicPartition(self._topics.view("lag"), 0)
        return await lag_sample_at(self._lists, self._lists, samples, at_ms)

    async def read(self, work: Callable[[Any], Awaitable[T]]) -> T:
        return await work(self._lists)


class _Unknown:
    """A table of views that begins with nothing."""

    def known(self, netting_set: str) -> Iterable[msgspec.Struct]:
        return ()


class QuietCluster(Cluster):
    async def now(self) -> Standing | None:
        return Standing([], [])


@dataclass
class Stage:
    """town: banks and operators of netting set hk. desk: the console's. told: what it has published."""

    town: Town
    folder: Path
    front: Front = field(default_factory=Front)
    answers: bool = True
    told: list[Command] = field(default_factory=list[Command])

    def __post_init__(self) -> None:
        self.settings = Settings()
        self.board = Board(self.settings.topics)
        self.projection = Projection({name: _Unknown() for name in VIEW_NAMES})
        self._taken: dict[TopicPartition, int] = {}
        accounts = Accounts(self.folder / "accounts.json", CHEAP)
        for name, roles in PEOPLE.items():
            accounts.add(name, roles, PASSWORD)
        following = Following(self.settings, self.board)
        following.missing.clear()
        following.reached_s = float("inf")
        self.copies = ListedCopies(self.settings, self.town.lists, self.folder)
        self.desk = Desk(
            self.settings,
            self.front,
            accounts,
            self.board,
            following,
            self.copies,
            QuietCluster(self.settings),
            ask=self._ask,
            clock=lambda: self.town.now_ms / 1000 + 1,
        )
        entry = DirectoryEntry(netting_set="hk", partition=0)
        self.board.take("netting-sets", "", b"hk", msgspec.json.encode(entry), 0)
        self.sync()

    def sync(self) -> None:
        """The views and the board have seen everything."""
        topics = self.settings.topics
        folds = {
            topics.journal: self.projection.journal,
            topics.settlements: self.projection.settlements,
            topics.outcomes: self.projection.outcomes,
            topics.rejected: self.projection.rejected,
        }
        for topic, fold in folds.items():
            for change in fold(self._fresh(topic)):
                value = None if change.value is None else encode(change.value)
                name = topics.view(change.view)
                self.board.take(name, "", change.key, value, self.town.now_ms)
                if change.view == "audit":
                    self.town.lists.add(name, change.key, value, self.town.now_ms)
        for record in self._fresh(topics.positions):
            self.board.take(topics.positions, "", record.key, record.value, self.town.now_ms)

    def sampled(self, sample: LagSample) -> None:
        name = self.settings.topics.view("lag")
        self.board.take(name, "", b"lag", encode(sample), sample.at_ms)
        self.town.lists.add(name, b"lag", encode(sample), sample.at_ms)

    def _fresh(self, topic: str) -> list[Record]:
        partition = TopicPartition(topic, 0)
        records = self.town.lists.partitions.get(partition, [])
        start = self._taken.get(partition, 0)
        self._taken[partition] = len(records)
        return [Record(topic, 0, each.offset, each.key, each.value) for each in records[start:]]

    async def _ask(
        self,
        settings: Settings,
        command: Command,
        where: dict[str, int],
        timeout_s: float,
        approved: str,
    ) -> list[CommandEvent]:
        """The engine's answers to a command, at once."""
        assert where == {"hk": 0}
        self.told.append(command)
        if not self.answers:
            raise Failure("the command is published, but no engine has answered", "clearing status")
        self.town.do(command)  # pyright: ignore[reportArgumentType]  what the console sends is control
        self.sync()
        outputs = [output for output in self.town.outputs[-1] if output.key == EVENT_KEY]
        events = [decode_event(output.value) for output in outputs]
        return [event for event in events if isinstance(event, CommandEvent)]

    def client(self, **options: Any) -> "Browser":
        web = {"index.html": WebFile(b"<!doctype html>", "text/html", '"1"')}
        app = from_loopback(shielded(self.desk, web))
        return Browser(AsyncTestClient(app, base_url=ORIGIN, **options))


def from_loopback(app: ASGIApp) -> ASGIApp:
    """The test client has no address of its own."""

    async def called(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            scope["client"] = ("127.0.0.1", 50_000)
        await app(scope, receive, send)

    return called


class Browser:
    """What a page in a browser does: keeps cookies, sends the session's token. `async with` it."""

    def __init__(self, client: AsyncTestClient[Any]) -> None:
        self.client = client
        self.csrf = ""

    async def __aenter__(self) -> "Browser":
        await self.client.__aenter__()
        return self

    async def __aexit__(self, *error: Any) -> None:
        await self.client.__aexit__(*error)

    async def login(self, user: str, password: str = PASSWORD) -> httpx.Response:
        reply = await self.post("/api/login", {"user": user, "password": password})
        if reply.status_code == 200:
            self.csrf = reply.json()["csrf"]
        return reply

    async def get(self, path: str, **query: Any) -> httpx.Response:
        return await self.client.get(path, params=query)

    async def data(self, path: str, **query: Any) -> Any:
        """Of an answer that is one."""
        reply = await self.get(path, **query)
        assert reply.status_code == 200, reply.text
        return reply.json()["data"]

    async def post(self, path: str, body: Any, **headers: str) -> httpx.Response:
        sent = {"X-CSRF-Token": self.csrf, "Origin": ORIGIN} | headers
        return await self.client.post(path, json=body, headers=sent)

    async def posted(self, path: str, body: Any) -> Any:
        reply = await self.post(path, body)
        assert reply.status_code == 200, reply.text
        return reply.json()
