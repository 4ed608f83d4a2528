"""Batches a ledger is handed are what they claim and the next ones, or none is (R1, R7)."""

import msgspec
import pytest

from clearing.client.settlements import BrokenChain, Chain
from clearing.core.batches import batch_hash
from clearing.core.outputs import Entry, SettlementBatch
from clearing.core.state import NO_HASH


def entry(participant: str, net: str) -> Entry:
    debits, credits_ = (net[1:], "0.00") if net.startswith("-") else ("0.00", net)
    return Entry(participant, net, debits, credits_, 1, 1)


def batch(sequence: int, previous: str, *nets: str, netting_set: str = "hk") -> SettlementBatch:
    made = SettlementBatch(
        id=f"b{sequence}",
        kind="net",
        netting_set=netting_set,
        sequence=sequence,
        asset="HKD",
        code="HKD",
        issuer="HKMA",
        ledger="postgres",
        scale=2,
        window=sequence,
        version=1,
        opened_at_ms=0,
        closed_at_ms=1,
        payments=1,
        gross="5.00",
        entries=[entry(f"P{i}", net) for i, net in enumerate(nets)],
        log_first=0,
        log_last=0,
        members_root=NO_HASH,
        previous=previous,
        hash="",
    )
    return msgspec.structs.replace(made, hash=batch_hash(made))


FIRST = batch(1, NO_HASH, "5.00", "-5.00")
SECOND = batch(2, FIRST.hash, "1.00", "-0.50", "-0.50")
THIRD = batch(3, SECOND.hash)


def test_a_whole_chain_passes() -> None:
    chain = Chain("hk")
    for sound in (FIRST, SECOND, THIRD):
        chain.check(sound)


def test_a_chain_is_taken_up_where_it_was_left() -> None:
    Chain("hk", SECOND.hash).check(THIRD)
    Chain("hk").check(THIRD)  # the hash before is not known: nothing to compare with


@pytest.mark.parametrize(
    ("before", "wrong", "why"),
    [
        ([], msgspec.structs.replace(FIRST, gross="6.00"), "hash it claims"),
        ([], batch(1, NO_HASH, "5.00", "-4.99"), "sums to 0.01 HKD, not to zero"),
        ([], batch(1, NO_HASH, netting_set="eu"), "is of eu"),
        ([], batch(1, "f" * 64), "does not follow"),
        ([FIRST], THIRD, "batch 3 follows batch 1"),
        ([FIRST], FIRST, "batch 1 follows batch 1"),
        ([FIRST], batch(2, "f" * 64), "does not follow"),
    ],
)
def test_anything_else_is_not_handed_on(
    before: list[SettlementBatch], wrong: SettlementBatch, why: str
) -> None:
    chain = Chain("hk")
    for sound in before:
        chain.check(sound)
    with pytest.raises(BrokenChain, match=why):
        chain.check(wrong)


def test_wrong_continuation_of_a_known_hash_is_refused() -> None:
    with pytest.raises(BrokenChain, match="does not follow"):
        Chain("hk", "f" * 64).check(THIRD)
