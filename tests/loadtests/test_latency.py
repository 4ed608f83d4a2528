"""The latency ladder: parts add up to the whole, and there are no figures where a payment is not answered once."""

import re
from io import StringIO

import numpy as np
import pytest
from rich.console import Console

from loadtests.curve import svg, table
from loadtests.pace import share
from loadtests.rungs import PARTS, Closings, Moments, Pacing, Rung, Unfit, rung

BEGAN_S = 1_760_000_000.0
BEGAN_MS = int(1e3 * BEGAN_S)
LATER_MS = (
    3,
    8,
    11,
    15,
    16,
)  # logged, sent by the engine, committed, written, read: after it was sent


def moments(payments: int = 40, banks: int = 4, later: float = 0.0) -> Moments:
    """A payment every 100 ms, each in a log record of its own; all take the same time, or longer and longer:
    `later` is how much of the time since the first one each waits, too."""
    sent_ms = BEGAN_MS + 100 * np.arange(payments)
    sent = [(7 * bank, 1_000_000 * sent_ms[bank::banks]) for bank in range(banks)]
    told = [
        (
            k % banks,
            7 * (k % banks) + k // banks,
            1_000_000 * (at + LATER_MS[4] + int(later * (at - BEGAN_MS))),
            at + LATER_MS[3],
            50 + 2 * k,
        )
        for k, at in enumerate(sent_ms.tolist())
    ]
    outcomes = [
        (50 + 2 * k, at + LATER_MS[1], 1_000_000 * (at + LATER_MS[2]), 1)
        for k, at in enumerate(sent_ms.tolist())
    ]
    log_ms = {50 + 2 * k: at + LATER_MS[0] for k, at in enumerate(sent_ms.tolist())}
    return Moments(sent, np.array(told), np.array(outcomes), log_ms)


def figures(of: Moments) -> Rung:
    pacing = Pacing(10.0, 1.0, BEGAN_S, BEGAN_S + len(of.told) / 10, 40)
    at = np.array([1e3 * BEGAN_S])
    closings = Closings(at, at + 5, at + 30, at + 60)
    return rung(of, pacing, closings, {"engine": 1.0})


def test_the_parts_add_up_to_the_whole() -> None:
    found = figures(moments())
    assert found.latency_ms == {"p50": 16.0, "p99": 16.0, "p999": 16.0, "max": 16.0}
    assert [found.parts_ms[part]["p50"] for part in PARTS] == [3.0, 5.0, 3.0, 4.0, 1.0]
    assert found.payments == 40
    assert found.rows_per_log_record == 1.0
    assert found.kept_up
    assert (found.closed_ms["p50"], found.posted_ms["p50"], found.final_ms["p50"]) == (5, 30, 60)
    assert found.cpu == {"engine": 0.25}


def test_the_backlog_is_followed_place_by_place() -> None:
    last = figures(moments()).slices[-1]
    assert (last.sent, last.logged, last.cleared, last.told) == (40, 40, 40, 40)
    first = figures(moments()).slices[0]
    assert first.at_s == 0.4
    assert (first.sent, first.told) == (5, 4)


@pytest.mark.parametrize("rows", [slice(0, 39), [*range(40), 3], [*range(39), 3]])
def test_a_payment_that_is_not_answered_once_leaves_no_figures(rows: slice | list[int]) -> None:
    whole = moments()
    with pytest.raises(Unfit, match="was told of"):
        figures(whole._replace(told=whole.told[rows]))


def test_every_bank_sends_alike() -> None:
    for payments in range(40):
        shares = [share(payments, bank, 16) for bank in range(16)]
        assert sum(shares) == payments
        assert max(shares) - min(shares) <= 1


def test_the_curve_shows_every_rung_and_which_were_too_much() -> None:
    rungs = [figures(moments()), figures(moments(400, later=1.0))]
    assert [each.kept_up for each in rungs] == [True, False]
    drawn = svg(rungs, "title")
    assert drawn.count("<circle") == 2 * 3
    assert drawn.count('r="4" fill="white"') == 3
    assert len(re.findall(r"<polyline", drawn)) == 3
    console = Console(width=200, record=True, file=StringIO())
    console.print(table(rungs))
    assert "past saturation" in console.export_text()
