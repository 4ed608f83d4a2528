"""Windows and their batches: cut-offs, membership, confirmations, versions (R1, R2, R4, R7, R11, R23)."""

import hashlib
import json
import struct
from typing import Any

import msgspec
import pytest

from clearing.core.commands import (
    CloseWindow,
    ControlMessage,
    RegisterAsset,
    SetCap,
    SetCutoffs,
    SettleWindow,
)
from clearing.core.outputs import ConfirmationEvent, Outputs, SettlementBatch, WindowEvent
from clearing.core.reasons import Code
from clearing.core.state import NO_HASH
from clearing.core.windows import TRANSITIONS, WindowState
from tests.core.build import ALPHA, BETA, GAMMA, NOON_MS, Account, Bench, Row, batches, hkd

CNH = hkd(id="CNH", code="CNH", scale=3)


def states(out: Outputs) -> list[tuple[str, int, int, str]]:
    """(asset, window, version, state) of each window event, in order."""
    return [
        (event.asset, event.window, event.version, event.state)
        for event in out.events
        if isinstance(event, WindowEvent)
    ]


def close(bench: Bench, asset: str = "", id_: str = "close-1") -> Outputs:
    return bench.control(CloseWindow(id=id_, by="op", asset=asset))


def closed_batch(bench: Bench, id_: str = "close-1") -> SettlementBatch:
    (batch,) = batches(close(bench, id_=id_))
    return batch


def nets_of(batch: SettlementBatch) -> dict[str, tuple[str, str, str, int, int]]:
    return {e.participant: (e.net, e.debits, e.credits, e.sent, e.received) for e in batch.entries}


# --- closing -----------------------------------------------------------------------------------------------------


def test_a_window_is_netted_and_the_next_opens_in_the_same_step() -> None:
    bench = Bench()
    bench.pay(
        Row(1, ALPHA, BETA, 1000),
        Row(2, BETA, GAMMA, 400),
        Row(3, GAMMA, ALPHA, 150),
        Row(4, ALPHA, BETA, 10**9),
        Row(5, ALPHA, BETA, 1),
    )
    out = close(bench)
    assert states(out) == [("HKD", 1, 1, "PENDING_SETTLEMENT"), ("HKD", 2, 1, "OPEN")]  # R4
    (batch,) = batches(out)
    assert nets_of(batch) == {
        ALPHA: ("-8.51", "10.01", "1.50", 2, 1),
        BETA: ("6.01", "4.00", "10.01", 1, 2),
        GAMMA: ("2.50", "1.50", "4.00", 1, 1),
    }
    assert (batch.payments, batch.gross, batch.log_first, batch.log_last) == (4, "15.51", 1, 1)
    assert (batch.window, batch.version, batch.kind) == (1, 1, "net")
    assert (batch.opened_at_ms, batch.closed_at_ms) == (NOON_MS, NOON_MS)


def test_who_neither_sent_nor_received_has_no_entry_and_a_net_of_zero_has_one() -> None:
    bench = Bench()
    bench.pay(Row(1, ALPHA, BETA, 7), Row(2, BETA, ALPHA, 7))
    assert nets_of(closed_batch(bench)) == {
        ALPHA: ("0.00", "0.07", "0.07", 1, 1),
        BETA: ("0.00", "0.07", "0.07", 1, 1),
    }


def test_assets_never_net_against_each_other() -> None:
    bench = Bench(assets=(hkd(), CNH))
    bench.pay(Row(1, ALPHA, BETA, 500), Row(2, BETA, ALPHA, 500, "CNH", 3))
    hkd_batch, cnh_batch = batches(close(bench))
    assert [e.net for e in hkd_batch.entries] == ["-5.00", "5.00"]  # R3
    assert [e.net for e in cnh_batch.entries] == ["0.500", "-0.500"]
    assert (cnh_batch.asset, cnh_batch.scale, cnh_batch.code) == ("CNH", 3, "CNH")


