"""Small builders for core tests: log records from plain rows, a state with banks and assets."""

from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from clearing.core.commands import (
    Confirmation,
    ControlMessage,
    OpenAccount,
    RegisterAsset,
    RegisterParticipant,
)
from clearing.core.inputs import (
    U64,
    ControlItem,
    Decision,
    Kind,
    Links,
    LogRecord,
    PaymentRows,
    References,
    Reject,
    SourceSpan,
)
from clearing.core.outputs import Outputs, SettlementBatch
from clearing.core.reasons import Code
from clearing.core.registry import AssetSpec
from clearing.core.state import DAY_MS, NettingSet
from clearing.core.step import step
from clearing.log import control, payments
from clearing.log.content import body_hashes
from clearing.log.rows import RowBatch

DAY = 20_000  # 2024-10-04
NOON_MS = DAY * DAY_MS + DAY_MS // 2
ALPHA, BETA, GAMMA = BANKS = ("ALPHHKHH", "BETAHKHH", "GAMMHKHH")


@dataclass(frozen=True)
class Row:
    """One payment as a test writes it, or what is said about one. `amount` in units of 10^-decimals.

    topic, offset: None for the debtor's own topic, and the next offset there. body: content beyond these fields.
    link, leg, legs, partial, terms: of a linked leg, see inputs.Links. about: the payment that is returned,
    cancelled (quoted: it may be quoted wrongly) or given another priority; the cancellation that is answered.
    """

    id: int
    debtor: str
    creditor: str
    amount: int
    asset: str = "HKD"
    decimals: int = 2
    value_date: int = DAY
    window: int = 0
    expires_at_ms: int = 0
    body: int = 0
    topic: str | None = None
    offset: int | None = None
    item: int = -1
    reject: int = 0
    kind: int = Kind.PAYMENT
    priority: int = 0
    link: int = 0
    leg: int = 0
    legs: int = 0
    partial: bool = False
    terms: int = 0
    about: "Row | None" = None
    decision: int = 0

    @property
    def content(self) -> int:
        """Intake's hash of the body: of everything but the id and where it came from."""
        return _content(replace(self, id=0, topic=None, offset=None, item=-1, reject=0))

    def cancel(self, id_: int, **changes: Any) -> "Row":
        """The sender takes it back."""
        return replace(self, **_ABOUT, id=id_, kind=Kind.CANCEL, about=self, **changes)

    def prioritise(self, id_: int, priority: int, **changes: Any) -> "Row":
        bare = {"creditor": "", "asset": "", "amount": 0, "decimals": 0}
        fields = _ABOUT | bare | {"kind": Kind.PRIORITY, "priority": priority} | changes
        return replace(self, **fields, id=id_, about=self)

    def answer(self, id_: int, decision: int = Decision.AGREED, **changes: Any) -> "Row":
        """Of the creditor of the payment that this row cancels."""
        bare = {"debtor": self.creditor, "creditor": self.debtor, "asset": "", "amount": 0}
        fields = _ABOUT | bare | {"decimals": 0, "kind": Kind.ANSWER, "decision": decision}
        return replace(self, **(fields | changes), id=id_, about=self)

    def give_back(self, id_: int, amount: int, **changes: Any) -> "Row":
        """R5: a return of some of it."""
        turned = {"debtor": self.creditor, "creditor": self.debtor, "value_date": self.value_date}
        fields = _ABOUT | turned | {"kind": Kind.RETURN, "amount": amount} | changes
        return replace(self, **fields, id=id_, about=self)


# Of a row made from the one it is about: nothing of that one's own.
_ABOUT: dict[str, Any] = {
    "window": 0,
    "expires_at_ms": 0,
    "body": 0,
    "topic": None,
    "offset": None,
    "reject": 0,
    "priority": 0,
    "link": 0,
    "leg": 0,
    "legs": 0,
    "partial": False,
    "terms": 0,
    "decision": 0,
}


@lru_cache(100_000)
def _content(row: Row) -> int:
    return int(_columns((replace(row, offset=0),), [0]).body_hash[0])


def linked(*rows: Row, link: int, partial: bool = False) -> list[Row]:
    """The rows as the legs of one link."""
    terms = sum(row.content << 64 * (i % 2) for i, row in enumerate(rows)) % 2**128
    common = {"link": link, "legs": len(rows), "partial": partial, "terms": terms}
    return [replace(row, leg=leg, **common) for leg, row in enumerate(rows)]


