"""The workload's plan against the pure engine: what the generator says must become of its messages, does."""

from collections import Counter
from datetime import date

import msgspec
import pytest

from clearing.core.reasons import REASONS, Code
from clearing.core.registry import AssetKind, AssetSpec
from clearing.dev.banks import split
from clearing.dev.lines import lines_of
from clearing.dev.oddities import ODDITIES, Oddity
from clearing.dev.progress import Progress
from clearing.dev.records import Fields, line_of
from clearing.dev.tally import Tally
from clearing.dev.told import Told
from clearing.dev.workload import PLAIN, SIMPLE, Mix, Stream, streams
from clearing.intake.decode import decode
from clearing.intake.decode import decode as intake
from clearing.messages import Bulk, Item, Payment, TokenTransfer
from clearing.names import PROBE
from clearing.observe.round_trip import MESSAGE
from clearing.scheme.model import Account, Asset, NettingSet, Participant, Scheme
from clearing.scheme.parse import parse
from tests.dev.hall import DAY, Hall

BANKS = ["ALPHHKHH", "BETAHKHH", "GAMMHKHH"]
EVERYTHING = Mix(
    0.03, stuck=0.01, ring=0.005, trade=0.03, returned=0.01, recalled=0.01, bulk_items=5
)


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


# Every model, queue and rule at a cut-off; six banks, of which one has a bilateral limit and one the value check.
QUEUES = """
name = "Queues"
[netting_sets.hk]
[assets.HKD]
netting_set = "hk"
issuer = "HKMA"
ledger = "pg"
scale = 2
kind = "cash"
every_s = 5
queue = "FIFO"
value_days_ahead = 3
valuation = { price = "1" }
accounts = { prefunded = "2000000", net_debit_cap = "8000000" }
[assets.COIN]
netting_set = "hk"
issuer = "Coin Ltd"
ledger = "pg"
scale = 6
kind = "stablecoin"
model = "NET/BILATERAL/DEFERRED"
set_off = true
every_s = 3
queue = "BYPASS_FIFO"
value_days_ahead = 3
accounts = { prefunded = "1000000" }
[assets.TOKEN]
netting_set = "hk"
issuer = "Bank"
ledger = "pg"
scale = 2
kind = "tokenised_deposit"
model = "GROSS/BILATERAL/IMMEDIATE"
queue = "BYPASS_FIFO"
at_cutoff = "DROP"
value_days_ahead = 3
accounts = { prefunded = "1000000" }
[assets.BOND]
netting_set = "hk"
issuer = "Government"
ledger = "pg"
scale = 0
kind = "security_token"
model = "GROSS/BILATERAL/DEFERRED"
queue = "FIFO"
value_days_ahead = 3
accounts = { prefunded = "100000" }
[assets.USD]
netting_set = "hk"
issuer = "Fed"
ledger = "pg"
scale = 2
kind = "cash"
every_s = 2
value_days_ahead = 3
accounts = { prefunded = "1000000", net_debit_cap = "1000000", reserved = "1000" }
[assets.EUR]
netting_set = "hk"
issuer = "ECB"
ledger = "pg"
scale = 2
kind = "cash"
every_s = 2
value_days_ahead = 3
accounts = { net_debit_cap = "1000000" }
[[pairs]]
delivery = "BOND"
payment = "HKD"
model = 2
[[pairs]]
delivery = "USD"
payment = "EUR"
model = 3
[participants.BANK01HK]
name = "1"
[participants.BANK02HK]
name = "2"
accounts.HKD = { limits = { BANK03HK = "100000" } }
[participants.BANK03HK]
name = "3"
short_limit = "%s"
[participants.BANK04HK]
name = "4"
[participants.BANK05HK]
name = "5"
[participants.BANK06HK]
name = "6"
"""


def queues(short_limit: str = "1000000") -> Scheme:
    made = parse((QUEUES % short_limit).encode())
    assert isinstance(made, Scheme), made
    return made


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
    made = streams(scheme(), payments=900, seed=3, mix=SIMPLE)
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
        texts = [value for value in values if value.startswith(b"{")]
        assert len(texts) == 14
        for bulk in map(decode, texts):
            assert bulk.count == len(bulk.items) == 50
            paid = [item for item in bulk.items if isinstance(item, Payment | TokenTransfer)]
            total = sum(int(item.amount.replace(".", "")) for item in paid)
            assert len(paid) == 50
            assert f"{total // 100}.{total % 100:02}" == bulk.control_sum
        columns = [value for value in values if not value.startswith(b"{")]
        rows = intake(columns).rows
        assert (len(rows), int(rows.reject.sum())) == (6 * 50, 0)


def test_debits_stay_within_headroom_whatever_the_order() -> None:
    made = streams(scheme(), payments=3_000, seed=5, mix=PLAIN)
    before = [line.left for stream in made for line in stream.lines]
    assert max(before) < 501_000_00
    for stream in made:
        stream.take(1_000)
    after = [line.left for stream in made for line in stream.lines]
    assert all(0 < left < whole for left, whole in zip(after, before, strict=True))


def test_budgets_leave_out_what_is_reserved_and_what_the_value_check_forbids() -> None:  # R8 R10
    of = lines_of(queues(), "hk", DAY)
    left = {(bank, line.asset.spec.id): line.left for bank in of for line in of[bank]}
    assert left["BANK01HK", "USD"] == 1_999_000_00 * 9 // 10
    assert left["BANK01HK", "HKD"] == 10_000_000_00 * 9 // 10
    assert left["BANK03HK", "HKD"] == 2_000_000_00 * 9 // 10
    assert left["BANK03HK", "EUR"] == 0
    (limited,) = [line for bank in of for line in of[bank] if line.limits]
    assert (limited.bank, limited.limits) == ("BANK02HK", {"BANK03HK": 100_000_00})


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
    assert {line.oversized[1] for stream in made for line in stream.lines} == {reason}


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


