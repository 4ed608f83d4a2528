"""Operators' commands: applied once, refused with a reason, never half (R9, R28, R32)."""

import hashlib
from typing import Any

import msgspec
import pytest

from clearing.core.commands import (
    CloseWindow,
    Command,
    ControlMessage,
    Fund,
    OpenAccount,
    RegisterAsset,
    RegisterParticipant,
    SetCalendar,
    SetCap,
    SetCutoffs,
    SetStatus,
    SettleWindow,
)
from clearing.core.control import FUNDING_ACCOUNT
from clearing.core.money import MAX_AMOUNT, MAX_UNSETTLED
from clearing.core.outputs import CommandEvent, LedgerAccount, Outputs
from clearing.core.reasons import Code
from clearing.core.registry import BusinessDay, Delay, Granularity, Interchange, SettlementModel
from clearing.core.state import NettingSet
from tests.core.build import ALPHA, BANKS, BETA, GAMMA, NOON_MS, Bench, Row, batches, hkd

MOST = MAX_UNSETTLED // 2  # caps and prefunding of an asset together, minor units
LARGEST = f"{'9' * 16}.99"  # one amount at scale 2


def told(out: Outputs) -> list[tuple[str, str]]:
    return [(e.status, e.reason) for e in out.events if isinstance(e, CommandEvent)]


def frozen(state: NettingSet) -> bytes:
    """All of the state that a command might change, but the commands seen and the source marks."""
    columns = [
        state.status,
        state.scale,
        state.maximum,
        state.days_ahead,
        *state.accounts.columns(),
    ]
    small = (state.counters, state.participants, state.assets, list(state.pending), state.calendar)
    return msgspec.msgpack.encode(small) + b"".join(column.tobytes() for column in columns)


def op(kind: type[Command], **fields: Any) -> Any:
    return kind(**({"id": "under-test", "by": "op"} | fields))


def cap(amount: str, **fields: Any) -> SetCap:
    return op(SetCap, **({"participant": ALPHA, "asset": "HKD", "net_debit_cap": amount} | fields))


def fund(amount: str, **fields: Any) -> Fund:
    return op(Fund, **({"participant": ALPHA, "asset": "HKD", "amount": amount} | fields))


def account(**fields: Any) -> OpenAccount:
    return op(OpenAccount, **({"participant": "NEWBANK", "asset": "HKD"} | fields))


def asset(**changes: Any) -> RegisterAsset:
    return op(RegisterAsset, asset=hkd(**changes))


def status(new: str, participant: str = ALPHA) -> SetStatus:
    return op(SetStatus, participant=participant, status=new)


ASCENDING = "cut-offs are not ascending"
OTHER_MODELS = [
    SettlementModel(granularity=Granularity.GROSS),
    SettlementModel(interchange=Interchange.BILATERAL),
    SettlementModel(delay=Delay.IMMEDIATE),
]