@dataclass
class Log:
    """Builds log records in order, keeping source offsets. `sources`: the next offset of each topic."""

    netting_set: str = "hk"
    time_ms: int = NOON_MS
    offset: int = 0
    sources: dict[str, int] = field(default_factory=dict[str, int])

    def topic(self, row: Row) -> str:
        return row.topic or f"payments.{self.netting_set}.{row.debtor}"

    def payments(self, *rows: Row, spans: dict[str, tuple[int, int]] | None = None) -> LogRecord:
        """One record. A topic's span reaches from its first row's offset to its last's, or is given in `spans`."""
        rows = tuple(self._placed(row) for row in rows)
        found: dict[str, tuple[int, int]] = {}
        for row in rows:
            at, topic = row.offset or 0, self.topic(row)
            start, end = found.get(topic, (at, at + 1))
            found[topic] = (min(start, at), max(end, at + 1))
        found |= spans or {}
        sources = [SourceSpan(topic, 0, start, end) for topic, (start, end) in found.items()]
        columns = _columns(rows, [list(found).index(self.topic(row)) for row in rows])
        return self._next(LogRecord(self.offset, self.time_ms, sources, payments=columns))

    def control(
        self, *messages: ControlMessage, start: int | None = None, topic: str = "commands"
    ) -> LogRecord:
        """One record. start: offset of the first message, where it is not the topic's next."""
        start = self.sources.get(topic, 0) if start is None else start
        end = start + len(messages)
        self.sources[topic] = max(end, self.sources.get(topic, 0))
        items = [ControlItem(source=0, offset=start + i, message=m) for i, m in enumerate(messages)]
        return self._next(
            LogRecord(self.offset, self.time_ms, [SourceSpan(topic, 0, start, end)], control=items)
        )

    def tick(self, time_ms: int) -> LogRecord:
        self.time_ms = time_ms
        return self._next(LogRecord(self.offset, time_ms, []))

    def _placed(self, row: Row) -> Row:
        topic = self.topic(row)
        if row.offset is None:
            row = replace(row, offset=self.sources.get(topic, 0))
        assert row.offset is not None
        self.sources[topic] = max(row.offset + 1, self.sources.get(topic, 0))
        return row

    def _next(self, record: LogRecord) -> LogRecord:
        self.offset += 1
        return record


def _columns(rows: tuple[Row, ...], sources: list[int]) -> PaymentRows:
    names = sorted({row.debtor for row in rows} | {row.creditor for row in rows})
    assets = sorted({row.asset for row in rows})
    name_at = {name: i for i, name in enumerate(names)}
    asset_at = {name: i for i, name in enumerate(assets)}
    texts = [f"e{row.body}" for row in rows]
    columns = PaymentRows(
        participants=names,
        assets=assets,
        id=_words([row.id for row in rows]),
        debtor=np.array([name_at[row.debtor] for row in rows], np.int32),
        creditor=np.array([name_at[row.creditor] for row in rows], np.int32),
        asset=np.array([asset_at[row.asset] for row in rows], np.int32),
        amount=np.array([row.amount for row in rows], np.int64),
        decimals=np.array([row.decimals for row in rows], np.uint8),
        value_date=np.array([row.value_date for row in rows], np.int32),
        priority=np.array([row.priority for row in rows], np.uint8),
        kind=np.array([row.kind for row in rows], np.uint8),
        expires_at_ms=np.array([row.expires_at_ms for row in rows], np.int64),
        window=np.array([row.window for row in rows], np.int32),
        body_hash=np.zeros(len(rows), np.uint64),
        source=np.array(sources, np.int32),
        source_offset=np.array([row.offset for row in rows], np.int64),
        item=np.array([row.item for row in rows], np.int32),
        reject=np.array([row.reject for row in rows], np.uint8),
        rejects={
            i: Reject(code=row.reject, hash="00", detail="test", item=row.item)
            for i, row in enumerate(rows)
            if row.reject
        },
        links=_links(rows) if any(row.legs for row in rows) else None,
        references=_references(rows) if any(row.about for row in rows) else None,
        texts=lambda row: (texts[row], ""),
    )
    columns.body_hash = body_hashes(_batch(columns))
    return columns


def _words(ids: list[int]) -> U64:
    """(n, 2) little-endian words of 128-bit numbers."""
    words = [[id_ & (2**64 - 1), id_ >> 64] for id_ in ids]
    return np.array(words, np.uint64).reshape(-1, 2)


def _links(rows: tuple[Row, ...]) -> Links:
    return Links(
        link=_words([row.link for row in rows]),
        terms=_words([row.terms for row in rows]),
        leg=np.array([row.leg for row in rows], np.uint8),
        legs=np.array([row.legs for row in rows], np.uint8),
        partial=np.array([row.partial for row in rows], np.uint8),
    )


