"""Log records and outcomes made by hand, and what they mean told one by one: the plain reading of the rules."""

import uuid
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Literal

import numpy as np
from msgspec.structs import replace

from clearing.core.inputs import Decision, Kind, Links, References, Reject, SourceSpan
from clearing.core.money import show
from clearing.core.outputs import LinkedLeg, Outcomes
from clearing.core.reasons import REASONS, Code
from clearing.log import payments
from clearing.log.rows import RowBatch
from clearing.messages import (
    CancellationAnswer,
    CancellationRequest,
    PaymentStatus,
    Receipt,
    StatusRecord,
)
from clearing.names import owner_of

NOTHING = uuid.UUID(int=0)


@dataclass
class Row:
    """One row and what became of it. reference, reason, decision: of rows about another one; link: of payments.

    value_date: that of LogPiece's time if left alone.
    """

    id: uuid.UUID
    debtor: str = "ALPHA"
    creditor: str = "BRAVO"
    asset: str = "HKD"
    amount: int = 100
    decimals: int = 2
    end_to_end_id: str = "E2E"
    chain_reference: str = ""
    value_date: int = 19_675
    priority: int = 0
    expires_at_ms: int = 0
    window_asked: int = 0
    link: LinkedLeg | None = None
    source: int = 0
    source_offset: int = 0
    item: int = -1
    kind: Kind = Kind.PAYMENT
    reference: uuid.UUID = NOTHING
    reason: str = ""
    decision: Decision = Decision.NONE
    code: int = Code.ACCEPTED
    repeat: bool = False
    reject: Reject | None = None


@dataclass
class LogPiece:
    """A payments record of the log with the outcomes of its rows."""

    rows: list[Row]
    sources: list[SourceSpan] = field(
        default_factory=lambda: [SourceSpan("payments.hk.ALPHA", 0, 0, 9)]
    )
    windows: dict[str, int] = field(default_factory=lambda: {"HKD": 3})
    log_offset: int = 7
    time_ms: int = 1_700_000_000_000

    def value(self) -> bytes:
        """The log record's bytes."""
        rows = self.rows
        n = len(rows)
        read = [row.reject is None for row in rows]

        def numbers(name: str, dtype: type[np.generic]) -> np.ndarray:
            return np.array([getattr(row, name) for row in rows], dtype)

        def texts(name: str) -> list[str]:
            return [getattr(row, name) if ok else "" for row, ok in zip(rows, read, strict=True)]

        return payments.pack(
            RowBatch(
                id=np.frombuffer(b"".join(row.id.bytes for row in rows), np.uint8).reshape(n, 16),
                debtor=texts("debtor"),
                creditor=texts("creditor"),
                asset=texts("asset"),
                amount=numbers("amount", np.int64),
                decimals=numbers("decimals", np.uint8),
                value_date=numbers("value_date", np.int32),
                priority=numbers("priority", np.uint8),
                kind=numbers("kind", np.uint8),
                end_to_end_id=texts("end_to_end_id"),
                chain_reference=texts("chain_reference")
                if any(row.chain_reference for row in rows)
                else None,
                expires_at_ms=numbers("expires_at_ms", np.int64),
                window=numbers("window_asked", np.int32),
                source=numbers("source", np.int32),
                source_offset=numbers("source_offset", np.int64),
                item=numbers("item", np.int32),
                reject=np.array([row.reject.code if row.reject else 0 for row in rows], np.uint8),
                rejects={i: row.reject for i, row in enumerate(rows) if row.reject},
                references=References(
                    id=np.frombuffer(b"".join(row.reference.bytes for row in rows), "<u8").reshape(
                        n, 2
                    ),
                    body_hash=np.zeros(n, np.uint64),
                    amount=np.zeros(n, np.int64),
                    decimals=np.zeros(n, np.uint8),
                    decision=numbers("decision", np.uint8),
                ),
                reason=texts("reason"),
                links=_links(rows),
            ),
            self.sources,
        )

    def outcomes(self) -> Outcomes:
        return Outcomes(
            self.log_offset,
            self.time_ms,
            np.array([row.code for row in self.rows], np.uint8),
            np.array([row.repeat for row in self.rows], np.bool_),
            self.windows,
        )

    def told(self, netting_set: str = "hk") -> dict[str, StatusRecord]:
        """By participant what it is to be told: row by row, by the text of the rules."""
        told: dict[str, StatusRecord] = {}

        def of(name: str) -> StatusRecord:
            return told.setdefault(
                name,
                StatusRecord(
                    netting_set=netting_set,
                    log_offset=self.log_offset,
                    index=0,
                    time_ms=self.time_ms,
                    statuses=[],
                    receipts=[],
                    requests=[],
                    answers=[],
                ),
            )

        for row in self.rows:
            if row.code == Code.ALREADY_READ:
                continue
            source = self.sources[row.source]
            of(owner_of(source.topic)).statuses.append(_status(row, source, self.windows))
            if row.repeat or row.reject is not None:
                continue
            if row.code == Code.ACCEPTED and row.kind <= Kind.RETURN:
                of(row.creditor).receipts.append(_receipt(row, self.windows, self.time_ms))
            if row.code == Code.REQUESTED and row.kind == Kind.CANCEL:
                of(row.creditor).requests.append(_request(row))
            if row.code == Code.DONE and row.kind == Kind.ANSWER:
                of(row.creditor).answers.append(_answer(row))
        return told


