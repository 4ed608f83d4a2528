"""The console's parts put together, and what its routes share: scenes of now and then, looks into states, commands.

Built with the application; nothing of money happens here but that a command is published and its answer read.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID, uuid4

import msgspec

from clearing.commanding.asking import ask
from clearing.config import Settings
from clearing.console.access import Door, Front
from clearing.console.accounts import Accounts
from clearing.console.board import Board
from clearing.console.cluster import Cluster
from clearing.console.copies import Copies
from clearing.console.following import Following
from clearing.console.lives import Lives
from clearing.console.looks import StateLook, state_look
from clearing.console.overview import overview
from clearing.console.past import Past, past_of, past_scene
from clearing.console.refusals import Refusal
from clearing.console.rows import Envelope
from clearing.console.scene import Scene, live_scene
from clearing.console.sessions import Attempts, Sessions
from clearing.core.commands import Command
from clearing.core.outputs import CommandEvent
from clearing.explain.story import Story
from clearing.live import Tell
from clearing.views.model import LagSample

LOOK_AGAIN_S = 1.0  # a look at everybody in a netting set serves so long
OVERVIEW_AGAIN_S = 0.5
PASTS_KEPT = 32
VERIFYING_MOST = 2  # passwords at once: each takes a core and 64 MiB
STREAMS_MOST = 200

Ask = Callable[[Settings, Command, dict[str, int], float, str], Awaitable[list[CommandEvent]]]


@dataclass(eq=False)
class Desk:
    """ask: publishes a command and gives the engine's answers. clock: seconds since the epoch."""

    settings: Settings
    front: Front
    accounts: Accounts
    board: Board
    following: Following
    copies: Copies
    cluster: Cluster
    ask: Ask = ask
    clock: Callable[[], float] = time.time
    sessions: Sessions = field(default_factory=lambda: Sessions(time.monotonic))
    attempts: Attempts = field(default_factory=lambda: Attempts(time.monotonic))
    verifying: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(VERIFYING_MOST))
    stopping: asyncio.Event = field(default_factory=asyncio.Event)
    streams: int = 0

    def __post_init__(self) -> None:
        self.door = Door(self.front, self.accounts, self.sessions)
        self.lives = Lives(self._story)
        self._looks: dict[str, tuple[float, StateLook]] = {}
        self._statuses: dict[tuple[str, str], str] = {}
        self._pasts: dict[tuple[str, int], Past] = {}
        self._lags: dict[int, LagSample | None] = {}
        self._overviews: dict[tuple[str, ...], tuple[float, bytes]] = {}

    @property
    def now_ms(self) -> int:
        return int(self.clock() * 1000)

    # --- which netting sets ------------------------------------------------------------------------------

    def names(self, wanted: str | None) -> list[str]:
        """The netting set that is wanted, or all. Raises Refusal."""
        if wanted is None:
            return sorted(self.board.directory)
        self.partition(wanted)
        return [wanted]

    def partition(self, netting_set: str) -> int:
        """Raises Refusal where there is no such netting set."""
        if netting_set not in self.board.directory:
            known = ", ".join(sorted(self.board.directory)) or "none yet"
            raise Refusal.missing(f"there is no netting set {netting_set!r}: {known}")
        return self.board.directory[netting_set]

    # --- what is to be seen ------------------------------------------------------------------------------

    async def scene(self, wanted: str | None = None, at_ms: int | None = None) -> Scene:
        """Now, or as of a time. Raises Refusal, Halt, TooFar, KafkaError."""
        names = self.names(wanted)
        if at_ms is None or at_ms >= self.now_ms:
            return live_scene(
                self.board,
                names,
                self.now_ms,
                stale=self.following.is_stale,
                missing=self.following.missing,
                statuses=self._statuses,
            )
        pasts = {name: await self._past(name, at_ms) for name in names}
        return past_scene(self.board, pasts, self.now_ms, at_ms, await self._lag_at(at_ms))

    async def _past(self, name: str, at_ms: int) -> Past:
        key = name, at_ms
        if key not in self._pasts:
            partition = self.partition(name)
            self._pasts[key] = await self.copies.past(
                name, partition, at_ms, lambda live: past_of(live.state, live.machine.next_offset)
            )
            _bound(self._pasts, PASTS_KEPT)
        return self._pasts[key]

    async def _lag_at(self, at_ms: int) -> LagSample | None:
        if at_ms not in self._lags:
            self._lags[at_ms] = await self.copies.lag_at(at_ms)
            _bound(self._lags, PASTS_KEPT)
        return self._lags[at_ms]

    async def look(self, name: str, at_ms: int | None = None) -> StateLook:
        """Everybody in a netting set, now or then. Raises like `scene`."""
        partition = self.partition(name)
        if at_ms is not None and at_ms < self.now_ms:
            return await self.copies.past(name, partition, at_ms, state_look)
        since_s, look = self._looks.get(name, (0.0, None))
        if look is None or time.monotonic() - since_s > LOOK_AGAIN_S:
            look = await self.copies.live(name, partition, state_look)
            self._looks[name] = time.monotonic(), look
            for each in look.participants:
                self._statuses[name, each.participant] = each.status
        return look

    async def _story(self, name: str, payment: UUID, tell: Tell) -> Story | None:
        return await self.copies.story(name, self.partition(name), payment, tell)

    def envelope(self, scene: Scene, data: object) -> Envelope:
        return Envelope(
            now_ms=self.now_ms,
            as_of_ms=scene.as_of_ms,
            data_ms=scene.data_ms,
            stale=scene.stale,
            notes=scene.notes,
            read_to=scene.netting_sets,
            data=data,
        )

    async def overview_json(self, wanted: str | None) -> bytes:
        """The envelope of the overview now, made once for everybody who looks at the same moment."""
        key = tuple(self.names(wanted))
        made_s, known = self._overviews.get(key, (0.0, b""))
        if not known or time.monotonic() - made_s > OVERVIEW_AGAIN_S:
            scene = await self.scene(wanted)
            known = msgspec.json.encode(self.envelope(scene, overview(scene)))
            self._overviews[key] = time.monotonic(), known
            _bound(self._overviews, PASTS_KEPT)
        return known

    # --- what is to be done ------------------------------------------------------------------------------

    async def tell(
        self, netting_set: str, command: Command, timeout_s: float, approved: str = ""
    ) -> list[CommandEvent]:
        """Publish a command to `commands`; what the engine says. Raises Failure where it says nothing in time."""
        where = {netting_set: self.partition(netting_set)}
        return await self.ask(self.settings, command, where, timeout_s, approved)

    async def stop(self) -> None:
        self.stopping.set()
        self.lives.stop()
        await self.copies.stop()


def new_id() -> str:
    """Of a command that only says something about a proposal."""
    return f"con-{uuid4().hex}"


def _bound(kept: dict[Any, Any], most: int) -> None:
    """Forget the oldest."""
    while len(kept) > most:
        del kept[next(iter(kept))]
