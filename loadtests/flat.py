"""`python -m loadtests.flat`: does a payment cost the same, whatever is remembered, and however many take part?

Log records through the engine's machine, without a broker: bytes in, bytes out. The variants of a table take turns,
record by record, so that a busy machine is busy for all of them alike; the ratios count, not the microseconds.
"""

import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import msgspec
import numpy as np
import psutil
from cyclopts import App, Parameter
from rich.console import Console

from clearing.core.registry import QueuePolicy
from clearing.engine.machine import Machine
from clearing.failures import ExitCode
from clearing.intake.packing import MAX_ROWS
from clearing.log import payments
from loadtests import figures
from loadtests.core import ASSETS, DAY_MS, NOW_MS, PLENTY, cpu, opening, packed, started
from loadtests.flat_report import Figures, Growth, Memory, Row, markdown, svg, tables

ROWS = 4_000
DAYS = 4  # today, and the retention's three
BATCH = 50_000  # ids that are put in at once
SOME = 100_000  # remembered by machines whose number of ids is not the question

app = App(name="python -m loadtests.flat", help_format="markdown")


class Variant:
    """One machine or more in one process, its log records, and the CPU each has cost. rows: in each, else ROWS."""

    def __init__(
        self, name: str, machines: list[Machine], values: Sequence[bytes], rows: int = 0
    ) -> None:
        self.name, self.machines, self.values, self.rows = name, machines, values, rows or ROWS
        self.cpu_us: list[float] = []  # a payment, of each record

    def step(self, number: int) -> None:
        machine = self.machines[number % len(self.machines)]
        value = self.values[number // len(self.machines)]
        seconds = cpu(machine.apply, payments.KEY, value, machine.next_offset, NOW_MS + number)
        self.cpu_us.append(1e6 * seconds / self.rows)


def compared(variants: list[Variant], records: int) -> list[Row]:
    """Every variant's records in turn. ratio: of the medians, to the first variant's."""
    for number in range(records):
        for variant in variants:
            variant.step(number)
    # The first record of each is not counted: it grows what is empty.
    medians = [float(np.median(variant.cpu_us[1:])) for variant in variants]
    return [
        Row(
            variant=variant.name,
            cpu_us=round(median, 4),
            low=round(float(np.quantile(variant.cpu_us[1:], 0.1)), 4),
            high=round(float(np.quantile(variant.cpu_us[1:], 0.9)), 4),
            ratio=round(median / medians[0], 3),
        )
        for variant, median in zip(variants, medians, strict=True)
    ]


def banks(number: int) -> list[str]:
    return [f"BANK{i:04d}" for i in range(number)]


def machine_of(participants: int, assets: Sequence[str], remembered: int, days: int) -> Machine:
    """A machine that remembers so many ids, the same number of each day."""
    machine = started(opening(banks(participants), QueuePolicy.NONE, PLENTY, assets))
    remember(machine, remembered, days)
    return machine


def remember(machine: Machine, ids: int, days: int) -> None:
    """Ids by the way every payment's goes, many at once; today's are the last."""
    rng = np.random.default_rng(ids)
    today = NOW_MS // DAY_MS
    for day in range(today - days + 1, today + 1):
        for start in range(0, ids // days, BATCH):
            words = rng.integers(0, 1 << 63, (min(BATCH, ids // days - start), 2))
            bodies = words[:, 0].astype(np.uint64)
            machine.state.ids.recall(words.astype(np.uint64), bodies, day)


def remembered(sizes: Sequence[int], records: int, seed: int) -> tuple[list[Row], list[Memory]]:
    """CPU and memory with more and more ids, in as many days."""
    values = list(packed(banks(50), records, ROWS, np.random.default_rng(seed)))
    variants: list[Variant] = []
    memory: list[Memory] = []
    for size in sizes:
        before = psutil.Process().memory_info().rss
        machine = machine_of(50, ASSETS, size, DAYS)
        rss = psutil.Process().memory_info().rss - before
        in_use = sum(generation.nbytes for generation in machine.state.ids.generations)
        memory.append(
            Memory(ids=size, bytes_each=round(in_use / size, 1), rss_each=round(rss / size, 1))
        )
        variants.append(Variant(f"{size:,} ids", [machine], values))
    return compared(variants, records), memory


def by_days(records: int, seed: int) -> list[Row]:
    values = list(packed(banks(50), records, ROWS, np.random.default_rng(seed)))
    return compared(
        [
            Variant(f"{days} days", [machine_of(50, ASSETS, 1_000_000, days)], values)
            for days in (1, 2, DAYS)
        ],
        records,
    )


def participants(numbers: Sequence[int], records: int, seed: int, rows: int = ROWS) -> list[Row]:
    rng = np.random.default_rng(seed)
    return compared(
        [
            Variant(
                f"{number:,} participants",
                [machine_of(number, ASSETS, SOME, 1)],
                list(packed(banks(number), records, rows, rng)),
                rows,
            )
            for number in numbers
        ],
        records,
    )


def assets(numbers: Sequence[int], records: int, seed: int) -> list[Row]:
    rng = np.random.default_rng(seed)
    names = {number: [f"A{i:03d}" for i in range(number)] for number in numbers}
    return compared(
        [
            Variant(
                f"{number} assets",
                [machine_of(50, names[number], SOME, 1)],
                list(packed(banks(50), records, ROWS, rng, names[number])),
            )
            for number in numbers
        ],
        records,
    )


def netting_sets(numbers: Sequence[int], records: int, seed: int) -> list[Row]:
    """So many of them in one process, one record of each in turn: as many payments in all."""
    values = list(packed(banks(50), records, ROWS, np.random.default_rng(seed)))
    return compared(
        [
            Variant(
                f"{number} netting sets",
                [machine_of(50, ASSETS, SOME, 1) for _ in range(number)],
                values,
            )
            for number in numbers
        ],
        records,
    )


def growth(ids: int, seed: int) -> Growth:
    """A day on which the table doubles once, from its start to its end, record by record."""
    machine = machine_of(50, ASSETS, ids, 1)
    day = machine.state.ids.generations[-1]
    rest: list[float] = []
    grows: list[float] = []
    longest_ms = 0.0
    values = packed(banks(50), ids // ROWS, ROWS, np.random.default_rng(seed))
    for number, value in enumerate(values):
        began_s = time.perf_counter()
        seconds = cpu(machine.apply, payments.KEY, value, machine.next_offset, NOW_MS + number)
        longest_ms = max(longest_ms, 1e3 * (time.perf_counter() - began_s))
        (grows if day.is_growing else rest).append(1e6 * seconds / ROWS)
    return Growth(
        ids=ids,
        rest_cpu_us=round(float(np.median(rest)), 4),
        growing_cpu_us=round(float(np.median(grows)), 4),
        growing_share=round(len(grows) / (len(grows) + len(rest)), 3),
        mean_cpu_us=round(float(np.mean(rest + grows)), 4),
        longest_record_ms=round(longest_ms, 1),
        highest_cpu_ms=round(max(rest + grows) * ROWS / 1e3, 1),
    )


@app.default
def flat(
    *,
    full: Annotated[bool, Parameter(negative="")] = False,
    records: int = 40,
    seed: int = 1,
    json: Annotated[bool, Parameter(negative="")] = False,
    output: Path | None = None,
) -> ExitCode:
    """Measure the engine's core with more and more behind it, and beside it.

        python -m loadtests.flat
        python -m loadtests.flat --full --output flat

    Parameters
    ----------
    full
        Up to 100 million remembered payments: takes some 7 GiB of memory and a few minutes.
    records
        Log records of 4,000 payments each that every variant is measured with.
    seed
        Of the payments.
    json
        Print the figures as JSON instead of tables.
    output
        Write the figures to this file with .json, .md and .svg.
    """
    sizes = (1_000_000, 10_000_000, 100_000_000) if full else (1_000_000, 10_000_000)
    here = figures.machine(psutil.getloadavg()[0])
    rows, memory = remembered(sizes, records, seed)
    found = Figures(
        machine=here,
        rows_per_record=ROWS,
        tables={
            "remembered payments, of four days": rows,
            "days, of a million payments": by_days(records, seed),
            "participants": participants((10, 100, 1_000, 5_000), records, seed),
            f"participants, full log records of {MAX_ROWS:,} payments": participants(
                (10, 5_000), records // 2, seed, MAX_ROWS
            ),
            "assets": assets((1, 10, 100), records, seed),
            "netting sets in one process": netting_sets((1, 4, 16), records, seed),
        },
        memory=memory,
        growth=[growth(ids, seed) for ids in (600_000, 4_800_000)],
    )
    encoded = msgspec.json.format(msgspec.json.encode(found)).decode()
    if output is not None:
        output.parent.mkdir(parents=True, exist_ok=True)
        output.with_suffix(".json").write_text(encoded + "\n")
        output.with_suffix(".md").write_text(markdown(found))
        output.with_suffix(".svg").write_text(svg(found))
    if json:
        print(encoded)
    else:
        Console(width=None if sys.stdout.isatty() else 100).print(*tables(found))
    return ExitCode.OK


if __name__ == "__main__":
    sys.exit(app(result_action="return_value"))
