"""What a simulation said, as values: what a bank would read, what the ledger got, what waits in the end."""

from collections.abc import Iterable, Sequence

import msgspec

from clearing.core.outputs import (
    Event,
    Position,
    Rejected,
    Resolutions,
    Settlement,
    SettlementBatch,
    WindowEvent,
)
from clearing.dispatch.frames import BankRecord
from clearing.dispatch.resolutions import resolution_records
from clearing.dispatch.statuses import final_records, status_records
from clearing.engine.machine import Machine
from clearing.log.records import (
    EVENT_KEY,
    OUTCOMES_KEY,
    RESOLUTION_KEY,
    OutputRecord,
    decode_event,
    decode_outcomes,
    decode_rejected,
    decode_resolutions,
    decode_settlement,
)
from clearing.logfile import LogFileRecord
from clearing.replay import Standing, WaitingPayment, positions, standing, waiting

__all__ = ["BankMessage", "Recorder", "Result", "WaitingPayment"]


class BankMessage(msgspec.Struct, frozen=True):
    """A record of status.<participant>, as dispatch writes it."""

    participant: str
    message: msgspec.Raw


class Result(msgspec.Struct, kw_only=True):
    """What a netting set said in a simulation, and where it stands in the end: positions, and what still waits."""

    standing: Standing | None = None
    batches: list[SettlementBatch] = []
    settlements: list[Settlement] = []
    statuses: list[BankMessage] = []
    positions: list[Position] = []
    resolutions: list[Resolutions] = []
    waiting: list[WaitingPayment] = []
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
                self._tell(self._messages(record, output, told), told)

    def stands(self, machine: Machine) -> None:
        """Note where the machine stands in the end."""
        self.result.standing = standing(machine)
        self.result.positions = positions(machine)
        self.result.waiting = waiting(machine)

    def _messages(
        self, record: LogFileRecord, output: OutputRecord, told: dict[str, int]
    ) -> list[BankRecord]:
        """What dispatch makes of a record of outcomes; `told` are records of this log offset before, by bank."""
        if output.key == OUTCOMES_KEY:
            outcomes = decode_outcomes(output.value)
            return status_records(self._netting_set, record.value or b"", outcomes)
        if output.key == RESOLUTION_KEY:
            resolutions = decode_resolutions(output.value)
            self.result.resolutions.append(resolutions)
            return resolution_records(resolutions, told)
        event = decode_event(output.value)
        assert isinstance(event, WindowEvent), "nothing else is told to banks"
        return final_records(event, told)

    def _tell(self, messages: Iterable[BankRecord], told: dict[str, int]) -> None:
        for participant, message in messages:
            told[participant] = told.get(participant, 0) + 1
            self.result.statuses.append(BankMessage(participant, msgspec.Raw(message)))