def _links(rows: list[Row]) -> Links:
    none = LinkedLeg(id=str(NOTHING), terms="00" * 16, leg=0, legs=0)
    of = [row.link or none for row in rows]

    def words(texts: list[str]) -> np.ndarray:
        data = b"".join(bytes.fromhex(text.replace("-", "")) for text in texts)
        return np.frombuffer(data, "<u8").reshape(len(rows), 2)

    return Links(
        link=words([link.id for link in of]),
        terms=words([link.terms for link in of]),
        leg=np.array([link.leg for link in of], np.uint8),
        legs=np.array([link.legs for link in of], np.uint8),
        partial=np.array([link.partial for link in of], np.uint8),
    )


WAITS = "it waits for liquidity or for the other legs of its link"
WORDS = {
    Code.QUEUED: WAITS,
    Code.DONE: "carried out",
    Code.REQUESTED: "accepted before: the creditor is asked to give it back",
}
STATUSES: dict[Code, Literal["ACSP", "PDNG", "CNCL", "PDCR", "CANC"]] = {
    Code.ACCEPTED: "ACSP",
    Code.QUEUED: "PDNG",
    Code.DONE: "CNCL",
    Code.REQUESTED: "PDCR",
    Code.CANCELLED: "CANC",
}
INSTRUCTIONS: dict[Kind, Literal["cancel", "priority", "answer"]] = {
    Kind.CANCEL: "cancel",
    Kind.PRIORITY: "priority",
    Kind.ANSWER: "answer",
}


def _status(row: Row, source: SourceSpan, windows: dict[str, int]) -> PaymentStatus:
    place = (source.topic, source.partition, row.source_offset, row.item)
    code = Code(row.code)
    iso, text = REASONS.get(code, ("", WORDS.get(code, "")))
    if row.reject is not None:
        text = f"{text}: {row.reject.detail}" if row.reject.detail else text
        return PaymentStatus(id=row.reject.id, status="RJCT", reason=iso, text=text, source=place)
    said = PaymentStatus(
        id=str(row.id),
        status=STATUSES.get(code, "RJCT"),
        end_to_end_id=row.end_to_end_id,
        reason=iso,
        text=text,
        repeat=row.repeat,
        source=place,
    )
    if row.kind in INSTRUCTIONS:
        return replace(said, instruction=INSTRUCTIONS[row.kind], reference=str(row.reference))
    accepted = row.code == Code.ACCEPTED and not row.repeat
    return replace(
        said,
        asset=row.asset,
        amount=show(row.amount, row.decimals),
        creditor=row.creditor,
        window=windows.get(row.asset, 0) if accepted else 0,
        return_of=str(row.reference) if row.kind == Kind.RETURN else "",
    )


def _request(row: Row) -> CancellationRequest:
    return CancellationRequest(
        id=str(row.id),
        original=str(row.reference),
        debtor=row.debtor,
        asset=row.asset,
        amount=show(row.amount, row.decimals),
        end_to_end_id=row.end_to_end_id,
        reason=row.reason,
    )


def _answer(row: Row) -> CancellationAnswer:
    decision = "AGREED" if row.decision == Decision.AGREED else "DECLINED"
    return CancellationAnswer(
        request=str(row.reference), decision=decision, reason=row.reason, creditor=row.debtor
    )


def _receipt(row: Row, windows: dict[str, int], time_ms: int) -> Receipt:
    told = datetime.fromtimestamp(time_ms // 1000, UTC).date()
    value_date = date(1970, 1, 1) + timedelta(row.value_date)
    return Receipt(
        id=str(row.id),
        debtor=row.debtor,
        asset=row.asset,
        amount=show(row.amount, row.decimals),
        end_to_end_id=row.end_to_end_id,
        window=windows.get(row.asset, 0),
        return_of=str(row.reference) if row.kind == Kind.RETURN else "",
        reason=row.reason if row.kind == Kind.RETURN else "",
        chain_reference=row.chain_reference,
        value_date="" if value_date == told else value_date.isoformat(),
        priority=("NORM", "HIGH", "URGT")[row.priority],
        expires_at_ms=row.expires_at_ms,
        window_asked=row.window_asked,
        link=row.link,
    )