# A command to a bench of three banks in HKD (prefunded 10.00, caps 100.00, BETA's 2 * 10^15; GAMMA is closed,
# NEWBANK has no account; CNH closes every 60 s) → why it is refused.
REFUSALS: list[tuple[ControlMessage, str]] = [
    *((asset(model=model), "only NET / MULTILATERAL / DEFERRED") for model in OTHER_MODELS),
    (asset(id="X", code="X", scale=10), "scale 10 is not within 0-9"),
    (asset(id="X", code="X", scale=-1), "scale -1 is not within 0-9"),
    (asset(max_amount="0"), "max_amount 0 is no positive amount at scale 2"),
    (asset(max_amount="1.005"), "max_amount 1.005 is no positive amount"),
    (asset(max_amount="-1"), "max_amount -1 is no positive amount"),
    (asset(max_amount="1e9"), "max_amount 1e9 is no positive amount"),
    (asset(every_s=-1), "may not be negative"),
    (asset(value_days_ahead=-1), "may not be negative"),
    (asset(id="HKD2"), "asset HKD is the same (code, issuer, ledger)"),
    (asset(scale=3), "of a registered asset cannot change"),
    (asset(issuer="X"), "of a registered asset cannot change"),
    (asset(ledger="X"), "of a registered asset cannot change"),
    (asset(code="X"), "of a registered asset cannot change"),
    (account(asset="XYZ"), "asset XYZ is not registered"),
    (account(participant="NOBODY"), "participant NOBODY is not registered"),
    (account(participant=ALPHA), "the account is open"),
    (account(prefunded="-1"), "are amounts >= 0 with at most 2 decimals"),
    (account(net_debit_cap="-0.01"), "are amounts >= 0"),
    (account(overdraft="-5"), "are amounts >= 0"),
    (account(prefunded="1.001"), "are amounts >= 0"),
    (account(net_debit_cap="one"), "are amounts >= 0"),
    (account(overdraft=""), "are amounts >= 0"),
    (account(overdraft="9" * 17), "with at most 2 decimals and 18 digits"),
    (account(net_debit_cap=LARGEST), "would pass what can be counted"),
    (account(prefunded=LARGEST), "would pass what can be counted"),
    (cap("5", participant="NOBODY"), "there is no such account"),
    (cap("5", participant="NEWBANK"), "there is no such account"),
    (cap("5", asset="XYZ"), "there is no such account"),
    (cap("-5"), "are amounts >= 0"),
    (cap("5.001"), "are amounts >= 0"),
    (cap("5", overdraft="-1"), "are amounts >= 0"),
    (cap("5", overdraft="9" * 17), "with at most 2 decimals and 18 digits"),
    (cap(LARGEST), "would pass what can be counted"),
    (fund("5", participant="NEWBANK"), "there is no such account"),
    (fund("5", asset="XYZ"), "there is no such account"),
    (fund("0"), "amount is not zero"),
    (fund("0.00"), "amount is not zero"),
    (fund("0.001"), "amount is not zero and has at most 2 decimals"),
    (fund("five"), "amount is not zero"),
    (fund("-10.01"), "more than is prefunded"),
    (fund(LARGEST), "would pass what can be counted"),
    (status("CLOSED", "NOBODY"), "participant NOBODY is not registered"),
    (status("ACTIVE"), "is ACTIVE and cannot become ACTIVE"),
    (status("ACTIVE", GAMMA), "is CLOSED and cannot become ACTIVE"),
    (status("SUSPENDED", GAMMA), "is CLOSED and cannot become SUSPENDED"),
    (status("CLOSED", BETA), "has payments that are not settled"),
    (op(SetCutoffs, asset="XYZ", cutoffs_ms=[1]), "asset XYZ is not registered"),
    (op(SetCutoffs, asset="CNH", cutoffs_ms=[1]), "asset CNH closes its windows every 60 s"),
    (op(SetCutoffs, asset="HKD", cutoffs_ms=[2, 1]), ASCENDING),
    (op(SetCutoffs, asset="HKD", cutoffs_ms=[1, 1]), ASCENDING),
    (op(SetCalendar, days=[BusinessDay(5, 1), BusinessDay(5, 2)]), "not ascending at day 5"),
    (op(SetCalendar, days=[BusinessDay(5, 2), BusinessDay(6, 2)]), "not ascending at day 6"),
    (op(CloseWindow, asset="XYZ"), "asset XYZ is not registered"),
    (op(SettleWindow, asset="HKD", window=1), "window 1 of HKD has not failed"),
    (op(SettleWindow, asset="HKD", window=0), "window 0 of HKD has not failed"),
    (op(SettleWindow, asset="XYZ", window=1), "window 1 of XYZ has not failed"),
]


def busy_bench() -> Bench:
    bench = Bench(held="10", assets=(hkd(), hkd(id="CNH", code="CNH", every_s=60)))
    for batch in batches(bench.opened):
        bench.answer(batch)
    bench.control(
        SetStatus(id="g", by="op", participant=GAMMA, status="CLOSED"),
        RegisterParticipant(id="n", by="op", participant="NEWBANK"),
        SetCap(id="b", by="op", participant=BETA, asset="HKD", net_debit_cap="2000000000000000"),
    )
    assert bench.pay(Row(1, ALPHA, BETA, 100)) == [Code.ACCEPTED]
    return bench


@pytest.mark.parametrize(("command", "reason"), REFUSALS, ids=lambda item: str(item)[:40])
def test_refused_and_nothing_has_changed(command: ControlMessage, reason: str) -> None:
    bench = busy_bench()
    before = frozen(bench.state)
    out = bench.control(command)
    ((how, why),) = told(out)
    assert how == "REFUSED"
    assert reason in why
    assert (out.settlements, len(out.events)) == ([], 1)
    assert frozen(bench.state) == before


def test_a_command_is_applied_once_by_its_id() -> None:
    bench = Bench(held="10")
    out = bench.control(fund("5"), fund("5"))
    assert told(out) == [("DONE", ""), ("REPEATED", "")]  # R28
    assert told(bench.control(fund("5"))) == [("REPEATED", "")]
    why = "this command id was used before with another content"
    assert told(bench.control(fund("6"), cap("5"))) == [("REFUSED", why)] * 2
    assert told(bench.control(fund("5"))) == [("REPEATED", "")]
    assert bench.account(ALPHA)[:2] == (1500, 10_000)


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
        ("REFUSED", "prefunding and caps of this asset would pass what can be counted")
    ]
    less = cap(str(rest - 1), id="c", participant=BETA)
    assert told(bench.control(less, fund("1", id="g"))) == [("DONE", "")] * 2
    assert bench.account(ALPHA).headroom == MAX_AMOUNT + 1
