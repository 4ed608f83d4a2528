"""The PostgreSQL ledger through its own interface: posted once, refused whole, fenced (R1, R7, R31, F9, F15)."""

import asyncio
from collections.abc import AsyncIterator

import asyncpg
import pytest
from settlement_chain import (
    ALPHA,
    BETA,
    GAMMA,
    SettlementChain,
    balances,
    faults,
    opening,
    records,
    settings,
    source,
)

from clearing.core.faults import Halt
from clearing.core.outputs import SettlementBatch
from clearing.ledgers import connection as sessions
from clearing.ledgers import schema
from clearing.ledgers.ledger import LedgerUnavailable, StaleOwner
from clearing.ledgers.postgres import PostgresLedger, open_ledger
from clearing.names import FUNDING_ACCOUNT


@pytest.fixture
async def ledger_dsn(fresh_dsn: str) -> str:
    await schema.migrate(fresh_dsn)
    return fresh_dsn


@pytest.fixture
async def ledger(ledger_dsn: str) -> AsyncIterator[PostgresLedger]:
    async with open_ledger(settings(ledger_dsn), "postgres") as session:
        yield session


@pytest.fixture
async def reader(ledger_dsn: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(ledger_dsn)
    yield connection
    assert await faults(connection) == []  # R1, after every test
    await connection.close()


async def test_funding_and_a_net_batch_move_the_balances(
    ledger: PostgresLedger, reader: asyncpg.Connection
) -> None:
    chain = SettlementChain()
    owned = await ledger.take_ownership(source(), "a", None)
    messages = [*opening(chain), chain.batch({ALPHA: -30_00, BETA: 30_00})]
    posted = await ledger.post(source(), owned.epoch, records(messages))

    assert [(c.ledger, c.status, c.reason, c.epoch) for c in posted.confirmations] == [
        ("postgres", "POSTED", "", 1)
    ] * 2
    sent = [m for m in messages if isinstance(m, SettlementBatch)]
    assert [(c.batch, c.hash) for c in posted.confirmations] == [(b.id, b.hash) for b in sent]
    assert (posted.progress.next_offset, posted.progress.sequence) == (7, 2)
    assert posted.progress.hash == chain.previous
    assert await balances(reader) == {
        ("HKD", ALPHA): 70_00,
        ("HKD", BETA): 30_00,
        ("HKD", FUNDING_ACCOUNT): -100_00,
    }
    statement = await reader.fetch(
        "SELECT amount::text, balance::text FROM clearing.statements WHERE participant = $1 ORDER BY number",
        ALPHA,
    )
    assert [tuple(row) for row in statement] == [("100.00", "100.00"), ("-30.00", "70.00")]


async def test_a_refused_batch_leaves_nothing_but_its_refusal(
    ledger: PostgresLedger, reader: asyncpg.Connection
) -> None:
    """Issue: nothing half posted; the next batch of the same transaction is not harmed."""
    chain = SettlementChain()
    owned = await ledger.take_ownership(source(), "a", None)
    first = await ledger.post(source(), owned.epoch, records(opening(chain)))
    refused = chain.batch({ALPHA: -112_50, BETA: 112_50})
    good = chain.batch({ALPHA: -1_00, BETA: 1_00}, window=2)
    posted = await ledger.post(
        source(), owned.epoch, records([refused, good], first.progress.next_offset)
    )
    assert [(c.status, c.reason) for c in posted.confirmations] == [
        ("REFUSED", f"{ALPHA} is short of 12.50 HKD"),
        ("POSTED", ""),
    ]
    assert (await balances(reader))["HKD", ALPHA] == 99_00
    entries = await reader.fetchval(
        "SELECT count(*) FROM clearing.entries AS e JOIN clearing.batches AS b ON b.number = e.batch "
        "WHERE b.id = $1",
        refused.id,
    )
    assert entries == 0

    # R4: it may come again as the next version, when there is money.
    again = [chain.funding(ALPHA, 50_00), chain.batch({ALPHA: -112_50, BETA: 112_50}, version=2)]
    posted = await ledger.post(source(), owned.epoch, records(again, 20))
    assert [c.status for c in posted.confirmations] == ["POSTED", "POSTED"]
    assert (await balances(reader))["HKD", ALPHA] == 36_50


async def test_a_batch_for_an_account_that_is_not_there_is_refused(
    ledger: PostgresLedger, reader: asyncpg.Connection
) -> None:
    chain = SettlementChain()
    owned = await ledger.take_ownership(source(), "a", None)
    messages = [
        chain.batch({ALPHA: -1, BETA: 1}, asset="CNH"),
        *opening(chain),
        chain.batch({ALPHA: -1, GAMMA: 1}),
        chain.batch({ALPHA: -1, BETA: 1, GAMMA: 0}, window=2),  # a net of zero needs no account
    ]
    posted = await ledger.post(source(), owned.epoch, records(messages))
    assert [(c.status, c.reason) for c in posted.confirmations] == [
        ("REFUSED", f"no account in CNH at ledger postgres: {ALPHA}, {BETA}"),
        ("POSTED", ""),
        ("REFUSED", f"no account in HKD at ledger postgres: {GAMMA}"),
        ("POSTED", ""),
    ]


async def test_a_batch_whose_nets_are_all_zero_is_posted_without_entries(
    ledger: PostgresLedger, reader: asyncpg.Connection
) -> None:
    chain = SettlementChain()
    owned = await ledger.take_ownership(source(), "a", None)
    messages = [*opening(chain), chain.batch({ALPHA: 0, BETA: 0})]
    posted = await ledger.post(source(), owned.epoch, records(messages))
    assert posted.confirmations[-1].status == "POSTED"
    assert await reader.fetchval("SELECT entries FROM clearing.batches WHERE kind = 'net'") == 0


async def test_reading_records_again_has_no_effect(
    ledger: PostgresLedger, reader: asyncpg.Connection
) -> None:
    """F15, R28 at the ledger: by offset, and by batch id when the same batch stands at a later offset."""
    chain = SettlementChain()
    owned = await ledger.take_ownership(source(), "a", None)
    messages = [*opening(chain), chain.batch({ALPHA: -30_00, BETA: 30_00})]
    first = await ledger.post(source(), owned.epoch, records(messages))
    before = await balances(reader)

    again = await ledger.post(source(), owned.epoch, records(messages))
    assert again.progress == first.progress
    assert again.confirmations == []
    later = await ledger.post(source(), owned.epoch, records(messages[-1:], 100))
    assert later.confirmations == []
    assert (later.progress.next_offset, later.progress.sequence) == (101, 2)
    assert await balances(reader) == before
    assert await reader.fetchval("SELECT count(*) FROM clearing.batches") == 2


@pytest.mark.parametrize("where", ["same id, other content", "gap", "other previous"])
async def test_what_contradicts_the_chain_halts_and_posts_nothing(
    ledger: PostgresLedger, reader: asyncpg.Connection, where: str
) -> None:
    """R7; DESIGN.md §2: same id, other hash, halt."""
    chain = SettlementChain()
    owned = await ledger.take_ownership(source(), "a", None)
    first = [*opening(chain), chain.batch({ALPHA: -30_00, BETA: 30_00})]
    await ledger.post(source(), owned.epoch, records(first))
    before = await balances(reader)
    good = chain.batch({ALPHA: -1, BETA: 1}, window=2)
    if where == "same id, other content":
        bad, says = chain.batch({ALPHA: -2, BETA: 2}), "but the ledger holds it with"
    elif where == "gap":
        chain.sequence += 1
        bad, says = chain.batch({ALPHA: -2, BETA: 2}, window=3), "number 4 was due"
    else:
        chain.previous = "e" * 64
        bad, says = chain.batch({ALPHA: -2, BETA: 2}, window=3), "follows eeeeeeeeeeeeeeee"
    with pytest.raises(Halt, match=says):
        await ledger.post(source(), owned.epoch, records([good, bad], 10))
    assert await balances(reader) == before
    assert (await ledger.take_ownership(source(), "a", owned.epoch)).next_offset == 7


async def test_a_window_is_not_settled_twice_whatever_the_engine_says(
    ledger: PostgresLedger, reader: asyncpg.Connection
) -> None:
    """R2: the database refuses a second version of a window that is posted."""
    chain = SettlementChain()
    owned = await ledger.take_ownership(source(), "a", None)
    messages = [*opening(chain), chain.batch({ALPHA: -1, BETA: 1})]
    await ledger.post(source(), owned.epoch, records(messages))
    with pytest.raises(Halt, match="batches_window_settles_once"):
        await ledger.post(
            source(), owned.epoch, records([chain.batch({ALPHA: -1, BETA: 1}, version=2)], 10)
        )
    assert (await balances(reader))["HKD", BETA] == 1


async def test_batches_of_another_ledger_are_followed_not_posted(
    ledger: PostgresLedger, reader: asyncpg.Connection
) -> None:
    """R7: the chain runs over all batches of the netting set."""
    chain = SettlementChain()
    owned = await ledger.take_ownership(source(), "a", None)
    messages = [
        chain.account(ALPHA, ledger="chain"),
        *opening(chain),
        chain.batch({ALPHA: -1, BETA: 1}, ledger="chain"),
        chain.batch({ALPHA: -1, BETA: 1}),
    ]
    posted = await ledger.post(source(), owned.epoch, records(messages))
    assert [c.ledger for c in posted.confirmations] == ["postgres", "postgres"]
    assert posted.progress.sequence == 3
    assert await reader.fetchval("SELECT array_agg(DISTINCT ledger) FROM clearing.accounts") == [
        "postgres"
    ]


async def test_a_lowered_overdraft_breaks_nothing_and_stops_further_debits(
    ledger: PostgresLedger, reader: asyncpg.Connection
) -> None:
    """R9"""
    chain = SettlementChain()
    owned = await ledger.take_ownership(source(), "a", None)
    messages = [
        chain.account(ALPHA, "50.00"),
        chain.account(BETA),
        chain.batch({ALPHA: -50_00, BETA: 50_00}),
        chain.account(ALPHA, "10.00"),
        chain.batch({ALPHA: -1, BETA: 1}, window=2),
        chain.batch({ALPHA: 5_00, BETA: -5_00}, window=3),
        chain.account(ALPHA, "45.00"),
        chain.batch({ALPHA: -1, BETA: 1}, window=4),
    ]
    posted = await ledger.post(source(), owned.epoch, records(messages))
    assert [(c.status, c.reason) for c in posted.confirmations] == [
        ("POSTED", ""),
        ("REFUSED", f"{ALPHA} is short of 40.01 HKD"),
        ("POSTED", ""),
        ("REFUSED", f"{ALPHA} is short of 0.01 HKD"),
    ]
    assert (await balances(reader))["HKD", ALPHA] == -45_00


async def test_an_asset_keeps_its_scale(ledger: PostgresLedger, reader: asyncpg.Connection) -> None:
    chain = SettlementChain()
    owned = await ledger.take_ownership(source(), "a", None)
    await ledger.post(source(), owned.epoch, records(opening(chain)))
    chain.scale = 3
    with pytest.raises(Halt, match="HKD comes with scale 3; its accounts are kept at scale 2"):
        await ledger.post(source(), owned.epoch, records([chain.account(GAMMA)], 10))


async def test_a_stale_owner_is_refused_and_a_fresh_one_goes_on(
    ledger: PostgresLedger, ledger_dsn: str, reader: asyncpg.Connection
) -> None:
    """R31, F2"""
    chain = SettlementChain()
    old = await ledger.take_ownership(source(), "old", None)
    await ledger.post(source(), old.epoch, records(opening(chain)))
    batch = records([chain.batch({ALPHA: -1, BETA: 1})], 10)
    async with open_ledger(settings(ledger_dsn), "postgres") as successor:
        new = await successor.take_ownership(source(), "new", None)
        assert (new.epoch, new.next_offset, new.sequence) == (2, 5, 1)
        with pytest.raises(StaleOwner):
            await ledger.post(source(), old.epoch, batch)
        with pytest.raises(StaleOwner):
            await ledger.take_ownership(source(), "old", old.epoch)
        assert (await balances(reader))["HKD", BETA] == 0
        posted = await successor.post(source(), new.epoch, batch)
        assert [c.epoch for c in posted.confirmations] == [2]
    # After a doubt of its own the holder may renew.
    assert (await ledger.take_ownership(source(), "new", new.epoch)).epoch == 3


async def test_an_epoch_lost_in_a_failover_is_passed_not_reused(
    ledger: PostgresLedger, reader: asyncpg.Connection
) -> None:
    """F9: the standby had not yet heard of our epoch; nobody else can have been given ours."""
    await ledger.take_ownership(source(), "a", None)
    with pytest.raises(LedgerUnavailable, match="lost the last commits"):
        await ledger.post(source(), 7, records(opening(SettlementChain())))
    assert (await ledger.take_ownership(source(), "a", 7)).epoch == 8


async def test_of_two_owners_that_post_at_once_one_writes(
    ledger: PostgresLedger, ledger_dsn: str, reader: asyncpg.Connection
) -> None:
    """R31, F3"""
    chain = SettlementChain()
    first = await ledger.take_ownership(source(), "a", None)
    await ledger.post(source(), first.epoch, records(opening(chain)))
    batches = records([chain.batch({ALPHA: -1, BETA: 1}, window=n) for n in range(1, 6)], 10)
    async with open_ledger(settings(ledger_dsn), "postgres") as other:

        async def take_over() -> int:
            owned = await other.take_ownership(source(), "b", None)
            return len((await other.post(source(), owned.epoch, batches)).confirmations)

        async def go_on() -> int:
            done = 0
            for batch in batches:
                try:
                    done += len((await ledger.post(source(), first.epoch, [batch])).confirmations)
                except StaleOwner:
                    break
            return done

        assert sum(await asyncio.gather(take_over(), go_on())) == 5
    assert (await balances(reader))["HKD", BETA] == 5


async def test_an_owner_stopped_in_mid_transaction_does_not_block_its_successor(
    ledger_dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """F2: the server ends the session that holds the lock."""
    monkeypatch.setitem(sessions._SESSION, "idle_in_transaction_session_timeout", "200ms")
    async with (
        sessions.connected(ledger_dsn) as stopped,
        open_ledger(settings(ledger_dsn), "postgres") as successor,
    ):
        zombie = PostgresLedger(stopped, "postgres")
        owned = await zombie.take_ownership(source(), "zombie", None)
        await stopped.execute("BEGIN")
        await zombie._locked_progress(source(), owned.epoch)  # … and SIGSTOP
        async with asyncio.timeout(10):
            assert (await successor.take_ownership(source(), "successor", None)).epoch == 2
        with pytest.raises(LedgerUnavailable):
            await zombie.post(source(), owned.epoch, records(opening(SettlementChain())))


async def test_netting_sets_and_ledgers_share_a_database_and_nothing_else(
    ledger: PostgresLedger, ledger_dsn: str, reader: asyncpg.Connection
) -> None:
    """A participant's name means something within its netting set and ledger only."""
    chains = {name: SettlementChain(name) for name in ("hk", "cn")}
    for partition, (name, chain) in enumerate(chains.items()):
        place = source(name, partition)
        owned = await ledger.take_ownership(place, "a", None)
        funds = opening(chain, funds=(partition + 1) * 100_00)
        await ledger.post(place, owned.epoch, records(funds))
    async with open_ledger(settings(ledger_dsn), "second") as second:
        owned = await second.take_ownership(source(), "a", None)
        posted = await second.post(source(), owned.epoch, records(opening(SettlementChain())))
        assert posted.confirmations == []  # those batches are the first ledger's
    assert (await balances(reader, "hk"))["HKD", ALPHA] == 100_00
    assert (await balances(reader, "cn"))["HKD", ALPHA] == 200_00
    assert await reader.fetchval("SELECT count(*) FROM clearing.progress") == 3


async def test_a_netting_set_read_from_another_topic_halts(ledger: PostgresLedger) -> None:
    """Two installations with the same netting set must not meet in one database."""
    await ledger.take_ownership(source(), "a", None)
    with pytest.raises(Halt, match="is this the right database"):
        await ledger.take_ownership(source()._replace(topic="other-settlements"), "a", None)


async def test_answers_are_kept_until_they_are_marked(ledger: PostgresLedger) -> None:
    chain = SettlementChain()
    owned = await ledger.take_ownership(source(), "a", None)
    messages = [*opening(chain), chain.batch({ALPHA: -900_00, BETA: 900_00})]
    posted = await ledger.post(source(), owned.epoch, records(messages))
    assert await ledger.unconfirmed(source(), 10) == posted.confirmations  # the same bytes again
    assert await ledger.unconfirmed(source(), 1) == posted.confirmations[:1]
    first = posted.confirmations[0].batch
    for _ in range(2):
        await ledger.mark_confirmed([first])
        assert await ledger.unconfirmed(source(), 10) == posted.confirmations[1:]
