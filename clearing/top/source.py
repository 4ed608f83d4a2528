"""Where `clearing top` has its scenes from: the console's board, kept up by the console's reader."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Protocol

from clearing import kafka
from clearing.config import Settings
from clearing.console.board import Board
from clearing.console.following import Following
from clearing.console.scene import Scene, live_scene
from clearing.failures import ExitCode, Failure

CLIENT = "clearing-top"
CATCH_UP_TIMEOUT_S = 20.0


class Source(Protocol):
    """A scene as of now, again and again; is_reading: not all of what was there at the start has been read."""

    @property
    def is_reading(self) -> bool: ...

    def scene(self) -> Scene: ...


class Live:
    """Over a board that is kept up by `following`. wanted: the one netting set to be shown, "" for all."""

    def __init__(self, board: Board, following: Following, wanted: str) -> None:
        self._board = board
        self._following = following
        self._wanted = wanted
        self._started_s = time.monotonic()

    @property
    def is_reading(self) -> bool:
        return not self._following.is_caught_up.is_set() and not self._is_late

    @property
    def _is_late(self) -> bool:
        """Who has read nothing for so long is not about to."""
        return time.monotonic() > self._started_s + CATCH_UP_TIMEOUT_S

    def scene(self) -> Scene:
        known = self._board.directory
        names = [name for name in known if self._wanted in ("", name)]
        scene = live_scene(
            self._board,
            names,
            time.time_ns() // 1_000_000,
            stale=self._following.is_stale and not self.is_reading,
            missing=self._following.missing,
            statuses={},
        )
        if self._wanted and known and not names:
            return replace(scene, notes=[self._no_such(), *scene.notes])
        return scene

    def _no_such(self) -> str:
        there = ", ".join(sorted(self._board.directory)) or "none yet"
        return f"there is no netting set {self._wanted!r}: {there}"

    async def caught_up(self) -> None:
        """When all that was there has been read once. Raises Failure without Kafka, or without that netting set.

        An installation without a netting set is never done: what there is after a while is all there is.
        """
        try:
            async with asyncio.timeout(CATCH_UP_TIMEOUT_S):
                await self._following.is_caught_up.wait()
        except TimeoutError as error:
            if self._following.reached_s is None:
                said = f"Kafka says nothing for {CATCH_UP_TIMEOUT_S:g} s"
                raise Failure(said, "clearing doctor", ExitCode.UNREACHABLE) from error
        if self._wanted and self._wanted not in self._board.directory:
            raise Failure(self._no_such(), "clearing top", ExitCode.USAGE)


async def reach(settings: Settings) -> None:
    """Raises KafkaConnectionError at once where no Kafka is; a reader would try again and again."""
    async with kafka.started(kafka.consumer(settings.bootstrap, client=CLIENT)):
        pass


@asynccontextmanager
async def live(
    settings: Settings, wanted: str = ""
) -> AsyncIterator[tuple[Live, asyncio.Task[None]]]:
    """A source, and the task that keeps it up: it ends with the context, or before with an error nobody foresaw."""
    board = Board(settings.topics)
    following = Following(settings, board, CLIENT)
    reading = asyncio.create_task(following.run())
    try:
        yield Live(board, following, wanted), reading
    finally:
        reading.cancel()
        await asyncio.wait([reading])
