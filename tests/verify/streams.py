"""Random streams as verification sees them: what the engine says of each record, as facts, without bytes."""

from clearing.core.inputs import LogRecord
from clearing.core.outputs import (
    CommandEvent,
    Outputs,
    Position,
    ProposalEvent,
    Resolutions,
    ShortfallEvent,
    WindowEvent,
)
from clearing.core.state import NettingSet
from clearing.core.step import step
from clearing.verify.collect import Said
from clearing.verify.facts import Facts
from clearing.verify.tables import LogTable
from tests.core.streams import Script, Stream, World


class Witness:
    """Runs the engine over the records of a stream and keeps what it says, as its topics would."""

    def __init__(self) -> None:
        self.state = NettingSet("hk")
        self.table = LogTable("hk")
        self.said = Said()
        self.dates: dict[int, int] = {}  # log offset → business date, as the engine has it
        self._positions: dict[tuple[str, str], Position] = {}

    def apply(self, record: LogRecord) -> Outputs:
        out = step(self.state, record)
        self.table.add(record)
        self.dates[record.offset] = self.state.counters.business_date
        said = self.said
        said.goal = record.offset + 1
        if out.outcomes is not None:
            said.outcomes.append(out.outcomes)
        if out.resolutions:
            time_ms = self.state.counters.time_ms
            said.resolutions.append(
                Resolutions(
                    netting_set="hk",
                    log_offset=record.offset,
                    time_ms=time_ms,
                    items=out.resolutions,
                )
            )
        for message in out.settlements:
            said.settlements.append((len(said.settlements), message))
        for event in out.events:
            match event:
                case WindowEvent():
                    said.windows.append(event)
                case CommandEvent():
                    said.commands.append(event)
                case ProposalEvent():
                    said.proposals.append(event)
                case ShortfallEvent():
                    said.shortfalls.append(event)
                case _:
                    pass
        for position in out.positions:
            self._positions[position.participant, position.asset] = position
        said.rejected += out.rejected
        return out

    def facts(self) -> Facts:
        self.said.positions = [*self._positions.values()]
        return Facts.lay_out(self.table, self.said)


def facts_of(world: World, script: Script) -> Facts:
    """The facts after a stream."""
    return witness_of(world, script).facts()


def witness_of(world: World, script: Script) -> Witness:
    """Who has seen all of a stream. Raises what the oracle that goes along raises."""
    witness = Witness()
    stream = Stream(world, engine=witness.apply)
    stream.open()
    for kind, seed in script:
        stream.next(kind, seed)
    for _ in range(
        2
    ):  # the first lets the cut-offs that are due pass, the second has the last positions written
        witness.apply(stream.log.tick(witness.state.counters.time_ms + 1_000))
    return witness
