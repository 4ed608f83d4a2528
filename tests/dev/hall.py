"""A workload against the pure data path: banks, intake's packing, the machine, dispatch's records, in memory."""

from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import NamedTuple

import numpy as np

from clearing.core.commands import CloseWindow
from clearing.core.outputs import WindowEvent
from clearing.dev.tally import Tally
from clearing.dev.told import Listener
from clearing.dev.watch import Watch
from clearing.dev.workload import Stream
from clearing.dispatch.frames import BankRecord
from clearing.dispatch.resolutions import resolution_records
from clearing.dispatch.statuses import final_records, status_records
from clearing.log.records import (
    OUTCOMES_KEY,
    RESOLUTION_KEY,
    OutputRecord,
    decode_event,
    decode_outcomes,
    decode_resolutions,
)
from clearing.logfile import LogFileRecord
from clearing.names import PROBE, Topics
from clearing.scheme.changes import to_commands
from clearing.scheme.model import Scheme
from clearing.simulate import Simulation

START_MS = 1_767_614_400_000  # 2026-01-05T12:00Z, a Monday
DAY = datetime.fromtimestamp(START_MS / 1000, UTC).date()
ROUNDS_MAX = 10_000


class Record(NamedTuple):
    """As a reader of Kafka gets it."""

    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None


class Hall:
    """One netting set of a scheme with the banks of `streams`, and what they and a watch have read."""

    def __init__(self, scheme: Scheme, streams: Sequence[Stream], seed: int) -> None:
        (self.netting_set,) = {stream.netting_set for stream in streams}
        scales = {name: asset.spec.scale for name, asset in scheme.assets.items()}
        self.streams = streams
        self.listener = Listener(scales)
        self.watch = Watch("", Topics(), [0], scales)
        self._random = np.random.default_rng(seed)
        self._closed = 0
        self.sent: list[bytes] = []
        self.simulation = Simulation(self.netting_set, START_MS, [self._read])
        for command in to_commands(scheme, self.netting_set, "scheme", DAY, 5):
            self.simulation.command(command)

    def _read(self, record: LogFileRecord, outputs: Sequence[OutputRecord]) -> None:
        place = record.offset, record.time_ms
        self.watch.take("log", 0, Record(*place, record.key, record.value))
        indexes: Counter[str] = Counter()
        for output in outputs:
            if output.topic in ("outcomes", "settlements", "positions", "journal"):
                self.watch.take(output.topic, 0, Record(*place, output.key, output.value))
            for bank, value in self._told(record, output, indexes):
                indexes[bank] += 1
                # Nobody's bank reads what a probe is told.
                message = None if bank == PROBE else self.listener.hear(bank, bytes(value))
                if message is not None:
                    self.streams[0].dealings.heard(message)

    def _told(
        self, record: LogFileRecord, output: OutputRecord, indexes: Counter[str]
    ) -> list[BankRecord]:
        """What dispatch makes of an output."""
        if output.topic != "outcomes":
            return []
        if output.key == OUTCOMES_KEY:
            return status_records(
                self.netting_set, record.value or b"", decode_outcomes(output.value)
            )
        if output.key == RESOLUTION_KEY:
            return resolution_records(decode_resolutions(output.value), indexes)
        event = decode_event(output.value)
        assert isinstance(event, WindowEvent)
        return final_records(event, indexes)

    def work(self, rows: int) -> None:
        """Every bank draws `rows` rows, in pieces and turns that chance decides, and answers all it hears."""
        left = [rows] * len(self.streams)
        for _ in range(ROUNDS_MAX):
            number = int(self._random.integers(len(self.streams)))
            stream, piece = self.streams[number], int(self._random.integers(1, 60))
            piece = min(piece, left[number])
            left[number] -= piece
            if piece or stream.owes:
                values = stream.take(piece)
                self.sent += values
                for value in values:
                    self.simulation.pay(stream.bank, value)
            if self._random.random() < 0.5:
                self.simulation.pass_time(self.simulation.now_ms + int(self._random.integers(400)))
            if not any(left):
                stream.finish()
                self.simulation.flush()
                if not any(s.owes or s.due or s.stuck for s in self.streams):
                    return
        raise AssertionError("the banks do not come to an end")

    def close(self) -> None:
        """Close all windows by hand, let everything settle."""
        self._closed += 1
        self.simulation.command(CloseWindow(id=f"close-{self._closed}", by="test"))
        self.simulation.finish()

    def plan(self) -> Tally:
        whole = Tally()
        for stream in self.streams:
            whole.add(stream.tally)
        return whole
