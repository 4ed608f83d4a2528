"""The flat-cost figures: variants are compared by what they did alike, and say so in every form."""

import msgspec
import numpy as np
import pytest

from clearing.engine.machine import Machine
from loadtests import flat
from loadtests.core import packed
from loadtests.figures import machine
from loadtests.flat import Variant, banks, compared, growth, machine_of
from loadtests.flat_report import Figures, Memory, markdown, svg, tables


def variant(name: str, machines: int) -> Variant:
    values = list(packed(banks(5), 6, 50, np.random.default_rng(1)))
    return Variant(name, [machine_of(5, ["A", "B"], 400, 4) for _ in range(machines)], values)


def test_every_payment_of_every_variant_is_cleared(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flat, "ROWS", 50)
    one, two = variant("one", 1), variant("two", 2)
    for each in (one, two):
        each.values = list(packed(banks(5), 6, 50, np.random.default_rng(1), ["A", "B"]))
    rows = compared([one, two], 6)
    assert [row.variant for row in rows] == ["one", "two"]
    assert rows[0].ratio == 1.0

    def cleared(machine: Machine) -> int:
        return sum(asset.window.payments for asset in machine.state.assets)

    assert [cleared(m) for m in one.machines] == [300]
    assert [cleared(m) for m in two.machines] == [150, 150]
    assert len(one.machines[0].state.ids) == 400 + 300


def test_ids_are_of_so_many_days_each_the_same() -> None:
    generations = machine_of(5, ["A"], 400, 4).state.ids.generations
    assert [generation.count for generation in generations] == [100] * 4
    assert np.diff([generation.day for generation in generations]).tolist() == [1] * 3


def test_a_table_that_doubles_is_measured_at_rest_and_growing() -> None:
    found = growth(180_000, seed=1)
    assert 0 < found.growing_share < 1
    assert found.highest_cpu_ms > 0


def test_the_report_has_every_variant_in_every_form(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flat, "ROWS", 50)
    one = variant("a & b", 1)
    one.values = list(packed(banks(5), 6, 50, np.random.default_rng(1), ["A", "B"]))
    found = Figures(
        machine=machine(0.0),
        rows_per_record=50,
        tables={"things": compared([one], 6)},
        memory=[Memory(ids=400, bytes_each=41.0, rss_each=50.0)],
        growth=[],
    )
    assert "| a & b |" in markdown(found)
    assert "a &amp; b" in svg(found)
    assert len(tables(found)) == 3
    assert msgspec.json.decode(msgspec.json.encode(found), type=Figures) == found
