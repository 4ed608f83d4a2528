"""What loadtests.flat has found: as values, as tables, as Markdown, as a picture. Values in, texts out."""

from collections.abc import Iterator
from html import escape

import msgspec
from rich import box
from rich.table import Table

from loadtests.figures import Machine

GOAL_RATIO, GOAL_BYTES = 1.3, 64


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """CPU µs a payment: median of the records, and their first and last tenth. ratio: to the first variant."""

    variant: str
    cpu_us: float
    low: float
    high: float
    ratio: float


class Memory(msgspec.Struct, frozen=True, kw_only=True):
    """Bytes a remembered payment: of columns and tables; and by how much the process has grown."""

    ids: int
    bytes_each: float
    rss_each: float


class Growth(msgspec.Struct, frozen=True, kw_only=True):
    """A day's table that doubles. CPU µs a payment, in and outside of it, and over all; the dearest log record."""

    ids: int
    rest_cpu_us: float
    growing_cpu_us: float
    growing_share: float
    mean_cpu_us: float
    longest_record_ms: float
    highest_cpu_ms: float


class Figures(msgspec.Struct, frozen=True, kw_only=True):
    machine: Machine
    rows_per_record: int
    tables: dict[str, list[Row]]
    memory: list[Memory]
    growth: list[Growth]


Cells = list[list[str]]


def _all(figures: Figures) -> Iterator[tuple[str, Cells]]:
    """Title and cells of every table, the head first."""
    for title, rows in figures.tables.items():
        yield (
            title,
            [
                ["", "CPU µs a payment", "of 8 in 10 records", "ratio"],
                *(
                    [
                        row.variant,
                        f"{row.cpu_us:.3f}",
                        f"{row.low:.3f} – {row.high:.3f}",
                        f"{row.ratio:.2f}",
                    ]
                    for row in rows
                ),
            ],
        )
    yield (
        "memory",
        [
            ["remembered payments", "bytes each", "of the process, each"],
            *([f"{m.ids:,}", f"{m.bytes_each:.1f}", f"{m.rss_each:.1f}"] for m in figures.memory),
        ],
    )
    yield (
        "a table that doubles",
        [
            ["ids before", "at rest", "growing", "of all records", "mean", "dearest record"],
            *(
                [
                    f"{g.ids:,}",
                    f"{g.rest_cpu_us:.3f} µs",
                    f"{g.growing_cpu_us:.3f} µs",
                    f"{g.growing_share:.0%}",
                    f"{g.mean_cpu_us:.3f} µs",
                    f"{g.highest_cpu_ms:.1f} ms",
                ]
                for g in figures.growth
            ),
        ],
    )


def tables(figures: Figures) -> list[Table]:
    """For a terminal."""
    found: list[Table] = []
    for title, (head, *rows) in _all(figures):
        table = Table(box=box.SIMPLE, title=title, title_justify="left")
        for number, name in enumerate(head):
            table.add_column(name, justify="right" if number else "left")
        for row in rows:
            table.add_row(*row)
        found.append(table)
    return found


def markdown(figures: Figures) -> str:
    machine = figures.machine
    said = (
        f"Log records of {figures.rows_per_record:,} payments through the engine's machine, no broker; goals: "
        f"≤ {GOAL_RATIO} × at 100 million remembered payments, ≤ {GOAL_BYTES} bytes each. "
        f"{machine.cores} × {machine.processor}, {machine.memory_gib} GiB, Python {machine.python}, NumPy "
        f"{machine.versions['numpy']}; load average at the start {machine.load}."
    )
    lines = ["# Flat cost", "", said]
    for title, (head, *rows) in _all(figures):
        lines += [
            "",
            f"## {title.capitalize()}",
            "",
            f"| {' | '.join(head)} |",
            "| --- |" + " ---: |" * (len(head) - 1),
        ]
        lines += [f"| {' | '.join(row)} |" for row in rows]
    return "\n".join(lines) + "\n"


_WIDTH, _LINE, _LEFT, _RIGHT = 760, 22, 220, 90


def svg(figures: Figures) -> str:
    """Bars: CPU a payment of every variant, the tables one below the other on one scale."""
    most = max(row.high for rows in figures.tables.values() for row in rows)
    scale = (_WIDTH - _LEFT - _RIGHT) / most
    parts: list[str] = []
    y = 8
    for title, rows in figures.tables.items():
        y += _LINE
        parts.append(f'<text x="8" y="{y}" font-weight="bold">{escape(title)}</text>')
        for row in rows:
            y += _LINE
            low, high = _LEFT + row.low * scale, _LEFT + row.high * scale
            parts += [
                f'<text x="16" y="{y}">{escape(row.variant)}</text>',
                f'<rect x="{_LEFT}" y="{y - 12}" width="{row.cpu_us * scale:.1f}" height="14" fill="#3b6ea5"/>',
                f'<path d="M{low:.1f} {y - 5}H{high:.1f}" stroke="#111"/>',
                f'<text x="{high + 6:.1f}" y="{y}">{row.cpu_us:.2f} µs</text>',
            ]
        y += _LINE // 2
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH}" height="{y + 16}" '
        'font-family="sans-serif" font-size="13" role="img">'
        "<title>CPU of the engine for a payment</title>"
        f'<rect width="{_WIDTH}" height="{y + 16}" fill="#fff"/>'
    )
    return "\n".join([head, *parts, "</svg>"]) + "\n"
