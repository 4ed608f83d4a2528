"""The ledger when its connection dies at every statement: one set of rows, whatever was lost (F1, F9)."""

import itertools
from collections.abc import AsyncIterator, Sequence
from typing import Any

import asyncpg
import pytest
from hooked_connection import Hook, HookedConnection, Moment, hooked, once
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from settlement_chain import (
    ALPHA,
    BETA,
    GAMMA,
    NaiveLedger,
    SettlementChain,
    answers,
    balances,
    faults,
    opening,
    records,
    source,
)

from clearing.core.outputs import Settlement
from clearing.dev.postgres import EmbeddedPostgres
from clearing.ledgers import schema, statements
from clearing.ledgers.chain import LedgerRecord, Progress
from clearing.ledgers.ledger import LedgerUnavailable
from clearing.ledgers.postgres import PostgresLedger

BEGIN, COMMIT = "BEGIN ISOLATION LEVEL READ COMMITTED;", "COMMIT;"
STATEMENTS = [
    BEGIN,
    statements.LOCK_PROGRESS,
    statements.KNOWN,
    statements.OPEN_ACCOUNTS,
    statements.DECLARE_ASSET,
    statements.STANDING,
    statements.INSERT_BATCH,
    statements.INSERT_ENTRIES,
    statements.ADVANCE,
    COMMIT,
]


Crash = tuple[str, Moment, int]  # statement, when, how many times to let it pass


class Survivor:
    """What the sink does on any doubt: throw the session away, own again, go on from what the ledger says."""

    def __init__(self, dsn: str, netting_set: str) -> None:
        self.dsn = dsn
        self.place = source(netting_set)
        self.progress: Progress | None = None
        self.doubts = 0
        self._session: HookedConnection | None = None

    async def _ledger(self, crash: Crash | None) -> PostgresLedger:
        if self._session is None:
            self._session = await hooked(self.dsn)
            held = self.progress.epoch if self.progress else None
            ledger = PostgresLedger(self._session, "postgres")
            self.progress = await ledger.take_ownership(self.place, "survivor", held)
        self._session.hook = self._killer(self._session, crash) if crash else None
        return PostgresLedger(self._session, "postgres")

    def _killer(self, session: HookedConnection, crash: Crash) -> Hook:
        """Its server process is killed; after a statement took effect, the reply is what got lost."""
        statement, moment, passes = crash

        async def kill() -> None:
            killer = await asyncpg.connect(self.dsn)
            await killer.execute("SELECT pg_terminate_backend($1, 5000)", session.get_server_pid())
            await killer.close()
            if moment == "after":
                raise asyncpg.ConnectionDoesNotExistError("connection was closed by the test")

        return once(statement, moment, kill, passes)

    async def post(self, to_post: Sequence[LedgerRecord], crash: Crash | None = None) -> None:
        """Post until it is posted; the connection dies at most once on the way."""
        while True:
            ledger = await self._ledger(crash)
            assert self.progress is not None
            try:
                posted = await ledger.post(self.place, self.progress.epoch, to_post)
            except LedgerUnavailable:
                self.doubts += 1
                await self.close()
                crash = None
                continue
            self.progress = posted.progress
            return

    async def close(self) -> None:
        if self._session is not None:
            self._session.terminate()
            self._session = None


@pytest.fixture(scope="module")
async def ledger_dsn(postgres: EmbeddedPostgres) -> AsyncIterator[str]:
    """One migrated database for all of this module; every example is a netting set of its own."""
    admin = await asyncpg.connect(postgres.dsn)
    await admin.execute('CREATE DATABASE "ledger_crashes"')
    dsn = postgres.dsn_of("ledger_crashes")
    await schema.migrate(dsn)
    yield dsn
    await admin.execute('DROP DATABASE "ledger_crashes" WITH (FORCE)')
    await admin.close()


_numbers = itertools.count()


