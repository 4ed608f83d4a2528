"""Commands in an events file: each reaches the netting sets it is about, proposals and approvals too."""

import json
from collections.abc import Mapping, Sequence

import pytest

from clearing.core.approvals import content_hash
from clearing.core.commands import SetCap
from clearing.core.outputs import CommandEvent
from clearing.log.records import EVENT_KEY, OutputRecord, decode_event
from clearing.scenario import Scenario, read_events
from clearing.scheme.model import Scheme
from clearing.scheme.parse import parse
from clearing.simulate import Simulation

SCHEME = """
name = "Two"
[netting_sets.hk]
[netting_sets.eu]
four_eyes = true
[assets.HKD]
netting_set = "hk"
issuer = "HKMA"
ledger = "postgres"
scale = 2
kind = "cash"
accounts = {}
[assets.CNH]
netting_set = "hk"
issuer = "PBOC"
ledger = "postgres"
scale = 2
kind = "cash"
accounts = {}
[assets.EUR]
netting_set = "eu"
issuer = "ECB"
ledger = "postgres"
scale = 2
kind = "cash"
accounts = {}
[participants.ALPHA]
netting_sets = ["hk"]
[participants.BRAVO]
netting_sets = ["hk"]
[participants.BOTH]
[participants.CARLA]
netting_sets = ["eu"]
"""
CAP = SetCap(id="cap", by="al", participant="CARLA", asset="EUR", net_debit_cap="5")
INNER = {"type": "set_cap", "id": "cap", "by": "al", "participant": "CARLA", "asset": "EUR"}
PROPOSE = {"type": "propose", "id": "p", "command": INNER | {"net_debit_cap": "5"}}


def answers(lines: Sequence[Mapping[str, object]], *simulated: str) -> list[tuple[str, str, str]]:
    """(netting set, command, status) of what the engines say to the commands of a file."""
    scheme = parse(SCHEME)
    assert isinstance(scheme, Scheme), scheme
    found: list[tuple[str, str, str]] = []
    simulations = {
        name: Simulation(name, 1_767_600_000_000) for name in simulated or scheme.netting_sets
    }
    scenario = Scenario(scheme, simulations)
    scenario.load_scheme()

    def look(record: object, outputs: Sequence[OutputRecord]) -> None:
        events = [decode_event(o.value) for o in outputs if o.key == EVENT_KEY]
        found.extend(
            (e.netting_set, e.command, e.status) for e in events if isinstance(e, CommandEvent)
        )

    for simulation in simulations.values():
        simulation.observers = [look]
    written = [json.dumps({"id": f"c{n}", "by": "al", **line}) for n, line in enumerate(lines)]
    for event in read_events([line.encode() for line in written], "file"):
        scenario.play(event)
    return found


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ({"type": "set_pool", "asset": "HKD", "amount": "5"}, [("hk", "set_pool", "DONE")]),
        (
            {"type": "register_pair", "delivery": "CNH", "payment": "HKD", "model": 3},
            [("hk", "register_pair", "DONE")],
        ),
        (
            {"type": "set_status", "participant": "ALPHA", "status": "SUSPENDED"},
            [("hk", "set_status", "DONE")],
        ),
        (
            {"type": "set_status", "participant": "BOTH", "status": "SUSPENDED"},
            [("hk", "set_status", "DONE"), ("eu", "set_status", "DONE")],
        ),
        (
            {"type": "set_short_limit", "participant": "BRAVO", "limit": "5"},
            [("hk", "set_short_limit", "DONE")],
        ),
        ({"type": "close_window"}, [("hk", "close_window", "DONE"), ("eu", "close_window", "DONE")]),
        (PROPOSE, [("eu", "propose", "DONE")]),
        (INNER | {"net_debit_cap": "5"}, [("eu", "set_cap", "REFUSED")]),
    ],
)  # fmt: skip
def test_a_command_goes_where_what_it_names_is(
    line: dict[str, object], expected: list[tuple[str, str, str]]
) -> None:
    assert answers([line]) == expected


def test_an_approval_goes_where_it_was_proposed() -> None:  # R33
    approve = {"type": "approve", "by": "bo", "proposal": "p", "hash": content_hash(CAP)}
    assert answers([PROPOSE, approve | {"by": "al"}, approve]) == [
        ("eu", "propose", "DONE"),
        ("eu", "approve", "REFUSED"),
        ("eu", "set_cap", "DONE"),
        ("eu", "approve", "DONE"),
    ]


def test_a_withdrawal_goes_where_it_was_proposed() -> None:
    assert answers([PROPOSE, {"type": "withdraw", "proposal": "p"}])[1:] == [
        ("eu", "withdraw", "DONE")
    ]


def test_what_concerns_a_netting_set_that_is_not_simulated_is_left_out() -> None:
    lines: list[dict[str, object]] = [
        PROPOSE,
        {"type": "set_pool", "asset": "HKD", "amount": "5"},
        {"type": "set_status", "participant": "CARLA", "status": "SUSPENDED"},
    ]
    assert answers(lines, "hk") == [("hk", "set_pool", "DONE")]
