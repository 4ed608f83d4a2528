"""A payment's content hash is its own: R28 compares it with that of a repeat packed in other company."""

import json

from clearing.intake.decode import decode
from clearing.log.payments import body_hashes

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
