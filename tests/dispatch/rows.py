"""Log records and outcomes made by hand, and what they mean told one by one: the plain reading of the rules."""

import uuid
from dataclasses import dataclass, field

import numpy as np

from clearing.core.inputs import Reject, SourceSpan
from clearing.core.money import show
from clearing.core.outputs import Outcomes
from clearing.core.reasons import REASONS, Code, status_of
from clearing.log import payments
from clearing.messages import PaymentStatus, Receipt, StatusRecord
from clearing.names import owner_of


@dataclass
class Row:
    """One payment row and what became of it."""

    id: uuid.UUID
    debtor: str = "ALPHA"
    creditor: str = "BRAVO"
    asset: str = "HKD"
    amount: int = 100
    decimals: int = 2
    end_to_end_id: str = "E2E"
    chain_reference: str = ""
    source: int = 0
    source_offset: int = 0
    item: int = -1
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
            payments.RowBatch(
                id=np.frombuffer(b"".join(row.id.bytes for row in rows), np.uint8).reshape(n, 16),
                debtor=texts("debtor"),
                creditor=texts("creditor"),
                asset=texts("asset"),
                amount=numbers("amount", np.int64),
                decimals=numbers("decimals", np.uint8),
                value_date=np.full(n, 20_000, np.int32),
                priority=np.zeros(n, np.uint8),
                kind=np.full(n, payments.PAYMENT, np.uint8),
                end_to_end_id=texts("end_to_end_id"),
                chain_reference=texts("chain_reference")
                if any(row.chain_reference for row in rows)
                else None,
                expires_at_ms=np.zeros(n, np.int64),
                window=np.zeros(n, np.int32),
                source=numbers("source", np.int32),
                source_offset=numbers("source_offset", np.int64),
                item=numbers("item", np.int32),
                reject=np.array([row.reject.code if row.reject else 0 for row in rows], np.uint8),
                rejects={i: row.reject for i, row in enumerate(rows) if row.reject},
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
        statuses: dict[str, list[PaymentStatus]] = {}
        receipts: dict[str, list[Receipt]] = {}
        for row in self.rows:
            if row.code == Code.ALREADY_READ:
                continue
            source = self.sources[row.source]
            sender = statuses.setdefault(owner_of(source.topic), [])
            sender.append(_status(row, source, self.windows))
            if row.code == Code.ACCEPTED and not row.repeat:
                receipts.setdefault(row.creditor, []).append(_receipt(row, self.windows))
        return {
            name: StatusRecord(
                netting_set=netting_set,
                log_offset=self.log_offset,
                index=0,
                time_ms=self.time_ms,
                statuses=statuses.get(name, []),
                receipts=receipts.get(name, []),
            )
            for name in {**statuses, **receipts}
        }


def _status(row: Row, source: SourceSpan, windows: dict[str, int]) -> PaymentStatus:
    place = (source.topic, source.partition, row.source_offset, row.item)
    reason = REASONS[Code(row.code)] if row.code >= Code.EMPTY else None
    if row.reject is not None:
        assert reason is not None
        text = f"{reason.text}: {row.reject.detail}" if row.reject.detail else reason.text
        return PaymentStatus(
            id=row.reject.id, status="RJCT", reason=reason.iso, text=text, source=place
        )
    accepted = row.code == Code.ACCEPTED and not row.repeat
    status = str(status_of(row.code))
    assert status in ("ACSP", "PDNG", "RJCT")
    return PaymentStatus(
        id=str(row.id),
        status=status,
        end_to_end_id=row.end_to_end_id,
        asset=row.asset,
        amount=show(row.amount, row.decimals),
        creditor=row.creditor,
        window=windows.get(row.asset, 0) if accepted else 0,
        reason=reason.iso if reason else "",
        text=reason.text if reason else "",
        repeat=row.repeat,
        source=place,
    )


def _receipt(row: Row, windows: dict[str, int]) -> Receipt:
    return Receipt(
        id=str(row.id),
        debtor=row.debtor,
        asset=row.asset,
        amount=show(row.amount, row.decimals),
        end_to_end_id=row.end_to_end_id,
        window=windows.get(row.asset, 0),
        chain_reference=row.chain_reference,
    )
