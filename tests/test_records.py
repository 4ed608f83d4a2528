"""Columns of a record batch against the records that aiokafka makes of it, whatever is in it."""

import pytest
from aiokafka.record.default_records import DefaultRecordBatch, DefaultRecordBatchBuilder
from hypothesis import given
from hypothesis import strategies as st

from clearing.records import Records, of_batch

_HEADER_BYTES = 61
_TEXTS = st.none() | st.binary(max_size=200)
_HEADERS = st.lists(st.tuples(st.text(max_size=3), _TEXTS), max_size=3)
_RECORDS = st.lists(
    st.tuples(st.integers(0, 2**40), _TEXTS, _TEXTS, _HEADERS), min_size=1, max_size=20
)


def _built(records: list[tuple], codec: int = 0) -> bytearray:
    builder = DefaultRecordBatchBuilder(2, codec, 0, -1, -1, -1, 1 << 20)
    for number, (timestamp, key, value, headers) in enumerate(records):
        assert builder.append(number, timestamp, key, value, headers)
    return bytearray(builder.build())


def _told(records: Records) -> list[tuple[int, int, bytes]]:
    columns = records.offset.tolist(), records.timestamp_ms.tolist(), records.values()
    return list(zip(*columns, strict=True))


def _by_aiokafka(batch: bytearray) -> list[tuple[int, int, bytes]]:
    return [
        (one.offset, one.timestamp, one.value or b"") for one in DefaultRecordBatch(bytes(batch))
    ]


@given(_RECORDS, st.integers(0, 2**50), st.booleans())
def test_columns_are_the_records(records: list[tuple], first: int, appended: bool) -> None:
    """Which are also those made of the records themselves."""
    batch = _built(records)
    batch[0:8] = first.to_bytes(8, "big")
    batch[22] |= 8 * appended  # the broker's own time counts
    columns = of_batch(memoryview(bytes(batch)))
    assert columns is not None
    assert _told(columns) == _by_aiokafka(batch)
    assert _told(Records.of(list(DefaultRecordBatch(bytes(batch))))) == _told(columns)
    middle = len(records) // 2
    assert _told(columns.part(middle, len(records))) == _told(columns)[middle:]


@given(_RECORDS, st.data())
def test_what_is_damaged_is_left_to_aiokafka_or_read_as_it_reads_it(
    records: list[tuple], data: st.DataObject
) -> None:
    batch = _built(records)
    for _ in range(data.draw(st.integers(1, 3))):
        place = data.draw(st.integers(_HEADER_BYTES - 4, len(batch) - 1))
        batch[place] = data.draw(st.integers(0, 255))
    del batch[data.draw(st.integers(0, len(batch)) | st.just(len(batch))) :]
    columns = of_batch(bytes(batch))
    if columns is not None:
        try:
            told = _by_aiokafka(batch)
        except UnicodeDecodeError:  # in a header's name, which nobody here reads
            return
        assert _told(columns) == told


def test_a_batch_that_is_cut_off_is_left_to_aiokafka() -> None:
    batch = bytes(_built([(n, b"key", b"x" * n, [("name", b"value")]) for n in range(70)]))
    assert of_batch(batch) is not None
    assert [size for size in range(len(batch)) if of_batch(batch[:size]) is not None] == []


@pytest.mark.parametrize("codec", [1, 2, 3, 4])
def test_what_is_compressed_is_left_to_aiokafka(codec: int) -> None:
    batch = _built([(1_000, None, b"x" * 200, [])] * 9, codec)
    assert batch[22] & 7 == codec
    assert of_batch(bytes(batch)) is None
