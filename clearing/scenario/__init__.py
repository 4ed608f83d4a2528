"""Events files: what banks, operators and ledgers do, line by line, and what a simulation makes of it.

What a line may say stands in clearing.scenario.events.
"""

from clearing.scenario.events import ScenarioEvent, instant_ms, read_events, start_of
from clearing.scenario.play import Options, Scenario, run_saved_log, run_scenario
from clearing.scenario.recorder import BankMessage, Recorder, Result, WaitingPayment

__all__ = [
    "BankMessage",
    "Options",
    "Recorder",
    "Result",
    "Scenario",
    "ScenarioEvent",
    "WaitingPayment",
    "instant_ms",
    "read_events",
    "run_saved_log",
    "run_scenario",
    "start_of",
]
