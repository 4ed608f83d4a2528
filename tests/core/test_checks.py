"""What comes from outside is never looked up beyond what there is."""

import numpy as np
import pytest

from tests.core.build import ALPHA, BETA, Bench, Row


@pytest.mark.parametrize("column", ["debtor", "creditor", "asset", "source"])
@pytest.mark.parametrize("index", [-1, 9])
def test_an_index_that_is_not_in_the_record_is_an_error(column: str, index: int) -> None:
    """A damaged record, or one of a foreign writer: machine code would read whatever is there in memory."""
    bench = Bench()
    record = bench.log.payments(Row(1, ALPHA, BETA, 100))
    assert record.payments is not None
    setattr(record.payments, column, np.array([index], np.int32))
    with pytest.raises(IndexError):
        bench.apply(record)
