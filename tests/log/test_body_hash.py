"""A payment's content hash is its own: R28 compares it with that of a repeat packed in other company."""

import json
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clearing.intake.decode import decode
from clearing.log.content import body_hashes

PAYMENT = {
    "type": "payment",
    "id": "3f2b8c1a-7d44-4c6e-9a51-0d2f6b7c8e90",
    "debtor": "ALPHA",
    "creditor": "BRAVO",
    "asset": "HKD",
    "amount": "1.00",
    "value_date": "2026-01-05",
    "end_to_end_id": "E1",
}
TRANSFER = PAYMENT | {"type": "token_transfer", "chain_reference": "eip155:1:0xabc:0"}


def hashes(*orders: dict[str, str]) -> list[int]:
    rows, _ = decode([json.dumps(order).encode() for order in orders])
    assert not rows.rejects
    return body_hashes(rows).tolist()


def test_the_hash_does_not_depend_on_what_else_is_packed() -> None:  # R28
    alone, beside_a_transfer = hashes(PAYMENT)[0], hashes(TRANSFER, PAYMENT)[1]
    assert alone == beside_a_transfer


def test_the_chain_reference_is_part_of_the_content() -> None:  # R28
    first, other, plain = hashes(
        TRANSFER, TRANSFER | {"chain_reference": "eip155:1:0xabc:1"}, PAYMENT
    )
    assert len({first, other, plain}) == 3


@pytest.mark.parametrize("amount", ["1", "1.0", "1.00000000000000000"])
def test_the_same_amount_is_the_same_content(amount: str) -> None:  # R28, AM05
    """Zeros at the end of a fraction say nothing: a repeat that is spelt with others is a repeat."""
    assert hashes(PAYMENT | {"amount": amount}) == hashes(PAYMENT)


_AMOUNTS = st.from_regex(r"(?:0|[1-9][0-9]{0,3})(?:\.[0-9]{0,4}[05])?", fullmatch=True).filter(
    Decimal
)


@given(st.lists(_AMOUNTS, min_size=2, max_size=6))
def test_amounts_hash_alike_exactly_if_they_are_the_same(amounts: list[str]) -> None:  # R28
    found = hashes(*(PAYMENT | {"amount": amount} for amount in amounts))
    same = {Decimal(amount): value for amount, value in zip(amounts, found, strict=True)}
    assert found == [same[Decimal(amount)] for amount in amounts]
    assert len(set(found)) == len(same)
