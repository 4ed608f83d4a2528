"""Commands that are refused: each for its reason, and nothing of the state has changed (R4, R9, R24, R32, R33)."""

from typing import Any, get_args

import msgspec
import pytest

from clearing.core.commands import (
    AbortWindow,
    Approve,
    CloseWindow,
    Command,
    Confirmation,
    ControlMessage,
    Fund,
    OpenAccount,
    Propose,
    Redrive,
    RegisterAsset,
    RegisterPair,
    RegisterParticipant,
    ReleaseQueued,
    RequireApproval,
    SetBilateralLimit,
    SetCalendar,
    SetCap,
    SetCollateral,
    SetCutoffs,
    SetPool,
    SetReservation,
    SetShortLimit,
    SetStatus,
    SettleWindow,
    SetValuation,
    Withdraw,
)
from clearing.core.outputs import CommandEvent, SettlementBatch
from clearing.core.reasons import Code
from clearing.core.registry import BisModel, BusinessDay, OnShortfall
from clearing.core.snapshot import dump
from clearing.core.state import NettingSet
from tests.core.build import ALPHA, BETA, GAMMA, Bench, Row, hkd
from tests.core.scenes import BYPASS, FIFO, GROSS, GROSS_NOW, NET_NOW, PAIRS

LARGEST = f"{'9' * 16}.99"  # one amount at scale 2
GONE = "GONEHKHH"  # in default
NOBODY, BARE = "NOBODY", "NEWBANK"  # not registered; registered, without an account


def frozen(state: NettingSet) -> bytes:
    """All of the state, but the commands seen and the source marks."""
    _, header, *columns = dump(state)
    small = msgspec.msgpack.decode(header)
    del small["commands"], small["sources"]
    return msgspec.msgpack.encode(small) + b"".join(columns)


def op(kind: type[Command], **fields: Any) -> Any:
    return kind(**({"id": "under-test", "by": "op"} | fields))


def of_alpha(kind: type[Command], **fields: Any) -> Any:
    """About ALPHA's account in HKD, unless said otherwise."""
    return op(kind, **({"participant": ALPHA, "asset": "HKD"} | fields))


def account(**fields: Any) -> OpenAccount:
    return of_alpha(OpenAccount, **({"participant": BARE} | fields))


def cap(amount: str, **fields: Any) -> SetCap:
    return of_alpha(SetCap, net_debit_cap=amount, **fields)


def fund(amount: str, **fields: Any) -> Fund:
    return of_alpha(Fund, amount=amount, **fields)


def reservation(reserved: str, **fields: Any) -> SetReservation:
    return of_alpha(SetReservation, reserved=reserved, **fields)


def bilateral(limit: str | None = "5", **fields: Any) -> SetBilateralLimit:
    return of_alpha(SetBilateralLimit, **({"counterparty": BETA, "limit": limit} | fields))


def collateral(amount: str, **fields: Any) -> SetCollateral:
    return of_alpha(SetCollateral, amount=amount, **fields)


def valuation(**fields: Any) -> SetValuation:
    return op(SetValuation, **({"asset": "HKD", "price": "1", "haircut_bp": 0} | fields))


def asset(**changes: Any) -> RegisterAsset:
    return op(RegisterAsset, asset=hkd(**changes))


def new_asset(**changes: Any) -> RegisterAsset:
    return asset(**({"id": "NEW", "code": "NEW"} | changes))


def pair(delivery: str, payment: str, model: int = 3) -> RegisterPair:
    return op(RegisterPair, delivery=delivery, payment=payment, model=BisModel(model))


def status(new: str, participant: str = ALPHA) -> SetStatus:
    return op(SetStatus, participant=participant, status=new)


def propose(**changes: Any) -> Propose:
    fields = {"id": "inner", "by": "op", "asset": "HKD", "amount": "1"} | changes
    return op(Propose, command=SetPool(**fields))


NO_ACCOUNT, UNCOUNTABLE = "there is no such account", "would pass what can be counted"
NOT_REGISTERED = "is not registered"
ASCENDING = "cut-offs are not ascending"
WATERFALL, RECAST = OnShortfall.WATERFALL, OnShortfall.RECAST
HASH = "0" * 64

