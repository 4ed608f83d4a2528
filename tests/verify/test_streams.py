"""Bulks as columns are read anew, row by row: what is wrong with one leaves the others."""

import pytest

from clearing.intake.decode import decode
from clearing.verify.orders import orders_in
from tests.intake.build import payment
from tests.intake.test_arrow import batch_of, stream, written


@pytest.mark.parametrize("wrong", ["10000-01-01", "-0400-01-01"])
def test_a_date_that_python_has_not_is_one_row(wrong: str) -> None:
    value = stream([payment(value_date=wrong), payment(amount="3")])
    assert [(item, order.amount) for item, order in orders_in(value)] == [(1, "3")]  # pyright: ignore[reportAttributeAccessIssue]
    assert decode([value]).rows.reject.astype(bool).tolist() == [True, False]


def test_compressed_buffers_are_never_unpacked() -> None:
    value = written(batch_of([payment()]), control_sum="12.50", compression="zstd")
    assert orders_in(value) == []
