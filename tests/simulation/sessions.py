"""Sessions with the simulated PostgreSQL, with as much of asyncpg's interface as the ledger uses.

A statement travels to the server, is answered from books.py by sql.py, and the answer travels back; a session that
ends on the way leaves open whether it took effect, as in life.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

import asyncpg
from asyncpg import exceptions

from clearing.ledgers import statements
from tests.simulation import sql
from tests.simulation.books import Key, Shelf

if TYPE_CHECKING:
    from tests.simulation.ledger import Server

LOCK_TIMEOUT_S = 15.0  # as clearing.ledgers.connection asks for
IDLE_TIMEOUT_S = 5.0
COMMAND_TIMEOUT_S = 30.0

_LOCKING = {statements.LOCK_PROGRESS, statements.TAKE_OWNERSHIP}
_READING = {statements.LOCK_PROGRESS, statements.STANDING}


@dataclass(eq=False, slots=True)
class Session:
    """One connection, of one process."""

    server: "Server"
    owner: str
    alive: bool = True
    work: dict[Key, Shelf] | None = None  # of the open transaction
    _reply: asyncio.Future[Any] | None = None
    _statements: int = 0
    _dead: list[str] = field(default_factory=list[str])

    async def fetch(self, query: str, *args: Any) -> list[Any]:
        return await self._ask(query, args)

    async def fetchrow(self, query: str, *args: Any) -> Any:
        rows = await self._ask(query, args)
        return rows[0] if rows else None

    async def fetchval(self, query: str, *args: Any) -> Any:
        if query == "SHOW synchronous_commit":
            return "on"
        rows = await self._ask(query, args)
        return next(iter(rows[0].values())) if rows else None

    async def execute(self, query: str, *args: Any) -> str:
        await self._ask(query, args)
        return "OK"

    def transaction(self, *, isolation: str) -> "_Transaction":
        assert isolation == "read_committed"
        return _Transaction(self)

    async def close(self, timeout: float = 0.0) -> None:  # noqa: ASYNC109  asyncpg's signature
        self.end("closed")

    def terminate(self) -> None:
        self.end("terminated")

    def end(self, why: str) -> None:
        """The connection is gone: what was not committed is undone, whoever waits for a reply is told."""
        if not self.alive:
            return
        self.alive = False
        self.work = None
        self._dead.append(why)
        self.server.sessions.remove(self)
        self.server.unlock(self)
        reply = self._reply
        if reply is not None and not reply.done():
            error = exceptions.ConnectionDoesNotExistError(f"connection was closed: {why}")
            reply.set_exception(error)

    async def _ask(self, query: str, args: tuple[Any, ...]) -> list[Any]:
        return await self.round_trip(partial(self._arrive, query, args))

    async def round_trip(self, arrive: Callable[[], None]) -> Any:
        """Send, and wait for the reply. Raises what asyncpg would."""
        if not self.alive:
            raise exceptions.InterfaceError(f"connection is closed: {self._dead[0]}")
        simulation = self.server.simulation
        self._reply = reply = asyncio.get_running_loop().create_future()
        self._statements += 1
        simulation.call_at(simulation.now_s + self.server.latency_s(), arrive)
        try:
            async with asyncio.timeout(COMMAND_TIMEOUT_S):
                return await reply
        except (TimeoutError, asyncio.CancelledError):
            self.end("given up")
            raise

    def answer(self, value: Any) -> None:
        """Send the reply; an exception is raised at the other side."""
        reply, simulation = self._reply, self.server.simulation
        assert reply is not None

        def receive() -> None:
            if reply.done():
                return
            if isinstance(value, BaseException):
                reply.set_exception(value)
            else:
                reply.set_result(value)

        simulation.call_at(simulation.now_s + self.server.latency_s(), receive)
        if self.work is not None:
            number = self._statements
            simulation.call_at(simulation.now_s + IDLE_TIMEOUT_S, partial(self._idle, number))

    def _idle(self, number: int) -> None:
        if self.alive and self.work is not None and self._statements == number:
            self.server.note("ledger", f"{self.owner}: idle in transaction for {IDLE_TIMEOUT_S} s")
            self.end("idle in transaction")

    def _arrive(self, query: str, args: tuple[Any, ...], waited: bool = False) -> None:
        """A statement at the server."""
        if not self.alive:
            return
        if not waited and self._is_hit(query, args):
            return
        if query in _LOCKING and not self._has_lock((args[0], args[1]), query, args):
            return
        try:
            self.answer(self._run(query, args))
        except asyncpg.PostgresError as error:
            self.abort()
            self.answer(error)
        finally:
            if self.work is None:
                self.server.unlock(self)

    def _is_hit(self, query: str, args: tuple[Any, ...]) -> bool:
        """Whether a fault is in the way of this statement."""
        if self.server.take_arm("session_dies"):
            self.end("reset")
            return True
        if self.work is not None and (
            arm := self.server.take_arm("ledger_deadlock", "ledger_serialization")
        ):
            self.abort()
            self.answer(
                exceptions.DeadlockDetectedError("deadlock detected")
                if arm.kind == "ledger_deadlock"
                else exceptions.SerializationError("could not serialize access")
            )
            return True
        if arm := self.server.take_arm("ledger_slow"):
            simulation = self.server.simulation
            again = partial(self._arrive, query, args, waited=True)
            simulation.call_at(simulation.now_s + arm.delay_s, again)
            return True
        return False

    def _has_lock(self, key: Key, query: str, args: tuple[Any, ...]) -> bool:
        """The row of progress, FOR UPDATE or by writing it: at once, or when its holder has ended."""
        number, simulation = self._statements, self.server.simulation
        if self.server.lock(key, self, partial(self._arrive, query, args, waited=True)):
            return True

        def give_up() -> None:
            if self.alive and self._statements == number and self._reply and not self._reply.done():
                self.abort()
                self._statements += 1
                self.answer(exceptions.LockNotAvailableError("canceling statement: lock timeout"))

        simulation.call_at(simulation.now_s + LOCK_TIMEOUT_S, give_up)
        return False

    def _run(self, query: str, args: tuple[Any, ...]) -> list[Any]:
        """What the statement does; outside of a transaction it is one of its own."""
        books = self.server.books
        if query == statements.MARK_CONFIRMED:
            books.confirm(args[0])
            return []
        if query == statements.KNOWN:
            return sql.known(books, args[0])
        key = self._key(query, args)
        if query == statements.UNCONFIRMED:
            return sql.unconfirmed(books.shelf(key), books.confirmed, args[2])
        if self.work is None:
            shelf = books.shelf(key).copy()
            rows = sql.ANSWERS[query](shelf, *args)
            if query not in _READING:
                books.put(key, shelf, self.server.simulation.now_s, self.owner)
            if query == statements.TAKE_OWNERSHIP and rows:
                self.server.note("ledger", f"{self.owner} owns {key[1]}, epoch {rows[0]['epoch']}")
            return rows
        if key not in self.work:
            self.work[key] = books.shelf(key).copy()
        return sql.ANSWERS[query](self.work[key], *args)

    def _key(self, query: str, args: tuple[Any, ...]) -> Key:
        """Whose rows they are: of entries the statement does not say it, their transaction does."""
        if query == statements.INSERT_ENTRIES:
            assert self.work is not None
            (key,) = self.work
            return key
        first = 2 if query == statements.INSERT_BATCH else 0
        return args[first], args[first + 1]

    def abort(self) -> None:
        """The transaction is undone."""
        if self.work is not None:
            self.work = None
        self.server.unlock(self)

    def commit(self) -> None:
        """COMMIT at the server."""
        if not self.alive:
            return
        if self.server.take_arm("commit_lost"):
            self.end("reset before COMMIT")
            return
        try:
            for key, shelf in (self.work or {}).items():
                self.server.books.put(key, shelf, self.server.simulation.now_s, self.owner)
                self.server.note("ledger", f"{self.owner} commits {key[1]} {_standing(shelf)}")
        except asyncpg.PostgresError as error:
            self.abort()
            self.answer(error)
            return
        self.abort()
        if self.server.take_arm("reply_lost"):
            self.end("reset after COMMIT")
            return
        self.answer([])


def _standing(shelf: Shelf) -> str:
    progress = shelf.progress or {}
    return f"up to offset {progress.get('next_offset')}, {len(shelf.batches)} batches"


@dataclass(slots=True)
class _Transaction:
    session: Session

    async def __aenter__(self) -> None:
        await self.session.round_trip(self._begin)

    async def __aexit__(self, kind: type[BaseException] | None, *_: object) -> None:
        await self.session.round_trip(self.session.commit if kind is None else self._rollback)

    def _begin(self) -> None:
        if self.session.alive:
            self.session.work = {}
            self.session.answer([])

    def _rollback(self) -> None:
        if self.session.alive:
            self.session.abort()
            self.session.answer([])