@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize("statement", STATEMENTS, ids=lambda sql: " ".join(sql.split()[:3]))
async def test_a_connection_that_dies_at_a_statement_loses_and_doubles_nothing(
    ledger_dsn: str, statement: str, moment: Moment
) -> None:
    """F1, F9: before, during and after COMMIT; the outcome is learned by reading the progress."""
    name = f"point-{next(_numbers)}"
    chain = SettlementChain(name)
    messages = [
        *opening(chain),
        chain.batch({ALPHA: -30_00, BETA: 30_00}),
        chain.batch({ALPHA: -90_00, BETA: 90_00}, window=2),
        chain.batch({ALPHA: -20_00, BETA: 20_00}, window=3),
    ]
    survivor = Survivor(ledger_dsn, name)
    await survivor.post(records(messages), (statement, moment, 0))
    await survivor.close()
    assert survivor.doubts == 1
    assert survivor.progress is not None
    assert (survivor.progress.epoch, survivor.progress.next_offset) == (2, 11)

    reader = await asyncpg.connect(ledger_dsn)
    assert list((await answers(reader, name)).values()) == ["POSTED", "POSTED", "REFUSED", "POSTED"]
    accounts = await balances(reader, name)
    assert (accounts["HKD", ALPHA], accounts["HKD", BETA]) == (50_00, 50_00)
    assert await faults(reader) == []
    await reader.close()


PARTICIPANTS = st.sampled_from([ALPHA, BETA, GAMMA])
THIRDS = st.sampled_from([GAMMA, GAMMA, "$POOL"])  # R25
PAIRS = st.tuples(PARTICIPANTS, PARTICIPANTS).filter(lambda pair: pair[0] != pair[1])
RING = [(ALPHA, BETA), (BETA, GAMMA), (GAMMA, ALPHA)]
ASSETS = st.sampled_from(["HKD", "CNH"])
LEDGERS = st.sampled_from(["postgres", "postgres", "postgres", "chain"])


@st.composite
def histories(draw: st.DrawFn, netting_set: str) -> list[Settlement]:
    """Accounts, funding and batches of every model in any order, good and bad."""
    chain = SettlementChain(netting_set)
    messages: list[Settlement] = []
    for window in range(1, draw(st.integers(1, 12)) + 1):
        asset = draw(ASSETS)
        where: dict[str, Any] = {"asset": asset, "ledger": draw(LEDGERS)}
        match draw(st.sampled_from(["account", "funding", "net", "bilateral", "gross"])):
            case "account":
                overdraft = draw(st.sampled_from(["0.00", "1.00", "5.00"]))
                messages.append(chain.account(draw(PARTICIPANTS), overdraft, **where))
            case "funding":
                units = draw(st.integers(-800, 800).filter(bool))
                messages.append(chain.funding(draw(PARTICIPANTS), units, asset))
            case "gross":
                payments = draw(st.lists(st.tuples(PAIRS, st.integers(1, 400)), max_size=5))
                gross = [(*pair, units) for pair, units in payments]
                messages.append(chain.gross(gross, window, **where))
            case "bilateral":
                round_ = draw(st.integers(0, 300))  # set off of a ring (R18)
                owed = [round_ + draw(st.integers(0, 400)) for _ in RING]
                obligations = [
                    (*pair, units, round_) for pair, units in zip(RING, owed, strict=True)
                ]
                messages.append(chain.bilateral(obligations, window, **where))
            case _:
                first, second = draw(st.integers(-600, 600)), draw(st.integers(-600, 600))
                nets = {ALPHA: first, BETA: second, draw(THIRDS): -first - second}
                messages.append(chain.batch(nets, window, **where))
    return messages


MOMENTS: list[Moment] = ["before", "after"]
CRASHES = st.none() | st.tuples(
    st.sampled_from(STATEMENTS), st.sampled_from(MOMENTS), st.integers(0, 2)
)


@hypothesis_settings(max_examples=40)
@given(data=st.data())
async def test_random_histories_with_random_crashes_equal_the_naive_ledger(
    ledger_dsn: str, data: st.DataObject
) -> None:
    """F1, F9, F15, R1: and records are read again from anywhere, as after a crash."""
    name = f"history-{next(_numbers)}"
    messages = data.draw(histories(name))
    naive = NaiveLedger()
    for message in messages:
        naive.take(message)
    survivor = Survivor(ledger_dsn, name)
    all_records = records(messages)
    at = 0
    while at < len(messages):
        size = data.draw(st.integers(1, 4))
        again = data.draw(st.integers(0, at))
        start = data.draw(st.sampled_from([at, again]))
        await survivor.post(all_records[start : at + size], data.draw(CRASHES))
        at += size
    await survivor.close()
    reader = await asyncpg.connect(ledger_dsn)
    assert await answers(reader, name) == naive.answers
    assert await balances(reader, name) == naive.balances
    assert await faults(reader) == []
    await reader.close()
