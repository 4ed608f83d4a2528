"""One rung of the latency ladder: what was noted while it ran, joined to figures. Arrays in, values out.

A payment's way has five parts, each from one moment to the next: the bank sends it, the log has it (the broker's
stamp), the engine sends what became of it, a read_committed reader has that, dispatch writes the status, the bank's
reader has it. Stamps are whole milliseconds, so a part may be out by one; the whole is not.
"""

from collections.abc import Mapping
from typing import NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

I64 = NDArray[np.int64]
F64 = NDArray[np.float64]

PARTS = ("intake", "engine", "commit", "dispatch", "read")
QUANTILES = {"p50": 0.5, "p99": 0.99, "p999": 0.999, "max": 1.0}
SLICES = 10  # of the time it took to publish, for the curve of the backlog
# Kept up: of what is sent in a rung's second half so much, or so many, may be added to what is not told yet.
GROWTH, GROWTH_ROWS = 0.1, 50


class Unfit(Exception):
    """What was read is not what was published, or not as it was to be measured: there are no figures."""


class Moments(NamedTuple):
    """What the processes of a rung have noted.

    sent: by bank, (first offset, when each payment left in ns). told: (n, 5) bank, offset, read at ns, written at
    ms, log offset. outcomes: (n, 4) log offset, sent at ms, read at ns, rows. log_ms: log offset → stamp.
    """

    sent: list[tuple[int, I64]]
    told: I64
    outcomes: I64
    log_ms: Mapping[int, int]


class Slice(msgspec.Struct, frozen=True):
    """At `at_s` since the first payment: how many were sent, logged, cleared (committed) and told till then."""

    at_s: float
    sent: int
    logged: int
    cleared: int
    told: int


class Rung(msgspec.Struct, frozen=True, kw_only=True):
    """Latencies are milliseconds by quantile, over the payments sent after the warm-up. sent_per_s: what the
    publisher has achieved. kept_up: false where what is not told yet grew and grew. cpu: cores in use, by
    role, while it was published. finals: of windows that closed meanwhile, from the moment they were due."""

    rate: float
    payments: int
    sent_per_s: float
    told_per_s: float
    kept_up: bool
    latency_ms: dict[str, float]
    parts_ms: dict[str, dict[str, float]]
    rows_per_log_record: float
    transactions_per_s: float
    cpu: dict[str, float]
    slices: list[Slice]
    windows: int
    closed_ms: dict[str, float]
    posted_ms: dict[str, float]
    final_ms: dict[str, float]


class Pacing(NamedTuple):
    """rate asked for; seconds of warm-up; when the first and the last payment were sent (epoch s); journal
    transactions since the start."""

    rate: float
    warm_s: float
    began_s: float
    sent_s: float
    transactions: int


class Closings(NamedTuple):
    """Of the windows that became final, in epoch ms: due, closed by the log's stamp, confirmed, and read by the
    last bank concerned."""

    due: F64
    closed: F64
    posted: F64
    told: F64


def quantiles(values: F64) -> dict[str, float]:
    """Empty for none."""
    if not len(values):
        return {}
    ordered = np.sort(values)
    return {
        name: round(float(ordered[int(part * (len(ordered) - 1))]), 2)
        for name, part in QUANTILES.items()
    }


def rung(moments: Moments, pacing: Pacing, closings: Closings, cpu: Mapping[str, float]) -> Rung:
    """The figures. Raises Unfit where a payment was not answered once."""
    sent_ns = _sent(moments)
    rows = moments.told
    heard_ms, told_ms = rows[:, 2] / 1e6, rows[:, 3]
    at = np.searchsorted(moments.outcomes[:, 0], rows[:, 4])
    log_ms = np.array([moments.log_ms[int(offset)] for offset in moments.outcomes[:, 0]])
    times: F64 = np.column_stack(
        [
            sent_ns / 1e6,
            log_ms[at],
            moments.outcomes[at, 1],
            moments.outcomes[at, 2] / 1e6,
            told_ms,
            heard_ms,
        ]
    ).astype(np.float64)
    measured = times[:, 0] >= 1e3 * (pacing.began_s + pacing.warm_s)
    parts: F64 = np.diff(times[measured], axis=1).astype(np.float64)
    whole = times[measured, 5] - times[measured, 0]
    took_s = max(pacing.sent_s - pacing.began_s, 1e-9)
    told_s = float(heard_ms.max()) / 1e3 - pacing.began_s
    slices = _slices(times, moments, log_ms, pacing)
    return Rung(
        rate=pacing.rate,
        payments=len(rows),
        sent_per_s=round(len(rows) / took_s, 1),
        told_per_s=round(len(rows) / told_s, 1),
        kept_up=_kept_up(slices[SLICES // 2 - 1], slices[-1]),
        latency_ms=quantiles(whole),
        parts_ms={name: quantiles(parts[:, n]) for n, name in enumerate(PARTS)},
        rows_per_log_record=round(len(rows) / len(moments.outcomes), 1),
        transactions_per_s=round(pacing.transactions / told_s, 1),
        cpu={role: round(seconds / took_s, 3) for role, seconds in cpu.items()},
        slices=slices,
        windows=len(closings.due),
        closed_ms=quantiles(closings.closed - closings.due),
        posted_ms=quantiles(closings.posted - closings.due),
        final_ms=quantiles(closings.told - closings.due),
    )


def _kept_up(middle: Slice, end: Slice) -> bool:
    growth = (end.sent - end.told) - (middle.sent - middle.told)
    return growth <= max(GROWTH * (end.sent - middle.sent), GROWTH_ROWS)


def _sent(moments: Moments) -> I64:
    """When each of the payments told of was sent, ns. Raises Unfit unless every one is told of exactly once."""
    sent_ns = np.zeros(len(moments.told), np.int64)
    for bank, (base, of_bank) in enumerate(moments.sent):
        mine = moments.told[:, 0] == bank
        offsets = moments.told[mine, 1] - base
        if not np.array_equal(np.sort(offsets), np.arange(len(of_bank))):
            raise Unfit(f"bank {bank} sent {len(of_bank)} payments and was told of {len(offsets)}")
        sent_ns[mine] = of_bank[offsets]
    return sent_ns


def _slices(times: F64, moments: Moments, log_ms: I64, pacing: Pacing) -> list[Slice]:
    """The backlog over time, by what each place had at the same moment."""
    sent, told = np.sort(times[:, 0]), np.sort(times[:, 5])
    rows = moments.outcomes[:, 3]
    logged = np.sort(np.repeat(log_ms, rows))
    cleared = np.sort(np.repeat(moments.outcomes[:, 2] / 1e6, rows))
    step_s = (pacing.sent_s - pacing.began_s) / SLICES
    moments_s = [n * step_s for n in range(1, SLICES + 1)]
    return [
        Slice(
            round(at_s, 3),
            *(
                int(np.searchsorted(of, 1e3 * (pacing.began_s + at_s), side="right"))
                for of in (sent, logged, cleared, told)
            ),
        )
        for at_s in moments_s
    ]
