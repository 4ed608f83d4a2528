"""A bulk of columns as the client writes it is read by intake, to the last unit."""

from datetime import date
from uuid import uuid4

import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from clearing.client.columns import control_sum, stream
from clearing.intake.decode import decode

AMOUNTS = st.integers(1, 10**9 - 1)


def payments(amounts: list[tuple[int, int]]) -> pa.RecordBatch:
    n = len(amounts)
    return pa.record_batch(
        {
            "id": pa.array([uuid4().bytes for _ in amounts], pa.binary(16)),
            "debtor": pa.array(["ALPHHKHH"] * n).dictionary_encode(),
            "creditor": ["BETAHKHH"] * n,
            "asset": ["HKD"] * n,
            "amount": pa.array([amount for amount, _ in amounts], pa.int64()),
            "decimals": pa.array([decimals for _, decimals in amounts], pa.uint8()),
            "value_date": pa.array([date(2026, 3, 2)] * n, pa.date32()),
            "end_to_end_id": [f"E{i}" for i in range(n)],
        }
    )


@given(st.lists(st.tuples(AMOUNTS, st.integers(0, 9)), min_size=1, max_size=20))
def test_what_the_client_writes_intake_reads(amounts: list[tuple[int, int]]) -> None:
    rows = decode([stream(payments(amounts))]).rows
    assert rows.reject.tolist() == [0] * len(amounts)
    assert list(zip(rows.amount.tolist(), rows.decimals.tolist(), strict=True)) == amounts


def test_a_control_sum_is_exact() -> None:
    assert control_sum(payments([(10, 1), (1, 9), (999_999_999, 0)])) == "1000000000.000000001"
    assert control_sum(payments([(1000, 1)])) == "100"
