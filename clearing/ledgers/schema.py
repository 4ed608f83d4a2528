"""The ledger's database schema: bring it up to date, and check that it is.

Migrations are raw SQL files beside their Alembic revisions. They run in one transaction, one after the
other, and one process at a time. There is no way back: a ledger is never un-posted.
"""

from functools import cache
from pathlib import Path

import asyncpg
from alembic import command, op
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text
from sqlalchemy.ext.asyncio import create_async_engine

from clearing.failures import ExitCode, Failure

SCHEMA = "clearing"
MIGRATIONS = Path(__file__).parent / "migrations"
_MIGRATION_LOCK = 0x636C656172  # any number, the same in every release: "clear"


async def migrate(dsn: str) -> str:
    """Create or update the schema `clearing`; does nothing where it is up to date. Returns the version.

    Any number of processes may call it at once. Raises asyncpg's errors when the database cannot be
    reached or forbids it.
    """
    engine = create_async_engine(
        "postgresql+asyncpg://", async_creator=lambda: asyncpg.connect(dsn, timeout=10)
    )
    try:
        async with engine.begin() as connection:
            await connection.run_sync(_upgrade)
    finally:
        await engine.dispose()
    return head_version()


@cache
def head_version() -> str:
    """The version this program works with."""
    version = _scripts().get_current_head()
    assert version is not None
    return version


async def check_version(connection: asyncpg.Connection) -> None:
    """Raise a Failure that says what to do, unless the database has exactly the version of this program."""
    there: str | None = None
    if await connection.fetchval("SELECT to_regclass($1)", f"{SCHEMA}.alembic_version"):
        there = await connection.fetchval(f"SELECT version_num FROM {SCHEMA}.alembic_version")  # noqa: S608
    needed = head_version()
    if there != needed:
        known = {script.revision for script in _scripts().walk_revisions()}
        older = there is None or there in known
        raise Failure(
            f"the ledger's schema has {f'version {there}' if there else 'not been created'}, "
            f"this program works with version {needed}",
            "clearing sink --migrate" if older else "use the newer program that migrated it",
            ExitCode.FAILED,
        )


def run_sql_beside(revision_file: str) -> None:
    """Execute the .sql file beside an Alembic revision; it may hold many statements and dollar quotes."""
    script = Path(revision_file).with_suffix(".sql").read_text("utf-8")
    # Straight through the driver: its simple protocol takes a whole script, SQLAlchemy's does not.
    driver = op.get_bind().connection.dbapi_connection
    assert driver is not None
    driver.run_async(lambda connection: connection.execute(script))


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    return config


def _scripts() -> ScriptDirectory:
    return ScriptDirectory.from_config(_config())


def _upgrade(connection: Connection) -> None:
    """Within the caller's transaction, so that the lock goes with it."""
    connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _MIGRATION_LOCK})
    connection.execute(text(f"CREATE SCHEMA IF NOT EXISTS {SCHEMA}"))
    config = _config()
    config.attributes |= {"connection": connection, "schema": SCHEMA}
    command.upgrade(config, "head")