# A command to the bench of busy_bench → why it is refused.
REFUSALS: list[tuple[ControlMessage, str]] = [
    (new_asset(scale=10), "scale 10 is not within 0-9"),
    (new_asset(scale=-1), "scale -1 is not within 0-9"),
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
    # R6, R13, R18, R25: what does not go together, and what cannot change under payments.
    *((new_asset(set_off=True, model=m), "set_off is for NET BILATERAL") for m in (GROSS, NET_NOW)),
    (new_asset(set_off=True), "set_off is for NET BILATERAL"),
    *((new_asset(on_shortfall=WATERFALL, model=m), "to be HOLD") for m in (PAIRS, NET_NOW, GROSS)),
    *((asset(model=model), "only while the window is empty") for model in (GROSS, PAIRS, NET_NOW)),
    (asset(on_shortfall=RECAST), "only while the window is empty"),
    (asset(id="BOND", code="BOND"), "only while the window is empty and no pair needs them"),
    (asset(id="LONG", code="LONG", queue=BYPASS), "changes only while nothing waits"),
    (asset(id="LONG", code="LONG"), "changes only while nothing waits"),
    (account(asset="XYZ"), NOT_REGISTERED),
    (account(participant=NOBODY), NOT_REGISTERED),
    (account(participant=ALPHA), "the account is open"),
    (account(prefunded="-1"), "are amounts >= 0 with at most 2 decimals"),
    (account(net_debit_cap="-0.01"), "are amounts >= 0"),
    (account(overdraft="-5"), "are amounts >= 0"),
    (account(prefunded="1.001"), "are amounts >= 0"),
    (account(net_debit_cap="one"), "are amounts >= 0"),
    (account(overdraft=""), "are amounts >= 0"),
    (account(overdraft="9" * 17), "with at most 2 decimals and 18 digits"),
    (account(net_debit_cap=LARGEST), UNCOUNTABLE),
    (account(prefunded=LARGEST), UNCOUNTABLE),
    (cap("5", participant=NOBODY), NO_ACCOUNT),
    (cap("5", participant=BARE), NO_ACCOUNT),
    (cap("5", asset="XYZ"), NO_ACCOUNT),
    (cap("-5"), "are amounts >= 0"),
    (cap("5.001"), "are amounts >= 0"),
    (cap("5", overdraft="-1"), "are amounts >= 0"),
    (cap("5", overdraft="9" * 17), "with at most 2 decimals and 18 digits"),
    (cap(LARGEST), UNCOUNTABLE),
    (fund("5", participant=BARE), NO_ACCOUNT),
    (fund("5", asset="XYZ"), NO_ACCOUNT),
    (fund("0"), "amount is not zero"),
    (fund("0.00"), "amount is not zero"),
    (fund("0.001"), "amount is not zero and has at most 2 decimals"),
    (fund("five"), "amount is not zero"),
    (fund("-10.01"), "more than is prefunded"),
    (fund(LARGEST), UNCOUNTABLE),
    # R8, R10, R25: limits.
    (reservation("5", participant=BARE), NO_ACCOUNT),
    (reservation("5", asset="XYZ"), NO_ACCOUNT),
    (reservation("-1"), "reserved is one of the amounts >= 0"),
    (reservation("0.001"), "with at most 2 decimals"),
    (reservation(LARGEST), UNCOUNTABLE),
    (bilateral(participant=NOBODY), NO_ACCOUNT),
    (bilateral(counterparty=BARE), NO_ACCOUNT),
    (bilateral(None, asset="XYZ"), NO_ACCOUNT),
    (bilateral(counterparty=ALPHA), "between two participants"),
    (bilateral("-1"), "limit is one of the amounts >= 0"),
    (bilateral("0.001"), "with at most 2 decimals"),
    (collateral("5", participant=BARE), NO_ACCOUNT),
    (collateral("-5"), "amount is one of the amounts >= 0"),
    (op(SetPool, asset="XYZ", amount="5"), NOT_REGISTERED),
    (op(SetPool, asset="HKD", amount="-5"), "amount is one of the amounts >= 0"),
    (valuation(asset="XYZ"), NOT_REGISTERED),
    (valuation(price="-1"), "price is an amount >= 0 with at most 9 decimals"),
    (valuation(price="0.0000000001"), "with at most 9 decimals"),
    (valuation(price="9223372036.854775808"), "at most 9223372036.854775807"),
    (valuation(haircut_bp=-1), "haircut_bp within 0-10000"),
    (valuation(haircut_bp=10_001), "haircut_bp within 0-10000"),
    (valuation(short_limit="-1"), "short_limit is one of the amounts >= 0"),
    (op(SetShortLimit, participant=NOBODY, limit="1"), NOT_REGISTERED),
    (op(SetShortLimit, participant=ALPHA, limit="-1"), "limit is an amount >= 0"),
    # R21: pairs.
    (pair("XYZ", "HKD"), "two registered assets"),
    (pair("HKD", "HKD"), "two registered assets"),
    (pair("CNH", "BOND", 2), "with BOND as its delivery"),
    (pair("HKD", "LONG", 1), "model 1 does not go with NET against NET"),
    (pair("HKD", "LONG", 2), "model 2 does not go with NET against NET"),
    (pair("BOND", "HKD", 3), "model 3 does not go with GROSS against NET"),
    (pair("HKD", "BOND", 2), "model 2 does not go with NET against GROSS"),
    (pair("BOND", "RTGS", 1), "settled with the same delay"),
    # R24, R32: participants.
    (status("CLOSED", NOBODY), NOT_REGISTERED),
    (status("ACTIVE"), "is ACTIVE and cannot become ACTIVE"),
    *((status(new, GAMMA), f"CLOSED and cannot become {new}") for new in ("ACTIVE", "SUSPENDED")),
    *((status(new, GAMMA), f"CLOSED and cannot become {new}") for new in ("DEFAULTED", "CLOSED")),
    *((status(new, GONE), f"DEFAULTED and cannot become {new}") for new in ("ACTIVE", "SUSPENDED")),
    (status("DEFAULTED", GONE), "DEFAULTED and cannot become DEFAULTED"),
    (status("CLOSED", BETA), "has payments that are not settled"),
    (op(SetCutoffs, asset="XYZ", cutoffs_ms=[1]), NOT_REGISTERED),
    (op(SetCutoffs, asset="CNH", cutoffs_ms=[1]), "asset CNH closes its windows every 60 s"),
    (op(SetCutoffs, asset="HKD", cutoffs_ms=[2, 1]), ASCENDING),
    (op(SetCutoffs, asset="HKD", cutoffs_ms=[1, 1]), ASCENDING),
    (op(SetCalendar, days=[BusinessDay(5, 1), BusinessDay(5, 2)]), "not ascending at day 5"),
    (op(SetCalendar, days=[BusinessDay(5, 2), BusinessDay(6, 2)]), "not ascending at day 6"),
    (op(CloseWindow, asset="XYZ"), NOT_REGISTERED),
    *((op(SettleWindow, asset="HKD", window=n), f"window {n} of HKD has not") for n in (0, 1, 2)),
    (op(SettleWindow, asset="XYZ", window=1), "window 1 of XYZ has not failed"),
    *((op(AbortWindow, asset="HKD", window=n), f"window {n} of HKD has not") for n in (0, 1, 2)),
    # R15, R33.
    (op(ReleaseQueued, payments=[]), "not all of these payments wait"),
    (op(ReleaseQueued, payments=["00" * 16]), "not all of these payments wait"),
    (op(ReleaseQueued, payments=["no id at all"]), "not all of these payments wait"),
    (op(Redrive, participant="XYZ", offset=7, hash=HASH), NOT_REGISTERED),
    (op(Redrive, participant=ALPHA, offset=7, hash=HASH), f"command is redrive:{ALPHA}:7"),
    (propose(by="another"), "the command is another's, the proposal op's"),
    (propose(id="g"), "the command's id g was used before"),
    (propose(id="under-test"), "the command's id under-test was used before"),
    (op(Approve, proposal="none", hash=HASH), "there is no open proposal none"),
    (op(Approve, proposal="open", hash=HASH, by="other"), "the hash is not that of what was"),
    (op(Withdraw, proposal="none"), "there is no open proposal none"),
]
NEVER_REFUSED = {RegisterParticipant, RequireApproval}


