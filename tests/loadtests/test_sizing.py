"""The sizing page is what the calculation gives, and the calculation is proportional where it says so."""

from pathlib import Path

import msgspec
import pytest

from loadtests.sizing import (
    INPUTS,
    Inputs,
    brokers,
    cores,
    markdown,
    netting_sets,
    network_gbit_s,
    storage,
)

PAGE = Path(__file__).parents[2] / "ops" / "sizing.md"


@pytest.fixture
def inputs() -> Inputs:
    return msgspec.json.decode(INPUTS.read_bytes(), type=Inputs)


def changed(inputs: Inputs, **load: float) -> Inputs:
    return msgspec.structs.replace(inputs, load=msgspec.structs.replace(inputs.load, **load))


def test_the_page_is_made_from_the_figures(inputs: Inputs) -> None:
    assert PAGE.read_text() == markdown(inputs), "python -m loadtests.sizing > ops/sizing.md"


def test_twice_the_peak_is_twice_the_work(inputs: Inputs) -> None:
    twice = changed(inputs, peak_per_s=2 * inputs.load.peak_per_s)
    assert cores(twice).intake == 2 * cores(inputs).intake
    assert cores(twice).brokers == 2 * cores(inputs).brokers
    assert cores(twice).sink == cores(inputs).sink, "it depends on entries, not on payments"
    assert network_gbit_s(twice) == pytest.approx(2 * network_gbit_s(inputs))
    assert storage(twice) == storage(inputs)


def test_by_hand(inputs: Inputs) -> None:
    """100,000/s at 1.28 µs each; 30 days of 20 billion payments of 240 bytes in three copies."""
    assert cores(inputs).intake == pytest.approx(0.128)
    (payments,) = (kept for kept in storage(inputs) if kept.topic == "payments")
    assert (payments.days, payments.tb) == (30, pytest.approx(14.4))
    one, sixteen = netting_sets(inputs, 1), netting_sets(inputs, 16)
    assert one.remembered == pytest.approx(20e9 / 30 * 4)
    assert sixteen.memory_gb == pytest.approx(one.memory_gb / 16)
    assert sixteen.partitions == 16 * (500 + 9) + 500


def test_brokers_are_the_same_in_every_zone_and_one_may_be_lost(inputs: Inputs) -> None:
    assert brokers(inputs)[2] == 6
    for terabytes in (1.0, 5.0, 100.0):
        by_cpu, by_disk, number = brokers(changed(inputs, broker_disk_tb=terabytes))
        assert number % 3 == 0
        assert number > max(by_cpu, by_disk, inputs.load.replicas)
