"""What comes from outside is never looked up beyond what there is."""

import numpy as np
import pytest

from tests.core.build import ALPHA, BETA, Bench, Row


@pytest.mark.parametrize("column", ["debtor", "creditor", "asset", "source"])
@pytest.mark.parametrize("is_behind", [False, True])
def test_an_index_that_is_not_in_the_record_is_an_error(column: str, is_behind: bool) -> None:
    """A damaged record, or one of a foreign writer: machine code would read whatever is there in memory."""
    bench = Bench()
    record = bench.log.payments(Row(1, ALPHA, BETA, 100))
    assert record.payments is not None
    rows = record.payments
    named = {"asset": rows.assets, "source": record.sources}.get(column, rows.participants)
    index = len(named) if is_behind else -1
    setattr(rows, column, np.array([index], np.int32))
    with pytest.raises(IndexError):
        bench.apply(record)
