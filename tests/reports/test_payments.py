"""Rows of one log record, as tables: exact sums, whose they are, and what is nobody's."""

import numpy as np
import pytest

from clearing.core.inputs import Kind, PaymentRows, SourceSpan
from clearing.core.outputs import Outcomes, Resolution, Resolutions
from clearing.core.reasons import Code
from clearing.names import PROBE
from clearing.reports.payments import Payments, Reason, money
from clearing.verify.sums import VALUE_SCALE

Row = tuple[
    str, str, str, str, int, int, int
]  # owner, debtor, creditor, asset, amount, decimals, code


def folded(*table: Row, repeat: tuple[int, ...] = (), kinds: tuple[int, ...] = ()) -> Payments:
    """A record of these rows, taken in."""
    owners = sorted({row[0] for row in table})
    participants = sorted({name for row in table for name in row[1:3]})
    assets = sorted({row[3] for row in table})
    n = len(table)
    rows = PaymentRows(
        participants=participants,
        assets=assets,
        id=np.zeros((n, 2), np.uint64),
        debtor=np.array([participants.index(row[1]) for row in table], np.int32),
        creditor=np.array([participants.index(row[2]) for row in table], np.int32),
        asset=np.array([assets.index(row[3]) for row in table], np.int32),
        amount=np.array([row[4] for row in table], np.int64),
        decimals=np.array([row[5] for row in table], np.uint8),
        value_date=np.zeros(n, np.int32),
        priority=np.zeros(n, np.uint8),
        kind=np.array(kinds or (Kind.PAYMENT,) * n, np.uint8),
        expires_at_ms=np.zeros(n, np.int64),
        window=np.zeros(n, np.int32),
        body_hash=np.zeros(n, np.uint64),
        source=np.array([owners.index(row[0]) for row in table], np.int32),
        source_offset=np.arange(n, dtype=np.int64),
        item=np.full(n, -1, np.int32),
        reject=np.zeros(n, np.uint8),
    )
    said = Outcomes(
        log_offset=7,
        time_ms=1_000,
        codes=np.array([row[6] for row in table], np.uint8),
        repeat=np.isin(np.arange(n), repeat),
        windows={},
    )
    payments = Payments({"HKD": 2})
    spans = [SourceSpan(f"payments.hk.{owner}", 0, 0, n) for owner in owners]
    payments.take_rows(rows, spans, said)
    return payments


def test_sums_are_exact_beyond_64_bits_and_over_unlike_decimals() -> None:
    most = 999_999_999_999_999_999
    table: list[Row] = [
        ("ALPHA", "ALPHA", "BRAVO", "HKD", most, 0, Code.ACCEPTED) for _ in range(20)
    ]
    table += [
        ("ALPHA", "ALPHA", "BRAVO", "HKD", 5, 1, Code.ACCEPTED),
        ("ALPHA", "ALPHA", "BRAVO", "HKD", 25, 2, Code.ACCEPTED),
    ]
    found = folded(*table).tallies
    sent = found["ALPHA", "HKD"].sent
    assert sent == found["BRAVO", "HKD"].received
    assert (sent.number, money(sent.value, "HKD", {"HKD": 2})) == (22, f"{20 * most}.75")


@pytest.mark.parametrize(
    ("value", "asset", "shown"),
    [
        (10**VALUE_SCALE, "HKD", "1.00"),
        (10 ** (VALUE_SCALE - 3), "HKD", None),  # more decimals than the asset has
        (0, "HKD", "0.00"),
        (10 ** (VALUE_SCALE - 3), "NEW", "0.001"),  # nobody has said its scale
        (10**VALUE_SCALE, "", None),  # of no asset
    ],
)
def test_money_is_shown_at_the_scale_of_its_asset(
    value: int, asset: str, shown: str | None
) -> None:
    assert money(value, asset, {"HKD": 2}) == shown


def test_a_refusal_counts_for_who_sent_it_and_under_no_name_that_nobody_registered() -> None:
    found = folded(
        ("BRAVO", "ALPHA", "BRAVO", "HKD", 1, 0, Code.NOT_OWNER),
        ("BRAVO", "BRAVO", "ALPHA", "G0LD", 1, 0, Code.UNKNOWN_ASSET),
        ("BRAVO", "BRAVO", "ALPHA", "GOLD", 1, 0, Code.UNKNOWN_ASSET),
    )
    assert {key: tally.refused for key, tally in found.tallies.items()} == {
        ("BRAVO", "HKD"): 1,
        ("BRAVO", ""): 2,
    }
    assert found.reasons[Reason("BRAVO", "", "refused", Code.UNKNOWN_ASSET)].number == 2


def test_what_was_read_before_is_not_counted_and_repeats_have_no_effect() -> None:  # R28
    found = folded(
        ("ALPHA", "ALPHA", "BRAVO", "HKD", 1, 0, Code.ALREADY_READ),
        ("ALPHA", "ALPHA", "BRAVO", "HKD", 1, 0, Code.ACCEPTED),
        ("ALPHA", "ALPHA", "BRAVO", "HKD", 1, 0, Code.ACCEPTED),
        repeat=(2,),
    )
    assert found.tallies["ALPHA", "HKD"].sent.number == 1
    assert found.tallies["ALPHA", ""].repeated == 1


def test_a_partial_delivery_goes_on_waiting_and_is_not_forgotten() -> None:  # R22
    """The longest wait is that of the rest."""
    found = folded(("ALPHA", "ALPHA", "BRAVO", "HKD", 5, 0, Code.QUEUED))
    for time_ms, amount, how in ((3_000, "2.00", "PARTIAL"), (9_000, "3.00", "SINGLE")):
        item = Resolution(
            id="p", code=Code.ACCEPTED, kind=Kind.PAYMENT, debtor="ALPHA", creditor="BRAVO", asset="HKD",
            amount=amount, log_offset=7, row=0, source=("payments.hk.ALPHA", 0, 0, -1), how=how,
        )  # fmt: skip
        said = Resolutions(netting_set="hk", log_offset=8, time_ms=time_ms, items=[item])
        assert found.unknown_entries(said) == set()
        found.take_resolutions(said)
    tally = found.tallies["ALPHA", "HKD"]
    assert (tally.queued.number, tally.released.number, tally.longest_wait_ms) == (1, 2, 8_000)
    assert found.unknown_waits == 0
    assert found.unknown_entries(said) == {7}, "it waits no more"


def test_instructions_are_no_payments() -> None:
    found = folded(
        ("ALPHA", "ALPHA", "BRAVO", "HKD", 1, 0, Code.DONE),
        ("ALPHA", "ALPHA", "BRAVO", "HKD", 1, 0, Code.NOT_WAITING),
        kinds=(Kind.CANCEL, Kind.PRIORITY),
    )
    assert {key: tally.instructions for key, tally in found.tallies.items()} == {("ALPHA", ""): 2}
    assert not found.reasons


def test_the_probe_is_nobodys_payment() -> None:
    """ops/adr/0019-probe.md: it shares records with payments."""
    found = folded(
        (PROBE, PROBE, PROBE, "HKD", 0, 0, Code.NOT_WAITING),
        ("ALPHA", "ALPHA", "BRAVO", "HKD", 1, 0, Code.ACCEPTED),
        (PROBE, PROBE, PROBE, "HKD", 0, 0, Code.NOT_WAITING),
        repeat=(2,),
        kinds=(Kind.PRIORITY, Kind.PAYMENT, Kind.PRIORITY),
    )
    assert found.tallies.keys() == {("ALPHA", "HKD"), ("BRAVO", "HKD")}