def _references(rows: tuple[Row, ...]) -> References:
    quoted = [row.about if row.kind in (Kind.RETURN, Kind.CANCEL) else None for row in rows]
    return References(
        id=_words([row.about.id if row.about else 0 for row in rows]),
        body_hash=np.array([about.content if about else 0 for about in quoted], np.uint64),
        amount=np.array([about.amount if about else 0 for about in quoted], np.int64),
        decimals=np.array([about.decimals if about else 0 for about in quoted], np.uint8),
        decision=np.array([row.decision for row in rows], np.uint8),
    )


def _batch(rows: PaymentRows) -> RowBatch:
    """The rows as intake has them before it packs them."""
    names, assets = np.array(rows.participants, object), np.array(rows.assets, object)
    return RowBatch(
        id=np.ascontiguousarray(rows.id).view(np.uint8).reshape(-1, 16),
        debtor=names[rows.debtor].tolist(),
        creditor=names[rows.creditor].tolist(),
        asset=assets[rows.asset].tolist(),
        amount=rows.amount,
        decimals=rows.decimals,
        value_date=rows.value_date,
        priority=rows.priority,
        kind=rows.kind,
        end_to_end_id=[rows.texts(row)[0] for row in range(len(rows))],
        chain_reference=None,
        expires_at_ms=rows.expires_at_ms,
        window=rows.window,
        source=rows.source,
        source_offset=rows.source_offset,
        item=rows.item,
        reject=rows.reject,
        rejects=rows.rejects,
        links=rows.links,
        references=rows.references,
    )


def packed(record: LogRecord) -> tuple[bytes, bytes]:
    """Key and value of the Kafka record that intake would have written."""
    rows = record.payments
    if rows is None:
        return control.KEY, control.pack(record.control, record.sources)
    return payments.KEY, payments.pack(_batch(rows), record.sources)


def hkd(**changes: Any) -> AssetSpec:
    fields = {"id": "HKD", "code": "HKD", "issuer": "HKMA", "ledger": "postgres", "scale": 2}
    return AssetSpec(**(fields | changes))


def opening(
    banks: tuple[str, ...] = BANKS,
    assets: tuple[AssetSpec, ...] = (hkd(),),
    cap: str = "100",
    held: str = "0",
) -> list[ControlMessage]:
    """Commands that register assets and banks and open every account."""
    commands: list[ControlMessage] = [
        *(RegisterAsset(id=f"a-{spec.id}", by="op", asset=spec) for spec in assets),
        *(RegisterParticipant(id=f"p-{bank}", by="op", participant=bank) for bank in banks),
    ]
    commands += [
        OpenAccount(
            id=f"acc-{bank}-{spec.id}",
            by="op",
            participant=bank,
            asset=spec.id,
            prefunded=held,
            net_debit_cap=cap,
        )
        for bank in banks
        for spec in assets
    ]
    return commands


class Account(NamedTuple):
    """Standing of an account in minor units."""

    prefunded: int
    cap: int
    position: int
    headroom: int


class Bench:
    """A netting set and its log, fed from tests: every call is one log record applied."""

    def __init__(self, *commands: ControlMessage, seed: int = 0, **options: Any) -> None:
        self.log = Log()
        self.state = NettingSet(self.log.netting_set, seed)
        self.opened = self.control(*(commands or opening(**options)))

    def apply(self, record: LogRecord) -> Outputs:
        return step(self.state, record)

    def pay(self, *rows: Row, spans: dict[str, tuple[int, int]] | None = None) -> list[Code]:
        """Outcomes of one record of payments."""
        out = self.apply(self.log.payments(*rows, spans=spans))
        assert out.outcomes is not None
        return [Code(code) for code in out.outcomes.codes.tolist()]

    def control(self, *messages: ControlMessage) -> Outputs:
        return self.apply(self.log.control(*messages))

    def tick(self, time_ms: int) -> Outputs:
        return self.apply(self.log.tick(time_ms))

    def answer(self, batch: SettlementBatch, /, status: str = "POSTED", **changes: Any) -> Outputs:
        fields: dict[str, Any] = {
            "ledger": batch.ledger,
            "batch": batch.id,
            "hash": batch.hash,
            "status": status,
        }
        message = Confirmation(**(fields | changes))
        return self.apply(self.log.control(message, topic="confirmations"))

    def account(self, participant: str, asset: str = "HKD") -> Account:
        account, columns = self.state.flat(participant, asset), self.state.accounts
        assert account is not None
        held, cap, position = (
            int(column.reshape(-1)[account])
            for column in (columns.prefunded, columns.cap, columns.position)
        )
        headroom = int(columns.headroom(np.array([account]))[0])
        return Account(held, cap, position, headroom)


def batches(out: Outputs) -> list[SettlementBatch]:
    return [item for item in out.settlements if isinstance(item, SettlementBatch)]
