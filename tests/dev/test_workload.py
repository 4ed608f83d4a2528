"""The workload's plan against the pure engine: what the generator says must become of its payments, does."""

from collections import Counter
from datetime import date

import msgspec
import pytest

from clearing.core.inputs import SourceSpan
from clearing.core.reasons import FIRST_REFUSAL, REASONS, Code
from clearing.core.registry import AssetKind, AssetSpec
from clearing.dev.banks import split
from clearing.dev.oddities import ODDITIES, Fields, Oddity, line_of
from clearing.dev.workload import PLAIN, Mix, Stream, Tally, streams
from clearing.engine.machine import Machine
from clearing.intake.decode import decode
from clearing.intake.packing import SourceRecord, pack_control, pack_payments
from clearing.log import control, payments
from clearing.log.records import OUTCOMES_KEY, decode_outcomes
from clearing.messages import Bulk, Payment, TokenTransfer
from clearing.scheme.changes import to_commands
from clearing.scheme.model import Account, Asset, NettingSet, Participant, Scheme

BANKS = ["ALPHHKHH", "BETAHKHH", "GAMMHKHH"]


def scheme(cap: str = "1000.00", max_amount: str = "") -> Scheme:
    def asset(name: str, kind: AssetKind) -> Asset:
        spec = AssetSpec(
            id=name, code=name, issuer="X", ledger="pg", scale=2, kind=kind, max_amount=max_amount
        )
        return Asset(spec, "hk", None)

    assets = {"HKD": asset("HKD", AssetKind.CASH), "USDX": asset("USDX", AssetKind.STABLECOIN)}
    return Scheme(
        "test",
        {"hk": NettingSet("hk", None)},
        assets,
        {bank: Participant(bank, bank, ("hk",)) for bank in BANKS},
        tuple(Account(bank, a, "500000.00", cap, None) for bank in BANKS for a in assets),
    )


def planned(of: list[Stream]) -> Tally:
    whole = Tally()
    for stream in of:
        whole.add(stream.tally)
    return whole


def test_same_seed_same_bytes() -> None:
    def made(seed: int) -> list[bytes]:
        return [v for s in streams(scheme(), payments=900, seed=seed) for v in s.take(300)]

    assert made(1) == made(1)
    assert made(1) != made(2)


def test_the_bytes_do_not_depend_on_how_many_are_taken_at_once_for_what_is_counted() -> None:
    made = streams(scheme(), payments=900, seed=3)
    for stream in made:
        for _ in range(3):
            stream.take(100)
    whole = planned(made)
    assert whole.rows == 900
    assert whole.outcomes.total() == 900
    assert whole.reasons.total() == whole.outcomes["refused"] + whole.outcomes["rejected"]


def test_plain_payments_are_messages_of_the_contract_and_all_accepted() -> None:
    made = streams(scheme(), payments=3_000, seed=1, mix=PLAIN, today=date(2026, 3, 2))
    decode = msgspec.json.Decoder(Payment | TokenTransfer).decode
    nets: Counter[tuple[str, str]] = Counter()
    for stream in made:
        for value in stream.take(1_000):
            order = decode(value)
            assert order.debtor == stream.bank != order.creditor
            assert order.value_date == "2026-03-02"
            units = int(order.amount.replace(".", ""))
            nets[order.debtor, order.asset] -= units
            nets[order.creditor, order.asset] += units
    whole = planned(made)
    assert whole.outcomes == {"accepted": 3_000}
    assert whole.nets == nets
    assert whole.records == 3_000
    assert sum(whole.nets.values()) == 0


def test_bulks_say_their_own_count_and_sum() -> None:
    made = streams(scheme(), payments=3_000, seed=1, mix=Mix(odd=0.05, bulk=1.0, bulk_items=50))
    decode = msgspec.json.Decoder(Bulk).decode
    for stream in made:
        values = stream.take(1_000)
        assert len(values) == 20
        for value in values:
            bulk = decode(value)
            assert bulk.count == len(bulk.items) == 50
            total = sum(int(item.amount.replace(".", "")) for item in bulk.items)
            assert f"{total // 100}.{total % 100:02}" == bulk.control_sum


def test_debits_stay_within_headroom_whatever_the_order() -> None:
    made = streams(scheme(), payments=3_000, seed=5, mix=PLAIN)
    for stream in made:
        stream.take(1_000)
        held = zip(stream._spent, stream._lines, strict=True)
        assert all(0 < spent <= line.headroom for spent, line in held)