def different(plan: Tally, progress: Progress, told: Told) -> list[str]:
    """What is not as planned, without a verification."""

    def sums(nets: Counter[tuple[str, str]]) -> dict[tuple[str, str], int]:
        return {key: units for key, units in nets.items() if units}

    pairs = {
        "outcomes": (+plan.outcomes, +progress.outcomes),
        "rows": (plan.rows, progress.cleared),
        "rows told": (plan.rows, told.rows),
        "accepted": (plan.outcomes["accepted"], told.accepted),
        "received": (plan.outcomes["accepted"], told.receipts),
        "repeated": (plan.outcomes["repeated"], told.repeated),
        "instructions": (
            (plan.outcomes["done"], plan.outcomes["requested"]),
            (told.instructions["CNCL"], told.instructions["PDCR"]),
        ),
        "reasons": (+plan.reasons, +told.reasons),
        "waiting": (0, len(told.waiting)),
        "nets by batches": (sums(plan.nets), sums(progress.nets())),
        "nets told": (sums(plan.nets), sums(told.nets)),
        "finals": (progress.finals, told.finals),
        "all settled": (True, progress.all_settled),
    }
    return [
        f"{what}: planned {planned}, got {is_}"
        for what, (planned, is_) in pairs.items()
        if planned != is_
    ]


def test_the_engine_does_to_every_payment_what_was_planned() -> None:  # R8, R9, R28, R30
    made = streams(
        scheme(), payments=6_000, seed=7, mix=SIMPLE._replace(odd=0.1, bulk=0.2), today=DAY
    )
    hall = Hall(scheme(), made, 7)
    hall.work(2_000)
    hall.close()
    assert different(hall.plan(), hall.watch.progress, hall.listener.told) == []
    assert hall.plan().rows == 6_000
    assert hall.listener.told.waited == 0


def test_probes_among_the_payments_are_counted_nowhere() -> None:
    """Refused, then repeated, in log records that hold payments too: the plan is met as if they were not there."""
    made = streams(scheme(), payments=600, seed=7, mix=SIMPLE, today=DAY)
    hall = Hall(scheme(), made, 7)
    for _ in range(3):
        hall.simulation.pay(PROBE, msgspec.json.encode(MESSAGE))
        hall.work(60)
    hall.close()
    assert different(hall.plan(), hall.watch.progress, hall.listener.told) == []
    assert hall.plan().rows == 540


@pytest.mark.parametrize("short_limit", ["1000000", "false"])
@pytest.mark.parametrize("ring", [0.005, 0.0])
@pytest.mark.parametrize("seed", [1, 2])
def test_what_waits_ends_as_planned_in_whatever_order(
    seed: int, ring: float, short_limit: str
) -> None:  # R5, R12-R15, R17, R19-R21, R23, R30
    declared = queues(short_limit) if short_limit != "false" else queues_without_check()
    mix = EVERYTHING._replace(ring=ring)
    made = streams(declared, payments=3_000, seed=seed, mix=mix, today=DAY)
    hall = Hall(declared, made, seed)
    hall.work(500)
    told, progress = hall.listener.told, hall.watch.progress
    assert len(told.waiting) == progress.outcomes["queued"] == hall.plan().outcomes["dropped"]
    hall.close()
    assert different(hall.plan(), progress, told) == []
    assert told.waited > 20
    assert {"cancelled", "done", "requested", "link_refused"} <= hall.plan().outcomes.keys()
    hows = {release.how for release in progress.releases.values()}
    assert ("MULTILATERAL" in hows) == bool(hows) == bool(ring)


def queues_without_check() -> Scheme:
    text = (QUEUES % "1").replace('short_limit = "1"\n', "")
    made = parse(text.encode())
    assert isinstance(made, Scheme), made
    return made


def test_every_message_is_one_of_the_contract() -> None:
    declared = queues()
    mix = EVERYTHING._replace(odd=0.0)
    hall = Hall(declared, streams(declared, payments=4_200, seed=1, mix=mix, today=DAY), 1)
    hall.work(700)
    decode_any = msgspec.json.Decoder(Item | Bulk).decode
    texts = [value for value in hall.sent if value.startswith(b"{")]
    assert len(texts) < len(hall.sent)  # the others are bulks as columns
    kinds = Counter(type(decode_any(value)).__name__ for value in texts)
    assert set(kinds) == {
        "Payment",
        "TokenTransfer",
        "Return",
        "Cancellation",
        "PriorityChange",
        "Answer",
        "Bulk",
    }


def test_assets_and_banks_that_are_left_to_others_are_left_alone() -> None:
    declared = queues()
    made = streams(
        declared,
        payments=4_200,
        seed=1,
        mix=EVERYTHING,
        today=DAY,
        without=frozenset({"BANK06HK"}),
        apart=frozenset({"HKD"}),
    )
    assert {stream.bank for stream in made} == {f"BANK0{i}HK" for i in range(1, 6)}
    hall = Hall(declared, made, 1)
    hall.work(700)
    assert not any(bank == "BANK06HK" for bank, _ in hall.plan().nets)
    assert not any("HKD" in release.value for release in hall.watch.progress.releases.values())
    assert hall.listener.told.waited > 10


def test_split_is_exact_and_unequal() -> None:
    assert split(1_000, 8) == sorted(split(1_000, 8), reverse=True)
    assert sum(split(1_003, 8)) == 1_003
    assert split(7, 1) == [7]
