"""Operators' commands: what they do, applied once (R9, R28, R32). Refused ones: test_guards.py."""

import hashlib
from typing import Any

import pytest

from clearing.core.account_commands import FUNDING_ACCOUNT
from clearing.core.commands import (
    CloseWindow,
    Command,
    Fund,
    RegisterAsset,
    RegisterParticipant,
    SetCap,
    SetReservation,
    SetStatus,
    SettleWindow,
)
from clearing.core.money import MAX_AMOUNT, MAX_UNSETTLED
from clearing.core.outputs import CommandEvent, LedgerAccount, Outputs
from clearing.core.reasons import Code
from tests.core.build import ALPHA, BANKS, BETA, GAMMA, NOON_MS, Bench, Row, batches, hkd

MOST = MAX_UNSETTLED // 2  # caps and prefunding of an asset together, minor units


def told(out: Outputs) -> list[tuple[str, str]]:
    return [(e.status, e.reason) for e in out.events if isinstance(e, CommandEvent)]


def op(kind: type[Command], **fields: Any) -> Any:
    return kind(**({"id": "under-test", "by": "op"} | fields))


def cap(amount: str, **fields: Any) -> SetCap:
    return op(SetCap, **({"participant": ALPHA, "asset": "HKD", "net_debit_cap": amount} | fields))


def fund(amount: str, **fields: Any) -> Fund:
    return op(Fund, **({"participant": ALPHA, "asset": "HKD", "amount": amount} | fields))


def reserve(reserved: str, **fields: Any) -> SetReservation:
    return op(SetReservation, participant=ALPHA, asset="HKD", reserved=reserved, **fields)


def asset(**changes: Any) -> RegisterAsset:
    return op(RegisterAsset, asset=hkd(**changes))


def status(new: str, participant: str = ALPHA) -> SetStatus:
    return op(SetStatus, participant=participant, status=new)


def test_a_command_is_applied_once_by_its_id() -> None:
    bench = Bench(held="10")
    out = bench.control(fund("5"), fund("5"))
    assert told(out) == [("DONE", ""), ("REPEATED", "")]  # R28
    assert told(bench.control(fund("5"))) == [("REPEATED", "")]
    why = "this command id was used before with another content"
    assert told(bench.control(fund("6"), cap("5"))) == [("REFUSED", why)] * 2
    assert told(bench.control(fund("5"))) == [("REPEATED", "")]
    assert bench.account(ALPHA)[:2] == (1500, 10_000)


def test_ids_of_commands_are_remembered_to_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench(held="10")
    bound = len(bench.state.commands) + 2
    monkeypatch.setattr("clearing.core.control.COMMANDS_REMEMBERED", bound)
    first, second, third = (fund("1", id=f"bound-{n}") for n in range(3))
    bench.control(first, second)
    assert told(bench.control(first, third)) == [("REPEATED", ""), ("DONE", "")]
    assert len(bench.state.commands) == bound
    forgotten = bound - 3
    bench.control(*(fund("1", id=f"more-{n}") for n in range(forgotten + 1)))
    assert len(bench.state.commands) == bound
    assert told(bench.control(third, first)) == [("REPEATED", ""), ("DONE", "")]


def test_a_refused_command_burns_its_id() -> None:
    bench = Bench()
    assert told(bench.control(fund("-1")))[0] == ("REFUSED", "more than is prefunded")
    bench.control(fund("5", id="other"))
    assert told(bench.control(fund("-1"))) == [("REPEATED", "")]
    assert bench.account(ALPHA).prefunded == 500


def test_a_command_event_says_who_what_and_where() -> None:
    bench = Bench()
    record = bench.log.control(cap("7", by="ann"))
    (event,) = bench.apply(record).events
    assert isinstance(event, CommandEvent)
    assert (event.id, event.by, event.command) == ("under-test", "ann", "set_cap")
    assert (event.log_offset, event.time_ms, event.netting_set) == (record.offset, NOON_MS, "hk")


def test_a_registered_participant_may_be_renamed_and_stays_what_it_is() -> None:
    bench = Bench()
    bench.control(status("SUSPENDED"))
    bench.control(RegisterParticipant(id="r", by="op", participant=ALPHA, name="Alpha Bank"))
    assert [p.name for p in bench.state.participants] == ["Alpha Bank", "", ""]
    assert bench.pay(Row(1, ALPHA, BETA, 1)) == [Code.DEBTOR_SUSPENDED]


