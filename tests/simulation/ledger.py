"""A simulated PostgreSQL behind asyncpg's interface: clearing.ledgers.postgres runs over it unchanged.

Sessions belong to processes and die with them; statements and replies travel in virtual time. What fails and when
comes from tests/simulation/injection.py. Sessions are in sessions.py, the data and its constraints in books.py.
"""

import asyncio
import random
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from unittest import mock

import asyncpg

from clearing.ledgers import schema
from tests.simulation import processes
from tests.simulation.books import Books, Key
from tests.simulation.sessions import Session
from tests.simulation.simulation import Simulation

_LATENCY_S = (0.0002, 0.004)


@dataclass(slots=True)
class Arm:
    """Something that happens once at the next statement it applies to. done: told that it has happened."""

    kind: str
    done: Callable[[], None]
    skip: int = 0
    delay_s: float = 0.0


class Server:
    """The database server: who is connected, who holds which lock, what is to fail."""

    def __init__(self, simulation: Simulation, seed: int, note: Callable[[str, str], None]) -> None:
        self.simulation = simulation
        self.books = Books()
        self.sessions: list[Session] = []
        self.arms: list[Arm] = []
        self.down_until_s = 0.0
        self.note = note
        self._random = random.Random(seed ^ 0x1ED6E7)
        self._holders: dict[Key, Session] = {}
        self._waiting: dict[Key, deque[Callable[[], None]]] = {}

    @contextmanager
    def installed(self) -> Iterator[None]:
        """asyncpg's connections are sessions with this server."""

        async def migrated(_: object) -> None:
            """Reading Alembic's scripts is not what a simulation is about."""

        with (
            mock.patch.object(asyncpg, "connect", self.connect),
            mock.patch.object(schema, "check_version", migrated),
        ):
            yield

    async def connect(self, dsn: str, **_: object) -> Session:
        await asyncio.sleep(self.latency_s())
        if self.simulation.now_s < self.down_until_s:
            raise ConnectionRefusedError("the ledger's server does not listen")
        process = processes.current()
        session = Session(self, process.name if process else "outside")
        if process is not None:
            process.on_death(partial(session.end, "its process has died"))
        self.sessions.append(session)
        return session

    def latency_s(self) -> float:
        return self._random.uniform(*_LATENCY_S)

    def take_arm(self, *kinds: str) -> Arm | None:
        """The first armed fault of these kinds whose turn it is."""
        for arm in self.arms:
            if arm.kind in kinds:
                if arm.skip > 0:
                    arm.skip -= 1
                    continue
                self.arms.remove(arm)
                arm.done()
                return arm
        return None

    def crash(self, for_s: float) -> None:
        """Every session ends, nobody can connect for a while; what is committed stays."""
        self.down_until_s = max(self.down_until_s, self.simulation.now_s + for_s)
        self._end_all("the server has gone")

    def fail_over(self, commits: int) -> int:
        """To a standby that lacks the last commits."""
        self._end_all("the server has failed over")
        return self.books.fail_over(commits)

    def _end_all(self, why: str) -> None:
        for session in list(self.sessions):
            session.end(why)

    def lock(self, key: Key, session: Session, again: Callable[[], None]) -> bool:
        """Whether the session has the row of progress now; else `again` is called when it may have it."""
        holder = self._holders.setdefault(key, session)
        if holder is session:
            return True
        self._waiting.setdefault(key, deque()).append(again)
        return False

    def unlock(self, session: Session) -> None:
        for key in [key for key, holder in self._holders.items() if holder is session]:
            del self._holders[key]
            waiting, self._waiting[key] = self._waiting.get(key, deque()), deque()
            for again in waiting:
                again()
