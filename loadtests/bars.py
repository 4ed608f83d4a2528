"""Bars as SVG: a median as the bar, the lowest and highest of the repetitions as a line on it."""

from collections.abc import Sequence
from html import escape
from typing import NamedTuple

from loadtests.figures import Spread

ROW, LEFT, WIDTH, RIGHT, TOP = 24, 190, 460, 130, 44
OURS, THEIRS = "#0f766e", "#94a3b8"


class Bar(NamedTuple):
    """ours: in our colour."""

    label: str
    spread: Spread
    ours: bool = False


def svg(title: str, unit: str, bars: Sequence[Bar], note: str = "") -> str:
    """A chart of horizontal bars from zero. note: a line below it, on what machine."""
    largest = max((bar.spread.high for bar in bars), default=0.0) or 1.0
    height = TOP + ROW * len(bars) + 30
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {LEFT + WIDTH + RIGHT} {height}">',
        "<style>text { font: 12px system-ui, sans-serif; }</style>",
        '<rect width="100%" height="100%" fill="white"/>',
        f'<text x="8" y="20" style="font-size: 15px; font-weight: 600">{escape(title)}</text>',
        f'<text x="8" y="36" fill="#64748b">{escape(unit)}; bar: median, line: lowest to highest</text>',
    ]
    for place, bar in enumerate(bars):
        parts += _bar(bar, TOP + ROW * place, WIDTH / largest)
    parts.append(
        f'<text x="8" y="{height - 8}" fill="#64748b" style="font-size: 10px">{escape(note)}</text>'
    )
    return "\n".join([*parts, "</svg>\n"])


def _bar(bar: Bar, top: int, scale: float) -> list[str]:
    low, median, high = (LEFT + value * scale for value in bar.spread)
    middle = top + ROW // 2
    colour = OURS if bar.ours else THEIRS
    return [
        f'<text x="{LEFT - 8}" y="{middle + 4}" text-anchor="end">{escape(bar.label)}</text>',
        f'<rect x="{LEFT}" y="{top + 4}" width="{median - LEFT:.1f}" height="{ROW - 8}" fill="{colour}"/>',
        f'<path d="M{low:.1f} {middle}H{high:.1f}" stroke="black"/>',
        f'<text x="{max(high, median) + 6:.1f}" y="{middle + 4}">{number(bar.spread.median)}</text>',
    ]


def number(value: float) -> str:
    """Three digits that matter."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"
