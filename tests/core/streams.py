"""Random streams of log records for property tests: everything that can happen to a netting set, in any order.

A stream is a list of (kind, seed): the kind says what the record is, the seed fills it. Hypothesis draws and
shrinks the list; what depends on the past (confirmations, repeats) is looked up in the oracle that goes along.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from hypothesis import strategies as st

from clearing.core.commands import (
    CloseWindow,
    Confirmation,
    ControlMessage,
    Fund,
    RegisterAsset,
    RegisterParticipant,
    SetCalendar,
    SetCap,
    SetCutoffs,
    SetStatus,
    SettleWindow,
)
from clearing.core.inputs import LogRecord
from clearing.core.registry import BusinessDay
from tests.core.build import DAY, NOON_MS, Log, Row, hkd, opening
from tests.core.oracle import DAY_MS, Oracle, Said

BANKS = ("ALPHHKHH", "BETAHKHH", "GAMMHKHH", "DELTHKHH", "EPSIHKHH")
STRANGER = "STRAHKHH"  # registered, no accounts
ASSETS = (
    hkd(),
    hkd(id="JPY", code="JPY", scale=0, max_amount="5000", value_days_ahead=1),
    hkd(id="USDX", code="USD", issuer="X", ledger="evm", scale=6, every_s=60),
    hkd(id="TOK", code="TOK", scale=9),
)
CAPS = {"HKD": "30", "JPY": "3000", "USDX": "0", "TOK": "200000000"}
HELD = {"HKD": "0", "JPY": "500", "USDX": "20", "TOK": "0"}


def registration() -> list[ControlMessage]:
    commands: list[ControlMessage] = [
        RegisterParticipant(id="stranger", by="op", participant=STRANGER)
    ]
    for spec in ASSETS:
        first, *rest = opening(BANKS, (spec,), CAPS[spec.id], HELD[spec.id])
        commands += [first, *(rest if spec is ASSETS[0] else rest[len(BANKS) :])]
    return commands


@dataclass
class Stream:
    """Builds the records, and applies each to the oracle before the next is built."""

    log: Log = field(default_factory=Log)
    oracle: Oracle = field(default_factory=lambda: Oracle("hk"))
    sent: list[Row] = field(default_factory=list[Row])
    commands: list[ControlMessage] = field(default_factory=list[ControlMessage])
    ids: int = 0
    rows_max: int = 12

    def open(self) -> tuple[LogRecord, Said]:
        return self._applied(self.log.control(*registration()))

    def next(self, kind: str, seed: int) -> tuple[LogRecord, Said]:
        rng = random.Random(seed)
        self.log.time_ms = self._time(rng)
        return self._applied(KINDS[kind](self, rng))

    def _applied(self, record: LogRecord) -> tuple[LogRecord, Said]:
        return record, self.oracle.apply(record)

    def _time(self, rng: random.Random) -> int:
        """Mostly some seconds later, sometimes not at all, at times a day, and backwards."""
        step_ms = rng.choice((0, 0, 1, 900, 7_000, 25_000, 61_000, 200_000, -3_600_000))
        days = rng.choice((0,) * 30 + (1, 2, 5))
        return self.log.time_ms + step_ms + days * DAY_MS

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
        return self._command(
            CloseWindow(id=self._id(), by="op", asset=rng.choice(("", *self._assets())))
        )

    def confirm(self, rng: random.Random) -> LogRecord:
        """Answers to some batches in any order, right or wrong in some way."""
        answers: list[ControlMessage] = []
        waiting = [*self.oracle.waiting]
        for batch_id in rng.sample(waiting, min(len(waiting), rng.randint(1, 8))):
            batch = self.oracle.waiting[batch_id].batch
            answer = Confirmation(
                ledger=batch["ledger"],
                batch=rng.choice((batch_id,) * 20 + ("unknown",)),
                hash=rng.choice((batch["hash"],) * 20 + ("0" * 64,)),
                status=rng.choice(("POSTED", "POSTED", "REFUSED")),
                reason=rng.choice(("", "no cover")),
            )
            answers += [answer] * rng.choice((1, 1, 1, 2))
        return self.log.control(*answers, topic="confirmations")

    def settle(self, rng: random.Random) -> LogRecord:
        asset, number = rng.choice(self._assets()), rng.randint(1, 5)
        for waiting in self.oracle.waiting.values():
            if waiting.failed:
                asset, number = waiting.batch["asset"], waiting.batch["window"]
        return self._command(SettleWindow(id=self._id(), by="op", asset=asset, window=number))

    def money(self, rng: random.Random) -> LogRecord:
        """A cap or prefunding, up or down; at times of more than there is."""
        participant, asset = rng.choice(BANKS), rng.choice(self._assets())
        units = rng.randint(0, int(CAPS[asset]) + int(HELD[asset]) + 1)
        if rng.random() < 0.5:
            change = SetCap(
                id=self._id(),
                by="op",
                participant=participant,
                asset=asset,
                net_debit_cap=str(units),
            )
        else:
            amount = str(rng.choice((-1, 1, 1)) * (units // 2 + 1))
            change = Fund(
                id=self._id(), by="op", participant=participant, asset=asset, amount=amount
            )
        return self._command(change)

    def standing(self, rng: random.Random) -> LogRecord:
        status = rng.choice(("ACTIVE", "ACTIVE", "ACTIVE", "SUSPENDED", "SUSPENDED", "CLOSED"))
        return self._command(
            SetStatus(
                id=self._id(), by="op", participant=rng.choice((*BANKS, STRANGER)), status=status
            )
        )

    def schedule(self, rng: random.Random) -> LogRecord:
        now = self.oracle.time_ms
        at = sorted({now + rng.randint(-50_000, 500_000) for _ in range(rng.randint(0, 4))})
        days = sorted({self.oracle.date - DAY + rng.randint(-1, 6) for _ in range(4)})
        opens = [BusinessDay(DAY + d, NOON_MS + d * DAY_MS) for d in days]
        changed = hkd(max_amount=rng.choice(("", "20")), value_days_ahead=rng.choice((0, 2, 6)))
        fresh = hkd(id=f"N{self.ids}", code=f"N{self.ids}")
        changes: list[ControlMessage] = [
            SetCutoffs(id=self._id(), by="op", asset="HKD", cutoffs_ms=at),
            SetCalendar(id=self._id(), by="op", days=opens),
            RegisterAsset(id=self._id(), by="op", asset=changed),
            RegisterAsset(id=self._id(), by="op", asset=fresh),
        ]
        return self._command(rng.choice(changes))

    def old_command(self, rng: random.Random) -> LogRecord:
        """A command published again, or one that uses another's id."""
        if not self.commands:
            return self.log.control()
        old = rng.choice(self.commands)
        stolen = CloseWindow(id=getattr(old, "id", ""), by="thief")
        return self.log.control(*rng.sample((old, stolen), rng.randint(1, 2)))

    # --- parts ---------------------------------------------------------------------------------------------------

    def _assets(self) -> list[str]:
        return [spec.id for spec in ASSETS]

    def _id(self) -> str:
        self.ids += 1
        return f"id-{self.ids}"

    def _command(self, command: ControlMessage) -> LogRecord:
        self.commands.append(command)
        return self.log.control(command)

    def row(self, rng: random.Random, owner: str = "") -> Row:
        """A payment, placed in its source; wrong in some way at times. owner: of the topic it comes from."""
        chance = rng.random()
        if self.sent and chance < 0.2:
            old = rng.choice(self.sent)
            changes = (
                {}
                if chance < 0.12
                else {"amount": old.amount + 1}
                if chance < 0.17
                else {"body": 1}
            )
            row = replace(old, offset=None, topic=None, **changes)
        else:
            row = self._new_row(rng)
        if owner:
            row = replace(row, debtor=owner, topic=None)
        elif rng.random() < 0.03:
            row = replace(row, topic=f"payments.hk.{rng.choice(BANKS)}")
        topic = self.log.topic(row)
        row = replace(row, offset=self.log.sources.get(topic, 0))
        self.log.sources[topic] = (row.offset or 0) + 1
        self.sent.append(row)
        return row

    def _new_row(self, rng: random.Random) -> Row:
        self.ids += 1
        spec = rng.choice(ASSETS)
        decimals = rng.randint(0, spec.scale + (rng.random() < 0.05))
        top = 10**18 if spec.id == "TOK" else 2 * 10 ** (3 + min(spec.scale, 2))
        debtor = rng.choice(BANKS if rng.random() < 0.95 else (STRANGER, "NOBODY"))
        others = [bank for bank in BANKS if bank != debtor]
        return Row(
            id=self.ids << rng.choice((0, 64, 104)),
            debtor=debtor,
            creditor=rng.choice(others if rng.random() < 0.95 else (debtor, STRANGER, "NOBODY")),
            amount=rng.randint(1, rng.choice((5, top // 50, top // 50, top))),
            asset=spec.id if rng.random() < 0.97 else "XYZ",
            decimals=decimals,
            value_date=self.oracle.date + rng.choice((0,) * 12 + (1, 1, 5, -1)),
            window=rng.choice((0,) * 12 + (1, 2)),
            expires_at_ms=rng.choice((0,) * 12 + (self.log.time_ms - 1, self.log.time_ms + 60_000)),
            reject=rng.choice((0,) * 30 + (12,)),
        )


KINDS: dict[str, Callable[[Stream, random.Random], LogRecord]] = {
    "pay": Stream.pay,
    "again": Stream.again,
    "tick": Stream.tick,
    "close": Stream.close,
    "confirm": Stream.confirm,
    "settle": Stream.settle,
    "money": Stream.money,
    "standing": Stream.standing,
    "schedule": Stream.schedule,
    "old_command": Stream.old_command,
}
OFTEN = ("pay", "pay", "pay", "pay", "confirm", "close", *KINDS)
SCRIPTS = st.lists(st.tuples(st.sampled_from(OFTEN), st.integers(0, 2**32 - 1)), max_size=40)
Script = list[tuple[str, int]]
