"""What stands above every page: the answer in one sentence, how old it is, what is wrong with the picture. Pure."""

import msgspec

from clearing.console.overview import overview
from clearing.console.rows import Overview
from clearing.console.scene import LATE_MS, Scene
from clearing.observe.phrases import duration
from clearing.top.cells import tone_of
from clearing.top.sheet import GLYPHS, UNKNOWN, Tone

OLD_MS = LATE_MS  # the lag is sampled once a second: what is older than this is no picture of now
_NO_VIEWS = "No views: run clearing views. Without them nobody knows whether the cut-offs are made."
_NOTHING_YET = "Nothing is known yet: reading."


class Headline(msgspec.Struct, frozen=True, kw_only=True):
    """sentence: true as of data_ms. is_stale: no picture of now. tone: how bad it is."""

    sentence: str
    verdict: str
    tone: Tone
    now_ms: int
    data_ms: int | None
    is_stale: bool
    age: str
    netting_sets: list[str]
    round_trip_ms: float | None
    notes: list[str]


def headline(scene: Scene, *, is_reading: bool = False) -> Headline:
    """is_reading: it has just begun, and not all is read that was there. Raises ArithmeticError (no amount)."""
    seen = overview(scene)
    is_stale = scene.stale or scene.data_ms is None or scene.now_ms - scene.data_ms > OLD_MS
    age = age_text(scene)
    verdict, sentence = _answer(scene, seen, age, is_stale=is_stale, is_reading=is_reading)
    tone = tone_of(verdict)
    if is_stale and tone == "good":
        tone = "warn"
    return Headline(
        sentence=sentence,
        verdict=verdict,
        tone=tone,
        now_ms=scene.now_ms,
        data_ms=scene.data_ms,
        is_stale=is_stale,
        age=age,
        netting_sets=sorted(scene.netting_sets),
        round_trip_ms=seen.probe.round_trip_ms if seen.probe else None,
        notes=scene.notes,
    )


def _answer(
    scene: Scene, seen: Overview, age: str, *, is_stale: bool, is_reading: bool
) -> tuple[str, str]:
    if seen.verdict == "HALTED":
        return seen.verdict, seen.sentence
    if is_reading:
        return "UNKNOWN", _NOTHING_YET
    if scene.netting_sets and not scene.lag:
        return "UNKNOWN", _NO_VIEWS
    if is_stale and scene.lag:
        return seen.verdict, f"STALE, of {age} ago: {seen.sentence}"
    return seen.verdict, seen.sentence


def age_text(scene: Scene) -> str:
    """Of what is shown."""
    if scene.data_ms is None:
        return UNKNOWN
    return duration(max(0, scene.now_ms - scene.data_ms) / 1000)


def first_line(head: Headline) -> str:
    """With its glyph, for whoever sees no colour."""
    return f"{GLYPHS[head.tone]} {head.sentence}"


def status_line(head: Headline, *said: str) -> str:
    """said: by the program itself, e.g. that it pauses."""
    parts = [", ".join(head.netting_sets) or "no netting set"]
    parts.append(f"data {head.age} old" if head.data_ms is not None else f"data {UNKNOWN}")
    parts.append("STALE" if head.is_stale else "live")
    if head.round_trip_ms is not None:
        parts.append(f"round trip {head.round_trip_ms:,.0f} ms")
    return " · ".join([*parts, *(each for each in said if each)])