def test_more_payments_than_the_limits_hold_is_said() -> None:
    small = scheme(cap="0.00")
    made = streams(small, payments=10, seed=5, mix=PLAIN)
    with pytest.raises(AssertionError, match="no headroom"):
        made[0].take(100_000)


def test_an_endless_stream_goes_on() -> None:
    made = streams(scheme(cap="0.00"), payments=10, seed=5, mix=PLAIN, endless=True)
    assert len(made[0].take(100_000)) == 100_000


@pytest.mark.parametrize(
    ("cap", "max_amount", "reason"),
    [("1000.00", "", "AM23"), ("0.00", "", "AM04"), ("1000.00", "2000.00", "AM02")],
)
def test_the_reason_over_the_limit_is_the_schemes(cap: str, max_amount: str, reason: str) -> None:
    made = streams(scheme(cap, max_amount), payments=300, seed=1)
    assert {line.over_reason for stream in made for line in stream._lines} == {reason}


def test_every_oddity_comes_up() -> None:
    made = streams(scheme(), payments=30_000, seed=1, mix=Mix(odd=0.5))
    for stream in made:
        stream.take(3_000)
    reasons = planned(made).reasons
    assert {oddity.reason for oddity in ODDITIES if oddity.reason} <= reasons.keys()
    assert planned(made).outcomes["repeated"] > 0


@pytest.mark.parametrize("chain_reference", ["", "eip155:1:0xab:0"])
@pytest.mark.parametrize("oddity", ODDITIES, ids=[oddity.name for oddity in ODDITIES])
def test_intake_says_of_an_oddity_what_the_table_says(oddity: Oddity, chain_reference: str) -> None:
    good = Fields(
        "16d487fd-7c86-4261-a8dc-dd84a77db544",
        *("ALPHHKHH", "BETAHKHH", "HKD", "12.50", "2026-03-02", "E-1", "NORM"),
        chain_reference,
    )
    _, reject = decode([line_of(good), oddity.make(good)]).rows.reject.tolist()
    reason = REASONS[Code(reject)].iso if reject else ""
    assert reason == (oddity.reason if oddity.outcome == "rejected" else "")


def test_the_engine_does_to_every_payment_what_was_planned() -> None:  # R8, R9, R28, R30
    noon_ms = 20_000 * 86_400_000 + 43_200_000
    today = date(2024, 10, 4)
    declared = scheme()
    machine = Machine("hk")
    commands = [
        SourceRecord(offset, msgspec.json.encode(command))
        for offset, command in enumerate(to_commands(declared, "hk", "test", today))
    ]
    log = [
        (control.KEY, value)
        for value in pack_control([(SourceSpan("commands", 0, 0, len(commands)), commands)])
    ]
    made = streams(declared, payments=6_000, seed=7, mix=Mix(odd=0.1, bulk=0.2), today=today)
    ends = [0] * len(made)
    for _ in range(4):
        sources = []
        for number, stream in enumerate(made):
            records = [SourceRecord(ends[number] + i, v) for i, v in enumerate(stream.take(500))]
            span = SourceSpan(
                f"payments.hk.{stream.bank}", 0, ends[number], ends[number] + len(records)
            )
            ends[number] = span.end
            sources.append((span, records))
        log += [(payments.KEY, value) for value in pack_payments(sources)]
    got, reasons = Counter[str](), Counter[str]()
    for offset, (key, value) in enumerate(log):
        for output in machine.apply(key, value, offset, noon_ms + offset):
            if output.key == OUTCOMES_KEY:
                outcomes = decode_outcomes(output.value)
                got["repeated"] += int(outcomes.repeat.sum())
                for code in outcomes.codes[~outcomes.repeat].tolist():
                    reason = REASONS.get(Code(code))
                    reasons[reason.iso if reason else ""] += 1
                    name = "rejected" if code < FIRST_REFUSAL else "refused"
                    got["accepted" if code == Code.ACCEPTED else name] += 1
    plan = planned(made)
    assert got == plan.outcomes
    assert got.total() == 6_000
    assert reasons - Counter({"": got["accepted"]}) == plan.reasons
    for (bank, asset), net in plan.nets.items():
        account = machine.state.flat(bank, asset)
        assert machine.state.accounts.position.reshape(-1)[account] == net


def test_split_is_exact_and_unequal() -> None:
    assert split(1_000, 8) == sorted(split(1_000, 8), reverse=True)
    assert sum(split(1_003, 8)) == 1_003
    assert split(7, 1) == [7]
