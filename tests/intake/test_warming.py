"""What was warmed up is not compiled again: intake would stand still for that while it holds partitions."""

from collections.abc import Iterator

import pyarrow as pa
import pytest
from numba.core.registry import CPUDispatcher

from clearing.core.inputs import SourceSpan
from clearing.intake import columns, decode, grammar, plain
from clearing.log import content, payments, rows, xxh3
from tests.intake.build import PAYMENT, THIRD_ID, bulk, cancel, payment, raw, transfer
from tests.intake.test_arrow import SCHEMA, batch_of, stream, total, written

KINDS = [pa.int8(), pa.uint16(), pa.int32(), pa.int64(), pa.uint64()]


def kernels() -> Iterator[CPUDispatcher]:
    for module in (columns, grammar, plain, content, rows, xxh3):
        yield from (each for each in vars(module).values() if isinstance(each, CPUDispatcher))


@pytest.fixture(scope="module")
def warmed() -> dict[str, int]:
    decode.warm()
    return {each.__name__: len(each.signatures) for each in kernels()}


def records() -> Iterator[list[bytes]]:
    items = [payment(), transfer(id=THIRD_ID, window=3), payment(priority="HIGH")]
    items += [payment(debtor="A"), payment(creditor=...)]
    yield [raw(PAYMENT), raw(cancel()), raw(bulk(items[:2], total(items[:2])))]
    for kind in KINDS:
        texts = {
            name: pa.dictionary(kind, pa.string()) for name in SCHEMA if SCHEMA[name] == pa.string()
        }
        for some in (items[:1], items[:3]):
            batch = batch_of(some, SCHEMA | texts)
            yield [written(batch, control_sum=total(some)), stream(some), raw(PAYMENT)]
    yield [stream(items[:3]), stream(items[:2])]
    yield [stream(items)]


def test_nothing_is_compiled_after(warmed: dict[str, int]) -> None:
    for given in records():
        found = decode.decode(given).rows
        payments.pack(found, [SourceSpan("payments.hk.A", 0, 0, len(given))])
    assert {each.__name__: len(each.signatures) for each in kernels()} == warmed