def test_a_command_closes_one_asset_or_all() -> None:
    bench = Bench(assets=(hkd(), CNH))
    assert states(close(bench, "CNH", "c1")) == [("CNH", 1, 1, "SETTLED"), ("CNH", 2, 1, "OPEN")]
    assert [e[:2] for e in states(close(bench, "", "c2"))] == [
        ("HKD", 1),
        ("HKD", 2),
        ("CNH", 2),
        ("CNH", 3),
    ]


def test_an_empty_window_is_settled_at_once_without_a_batch() -> None:
    bench = Bench()
    bench.pay(Row(1, ALPHA, BETA, 10**9))
    out = close(bench)
    assert states(out) == [("HKD", 1, 1, "SETTLED"), ("HKD", 2, 1, "OPEN")]  # R4
    assert out.settlements == []
    assert bench.state.pending == {}


def test_membership_is_decided_by_place_in_the_log() -> None:
    """A record at the cut-off finds the window closed: the same step closes it and takes the rows in the next."""
    bench = Bench(assets=(hkd(every_s=60),))
    for at_ms in (0, 59_999, 60_000, 60_001):
        bench.log.time_ms = NOON_MS + at_ms
        out = bench.apply(bench.log.payments(Row(at_ms, ALPHA, BETA, 1)))
        assert out.outcomes is not None
        assert out.outcomes.windows == {"HKD": 1 if at_ms < 60_000 else 2}
        assert [batch.payments for batch in batches(out)] == ([2] if at_ms == 60_000 else [])


