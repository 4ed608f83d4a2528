"""What does not depend on how rows are packed into log records, where nothing waits: outcomes, accounts, nets.
And positions.

What waits is offset once at the end of a log record (R14): there the record is the unit, on every replay the same.
"""

import random

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from clearing.core.commands import CloseWindow, Confirmation, SetCap
from clearing.core.inputs import LogRecord
from clearing.core.outputs import Outputs, Position
from clearing.core.state import NettingSet
from clearing.core.step import step
from tests.core.build import ALPHA, BETA, GAMMA, NOON_MS, Bench, Log, Row, batches, hkd
from tests.core.streams import Stream
from tests.core.worlds import PLAIN

Told = list[tuple[int, bool]]


def rows_of(seed: int, n: int) -> list[Row]:
    """Rows as a stream has them, with repeats, refusals and instructions, each with its place in its source."""
    stream, rng = Stream(PLAIN), random.Random(seed)
    stream.open()
    return [stream.row(rng) for _ in range(n)]


def outcomes(rows: list[Row], cuts: set[int]) -> tuple[Told, NettingSet, Outputs]:
    """The rows in records that end at the cuts, then all windows closed."""
    log, state = Log(), NettingSet("hk")
    step(state, log.control(*PLAIN.registration()))
    told: Told = []
    for start, end in zip([0, *sorted(cuts)], [*sorted(cuts), len(rows)], strict=True):
        out = step(state, log.payments(*rows[start:end])).outcomes
        assert out is not None
        told += zip(out.codes.tolist(), out.repeat.tolist(), strict=True)
    return told, state, step(state, log.control(CloseWindow(id="close", by="op")))


@given(st.integers(0, 2**32), st.integers(1, 60), st.data())
def test_outcomes_do_not_depend_on_how_rows_are_packed(
    seed: int, n: int, data: st.DataObject
) -> None:
    rows = rows_of(seed, n)
    cuts = data.draw(st.sets(st.integers(0, n)))
    whole, state, closed = outcomes(rows, set())
    split, other, closed_too = outcomes(rows, cuts)
    assert split == whole
    for mine, others in zip(state.accounts.columns(), other.accounts.columns(), strict=True):
        assert (mine == others).all()
    assert [(b.entries, b.payments, b.gross) for b in batches(closed)] == [
        (b.entries, b.payments, b.gross) for b in batches(closed_too)
    ]


def test_thousands_of_rows_at_once_or_one_by_one() -> None:
    rows = rows_of(11, 1500)
    whole, state, _ = outcomes(rows, set())
    split, other, _ = outcomes(rows, set(range(1, 1500)))
    assert split == whole
    assert (state.accounts.position == other.accounts.position).all()
    assert len({code for code, _ in whole}) > 10


# --- positions ---------------------------------------------------------------------------------------------------


def positions(out: Outputs) -> dict[str, tuple[str, str]]:
    return {p.participant: (p.position, p.headroom) for p in out.positions}


def test_positions_are_written_at_most_every_interval_and_in_the_end_all() -> None:
    bench = Bench()
    assert len(bench.opened.positions) == 3
    latest: dict[str, tuple[str, str]] = {}
    written_at: list[int] = []
    rng = random.Random(4)
    for n in range(300):
        bench.log.time_ms += rng.choice((0, 1, 20, 90))
        debtor, creditor = rng.sample((ALPHA, BETA, GAMMA), 2)
        out = bench.apply(bench.log.payments(Row(n, debtor, creditor, rng.randint(1, 500))))
        if out.positions:
            written_at.append(bench.log.time_ms)
            latest |= positions(out)
    assert len(written_at) > 10
    assert min(np.diff([NOON_MS, *written_at])) >= bench.state.positions_interval_ms
    due = bench.state.next_due_ms()
    assert due == 0 or due <= bench.log.time_ms + bench.state.positions_interval_ms
    latest |= positions(bench.tick(due or bench.log.time_ms))
    for bank in (ALPHA, BETA, GAMMA):
        account = bench.account(bank)
        assert [int(text.replace(".", "")) for text in latest[bank]] == [
            account.position,
            account.headroom,
        ]
    assert bench.state.next_due_ms() == 0
    assert bench.tick(bench.log.time_ms + 10_000).positions == []


def test_what_is_due_first_is_told() -> None:
    bench = Bench(assets=(hkd(every_s=60), hkd(id="CNH", code="CNH", every_s=7)))
    cutoffs = [asset.window.cutoff_ms for asset in bench.state.assets]
    assert bench.state.next_due_ms() == min(cutoffs) == cutoffs[1]
    bench.pay(Row(1, ALPHA, BETA, 1))
    assert bench.state.next_due_ms() == NOON_MS + 500  # positions
    assert Bench().state.next_due_ms() == 0


def test_a_position_says_where_its_account_stands() -> None:
    bench = Bench(held="20")
    bench.tick(NOON_MS + 500)
    record = bench.log.payments(Row(1, ALPHA, BETA, 3050))
    told = {p.participant: p for p in bench.apply(record).positions}
    assert told.keys() == {ALPHA, BETA}
    assert told[ALPHA] == Position(
        netting_set="hk",
        participant=ALPHA,
        asset="HKD",
        prefunded="20.00",
        net_debit_cap="100.00",
        position="-30.50",
        reserved="0.00",
        headroom="89.50",
        queued="0.00",
        queued_payments=0,
        window=1,
        log_offset=record.offset,
        time_ms=NOON_MS + 500,
    )


def test_every_change_of_an_account_is_told() -> None:
    """Payments, caps, closed windows and settlement; a refused payment changes nothing."""
    bench = Bench()

    def told(record: LogRecord) -> set[str]:
        written = positions(bench.apply(record))
        return set(written | positions(bench.tick(bench.log.time_ms + 500)))

    log = bench.log
    too_much = Row(2, GAMMA, BETA, 10**9)
    assert told(log.payments(Row(1, ALPHA, BETA, 1), too_much)) == {ALPHA, BETA}
    cap = SetCap(id="c", by="op", participant=GAMMA, asset="HKD", net_debit_cap="1")
    assert told(log.control(cap)) == {GAMMA}
    close = CloseWindow(id="close", by="op")
    assert told(log.control(close)) == {ALPHA, BETA}
    (pending,) = bench.state.pending.values()
    posted = Confirmation(
        ledger="postgres", batch=pending.batch.id, hash=pending.batch.hash, status="POSTED"
    )
    assert told(log.control(posted, topic="confirmations")) == {ALPHA, BETA}
    assert told(log.payments(Row(3, ALPHA, BETA, 10**9))) == set()
