"""The latency ladder for people: a table of its rungs, and milliseconds over payments a second as an SVG curve."""

from collections.abc import Sequence
from math import ceil, floor, log10

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from loadtests.rungs import PARTS, Rung

WIDTH, HEIGHT = 900, 520
LEFT, RIGHT, TOP, BOTTOM = 80, 150, 50, 70
COLOURS = {"p50": "#1b7837", "p99": "#c26a00", "p999": "#9b1c31"}
LABELS = {"p50": "p50", "p99": "p99", "p999": "p99.9"}


def table(rungs: Sequence[Rung]) -> RenderableType:
    """One line a rung: the whole, its parts (p50 / p99), how much travels together, and finality."""
    whole = Table(box=box.SIMPLE, title="published → status readable, ms", title_justify="left")
    for name in ("payments/s", "sent/s", "p50", "p99", "p99.9", "max", "rows/record", "txn/s", ""):
        whole.add_column(name, justify="right")
    parts = Table(box=box.SIMPLE, title="its parts, ms (p50 / p99)", title_justify="left")
    final = Table(box=box.SIMPLE, title="from a cut-off, ms (p50 / p99)", title_justify="left")
    for name in ("payments/s", *PARTS):
        parts.add_column(name, justify="right")
    for name in ("payments/s", "windows", "closed", "posted in the ledger", "last bank told"):
        final.add_column(name, justify="right")
    for each in rungs:
        rate, told = f"{each.rate:,.0f}", each.latency_ms
        whole.add_row(
            rate,
            f"{each.sent_per_s:,.0f}",
            *(f"{told[name]:,.1f}" for name in ("p50", "p99", "p999", "max")),
            f"{each.rows_per_log_record:,.1f}",
            f"{each.transactions_per_s:,.0f}",
            "" if each.kept_up else "past saturation",
        )
        parts.add_row(rate, *(_pair(each.parts_ms[name]) for name in PARTS))
        closings = (each.closed_ms, each.posted_ms, each.final_ms)
        final.add_row(rate, str(each.windows), *map(_pair, closings))
    cpu = [
        f"{each.rate:,.0f}/s: " + ", ".join(f"{role} {part:.2f}" for role, part in each.cpu.items())
        for each in rungs
    ]
    return Group(whole, parts, final, Text("cores in use\n" + "\n".join(cpu), "dim"))


def _pair(of: dict[str, float]) -> str:
    return f"{of['p50']:,.1f} / {of['p99']:,.1f}" if of else ""


def svg(rungs: Sequence[Rung], title: str) -> str:
    """Both axes logarithmic; hollow points are past saturation, where the rate is the one achieved."""
    drawn = sorted(rungs, key=lambda each: each.sent_per_s)
    x = _Axis([each.sent_per_s for each in drawn], LEFT, WIDTH - RIGHT)
    y = _Axis([each.latency_ms[q] for each in drawn for q in COLOURS], HEIGHT - BOTTOM, TOP)
    lines = [
        (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" '
            'font-family="sans-serif" font-size="13" fill="#222">'
        ),
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>',
        f'<text x="{LEFT}" y="28" font-size="16">{title}</text>',
    ]
    for value in x.ticks():
        at = x.at(value)
        lines.append(_line(at, TOP, at, HEIGHT - BOTTOM))
        lines.append(_text(at, HEIGHT - BOTTOM + 20, f"{value:,.0f}", "middle"))
    for value in y.ticks():
        at = y.at(value)
        lines.append(_line(LEFT, at, WIDTH - RIGHT, at))
        lines.append(_text(LEFT - 8, at + 4, f"{value:,g} ms", "end"))
    lines.append(_text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 20, "payments a second", "middle"))
    for q, colour in COLOURS.items():
        points = [(x.at(each.sent_per_s), y.at(each.latency_ms[q])) for each in drawn]
        joined = " ".join(f"{at_x:.1f},{at_y:.1f}" for at_x, at_y in points)
        lines.append(
            f'<polyline points="{joined}" fill="none" stroke="{colour}" stroke-width="2"/>'
        )
        for each, (at_x, at_y) in zip(drawn, points, strict=True):
            fill = colour if each.kept_up else "white"
            lines.append(
                f'<circle cx="{at_x:.1f}" cy="{at_y:.1f}" r="4" fill="{fill}" stroke="{colour}"/>'
            )
        end_x, end_y = points[-1]
        lines.append(_text(end_x + 10, end_y + 4, LABELS[q], "start", colour))
    return "\n".join([*lines, "</svg>", ""])


class _Axis:
    """Logarithmic, over whole decades of what is drawn."""

    def __init__(self, values: Sequence[float], start: float, end: float) -> None:
        least, most = max(min(values), 0.1), max(values)
        self._low = floor(log10(least))
        self._high = max(ceil(log10(most)), self._low + 1)
        self._start, self._end = start, end

    def at(self, value: float) -> float:
        part = (log10(max(value, 0.1)) - self._low) / (self._high - self._low)
        return self._start + part * (self._end - self._start)

    def ticks(self) -> list[float]:
        return [10.0**power for power in range(self._low, self._high + 1)]


def _line(x1: float, y1: float, x2: float, y2: float) -> str:
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="#ddd"/>'


def _text(x: float, y: float, text: str, anchor: str, colour: str = "#222") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="{colour}">{text}</text>'