def test_windows_by_schedule_are_aligned_to_the_epoch() -> None:
    bench = Bench(assets=(hkd(every_s=7),))
    window = bench.state.assets[0].window
    assert window.cutoff_ms == (NOON_MS // 7000 + 1) * 7000
    bench.tick(window.cutoff_ms)
    assert bench.state.assets[0].window.cutoff_ms == window.cutoff_ms + 7000


def test_many_missed_cutoffs_close_one_window() -> None:
    bench = Bench(assets=(hkd(every_s=60), CNH))
    bench.pay(Row(1, ALPHA, BETA, 1))
    out = bench.tick(NOON_MS + 10 * 60_000 + 1)
    assert states(out) == [("HKD", 1, 1, "PENDING_SETTLEMENT"), ("HKD", 2, 1, "OPEN")]
    assert bench.state.assets[0].window.cutoff_ms == NOON_MS + 11 * 60_000
    assert states(bench.tick(NOON_MS + 11 * 60_000 - 1)) == []


def test_windows_by_a_list_of_cutoffs() -> None:
    bench = Bench()
    cutoffs = [NOON_MS - 5, NOON_MS, NOON_MS + 10, NOON_MS + 20, NOON_MS + 30]
    bench.control(SetCutoffs(id="c", by="op", asset="HKD", cutoffs_ms=cutoffs))
    found = {
        at: [number for _, number, _, state in states(bench.tick(NOON_MS + at)) if state == "OPEN"]
        for at in (9, 10, 11, 25, 29, 30, 31, 10**9)
    }
    # What is past when the list comes is past; two missed at once close one window; after the list: nothing.
    assert {at: n for at, n in found.items() if n} == {10: [2], 25: [3], 30: [4]}
    assert bench.state.assets[0].window.cutoff_ms == 0


def test_an_open_event_says_when_the_window_will_close() -> None:
    bench = Bench(assets=(hkd(every_s=60),))
    opened = [e for e in bench.opened.events if isinstance(e, WindowEvent)]
    assert [(e.window, e.cutoff_ms) for e in opened] == [(1, NOON_MS + 60_000)]
    assert bench.state.next_due_ms() == NOON_MS + 60_000


def test_a_window_says_open_again_when_its_cutoff_changes() -> None:
    """Whoever shows the time to cut-off knows the one in force, whichever command has moved it."""
    bench = Bench()
    commands: list[ControlMessage] = [
        SetCutoffs(id="a", by="op", asset="HKD", cutoffs_ms=[NOON_MS + 10, NOON_MS + 20]),
        SetCutoffs(id="b", by="op", asset="HKD", cutoffs_ms=[NOON_MS + 10, NOON_MS + 30]),
        RegisterAsset(id="c", by="op", asset=hkd(every_s=60)),
        RegisterAsset(id="d", by="op", asset=hkd(every_s=60, max_amount="5")),
    ]
    told = [
        [
            (e.window, e.state, e.cutoff_ms, e.opened_at_ms)
            for e in out.events
            if isinstance(e, WindowEvent)
        ]
        for out in map(bench.control, commands)
    ]
    first, later = NOON_MS + 10, NOON_MS + 60_000
    assert told == [[(1, "OPEN", first, NOON_MS)], [], [(1, "OPEN", later, NOON_MS)], []]


def test_time_never_goes_back() -> None:
    bench = Bench(assets=(hkd(every_s=60),))
    bench.tick(NOON_MS + 59_000)
    bench.log.time_ms = NOON_MS - 86_400_000
    out = bench.apply(bench.log.payments(Row(1, ALPHA, BETA, 1, expires_at_ms=NOON_MS + 58_000)))
    assert out.outcomes is not None
    assert out.outcomes.codes.tolist() == [Code.EXPIRED]
    assert out.outcomes.time_ms == NOON_MS + 59_000  # F12
    assert states(bench.tick(NOON_MS)) == []
    assert bench.state.assets[0].window.number == 1


# --- batches -----------------------------------------------------------------------------------------------------


def test_the_batch_carries_a_hash_of_itself_and_an_id_of_what_it_settles() -> None:
    bench = Bench()
    bench.pay(Row(1, ALPHA, BETA, 1000))
    batch = closed_batch(bench)
    said = json.loads(msgspec.json.encode(batch))
    canonical = json.dumps(said | {"hash": ""}, separators=(",", ":")).encode()
    assert batch.hash == hashlib.sha256(canonical).hexdigest()
    assert batch.id == hashlib.sha256(b"hk|HKD|1|1").hexdigest()[:32]


def test_the_members_root_is_a_chain_over_the_members() -> None:
    bench = Bench(cap="1000")
    big = 2**127 + 3
    bench.pay(Row(big, ALPHA, BETA, 1000), Row(6, ALPHA, BETA, 10**9), Row(big, ALPHA, BETA, 1000))
    bench.pay(Row(7, ALPHA, BETA, 10**9))
    bench.pay(Row(8, GAMMA, ALPHA, 1), Row(9, BETA, ALPHA, 2))
    batch = closed_batch(bench)
    root = bytes(32)
    for record in ([(big, 0, 1, 1000)], [(8, 2, 0, 1), (9, 1, 0, 2)]):
        members = [id_.to_bytes(16, "little") + struct.pack(">IIq", *rest) for id_, *rest in record]
        root = hashlib.sha256(root + b"".join(members)).digest()
    assert batch.members_root == root.hex()
    assert (batch.log_first, batch.log_last) == (1, 3)


def test_batches_chain_and_are_numbered_across_assets() -> None:
    bench = Bench(assets=(hkd(), CNH), held="5")
    found = batches(bench.opened)
    for n in range(3):
        bench.pay(Row(n, ALPHA, BETA, 1), Row(100 + n, BETA, ALPHA, 1, "CNH", 3))
        found += batches(close(bench, id_=f"c{n}"))
    assert len(found) == 6 + 6
    assert [batch.sequence for batch in found] == list(range(1, 13))
    previous = [NO_HASH, *(batch.hash for batch in found)]
    assert [batch.previous for batch in found] == previous[:-1]  # R7
    assert len({batch.id for batch in found}) == 12


# --- confirmations -----------------------------------------------------------------------------------------------


def pending_batch(bench: Bench) -> SettlementBatch:
    assert bench.pay(Row(1, ALPHA, BETA, 1000), Row(2, BETA, GAMMA, 100)) == [Code.ACCEPTED] * 2
    return closed_batch(bench)


def answers(out: Outputs) -> list[tuple[str, str]]:
    return [(e.status, e.reason) for e in out.events if isinstance(e, ConfirmationEvent)]


def test_posted_moves_the_net_from_position_to_prefunded_and_no_headroom() -> None:
    bench = Bench(held="20")
    before = {name: bench.account(name).headroom for name in (ALPHA, BETA, GAMMA)}
    batch = pending_batch(bench)
    assert bench.account(ALPHA) == Account(
        prefunded=2000, cap=10_000, position=-1000, headroom=11_000
    )
    unsettled = {name: bench.account(name).headroom for name in before}
    out = bench.answer(batch)
    assert states(out) == [("HKD", 1, 1, "SETTLED")]  # R23: final only now
    assert answers(out) == [("DONE", "")]
    (event,) = (e for e in out.events if isinstance(e, WindowEvent))
    assert (event.batch, event.hash, event.entries) == (batch.id, batch.hash, batch.entries)
    assert {name: bench.account(name).headroom for name in before} == unsettled  # R11
    assert bench.account(ALPHA) == Account(prefunded=1000, cap=10_000, position=0, headroom=11_000)
    assert bench.account(BETA) == Account(prefunded=2900, cap=10_000, position=0, headroom=12_900)
    assert bench.state.assets[0].unsettled == 0
    assert batch.id not in bench.state.pending


def test_settling_leaves_what_the_open_window_has_added() -> None:
    bench = Bench()
    batch = pending_batch(bench)
    bench.pay(Row(3, ALPHA, BETA, 7))
    bench.answer(batch)
    assert bench.account(ALPHA).position == -7
    assert bench.state.assets[0].unsettled == 7
    assert nets_of(closed_batch(bench, "c2"))[ALPHA][0] == "-0.07"


def test_refused_fails_the_window_and_moves_nothing() -> None:
    bench = Bench()
    batch = pending_batch(bench)
    before = bench.account(ALPHA)
    out = bench.answer(batch, "REFUSED", reason="AM04 ALPHHKHH")
    assert states(out) == [("HKD", 1, 1, "FAILED")]
    assert answers(out) == [("DONE", "AM04 ALPHHKHH")]
    (event,) = (e for e in out.events if isinstance(e, WindowEvent))
    assert (event.reason, event.entries) == ("AM04 ALPHHKHH", batch.entries)
    assert bench.account(ALPHA) == before
    assert bench.state.assets[0].unsettled == 1100


def test_a_failed_window_is_settled_as_its_next_version() -> None:
    bench = Bench()
    first = pending_batch(bench)
    bench.answer(first, "REFUSED")
    out = bench.control(SettleWindow(id="again", by="op", asset="HKD", window=1))
    (second,) = batches(out)
    assert states(out) == [("HKD", 1, 2, "PENDING_SETTLEMENT")]
    assert second.id == hashlib.sha256(b"hk|HKD|1|2").hexdigest()[:32]
    assert (second.sequence, second.previous) == (2, first.hash)  # R7
    same = ("entries", "payments", "gross", "members_root", "log_first", "log_last", "window")
    assert all(getattr(first, name) == getattr(second, name) for name in same)  # R2
    assert states(bench.answer(first)) == []  # the first version is history
    assert states(bench.answer(second)) == [("HKD", 1, 2, "SETTLED")]
    assert bench.account(ALPHA).prefunded == -1000
    assert bench.account(ALPHA).position == 0


def test_a_window_may_fail_more_than_once() -> None:
    bench = Bench()
    batch = pending_batch(bench)
    for version in (2, 3, 4):
        bench.answer(batch, "REFUSED")
        message = SettleWindow(id=f"v{version}", by="op", asset="HKD", window=1)
        (batch,) = batches(bench.control(message))
        assert batch.version == version


def test_windows_after_a_failed_one_settle_in_between() -> None:
    bench = Bench()
    first = pending_batch(bench)
    bench.answer(first, "REFUSED")
    bench.pay(Row(3, ALPHA, GAMMA, 5))
    second = closed_batch(bench, "c2")
    assert states(bench.answer(second)) == [("HKD", 2, 1, "SETTLED")]
    assert bench.account(ALPHA).position == -1000
    assert bench.state.assets[0].unsettled == 1100


# A repeated or wrong answer: what came before, the answer's status, what differs in it, what it is told.
WRONG_ANSWERS: list[tuple[str | None, str, dict[str, Any], str, str]] = [
    (None, "POSTED", {"hash": "0" * 64}, "REFUSED", "the hash is not the batch's"),
    (None, "POSTED", {"ledger": "evm"}, "REFUSED", "the batch belongs to ledger postgres"),
    (None, "REFUSED", {"hash": ""}, "REFUSED", "the hash is not the batch's"),
    (None, "POSTED", {"batch": "nobody's"}, "REPEATED", "no such batch is waiting"),
    ("POSTED", "POSTED", {}, "REPEATED", "no such batch is waiting"),
    ("POSTED", "REFUSED", {}, "REPEATED", "no such batch is waiting"),
    ("REFUSED", "REFUSED", {}, "REPEATED", "the ledger has refused the batch before"),
    ("REFUSED", "REFUSED", {"hash": ""}, "REFUSED", "the hash is not the batch's"),
    ("REFUSED", "POSTED", {}, "REFUSED", "the batch is FAILED"),
]


@pytest.mark.parametrize(("before", "status", "changes", "told", "reason"), WRONG_ANSWERS)
def test_an_answer_that_does_not_fit_changes_nothing(
    before: str | None, status: str, changes: dict[str, Any], told: str, reason: str
) -> None:
    bench = Bench(held="50")
    batch = pending_batch(bench)
    if before:
        bench.answer(batch, before)
    accounts = [bench.account(name) for name in (ALPHA, BETA, GAMMA)]
    pending = {key: item.state for key, item in bench.state.pending.items()}
    out = bench.answer(batch, status, **changes)
    assert answers(out) == [(told, reason)]
    assert states(out) == []
    assert [bench.account(name) for name in (ALPHA, BETA, GAMMA)] == accounts
    assert {key: item.state for key, item in bench.state.pending.items()} == pending


def test_lowering_a_cap_below_its_use_breaks_nothing_and_new_debits_wait() -> None:
    bench = Bench()
    bench.pay(Row(1, ALPHA, BETA, 9000))
    bench.control(SetCap(id="c", by="op", participant=ALPHA, asset="HKD", net_debit_cap="10"))
    assert bench.account(ALPHA).headroom == -8000  # R9
    assert bench.pay(Row(2, ALPHA, BETA, 1)) == [Code.NET_DEBIT_CAP]
    # A credit counts at once (R8), and only what it lifts above zero may be spent.
    codes = bench.pay(
        Row(3, BETA, ALPHA, 8000),
        Row(4, ALPHA, BETA, 1),
        Row(5, BETA, ALPHA, 2),
        Row(6, ALPHA, BETA, 2),
    )
    assert codes == [Code.ACCEPTED, Code.NET_DEBIT_CAP, Code.ACCEPTED, Code.ACCEPTED]
    assert nets_of(closed_batch(bench))[ALPHA][0] == "-10.00"


def test_every_state_has_its_transitions_and_settled_is_the_end() -> None:
    assert set(TRANSITIONS) == set(WindowState)
    assert TRANSITIONS[WindowState.SETTLED] == frozenset()  # R5: never reopened
    reachable = {WindowState.OPEN}
    for _ in WindowState:
        reachable |= {new for state in reachable for new in TRANSITIONS[state]}
    assert reachable == set(WindowState)
