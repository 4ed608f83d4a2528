"""Sessions with PostgreSQL: opened with bounds, closed with bounds, every driver error given its meaning.

What the sink must know of an error is only: can the outcome be known (LedgerUnavailable: no), or does the
database forbid what was asked (Halt).
"""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

import asyncpg

from clearing.core.faults import Halt, HaltKind
from clearing.failures import ExitCode, Failure
from clearing.ledgers import schema
from clearing.ledgers.ledger import LedgerUnavailable

CONNECT_TIMEOUT_S = 10
COMMAND_TIMEOUT_S = 30
CLOSE_TIMEOUT_S = 2

_SESSION = {
    "application_name": "clearing-sink",
    # An owner that was stopped in mid-transaction holds the lock on its progress: the server ends it (F2).
    "idle_in_transaction_session_timeout": "5s",
    "lock_timeout": "15s",
}

# SQLSTATE classes that are about the server or the network, not about what was asked of it: connection,
# rollback, resources, operator, system.
_UNAVAILABLE_CLASSES = ("08", "40", "53", "57", "58")
# Read-only (a standby), session timeouts, lock timeout; access taken away, database gone.
_UNAVAILABLE_STATES = ("25006", "25P03", "25P04", "55P03", "28000", "28P01", "3D000")


@asynccontextmanager
async def connected(dsn: str) -> AsyncIterator[asyncpg.Connection]:
    """One session that may post. Raises LedgerUnavailable, or Failure: no DSN, not migrated."""
    if not dsn:
        raise Failure(
            "no ledger is named: the setting dsn is empty",
            "clearing dev up (a local one), or --dsn postgresql://… (yours)",
            ExitCode.USAGE,
        )
    with faults_named():
        connection = await _connect(dsn)
    try:
        with faults_named():
            await schema.check_version(connection)
            if await connection.fetchval("SHOW synchronous_commit") == "off":
                await connection.execute("SET synchronous_commit = on")  # F10
        yield connection
    finally:
        await _close(connection)


async def _connect(dsn: str) -> asyncpg.Connection:
    try:
        # read-write: after a failover, a standby that is still in the DSN is no ledger.
        return await asyncpg.connect(
            dsn,
            timeout=CONNECT_TIMEOUT_S,
            command_timeout=COMMAND_TIMEOUT_S,
            target_session_attrs="read-write",
            server_settings=_SESSION,
        )
    except asyncpg.ClientConfigurationError as error:
        raise Failure(f"dsn: {error}", "--dsn postgresql://…", ExitCode.USAGE) from error


async def _close(connection: asyncpg.Connection) -> None:
    try:
        await connection.close(timeout=CLOSE_TIMEOUT_S)
    except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError):
        connection.terminate()


@contextmanager
def faults_named() -> Iterator[None]:
    """Every error of the driver as LedgerUnavailable (outcome unknown) or Halt (the database forbids it)."""
    try:
        yield
    except (OSError, TimeoutError, asyncpg.InterfaceError, asyncpg.InternalClientError) as error:
        raise LedgerUnavailable(f"{type(error).__name__}: {error}") from error
    except asyncpg.PostgresError as error:
        state = _field(error, "sqlstate") or "08000"
        text = f"{error} (SQLSTATE {state})"
        if state[:2] in _UNAVAILABLE_CLASSES or state in _UNAVAILABLE_STATES:
            raise LedgerUnavailable(text) from error
        raise Halt(HaltKind.LEDGER_CONFLICT, f"the ledger's database refuses: {text}") from error


def worth_another_try(error: asyncpg.PostgresError) -> bool:
    """Deadlock, serialization failure; or an overdraft was changed between our look and our posting."""
    return (
        isinstance(error, (asyncpg.SerializationError, asyncpg.DeadlockDetectedError))
        or _field(error, "constraint_name") == "accounts_floor"
    )


def _field(error: asyncpg.PostgresError, name: str) -> str | None:
    """A field of the server's error message; asyncpg sets them as it reads them."""
    return getattr(error, name, None)
