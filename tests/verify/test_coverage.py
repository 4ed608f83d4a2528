"""What is read of a partition is counted: how often offsets did not rise and times fell, in whatever pieces."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from clearing.verify.coverage import PartitionRead
from tests.simulation.partitions import Stored

heads = st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), min_size=1, max_size=12)


@given(heads, st.integers(1, 5))
def test_steps_back_are_counted(given_heads: list[tuple[int, int]], size: int) -> None:
    records = [Stored(at, ms, b"k", None, -1, "") for at, ms in given_heads]
    read = PartitionRead(0, 6)
    for start in range(0, len(records), size):
        read.add(records[start : start + size])
    assert read.back == sum(b <= a for (a, _), (b, _) in pairwise(given_heads))
    assert read.earlier == sum(b < a for (_, a), (_, b) in pairwise(given_heads))
    assert (read.records, read.bytes) == (len(records), len(records))
    assert read.at == given_heads[-1][0] + 1
