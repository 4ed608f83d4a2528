"""`python -m loadtests.parts`: what intake and dispatch do with bytes, part by part, without any broker.

Record batches as a broker sends them, taken apart, decoded, packed; outcomes joined with the log and told. The
parts of a form take turns, so that a busy machine is busy for all alike; the ratios count, not the microseconds.
"""

import gc
import sys
import time
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import msgspec
import numpy as np
from aiokafka import TopicPartition
from aiokafka.producer.message_accumulator import BatchBuilder
from aiokafka.record.default_records import DefaultRecordBatchBuilder
from cyclopts import App, Parameter
from rich import box
from rich.console import Console
from rich.table import Table

from clearing import tuning
from clearing.core.inputs import SourceSpan
from clearing.core.outputs import Outcomes
from clearing.core.reasons import Code
from clearing.dev.setup import read_scheme
from clearing.dev.workload import PLAIN, Mix, streams
from clearing.dispatch.statuses import status_records
from clearing.failures import ExitCode
from clearing.fetching import BatchedRecords, SummedRecords
from clearing.intake.decode import decode
from clearing.intake.packing import Packed, payment_records
from clearing.log.payments import open_batch
from clearing.records import Records

SCHEME = Path(__file__).with_name("scheme.toml")
BANKS = 4  # whose records are packed together
BATCH_BYTES = 1 << 20
TIME_MS = 1_790_000_000_000
TODAY = date(2026, 9, 21)  # then

app = App(name="python -m loadtests.parts", help_format="markdown")


class Part(msgspec.Struct, frozen=True, kw_only=True):
    """CPU µs a payment, best and median; ratio: of the best ones, to taking apart of one payment a record."""

    form: str
    part: str
    best_us: float
    median_us: float
    ratio: float


class _Form(NamedTuple):
    name: str
    mix: Mix


def forms(bulk_items: int, stream_items: int) -> list[_Form]:
    bulk, stream = PLAIN._replace(bulk=1.0, bulk_items=bulk_items), PLAIN._replace(bulk=1.0)
    return [
        _Form("one payment a record", PLAIN),
        _Form(f"JSON, {bulk_items} a record", bulk._replace(stream_every=0)),
        _Form(
            f"columns, {stream_items:,} a record",
            stream._replace(bulk_items=stream_items, stream_every=1),
        ),
    ]


@app.default
def parts(
    *,
    rows: int = 8_000,
    bulk: int = 500,
    stream: int = 2_000,
    repeats: int = 15,
    seed: int = 1,
    json: Annotated[bool, Parameter(negative="")] = False,
) -> ExitCode:
    """Measure the parts of intake and dispatch that are no waiting, by form of what banks publish.

    Parameters
    ----------
    rows
        Payments that are decoded and packed at once, of four banks.
    bulk
        Payments of a JSON bulk.
    stream
        Payments of a bulk of columns.
    repeats
        How often each part is measured.
    seed
        Same seed, same payments.
    json
        Print the figures as JSON instead of a table.
    """
    found: list[Part] = []
    for form in forms(bulk, stream):
        spent = spent_on(published(form.mix, rows, seed), repeats)
        base = found[0].best_us if found else min(next(iter(spent.values())))
        found += [
            Part(
                form=form.name,
                part=name,
                best_us=min(times),
                median_us=float(np.median(times)),
                ratio=min(times) / base,
            )
            for name, times in spent.items()
        ]
    if json:
        print(msgspec.json.format(msgspec.json.encode(found)).decode())
    else:
        Console().print(_table(found))
    return ExitCode.OK


def published(mix: Mix, rows: int, seed: int) -> list[list[bytes]]:
    """Records of each bank, `rows` payments in all."""
    made = streams(read_scheme(SCHEME), payments=10 * rows, seed=seed, mix=mix, today=TODAY)[:BANKS]
    return [stream.take(rows // BANKS) for stream in made]


def spent_on(records: list[list[bytes]], repeats: int) -> dict[str, list[float]]:
    """CPU µs a payment of each part, in turn, `repeats` times."""
    answers = [_answer(values) for values in records]
    sources = [
        (SourceSpan(f"payments.load.BANK{bank}", 0, 0, len(values)), _apart(answer))
        for bank, (values, answer) in enumerate(zip(records, answers, strict=True))
    ]
    values = [value for of_bank in records for value in of_bank]
    packed = list(payment_records(sources))
    rows = sum(each.rows for each in packed)
    outcomes = [_all_accepted(each) for each in packed]
    told = [
        bytes(value)
        for each, codes in zip(packed, outcomes, strict=True)
        for _, value in status_records("load", each.value, codes)
    ]
    work: dict[str, Callable[[], object]] = {
        "taken apart": lambda: [_apart(answer) for answer in answers],
        "decoded": lambda: decode(values),
        "decoded and packed": lambda: list(payment_records(sources)),
        "status records": lambda: [
            status_records("load", each.value, codes)
            for each, codes in zip(packed, outcomes, strict=True)
        ],
        "status batches": lambda: [_batch(value) for value in told],
    }
    spent: dict[str, list[float]] = {name: [] for name in work}
    for _ in range(repeats):
        for name, do in work.items():
            gc.collect(0)
            began = time.process_time()
            do()
            spent[name].append(1e6 * (time.process_time() - began) / rows)
    return spent


def _answer(values: list[bytes]) -> bytes:
    """Record batches as a broker sends them, of as many records as a producer puts into one."""
    batches: list[bytes] = []
    first = 0
    builder: Any = None  # of C, which has no type
    for offset, value in enumerate(values):
        if builder is None or builder.append(offset - first, TIME_MS, None, value, []) is None:
            if builder is not None:
                batches.append(_built(builder, first))
            first, builder = offset, DefaultRecordBatchBuilder(2, 0, 0, 1, 0, 0, BATCH_BYTES)
            builder.append(0, TIME_MS, None, value, [])
    assert builder is not None, "nothing was published"
    return b"".join((*batches, _built(builder, first)))


def _built(builder: Any, first: int) -> bytes:
    """With its first offset, which no checksum covers."""
    return first.to_bytes(8, "big") + bytes(builder.build())[8:]


def _apart(answer: bytes) -> list[Records]:
    """As intake's consumer does it."""
    place = TopicPartition("payments.load.BANK", 0)
    records = BatchedRecords(place, SummedRecords(answer), [], 0, None, None, True, 1)
    return records.take_columns(len(answer))[0]


def _all_accepted(packed: Packed) -> Outcomes:
    rows = packed.rows
    assets, _ = open_batch(packed.value).names("asset")
    codes = np.full(rows, Code.ACCEPTED, np.uint8)
    return Outcomes(1, TIME_MS, codes, np.zeros(rows, np.bool_), dict.fromkeys(assets, 1))


def _batch(value: bytes) -> object:
    """As the producer makes it when it is sent, with its checksum."""
    batch = BatchBuilder(BATCH_BYTES, 0, is_transactional=False)
    batch.append(timestamp=None, key=b"load", value=value)
    return batch._build()


def _table(found: list[Part]) -> Table:
    table = Table(box=box.SIMPLE, title="parts of intake and dispatch", title_justify="left")
    for name in ("form", "part", "CPU µs a payment", "of reading"):
        table.add_column(name, justify="left" if name in ("form", "part") else "right")
    for each in found:
        spread = f"{each.best_us:.3f} - {each.median_us:.3f}"
        table.add_row(each.form, each.part, spread, f"{each.ratio:.2f}")
    return table


if __name__ == "__main__":
    tuning.tune_memory()  # as in the processes of the services
    sys.exit(app(result_action="return_value"))
