"""Random streams of log records for property tests: everything that can happen to a netting set, in any order.

A stream is a list of (kind, seed): the kind says what the record is, the seed fills it. Hypothesis draws and
shrinks the list; what depends on the past (confirmations, repeats) is looked up in the oracle that goes along.
Rows are made in streams_rows.py, operators' commands in streams_commands.py.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass, field

from hypothesis import strategies as st

from clearing.core.commands import CloseWindow, Confirmation, ControlMessage
from clearing.core.inputs import LogRecord
from clearing.core.outputs import Outputs, SettlementBatch
from tests.core.build import Log, Row
from tests.core.oracle import DAY_MS, Advice, Oracle, Said
from tests.core.oracle_books import Part, decimal, minor
from tests.core.streams_commands import COMMANDS, Commands
from tests.core.streams_rows import RowMaker
from tests.core.worlds import MIXED, NOBODY, WORLDS, World

__all__ = ["KINDS", "MIXED", "OFTEN", "SCRIPTS", "WORLDS", "Row", "Script", "Stream", "World"]


@dataclass
class Stream:
    """Builds the records, and applies each to the oracle before the next is built.

    engine: what is compared with the oracle. Where R18 leaves a choice, the oracle then checks the engine's.
    """

    world: World = MIXED
    rows_max: int = 12
    engine: Callable[[LogRecord], Outputs] | None = None
    log: Log = field(default_factory=Log)
    oracle: Oracle = field(default_factory=lambda: Oracle("hk"))
    told: Outputs | None = None  # what the engine said last
    rows: RowMaker = field(init=False)
    commands: Commands = field(init=False)

    def __post_init__(self) -> None:
        self.rows = RowMaker(self.world, self.log, self.oracle.books)
        self.commands = Commands(self.world, self.oracle.books)

    @property
    def sent(self) -> list[Row]:
        return self.rows.sent

    def open(self) -> tuple[LogRecord, Said]:
        return self._applied(self.log.control(*self.world.registration()))

    def next(self, kind: str, seed: int) -> tuple[LogRecord, Said]:
        rng = random.Random(seed)
        self.log.time_ms = self._time(rng)
        return self._applied(KINDS[kind](self, rng))

    def _applied(self, record: LogRecord) -> tuple[LogRecord, Said]:
        self.told = self.engine(record) if self.engine else None
        return record, self.oracle.apply(record, advice(self.told) if self.told else None)

    def _time(self, rng: random.Random) -> int:
        """Mostly some seconds later, sometimes not at all, at times a day, and backwards."""
        step_ms = rng.choice((0, 0, 1, 900, 7_000, 25_000, 61_000, 200_000, -3_600_000))
        days = rng.choice((0,) * 60 + (1, 1, 2, 5))
        return self.log.time_ms + step_ms + days * DAY_MS

    def row(self, rng: random.Random, owner: str = "") -> Row:
        return self.rows.row(rng, owner)

    # --- kinds of records ----------------------------------------------------------------------------------------

    def pay(self, rng: random.Random) -> LogRecord:
        return self.log.payments(*(self.row(rng) for _ in range(rng.randint(0, self.rows_max))))

    def again(self, rng: random.Random) -> LogRecord:
        """What another intake worker has read: the end of what is in the log, and perhaps more behind it."""
        topics = sorted({self.log.topic(row) for row in self.sent})
        rows: list[Row] = []
        for topic in rng.sample(topics, min(len(topics), 2)):
            of_topic = [row for row in self.sent if self.log.topic(row) == topic]
            start = rng.randint(0, self.log.sources[topic])
            rows += [row for row in of_topic if row.offset is not None and row.offset >= start]
            owner = topic.rpartition(".")[2]
            rows += [self.row(rng, owner) for _ in range(rng.randint(0, 3))]
        return self.log.payments(*rows)

    def tick(self, rng: random.Random) -> LogRecord:
        return self.log.tick(self.log.time_ms)

    def close(self, rng: random.Random) -> LogRecord:
        """At times right after another command, which may just have freed something."""
        asset = rng.choice(("", *self.world.assets, *self.world.assets))
        before = [self.commands.any(rng)] if rng.random() < 0.3 else []
        return self._control(rng, *before, CloseWindow(id=self.commands.id(), by="op", asset=asset))

    def confirm(self, rng: random.Random) -> LogRecord:
        """Answers to some batches in any order, right or wrong in some way."""
        answers: list[ControlMessage] = []
        pending = [*self.oracle.books.pending.values()]
        for part in rng.sample(pending, min(len(pending), rng.randint(1, 8))):
            batch = part.batch
            status = rng.choice(("POSTED", "POSTED", "POSTED", "REFUSED"))
            answer = Confirmation(
                ledger=batch["ledger"] if rng.random() < 0.97 else "elsewhere",
                batch=batch["id"] if rng.random() < 0.95 else "unknown",
                hash=batch["hash"] if rng.random() < 0.95 else "0" * 64,
                status=status,
                reason=rng.choice(("", "no cover")),
                short=self._short(rng, part) if status == "REFUSED" else {},
            )
            answers += [answer] * rng.choice((1, 1, 1, 2))
        return self.log.control(*answers, topic="confirmations")

    def _short(self, rng: random.Random, part: Part) -> dict[str, str]:
        """Some of those that owe, and how much each lacks; at times of somebody that does not, or too much."""
        scale = part.batch["scale"]
        nets = {line["participant"]: minor(line["net"], scale) for line in part.batch["entries"]}
        owing = [name for name, net in nets.items() if net < 0 and not name.startswith("$")]
        short = {
            name: decimal(rng.randint(1, rng.choice((min(-nets[name], 150), -nets[name]))), scale)
            for name in rng.sample(owing, min(len(owing), rng.choice((0, 1, 1, 1, 2))))
        }
        if rng.random() < 0.05:
            name = rng.choice([*self.world.participants, NOBODY])
            short[name] = decimal(abs(nets.get(name, 0)) + rng.randint(0, 1), scale)
        return short

    def operate(self, rng: random.Random) -> LogRecord:
        """One or two commands of any kind."""
        messages = [self.commands.any(rng) for _ in range(rng.choice((1, 1, 2)))]
        return self._control(rng, *messages)

    def one(self, rng: random.Random, kind: str) -> LogRecord:
        return self._control(rng, self.commands.make(rng, kind))

    def _control(self, rng: random.Random, *commands: ControlMessage) -> LogRecord:
        return self.log.control(*self.commands.asked(rng, *commands))


def advice(out: Outputs) -> Advice:
    """The set-offs (R18) in the batches of one log record."""
    found: Advice = {}
    for batch in out.settlements:
        if isinstance(batch, SettlementBatch):
            of_window = found.setdefault((batch.asset, batch.window), {})
            for line in batch.entries:
                units = minor(line.set_off or "0", batch.scale)
                if units > 0:
                    of_window[line.participant, line.counterparty] = units
    return found


KINDS: dict[str, Callable[[Stream, random.Random], LogRecord]] = {
    "pay": Stream.pay,
    "again": Stream.again,
    "tick": Stream.tick,
    "close": Stream.close,
    "confirm": Stream.confirm,
    "operate": Stream.operate,
    **{kind: lambda stream, rng, kind=kind: stream.one(rng, kind) for kind in COMMANDS},
}
OFTEN = (*("pay",) * 12, *("confirm",) * 4, *("close", "money", "eyes") * 2, *KINDS)
SCRIPTS = st.lists(
    st.tuples(st.sampled_from(OFTEN), st.integers(0, 2**32 - 1)), min_size=8, max_size=60
)
Script = list[tuple[str, int]]
