"""A scheme and a file of events through simulations, one for each netting set."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import msgspec

from clearing.core.commands import CloseWindow
from clearing.failures import ExitCode, Failure
from clearing.logfile import LogFileRecord
from clearing.scenario.events import ScenarioEvent
from clearing.scenario.recorder import Recorder, Result
from clearing.scheme.changes import to_commands
from clearing.scheme.model import Scheme
from clearing.simulate import Observer, Simulation, run_log

HORIZON_DAYS = 30


class Scenario:
    """A scheme and events through simulations, one for each netting set. `simulations` by name."""

    def __init__(self, scheme: Scheme, simulations: dict[str, Simulation]) -> None:
        self._scheme = scheme
        self._proposed: dict[str, list[str]] = {}  # proposal → the netting sets it was made in
        self.simulations = simulations

    def load_scheme(self, by: str = "scheme") -> None:
        """Publish the scheme's commands, as loading it does."""
        for name, simulation in self.simulations.items():
            today = datetime.fromtimestamp(simulation.now_ms / 1000, UTC).date()
            for command in to_commands(self._scheme, name, by, today, HORIZON_DAYS):
                simulation.command(command)

    def play(self, event: ScenarioEvent) -> None:
        """One event, in the netting sets it concerns."""
        if event.at_ms is not None:
            for simulation in self.simulations.values():
                simulation.pass_time(event.at_ms)
        concerned = self._concerned(event) if event.kind else []
        if event.proposes:
            self._proposed[event.proposes] = concerned
        for name in concerned:
            if name not in self.simulations:
                continue  # of a netting set that was not chosen
            self._play(event, self.simulations[name])

    @staticmethod
    def _play(event: ScenarioEvent, simulation: Simulation) -> None:
        if event.kind == "payments":
            simulation.pay(event.owner, event.value)
        elif event.kind == "commands":
            simulation.command(_bound(event, simulation))
        elif event.kind == "confirmations":
            simulation.confirmation(event.value)
        elif event.ledger is not None:
            simulation.ledger_answers(event.ledger)

    def _concerned(self, event: ScenarioEvent) -> list[str]:
        if event.netting_set:
            if event.netting_set not in self.simulations:
                raise Failure(
                    f"line {event.line}: no netting set {event.netting_set}", code=ExitCode.USAGE
                )
            return [event.netting_set]
        if event.asset in self._scheme.assets:
            return [self._scheme.assets[event.asset].netting_set]
        if event.kind != "payments":
            members = self._scheme.members
            homes = [name for name in members if event.participant in members[name]]
            return self._proposed.get(event.proposal) or homes or list(self.simulations)
        # An asset nobody clears: it is refused where its sender is at home.
        home = [name for name, members in self._scheme.members.items() if event.owner in members]
        return (home or list(self.simulations))[:1]


def _bound(event: ScenarioEvent, simulation: Simulation) -> bytes:
    """The command; an approval that leaves out the hash approves what was proposed."""
    proposal = simulation.machine.state.proposals.get(event.approves)
    if proposal is None:
        return event.value
    return msgspec.json.encode(msgspec.json.decode(event.value) | {"hash": proposal.hash})


@dataclass(frozen=True, slots=True)
class Options:
    """netting_sets: which ones, () all. confirm: the ledgers post at once, unless an event says otherwise.
    close: all windows at the end."""

    start_ms: int
    netting_sets: tuple[str, ...] = ()
    confirm: bool = True
    close: bool = True


def run_scenario(
    scheme: Scheme,
    events: Iterable[ScenarioEvent],
    options: Options,
    observers: Callable[[str], Sequence[Observer]] = lambda _: (),
) -> dict[str, Result]:
    """Load the scheme, play the events; what each netting set said. observers: who else looks on."""
    recorders = {
        name: Recorder(name) for name in options.netting_sets or tuple(scheme.netting_sets)
    }
    simulations = {
        name: Simulation(
            name,
            options.start_ms,
            [recorder.observe, *observers(name)],
            confirm=options.confirm,
            partition=number,
        )
        for number, (name, recorder) in enumerate(recorders.items())
    }
    scenario = Scenario(scheme, simulations)
    scenario.load_scheme()
    for event in events:
        scenario.play(event)
    for name, simulation in simulations.items():
        if options.close:
            simulation.command(CloseWindow(id="simulate-close", by="simulate"))
        simulation.finish()
        recorders[name].stands(simulation.machine)
    return {name: recorder.result for name, recorder in recorders.items()}


def run_saved_log(
    netting_set: str, records: Iterable[LogFileRecord], observers: Sequence[Observer] = ()
) -> Result:
    """A log that was saved, once more: the same outputs. Raises Halt, UnreadableLog."""
    recorder = Recorder(netting_set)
    recorder.stands(run_log(netting_set, records, [recorder.observe, *observers]))
    return recorder.result
