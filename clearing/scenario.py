"""Events files: what banks, operators and ledgers do, line by line, and what a simulation makes of it.

JSON lines, each one of:
  {"type": "payment", …} | token_transfer | bulk      into the payments topic of its (first) debtor
  {"type": "close_window", …} | any other command | {"type": "confirmation", …}
  {"at": …, "owner": …, "netting_set": …, "message": {…}}   the same, with the time or the place said
  {"raw": "not json", "owner": …}                     any bytes, as a bank might send them
  {"at": …}                                           time passes
`at` is RFC 3339 with zone or epoch milliseconds; a line without it follows the one before.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time

import msgspec

from clearing.core.commands import CloseWindow
from clearing.core.outputs import (
    Event,
    Position,
    Rejected,
    Settlement,
    SettlementBatch,
    WindowEvent,
)
from clearing.dispatch.statuses import final_record, status_records
from clearing.engine.machine import Machine
from clearing.failures import ExitCode, Failure
from clearing.log.records import (
    EVENT_KEY,
    OUTCOMES_KEY,
    WINDOW_KEY,
    OutputRecord,
    decode_event,
    decode_outcomes,
    decode_rejected,
    decode_settlement,
)
from clearing.logfile import LogFileRecord
from clearing.replay import Standing, positions, standing
from clearing.scheme.changes import to_commands
from clearing.scheme.model import Scheme
from clearing.simulate import Observer, Simulation, run_log

PAYMENT_TYPES = frozenset({"payment", "token_transfer", "bulk"})
NOON = time(12, 0, tzinfo=UTC)
HORIZON_DAYS = 30


class _Peek(msgspec.Struct):
    """What routing needs to know of a message."""

    type: str = ""
    debtor: str = ""
    asset: str | dict[str, object] = ""
    value_date: str = ""
    items: list["_Peek"] = []
    # Of commands.
    id: str = ""
    delivery: str = ""
    participant: str = ""
    proposal: str = ""
    command: "_Peek | None" = None


class _Line(msgspec.Struct):
    at: int | str | None = None
    owner: str = ""
    netting_set: str = ""
    message: msgspec.Raw = msgspec.Raw()
    raw: str | None = None
    type: str = ""


class ScenarioEvent(msgspec.Struct, frozen=True):
    """One line: kind "payments", "commands", "confirmations", or "" where only time passes.

    asset decides the netting set where none is named, else of a command its proposal, then its participant; what
    says none of them concerns all. proposes: id of a proposal.
    """

    line: int
    at_ms: int | None
    kind: str
    owner: str
    netting_set: str
    asset: str
    value: bytes
    value_date: str
    participant: str = ""
    proposal: str = ""
    proposes: str = ""


_line = msgspec.json.Decoder(_Line).decode
_peek = msgspec.json.Decoder(_Peek).decode


def read_events(lines: Iterable[bytes], name: str) -> list[ScenarioEvent]:
    """Events of a file. Raises Failure naming the first line that is none."""
    events: list[ScenarioEvent] = []
    for number, line in enumerate(lines, start=1):
        if line.strip():
            try:
                events.append(_event(number, line.strip()))
            except (msgspec.MsgspecError, ValueError) as error:
                raise Failure(f"{name}:{number}: {error}", code=ExitCode.USAGE) from error
    return events


def _event(number: int, text: bytes) -> ScenarioEvent:
    line = _line(text)
    if line.type:
        value, kind, peek = text, _kind(line.type), _peek(text)
    elif value := bytes(line.message):
        peek = _peek(value)
        kind = _kind(peek.type)
    elif line.raw is not None:
        if not line.owner:
            raise ValueError("a raw record needs its owner")
        value, kind, peek = line.raw.encode(), "payments", _Peek()
    elif line.at is not None:
        value, kind, peek = b"", "", _Peek()
    else:
        raise ValueError("a line has a type, or a message, raw or at")
    first = peek.items[0] if peek.items else peek.command or peek
    asset = first.asset or first.delivery
    return ScenarioEvent(
        line=number,
        at_ms=None if line.at is None else instant_ms(line.at),
        kind=kind,
        owner=line.owner or first.debtor,
        netting_set=line.netting_set,
        asset=asset if isinstance(asset, str) else "",
        value=value,
        value_date=first.value_date,
        participant=first.participant,
        proposal=peek.proposal,
        proposes=peek.id if peek.command else "",
    )


def _kind(message_type: str) -> str:
    if message_type in PAYMENT_TYPES:
        return "payments"
    return "confirmations" if message_type == "confirmation" else "commands"


def instant_ms(at: int | str) -> int:
    """Epoch milliseconds of RFC 3339 text with a zone, or of a number of them. Raises ValueError."""
    if isinstance(at, int):
        return at
    moment = datetime.fromisoformat(at)
    if moment.tzinfo is None:
        raise ValueError(f"{at!r} has no zone: write 2026-01-05T09:00:00Z")
    return round(moment.timestamp() * 1000)


def start_of(events: Sequence[ScenarioEvent]) -> int:
    """When a scenario begins if nobody says: with its first `at`, else at noon UTC of its first value date."""
    for event in events:
        if event.at_ms is not None:
            return event.at_ms
        if event.value_date:
            day = date.fromisoformat(event.value_date)
            return round(datetime.combine(day, NOON).timestamp() * 1000)
    return round(datetime.combine(date(2026, 1, 5), NOON).timestamp() * 1000)


class BankMessage(msgspec.Struct, frozen=True):
    """A record of status.<participant>, as dispatch writes it."""

    participant: str
    message: msgspec.Raw


class Result(msgspec.Struct, kw_only=True):
    """What a netting set said in a simulation, and where it stands in the end."""

    standing: Standing | None = None
    batches: list[SettlementBatch] = []
    settlements: list[Settlement] = []
    statuses: list[BankMessage] = []
    positions: list[Position] = []
    events: list[Event] = []
    rejected: list[Rejected] = []


class Recorder:
    """Collects a simulation's outputs as values; `statuses` as dispatch would write them."""

    def __init__(self, netting_set: str) -> None:
        self.result = Result()
        self._netting_set = netting_set

    def observe(self, record: LogFileRecord, outputs: Sequence[OutputRecord]) -> None:
        told: dict[str, int] = {}
        result = self.result
        for output in outputs:
            if output.topic == "settlements":
                message = decode_settlement(output.value)
                result.settlements.append(message)
                if isinstance(message, SettlementBatch):
                    result.batches.append(message)
            elif output.topic == "rejected":
                result.rejected.append(decode_rejected(output.value))
            elif output.topic == "journal" and output.key == EVENT_KEY:
                result.events.append(decode_event(output.value))
            elif output.topic == "outcomes":
                self._tell(record, output, told)

    def stands(self, machine: Machine) -> None:
        """Note where the machine stands in the end."""
        self.result.standing = standing(machine)
        self.result.positions = positions(machine)

    def _tell(self, record: LogFileRecord, output: OutputRecord, told: dict[str, int]) -> None:
        messages: list[tuple[str, bytes]] = []
        if output.key == OUTCOMES_KEY:
            outcomes = decode_outcomes(output.value)
            messages = status_records(self._netting_set, record.value or b"", outcomes)
        elif output.key == WINDOW_KEY:
            event = decode_event(output.value)
            assert isinstance(event, WindowEvent), "nothing else is told to banks"
            messages = [
                (entry.participant, final_record(event, entry, told.get(entry.participant, 0)))
                for entry in event.entries
            ]
        for participant, message in messages:
            told[participant] = told.get(participant, 0) + 1
            self.result.statuses.append(BankMessage(participant, msgspec.Raw(message)))


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
            simulation = self.simulations[name]
            if event.kind == "payments":
                simulation.pay(event.owner, event.value)
            elif event.kind == "commands":
                simulation.command(event.value)
            else:
                simulation.confirmation(event.value)

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


@dataclass(frozen=True, slots=True)
class Options:
    """netting_sets: which ones, () all. confirm: an ideal ledger posts at once. close: all windows at the end."""

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
