"""What is compiled to hash texts gives what the library gives: hashes are stored."""

import numpy as np
import pyarrow as pa
import pytest
import xxhash
from hypothesis import given
from hypothesis import strategies as st

from clearing.log import xxh3


def hashes_of(texts: list[str]) -> list[int]:
    return [xxhash.xxh3_64_intdigest(text.encode()) for text in texts]


def test_of_every_length() -> None:
    """Those of 0 to 128 bytes here, longer ones there."""
    random = np.random.default_rng(1)
    texts = [bytes(random.integers(0, 128, n, np.uint8)).decode() for n in range(301)] * 3
    assert xxh3.hashes(pa.array(texts)).tolist() == hashes_of(texts)
    for text in texts[:301]:
        assert xxh3.hashes(pa.array([text])).tolist() == hashes_of([text])


@given(st.lists(st.text(max_size=140), max_size=8), st.data())
def test_of_any_texts(texts: list[str], data: st.DataObject) -> None:
    """Also of a part of a column, which begins somewhere within its bytes."""
    begin = data.draw(st.integers(0, len(texts)))
    end = data.draw(st.integers(begin, len(texts)))
    column = pa.array(texts, pa.string())
    assert xxh3.hashes(column).tolist() == hashes_of(texts)
    assert xxh3.hashes(column[begin:end]).tolist() == hashes_of(texts[begin:end])


def test_of_one_that_is_missing_there_is_none() -> None:
    with pytest.raises(AssertionError):
        xxh3.hashes(pa.array(["", None]))