def test_a_registered_asset_may_change_its_schedule_maximum_and_days_ahead() -> None:
    bench = Bench()
    assert (
        told(bench.control(asset(every_s=60, max_amount="5", value_days_ahead=1)))[0][0] == "DONE"
    )
    assert bench.state.assets[0].window.cutoff_ms == NOON_MS + 60_000
    rows = [Row(1, ALPHA, BETA, 501), Row(2, ALPHA, BETA, 500, value_date=20_001)]
    assert bench.pay(*rows) == [Code.OVER_MAXIMUM, Code.ACCEPTED]
    bench.control(op(RegisterAsset, id="back", asset=hkd()))
    assert bench.state.assets[0].window.cutoff_ms == 0
    assert bench.state.assets[0].max_amount == MAX_AMOUNT


def test_two_assets_may_share_a_code_when_issuer_or_ledger_differ() -> None:
    bench = Bench(assets=(hkd(), hkd(id="HKDX", issuer="X"), hkd(id="HKDE", ledger="evm")))
    assert [how for how, _ in told(bench.opened)] == ["DONE"] * len(told(bench.opened))
    assert list(bench.state.asset_index) == ["HKD", "HKDX", "HKDE"]  # R3


# --- funding -----------------------------------------------------------------------------------------------------


def test_an_opened_account_is_told_to_its_ledger_before_the_money_moves() -> None:
    bench = Bench(held="10")
    first, second = bench.opened.settlements[:2]
    assert first == LedgerAccount(
        netting_set="hk",
        asset="HKD",
        ledger="postgres",
        scale=2,
        participant=ALPHA,
        overdraft="100.00",
    )
    assert second == batches(bench.opened)[0]


def test_a_lower_cap_leaves_the_ledgers_overdraft_unless_told() -> None:  # R9
    """Payments accepted under the higher cap must still be posted."""
    bench = Bench()
    changes = (
        (cap("7"), "100.00"),
        (cap("7", id="b", overdraft="9"), "9.00"),
        (cap("8", id="c"), "9.00"),
        (cap("12", id="d"), "12.00"),
    )
    for change, overdraft in changes:
        (told_to_ledger,) = bench.control(change).settlements
        assert isinstance(told_to_ledger, LedgerAccount)
        assert told_to_ledger.overdraft == overdraft
    assert bench.account(ALPHA).cap == 1200


@pytest.mark.parametrize(
    ("amount", "held", "out_of", "into"),
    [("5.5", 1550, "0.00", "5.50"), ("-10", 0, "10.00", "0.00")],
)
def test_funding_counts_at_once_and_leaves_as_a_batch(
    amount: str, held: int, out_of: str, into: str
) -> None:
    bench = Bench(held="10")
    record = bench.log.control(fund(amount))
    (batch,) = batches(bench.apply(record))
    assert bench.account(ALPHA).prefunded == held  # R9
    net = into if out_of == "0.00" else f"-{out_of}"
    mine, counter = batch.entries
    assert (mine.participant, mine.net, mine.debits, mine.credits) == (ALPHA, net, out_of, into)
    assert (counter.participant, counter.debits, counter.credits) == (FUNDING_ACCOUNT, into, out_of)
    assert (batch.kind, batch.window, batch.payments) == ("funding", 0, 1)
    assert batch.gross == max(into, out_of, key=len)
    assert batch.log_first == batch.log_last == record.offset
    assert batch.id == hashlib.sha256(b"hk|fund|under-test").hexdigest()[:32]
    assert bench.answer(batch).events != []
    assert bench.account(ALPHA).prefunded == held
    assert batch.id not in bench.state.pending


@pytest.mark.parametrize("amount", ["5", "-5"])
def test_funding_that_the_ledger_refuses_is_taken_back(amount: str) -> None:
    bench = Bench(held="10")
    (batch,) = batches(bench.control(fund(amount)))
    out = bench.answer(batch, "REFUSED", reason="no cover")
    assert bench.account(ALPHA).prefunded == 1000
    assert batch.id not in bench.state.pending
    assert len(out.events) == 1  # no window has changed
    bench.answer(batch, "REFUSED")
    assert bench.account(ALPHA).prefunded == 1000


def test_refused_funding_that_was_spent_leaves_headroom_negative() -> None:
    bench = Bench(cap="0")
    (batch,) = batches(bench.control(fund("5")))
    assert bench.pay(Row(1, ALPHA, BETA, 500)) == [Code.ACCEPTED]
    bench.answer(batch, "REFUSED")
    assert bench.account(ALPHA).headroom == -500  # R9: what was accepted stands
    assert bench.pay(Row(2, ALPHA, BETA, 1)) == [Code.LIQUIDITY]


def test_money_may_be_taken_out_though_payments_are_not_covered_then() -> None:
    bench = Bench(cap="0", held="10")
    bench.pay(Row(1, ALPHA, BETA, 900))
    assert told(bench.control(fund("-10")))[0][0] == "DONE"
    assert bench.account(ALPHA).headroom == -900  # R9


