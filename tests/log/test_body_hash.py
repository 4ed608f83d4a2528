"""A payment's content hash is its own: R28 compares it with that of a repeat packed in other company."""

import json
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import xxhash
from hypothesis import given
from hypothesis import strategies as st

from clearing.core.inputs import Links, References
from clearing.intake.decode import decode
from clearing.log.content import body_hashes
from clearing.log.rows import RowBatch

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


_WORDS = st.integers(0, 2**64 - 1)
_TEXT = st.sampled_from(["", "A", "BRAVO", "eip155:1:0xabc:0", "x" * 60, "é" * 70])
_ROW = st.fixed_dictionaries(
    {
        "names": st.tuples(_TEXT, _TEXT, _TEXT),
        "end_to_end_id": _TEXT,
        "chain_reference": _TEXT,
        "amount": st.integers(-(2**63), 2**63 - 1) | st.sampled_from([0, 100, 10**18, -100]),
        "decimals": st.integers(0, 255) | st.integers(0, 3),
        "numbers": st.tuples(
            st.integers(-(2**31), 2**31 - 1),
            st.integers(0, 255),
            st.integers(0, 255),
            st.integers(-(2**63), 2**63 - 1),
            st.integers(-(2**31), 2**31 - 1),
        ),
        "reason": _TEXT,
        "link": st.none() | st.tuples(_WORDS, _WORDS, _WORDS, _WORDS),
        "reference": st.none()
        | st.tuples(st.integers(1, 2**64 - 1), _WORDS, _WORDS, st.integers(0, 2)),
    }
)


def _plainly(row: dict[str, Any]) -> int:
    """The stored format, as it is said of one row."""
    h = 0x9E3779B97F4A7C15

    def mix(*values: int | str) -> None:
        nonlocal h
        for value in values:
            number = value if isinstance(value, int) else xxhash.xxh3_64_intdigest(value.encode())
            h = (h ^ number % 2**64) * 0xBF58476D1CE4E5B9 % 2**64
            h ^= h >> 29

    mix(*row["names"], row["end_to_end_id"])
    if row["chain_reference"]:
        mix(row["chain_reference"])
    amount, decimals = row["amount"], row["decimals"]
    while decimals and amount % 10 == 0:
        amount, decimals = amount // 10, decimals - 1
    mix(amount, decimals, *row["numbers"])
    if row["reason"]:
        mix(1, row["reason"])
    if row["link"]:
        mix(2, *row["link"])
    if row["reference"]:
        mix(3, *row["reference"])
    return h


def _batch(rows: list[dict[str, Any]]) -> RowBatch:
    def array(values: Sequence[Any], dtype: type[np.generic]) -> np.ndarray:
        return np.array(values, dtype)

    def words(name: str, first: int, last: int) -> np.ndarray:
        return array([(row[name] or (0,) * 4)[first:last] for row in rows], np.uint64)

    def texts(name: str) -> list[str] | None:
        found = [row[name] for row in rows]
        return found if any(found) else None

    n = len(rows)
    value_date, priority, kind, expires_at_ms, window = zip(
        *(row["numbers"] for row in rows), strict=True
    )
    debtor, creditor, asset = (
        list(column) for column in zip(*(r["names"] for r in rows), strict=True)
    )
    linked = array([row["link"] is not None for row in rows], np.uint8)
    return RowBatch(
        id=np.zeros((n, 16), np.uint8),
        debtor=debtor,
        creditor=pa.array(creditor, pa.string()),
        asset=pa.array(asset, pa.string()).dictionary_encode(),
        amount=array([row["amount"] for row in rows], np.int64),
        decimals=array([row["decimals"] for row in rows], np.uint8),
        value_date=array(value_date, np.int32),
        priority=array(priority, np.uint8),
        kind=array(kind, np.uint8),
        end_to_end_id=[row["end_to_end_id"] for row in rows],
        chain_reference=texts("chain_reference"),
        expires_at_ms=array(expires_at_ms, np.int64),
        window=array(window, np.int32),
        source=np.zeros(n, np.int32),
        source_offset=np.zeros(n, np.int64),
        item=np.zeros(n, np.int32),
        reject=np.zeros(n, np.uint8),
        reason=texts("reason"),
        links=Links(words("link", 0, 2), words("link", 2, 4), linked, linked, linked),
        references=References(
            words("reference", 0, 2),
            words("reference", 2, 3)[:, 0],
            np.zeros(n, np.int64),
            linked,
            words("reference", 3, 4)[:, 0].astype(np.uint8),
        ),
    )


@given(st.lists(_ROW, min_size=1, max_size=6))
def test_the_hash_is_what_the_format_says_of_each_row_by_itself(rows: list[dict[str, Any]]) -> None:
    """R28: what was stored years ago is compared with it."""
    assert body_hashes(_batch(rows)).tolist() == [_plainly(row) for row in rows]