def busy_bench() -> Bench:
    """Banks in HKD: 10.00 held, caps 100.00, BETA's 2 * 10^15. GAMMA is closed, GONE in default, BARE has nothing.

    HKD window 1 is pending, window 2 has a payment. CNH closes every 60 s. BOND is settled gross against CNH,
    RTGS gross at once; in LONG something waits. The proposal `open` is open.
    """
    others = {"CNH": {"every_s": 60}, "LONG": {"queue": FIFO}}
    others |= {"BOND": {"model": GROSS}, "RTGS": {"model": GROSS_NOW}}
    assets = (hkd(), *(hkd(id=name, code=name, **fields) for name, fields in others.items()))
    bench = Bench(held="10", banks=(ALPHA, BETA, GAMMA, GONE), assets=assets)
    for batch in bench.opened.settlements:
        if isinstance(batch, SettlementBatch):
            bench.answer(batch)
    bench.control(
        SetStatus(id="g", by="op", participant=GAMMA, status="CLOSED"),
        SetStatus(id="d", by="op", participant=GONE, status="DEFAULTED"),
        RegisterParticipant(id="n", by="op", participant=BARE),
        SetCap(id="b", by="op", participant=BETA, asset="HKD", net_debit_cap="2000000000000000"),
        RegisterPair(id="p", by="op", delivery="BOND", payment="CNH", model=BisModel.GROSS_NET),
        Propose(id="open", by="op", command=SetPool(id="o", by="op", asset="HKD", amount="1")),
    )
    first, second = Row(1, ALPHA, BETA, 100), Row(2, ALPHA, BETA, 100)
    assert bench.pay(first, Row(3, ALPHA, BETA, 10**6, "LONG")) == [Code.ACCEPTED, Code.QUEUED]
    bench.control(CloseWindow(id="close", by="op", asset="HKD"))
    assert bench.pay(second) == [Code.ACCEPTED]
    return bench


@pytest.mark.parametrize(("command", "reason"), REFUSALS, ids=lambda item: str(item)[:40])
def test_refused_and_nothing_has_changed(command: ControlMessage, reason: str) -> None:
    bench = busy_bench()
    before = frozen(bench.state)
    out = bench.control(command)
    (told,) = out.events
    assert isinstance(told, CommandEvent)
    assert told.status == "REFUSED"
    assert reason in told.reason
    assert (out.settlements, out.resolutions) == ([], [])
    assert frozen(bench.state) == before


def test_every_command_that_can_be_refused_is() -> None:
    kinds = {kind for kind in get_args(ControlMessage) if kind is not Confirmation}
    assert {type(command) for command, _ in REFUSALS} == kinds - NEVER_REFUSED