def test_a_reservation_is_kept_from_payments_and_given_back() -> None:
    bench = Bench(held="10", cap="0")
    bench.control(reserve("4", id="a"))
    assert bench.account(ALPHA).headroom == 600  # R8
    assert bench.pay(Row(1, ALPHA, BETA, 601)) == [Code.LIQUIDITY]
    assert bench.pay(Row(2, ALPHA, BETA, 600)) == [Code.ACCEPTED]
    bench.control(reserve("5", id="b"))
    assert bench.account(ALPHA).headroom == -100  # R9: what was accepted stands
    bench.control(reserve("0", id="c"))
    assert bench.pay(Row(3, ALPHA, BETA, 400)) == [Code.ACCEPTED]


# --- participants ------------------------------------------------------------------------------------------------


def test_suspended_in_and_out_and_back() -> None:
    bench = Bench()
    rows = (Row(1, ALPHA, BETA, 1), Row(2, BETA, ALPHA, 1), Row(3, BETA, GAMMA, 1))
    assert bench.pay(*rows) == [Code.ACCEPTED] * 3
    bench.control(status("SUSPENDED"))
    again = (Row(4, ALPHA, BETA, 1), Row(5, BETA, ALPHA, 1), Row(6, BETA, GAMMA, 1))
    assert bench.pay(*again) == [
        Code.DEBTOR_SUSPENDED,
        Code.CREDITOR_SUSPENDED,
        Code.ACCEPTED,
    ]  # R32
    (batch,) = batches(bench.control(CloseWindow(id="c", by="op")))
    assert {entry.participant for entry in batch.entries} == set(BANKS)  # what stood, stands
    bench.control(op(SetStatus, id="resume", participant=ALPHA, status="ACTIVE"))
    assert bench.pay(Row(7, ALPHA, BETA, 1)) == [Code.ACCEPTED]


def test_a_participant_leaves_only_when_everything_is_settled() -> None:
    bench = Bench(held="1")
    fundings = batches(bench.opened)

    def leave(n: int) -> str:
        return told(bench.control(op(SetStatus, id=f"l{n}", participant=ALPHA, status="CLOSED")))[
            0
        ][0]

    assert leave(1) == "REFUSED"  # the prefunding is not confirmed
    for batch in fundings:
        bench.answer(batch)
    bench.pay(Row(1, BETA, ALPHA, 1), Row(2, ALPHA, BETA, 1))
    assert leave(2) == "REFUSED"  # in the open window, though its net is zero
    (batch,) = batches(bench.control(CloseWindow(id="c", by="op")))
    assert leave(3) == "REFUSED"  # not posted
    bench.answer(batch, "REFUSED")
    assert leave(4) == "REFUSED"  # failed
    (batch,) = batches(bench.control(SettleWindow(id="s", by="op", asset="HKD", window=1)))
    bench.answer(batch)
    assert leave(5) == "DONE"
    codes = bench.pay(Row(3, ALPHA, BETA, 1), Row(4, BETA, ALPHA, 1))
    assert codes == [Code.DEBTOR_CLOSED, Code.CREDITOR_CLOSED]  # R32


def test_a_suspended_participant_may_leave() -> None:
    bench = Bench()
    bench.control(status("SUSPENDED"))
    assert told(bench.control(op(SetStatus, id="l", participant=ALPHA, status="CLOSED"))) == [
        ("DONE", "")
    ]


# --- bounds ------------------------------------------------------------------------------------------------------


def test_lowering_a_cap_is_never_refused() -> None:
    """Settlement may have moved so much money that the sum of caps and money held is past its bound."""
    bench = Bench(assets=(hkd(scale=0),), cap=str(MOST // 3))
    bench.pay(Row(1, ALPHA, BETA, MOST // 3, decimals=0))
    (batch,) = batches(bench.control(CloseWindow(id="close", by="op")))
    bench.answer(batch)
    assert told(bench.control(cap(str(MOST // 3 + 1), id="up")))[0][0] == "REFUSED"
    assert told(bench.control(cap("1", id="down"))) == [("DONE", "")]  # R9
    assert bench.account(ALPHA).cap == 1


def test_caps_and_prefunding_up_to_the_bound() -> None:
    bench = Bench(assets=(hkd(scale=0),), cap="0")
    rest = MOST - MAX_AMOUNT
    fill = (cap(str(MAX_AMOUNT), id="a"), cap(str(rest), id="b", participant=BETA))
    assert told(bench.control(*fill)) == [("DONE", "")] * 2
    assert told(bench.control(fund("1", id="f"))) == [
        (
            "REFUSED",
            "prefunding, caps and reservations of this asset would pass what can be counted",
        )
    ]
    less = cap(str(rest - 1), id="c", participant=BETA)
    assert told(bench.control(less, fund("1", id="g"))) == [("DONE", "")] * 2
    assert bench.account(ALPHA).headroom == MAX_AMOUNT + 1
