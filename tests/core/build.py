"""Small builders for core tests: log records from plain rows, a state with banks and assets."""

from dataclasses import dataclass

import numpy as np

from clearing.core.commands import ControlMessage, OpenAccount, RegisterAsset, RegisterParticipant
from clearing.core.inputs import ControlItem, LogRecord, PaymentRows, Reject, SourceSpan
from clearing.core.registry import AssetSpec
from clearing.core.state import DAY_MS, NettingSet
from clearing.core.step import step

DAY = 20_000  # 2024-10-04
NOON_MS = DAY * DAY_MS + DAY_MS // 2


@dataclass(frozen=True)
class Row:
    """One payment as a test writes it. `amount` in units of 10^-decimals; source: the debtor's topic."""

    id: int
    debtor: str
    creditor: str
    amount: int
    asset: str = "HKD"
    decimals: int = 2
    value_date: int = DAY
    window: int = 0
    expires_at_ms: int = 0
    body: int | None = None  # content hash; None: from the content
    topic: str | None = None  # None: the debtor's
    offset: int | None = None  # None: next of its topic
    reject: int = 0

    @property
    def content(self) -> int:
        if self.body is not None:
            return self.body
        parts = (self.debtor, self.creditor, self.amount, self.asset, self.decimals, self.value_date)
        return int.from_bytes(repr(parts).encode()[-8:].ljust(8), "little") ^ hash(parts) & (2**63 - 1)


class Log:
    """Builds log records in order, keeping source offsets."""

    def __init__(self, netting_set: str = "hk", time_ms: int = NOON_MS) -> None:
        self.netting_set = netting_set
        self.offset = 0
        self.time_ms = time_ms
        self.sources: dict[str, int] = {}

    def payments(self, *rows: Row, spans: dict[str, tuple[int, int]] | None = None) -> LogRecord:
        """spans: overrides (start, end) of a topic."""
        topics = list(dict.fromkeys(self._topic(row) for row in rows))
        start = {topic: self.sources.get(topic, 0) for topic in topics}
        offsets: list[int] = []
        for row in rows:
            topic = self._topic(row)
            at = self.sources.get(topic, 0) if row.offset is None else row.offset
            offsets.append(at)
            self.sources[topic] = max(at + 1, self.sources.get(topic, 0))
        sources = [
            SourceSpan(topic, 0, *((spans or {}).get(topic) or (start[topic], self.sources[topic])))
            for topic in topics
        ]
        names = sorted({row.debtor for row in rows} | {row.creditor for row in rows})
        assets = sorted({row.asset for row in rows})
        columns = PaymentRows(
            participants=names,
            assets=assets,
            id=np.array([[row.id & (2**64 - 1), row.id >> 64] for row in rows], np.uint64).reshape(-1, 2),
            debtor=np.array([names.index(row.debtor) for row in rows], np.int32),
            creditor=np.array([names.index(row.creditor) for row in rows], np.int32),
            asset=np.array([assets.index(row.asset) for row in rows], np.int32),
            amount=np.array([row.amount for row in rows], np.int64),
            decimals=np.array([row.decimals for row in rows], np.uint8),
            value_date=np.array([row.value_date for row in rows], np.int32),
            priority=np.zeros(len(rows), np.uint8),
            kind=np.ones(len(rows), np.uint8),
            expires_at_ms=np.array([row.expires_at_ms for row in rows], np.int64),
            window=np.array([row.window for row in rows], np.int32),
            body_hash=np.array([row.content for row in rows], np.uint64),
            source=np.array([topics.index(self._topic(row)) for row in rows], np.int32),
            source_offset=np.array(offsets, np.int64),
            item=np.full(len(rows), -1, np.int32),
            reject=np.array([row.reject for row in rows], np.uint8),
            rejects={
                i: Reject(code=row.reject, hash="00", detail="test")
                for i, row in enumerate(rows)
                if row.reject
            },
        )
        return self._next(LogRecord(self.offset, self.time_ms, sources, payments=columns))

    def control(self, *messages: ControlMessage) -> LogRecord:
        start = self.sources.get("commands", 0)
        self.sources["commands"] = start + len(messages)
        items = [ControlItem(source=0, offset=start + i, message=m) for i, m in enumerate(messages)]
        spans = [SourceSpan("commands", 0, start, start + len(messages))]
        return self._next(LogRecord(self.offset, self.time_ms, spans, control=items))

    def tick(self, time_ms: int) -> LogRecord:
        self.time_ms = time_ms
        return self._next(LogRecord(self.offset, time_ms, []))

    def _topic(self, row: Row) -> str:
        return row.topic or f"payments.{self.netting_set}.{row.debtor}"

    def _next(self, record: LogRecord) -> LogRecord:
        self.offset += 1
        return record


BANKS = ("ALPHHKHH", "BETAHKHH", "GAMMHKHH")


def hkd(**changes: object) -> AssetSpec:
    fields = {"id": "HKD", "code": "HKD", "issuer": "HKMA", "ledger": "postgres", "scale": 2}
    return AssetSpec(**(fields | changes))  # type: ignore[arg-type]


def opening(
    banks: tuple[str, ...] = BANKS, assets: tuple[AssetSpec, ...] = (), cap: str = "100.00", held: str = "0"
) -> list[ControlMessage]:
    """Commands that register assets and banks and open every account."""
    specs = assets or (hkd(),)
    commands: list[ControlMessage] = [RegisterAsset(id=f"a-{s.id}", by="op", asset=s) for s in specs]
    commands += [RegisterParticipant(id=f"p-{bank}", by="op", participant=bank) for bank in banks]
    commands += [
        OpenAccount(
            id=f"acc-{bank}-{s.id}", by="op", participant=bank, asset=s.id, prefunded=held, net_debit_cap=cap
        )
        for bank in banks
        for s in specs
    ]
    return commands


def opened(log: Log, **options: object) -> NettingSet:
    """A state in which the opening commands are applied."""
    state = NettingSet(log.netting_set)
    step(state, log.control(*opening(**options)))  # type: ignore[arg-type]
    return state
