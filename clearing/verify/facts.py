"""Everything the checks of one netting set compare, laid out once: log, outcomes, resolutions, journal, answers.

Built from what clearing.verify.collect has read. What does not fit together while it is laid out is kept as the
findings of the check whose business it is.
"""

from bisect import bisect_left
from dataclasses import dataclass, field

import numpy as np

from clearing.core.inputs import I64, U8
from clearing.core.outputs import SettlementBatch
from clearing.verify.collect import Said
from clearing.verify.commands import Answers, Effective, effective_commands, registration_order
from clearing.verify.links import Life, link_lives
from clearing.verify.members import AllMembers, gather_members
from clearing.verify.models import Names
from clearing.verify.report import Findings
from clearing.verify.resolved import Resolved, resolve
from clearing.verify.states import states_of
from clearing.verify.tables import LogTable, Rows, SaidOutcomes


@dataclass(slots=True)
class Problems:
    """What was found while the facts were laid out, by the check that reports it."""

    outcomes: list[str] = field(default_factory=list[str])
    commands: Findings = field(default_factory=Findings)
    resolutions: Findings = field(default_factory=Findings)
    links: Findings = field(default_factory=Findings)


@dataclass(slots=True)
class Facts:
    """See the modules of its parts. states: of each row, see clearing.verify.states. scales: by asset.

    times_ms: of each log record, see time_ms().
    """

    netting_set: str
    said: Said
    table: LogTable
    rows: Rows
    resolved: Resolved
    states: U8
    members: AllMembers
    lives: list[Life]
    commands: list[Effective]
    answers: Answers
    names: Names
    scales: dict[str, int]
    batches: list[SettlementBatch]
    times_ms: I64
    problems: Problems

    @classmethod
    def lay_out(cls, table: LogTable, said: Said) -> "Facts":
        problems = Problems()
        rows, problems.outcomes = table.rows(said.outcomes)
        said.outcomes = SaidOutcomes()  # they are in the rows now
        scales = said.scales
        commands = effective_commands(table, said.commands, problems.commands)
        resolved = resolve(table, rows, said.resolutions, problems.resolutions)
        members = gather_members(table, rows, resolved, scales, said.windows, problems.resolutions)
        order = registration_order(commands)
        names = table.participants.names
        numbers = np.array([order.get(name, -1) for name in names] or [-1], np.int64)
        return cls(
            netting_set=table.netting_set,
            said=said,
            table=table,
            rows=rows,
            resolved=resolved,
            states=states_of(rows, resolved),
            members=members,
            lives=link_lives(table, rows, resolved, problems.links),
            commands=commands,
            answers=Answers(table),
            names=Names(names, numbers),
            scales=scales,
            batches=said.batches,
            times_ms=np.maximum.accumulate(np.array(table.times_ms, np.int64)),
            problems=problems,
        )

    @property
    def scale_of(self) -> I64:
        """Scale by number of the asset, -1 where nobody has an account."""
        names = self.table.assets.names
        return np.array([self.scales.get(name, -1) for name in names] or [-1], np.int64)

    def time_ms(self, log_offset: int) -> int:
        """The engine's time at a log record, which never goes back; -1 where there is none (F12)."""
        at = bisect_left(self.table.log_offsets, log_offset)
        if at == len(self.table.log_offsets) or self.table.log_offsets[at] != log_offset:
            return -1
        return int(self.times_ms[at])
