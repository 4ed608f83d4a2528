"""Every settlement model in the PostgreSQL ledger: pairs, payments, parts; who is short (R6, R25)."""

import random
from collections.abc import AsyncIterator

import asyncpg
import msgspec
import pytest
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
    payment_id,
    records,
    settings,
    source,
)

from clearing.core.faults import Halt
from clearing.core.outputs import Settlement
from clearing.ledgers import schema
from clearing.ledgers.ledger import Posted
from clearing.ledgers.postgres import PostgresLedger, open_ledger
from clearing.names import FUNDING_ACCOUNT

COLLATERAL, POOL = "$COLLATERAL", "$POOL"


@pytest.fixture
async def ledger(fresh_dsn: str) -> AsyncIterator[PostgresLedger]:
    await schema.migrate(fresh_dsn)
    async with open_ledger(settings(fresh_dsn), "postgres") as session:
        yield session


@pytest.fixture
async def reader(ledger: PostgresLedger, fresh_dsn: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(fresh_dsn)
    yield connection
    assert await faults(connection) == []  # R1, after every test
    await connection.close()


async def post(ledger: PostgresLedger, messages: list[Settlement]) -> Posted:
    owned = await ledger.take_ownership(source(), "a", None)
    return await ledger.post(source(), owned.epoch, records(messages, owned.next_offset + 1))


async def statement(reader: asyncpg.Connection, participant: str) -> list[tuple[str, ...]]:
    """Line, counterparty, payment, amount and balance of each entry but funding."""
    rows = await reader.fetch(
        "SELECT line::text, counterparty, payment::text, amount::text, balance::text "
        "FROM clearing.statements WHERE participant = $1 AND kind <> 'funding' ORDER BY number, line",
        participant,
    )
    return [tuple(row) for row in rows]


async def test_a_bilateral_batch_is_posted_pair_by_pair(
    ledger: PostgresLedger, reader: asyncpg.Connection
) -> None:
    """R6, R18: what is set off is not posted; the floor is for what the batch does as a whole."""
    chain = SettlementChain()
    messages = [
        *opening(chain, funds=10_00),
        chain.account(GAMMA),
        chain.bilateral(
            [
                # BETA and GAMMA own nothing; 5.00 goes round, ALPHA's 15.00 passes through BETA to GAMMA.
                (ALPHA, BETA, 15_00, 5_00),
                (BETA, GAMMA, 15_00, 5_00),
                (GAMMA, ALPHA, 5_00, 5_00),
            ]
        ),
    ]
    posted = await post(ledger, messages)
    assert posted.confirmations[-1].status == "POSTED"
    assert await statement(reader, ALPHA) == [("1", BETA, None, "-10.00", "0.00")]
    assert await statement(reader, BETA) == [
        ("2", ALPHA, None, "10.00", "10.00"),
        ("3", GAMMA, None, "-10.00", "0.00"),
    ]
    assert await statement(reader, GAMMA) == [("4", BETA, None, "10.00", "10.00")]


async def test_a_gross_batch_is_posted_payment_by_payment(
    ledger: PostgresLedger, reader: asyncpg.Connection
) -> None:
    """R6: the statement names each payment; ALPHA pays out of what comes back later in the batch."""
    chain = SettlementChain()
    payments = [(ALPHA, BETA, 70_00), (ALPHA, BETA, 60_00), (BETA, ALPHA, 40_00)]
    posted = await post(ledger, [*opening(chain), chain.gross(payments)])
    assert posted.confirmations[-1].status == "POSTED"
    ids = [payment_id(1, number) for number in range(3)]
    assert await statement(reader, ALPHA) == [
        ("1", BETA, ids[0], "-70.00", "30.00"),
        ("3", BETA, ids[1], "-60.00", "-30.00"),
        ("6", BETA, ids[2], "40.00", "10.00"),
    ]
    assert await statement(reader, BETA) == [
        ("2", ALPHA, ids[0], "70.00", "70.00"),
        ("4", ALPHA, ids[1], "60.00", "130.00"),
        ("5", ALPHA, ids[2], "-40.00", "90.00"),
    ]


async def test_a_gross_batch_that_cannot_be_paid_posts_no_line(
    ledger: PostgresLedger, reader: asyncpg.Connection
) -> None:
    """Each of the first payments could be paid by itself: a batch is one posting all the same."""
    chain = SettlementChain()
    payments = [(ALPHA, BETA, 50_00), (ALPHA, BETA, 50_00), (ALPHA, BETA, 1)]
    posted = await post(ledger, [*opening(chain), chain.gross(payments)])
    answer = posted.confirmations[-1]
    assert (answer.status, answer.reason, answer.short) == (
        "REFUSED",
        f"{ALPHA} is short of 0.01 HKD",
        {ALPHA: "0.01"},
    )
    assert await statement(reader, ALPHA) == []


async def test_two_thousand_payments_are_one_batch(
    ledger: PostgresLedger, reader: asyncpg.Connection
) -> None:
    """4,000 lines between 50 banks that hold little, against the plain sum of what each pays and gets."""
    chance = random.Random(4)
    banks = [f"BANK{number:02d}HKH" for number in range(50)]
    chain, naive = SettlementChain(), NaiveLedger()
    payments: list[tuple[str, str, int]] = []
    for _ in range(2_000):
        debtor, creditor = chance.sample(banks, 2)
        payments.append((debtor, creditor, chance.randrange(1, 10_000)))
    messages: list[Settlement] = [chain.account(bank, "3000.00") for bank in banks]
    messages.append(chain.gross(payments, linked=["b" * 32]))
    for message in messages:
        naive.take(message)
    posted = await post(ledger, messages)
    assert [answer.status for answer in posted.confirmations] == ["POSTED"]
    assert await balances(reader) == naive.balances
    batch = await reader.fetchrow("SELECT entries, part, parts, linked FROM clearing.batches")
    assert batch is not None
    assert tuple(batch) == (4_000, 1, 1, ["b" * 32])
    assert await reader.fetchval("SELECT count(DISTINCT payment) FROM clearing.statements") == 2_000


async def test_the_parts_of_a_window_are_settled_once_each(
    ledger: PostgresLedger, reader: asyncpg.Connection
) -> None:
    """R2, R4: a part that was refused comes again as the next version; none is posted twice."""
    chain = SettlementChain()
    messages = [
        *opening(chain),
        chain.gross([(ALPHA, BETA, 10_00)], part=1, parts=2),
        chain.gross([(BETA, ALPHA, 10_01)], part=2, parts=2),
        chain.funding(BETA, 1),
        chain.gross([(BETA, ALPHA, 10_01)], part=2, parts=2, version=2),
    ]
    posted = await post(ledger, messages)
    assert [(c.status, c.short) for c in posted.confirmations[1:]] == [
        ("POSTED", {}),
        ("REFUSED", {BETA: "0.01"}),
        ("POSTED", {}),
        ("POSTED", {}),
    ]
    before = await balances(reader)
    for wrong, says in [
        ({"part": 1, "parts": 2, "version": 2}, "batches_window_settles_once"),
        ({"part": 3, "parts": 3, "version": 3}, "is posted in other parts"),
    ]:
        ahead = SettlementChain(sequence=chain.sequence, previous=chain.previous)
        with pytest.raises(Halt, match=says):
            await post(ledger, [ahead.gross([(ALPHA, BETA, 1)], **wrong)])
    assert await balances(reader) == before


async def test_everybody_who_is_short_is_told_and_told_again_the_same(
    ledger: PostgresLedger, reader: asyncpg.Connection
) -> None:
    """R25: the sentence names three, the confirmation all; read back from the ledger it is the same bytes."""
    chain = SettlementChain()
    names = ["ZETAHKHH", "BANKHKHH", "YOTAHKHH", "AAAAHKHH", "MIDDHKHH"]  # in no order
    messages = [
        *opening(chain),
        *(chain.account(name, f"{number}.00") for number, name in enumerate(names)),
        chain.batch({**dict.fromkeys(names, -10_00), ALPHA: 50_00, GAMMA: 0}),
    ]
    posted = await post(ledger, messages)
    answer = posted.confirmations[-1]
    assert answer.status == "REFUSED"
    assert answer.reason.endswith("YOTAHKHH is short of 8.00 HKD and 2 more")
    lacking = {name: f"{10 - number}.00" for number, name in enumerate(names)}
    assert list(answer.short.items()) == list(lacking.items())

    again = (await ledger.unconfirmed(source(), 10))[-1]
    assert msgspec.json.encode(again) == msgspec.json.encode(answer)
    kept = await reader.fetchval(
        "SELECT short ->> 'ZETAHKHH' FROM clearing.batches WHERE status = 'REFUSED'"
    )
    assert kept == "10.00"  # for people, and for whoever counts shortfalls


async def test_accounts_of_the_scheme_open_with_their_first_posting(
    ledger: PostgresLedger, reader: asyncpg.Connection
) -> None:
    """R25: collateral and pool pay what ALPHA lacks, as a next version; a refused batch opens nothing."""
    chain = SettlementChain()
    nets = {ALPHA: -130_00, BETA: 130_00}
    covered = {ALPHA: -100_00, BETA: 125_00, COLLATERAL: -20_00, POOL: -5_00}
    first = await post(
        ledger,
        [
            chain.account(ALPHA),
            chain.account(BETA),
            chain.batch({ALPHA: -1, POOL: 1}, window=9),
        ],
    )
    assert first.confirmations[-1].short == {ALPHA: "0.01"}
    assert await balances(reader) == {("HKD", ALPHA): 0, ("HKD", BETA): 0}

    posted = await post(
        ledger, [chain.funding(ALPHA, 100_00), chain.batch(nets), chain.batch(covered, version=2)]
    )
    assert [(c.status, c.short) for c in posted.confirmations] == [
        ("POSTED", {}),
        ("REFUSED", {ALPHA: "30.00"}),
        ("POSTED", {}),
    ]
    assert await balances(reader) == {
        ("HKD", ALPHA): 0,
        ("HKD", BETA): 125_00,
        ("HKD", COLLATERAL): -20_00,
        ("HKD", POOL): -5_00,
        ("HKD", FUNDING_ACCOUNT): -100_00,
    }
    overdrafts = await reader.fetch(
        "SELECT participant FROM clearing.balances WHERE overdraft IS NULL ORDER BY 1"
    )
    assert [row["participant"] for row in overdrafts] == [COLLATERAL, FUNDING_ACCOUNT, POOL]
    assert list((await answers(reader)).values()) == ["REFUSED", "POSTED", "REFUSED", "POSTED"]
