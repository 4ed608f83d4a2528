"""Cells as an operator reads them: money, counts, times, shares as bars, states with their glyph. Pure."""

from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation

from clearing.observe.phrases import duration, money, short
from clearing.top.sheet import GLYPHS, UNKNOWN, Cell, Tone

BAR_CELLS = 8
NEAR, OVER = 0.8, 1.0  # shares of a cap: from here on a warning, from there on trouble
_PARTS = " ▏▎▍▌▋▊▉"

_TONES: dict[str, Tone] = {
    "ON_TIME": "good",
    "AT_RISK": "warn",
    "WILL_MISS": "bad",
    "HALTED": "bad",
    "UNKNOWN": "warn",
    "OK": "good",
    "SLOW": "warn",
    "STALLED": "bad",
    "STOPPED": "bad",
    "REWOUND": "bad",
    "HUNG_TXN": "bad",
    "OPEN": "",
    "SETTLED": "good",
    "FAILED": "bad",
    "ABORTED": "bad",
    "PROCESSING": "warn",
    "CLOSED": "warn",
    "PENDING_SETTLEMENT": "warn",
    "PENDING": "warn",
    "POSTED": "warn",
    "REFUSED": "bad",
    "FINAL": "good",
    "ready": "good",
    "starting": "warn",
    "stopping": "warn",
    "halted": "bad",
    "RETRY": "warn",
}


def tone_of(said: str) -> Tone:
    """Of a verdict, status or state; of a word that is not known here, none."""
    return _TONES.get(said, "")


def text(said: str, tone: Tone = "") -> Cell:
    return Cell(said or UNKNOWN, said or None, tone)


def state(said: str, label: str = "") -> Cell:
    """With its glyph. label: a shorter word for it."""
    tone = tone_of(said)
    return Cell(f"{GLYPHS[tone]} {label or said}", said, tone)


def number(value: int | None, tone: Tone = "") -> Cell:
    return Cell(UNKNOWN if value is None else f"{value:,}", value, tone if value else "")


def rate(value: float | None) -> Cell:
    """Per second."""
    if value is None:
        return Cell(UNKNOWN)
    return Cell(f"{value:,.0f}" if value >= 10 or not value else f"{value:.1f}", value)


def span(seconds: float | None, tone: Tone = "") -> Cell:
    return Cell(UNKNOWN if seconds is None else duration(seconds), seconds, tone)


def due(cutoff_in_s: float | None) -> Cell:
    """Until an open window's cut-off; None: only a command closes it."""
    if cutoff_in_s is None:
        return Cell("by command")
    return Cell("due" if cutoff_in_s < 0 else duration(cutoff_in_s), cutoff_in_s)


def decimal_of(amount: str | None) -> Decimal | None:
    """None: not known, or no amount (whoever wrote it)."""
    try:
        found = Decimal(amount or "")
    except InvalidOperation:
        return None
    return found if found.is_finite() else None


def amount(said: str | None, tone: Tone = "") -> Cell:
    """In short form: 1.2 bn."""
    found = decimal_of(said)
    return Cell(UNKNOWN) if found is None else Cell(short(found), float(found), tone)


def moneys(values: Mapping[str, str], *, about: bool = False, most: int = 2) -> Cell:
    """HKD 1.2 bn, USD 3 m +1; of several assets the first decides the order."""
    found = [(asset, decimal_of(value)) for asset, value in values.items()]
    told = [(asset, value) for asset, value in found if value is not None]
    if not told:
        return Cell(UNKNOWN)
    said = ", ".join(money(asset, value, about=about) for asset, value in told[:most])
    more = f" +{len(told) - most}" if len(told) > most else ""
    return Cell(said + more, float(told[0][1]))


def used(share: float | None) -> Cell:
    """A bar with its level by glyph, and in per cent: `▲ ██████▍  80 %`."""
    if share is None:
        return Cell(f"{UNKNOWN} no cap")
    tone: Tone = "bad" if share >= OVER else "warn" if share >= NEAR else "good"
    return Cell(f"{GLYPHS[tone]} {bar(share)} {_per_cent(share):>5}", share, tone)


def share_of(share: float | None) -> Cell:
    """A bar without a level: much of something is not bad in itself."""
    if share is None:
        return Cell(UNKNOWN)
    return Cell(f"{bar(share)} {_per_cent(share):>5}", share)


def bar(share: float) -> str:
    eighths = round(max(0.0, min(share, 1.0)) * BAR_CELLS * 8)
    full, rest = divmod(eighths, 8)
    return f"{'█' * full}{_PARTS[rest] if rest else ''}".ljust(BAR_CELLS, "·")


def _per_cent(share: float) -> str:
    return f"{share * 100:.0f} %" if share < 10 else ">999 %"


def clock(time_ms: int | None) -> Cell:
    """Time of day in UTC."""
    return Cell(UNKNOWN if time_ms is None else _at(time_ms, "%H:%M:%S"), time_ms)


def moment(time_ms: int | None) -> str:
    return UNKNOWN if time_ms is None else _at(time_ms, "%Y-%m-%d %H:%M:%S UTC")


def _at(time_ms: int, form: str) -> str:
    try:
        return datetime.fromtimestamp(time_ms / 1000, UTC).strftime(form)
    except (OverflowError, ValueError, OSError):
        return UNKNOWN  # no time of any calendar
