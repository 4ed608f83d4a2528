"""Rows about another payment, told one by one: returns (R5), cancellations, priorities and answers (R12, R23).

They are few. Values of a log record's columns and outcomes in, messages out; clearing.dispatch.statuses puts them
in their places among the rows that are told by column.
"""

import uuid
from collections.abc import Iterator
from typing import Literal, NamedTuple, cast

import numpy as np

from clearing.core.inputs import Decision, Kind
from clearing.core.money import show
from clearing.core.outputs import Outcomes
from clearing.core.reasons import FIRST_REFUSAL, FIRST_REJECT, Code
from clearing.dispatch.terms import Terms, terms
from clearing.dispatch.wording import wording
from clearing.log.payments import OpenedBatch
from clearing.messages import CancellationAnswer, CancellationRequest, PaymentStatus, Receipt


class Referring(NamedTuple):
    """Row `row` of a log record, about the payment (of an ANSWER: the cancellation) `reference`."""

    row: int
    kind: Kind
    id: str
    reference: str
    debtor: str
    creditor: str
    asset: str
    amount: str
    end_to_end_id: str
    chain_reference: str
    reason: str
    decision: Decision
    source: tuple[str, int, int, int]
    code: int
    repeat: bool
    window: int  # 0: none is told
    terms: Terms

    def status(self) -> PaymentStatus:
        """To its sender. An instruction says what it is about, and no amount: it moves nothing."""
        status, reason, text = wording(self.code)
        if self.kind > Kind.RETURN:
            return PaymentStatus(
                id=self.id,
                status=status,
                instruction=cast(Literal["cancel", "priority", "answer"], self.kind.name.lower()),
                reference=self.reference,
                end_to_end_id=self.end_to_end_id,
                reason=reason,
                text=text,
                repeat=self.repeat,
                source=self.source,
            )
        return PaymentStatus(
            id=self.id,
            status=status,
            end_to_end_id=self.end_to_end_id,
            asset=self.asset,
            amount=self.amount,
            creditor=self.creditor,
            window=self.window,
            return_of=self.reference,
            reason=reason,
            text=text,
            repeat=self.repeat,
            source=self.source,
        )

    def receipt(self) -> Receipt | None:
        """To the creditor of a return that was accepted."""
        if self.kind != Kind.RETURN or self.code != Code.ACCEPTED or self.repeat:
            return None
        return Receipt(
            id=self.id,
            debtor=self.debtor,
            asset=self.asset,
            amount=self.amount,
            end_to_end_id=self.end_to_end_id,
            window=self.window,
            return_of=self.reference,
            reason=self.reason,
            chain_reference=self.chain_reference,
            **self.terms,
        )

    def request(self) -> CancellationRequest | None:
        """To the creditor of an accepted payment whose sender wants it back."""
        if self.kind != Kind.CANCEL or self.code != Code.REQUESTED or self.repeat:
            return None
        return CancellationRequest(
            id=self.id,
            original=self.reference,
            debtor=self.debtor,
            asset=self.asset,
            amount=self.amount,
            end_to_end_id=self.end_to_end_id,
            reason=self.reason,
        )

    def answer(self) -> CancellationAnswer | None:
        """To who asked for a payment back, which is the answer's creditor."""
        if self.kind != Kind.ANSWER or self.code != Code.DONE or self.repeat:
            return None
        return CancellationAnswer(
            request=self.reference,
            decision="AGREED" if self.decision == Decision.AGREED else "DECLINED",
            reason=self.reason,
            creditor=self.debtor,
        )


def referring(opened: OpenedBatch, outcomes: Outcomes) -> list[Referring]:
    """The rows of a log record that are about another payment and are told to somebody, in log order."""
    if not opened.has("kind"):
        return []
    rows = np.flatnonzero(opened.numbers("kind") >= Kind.RETURN)
    codes = outcomes.codes[rows]
    unread = (codes >= FIRST_REJECT) & (codes < FIRST_REFUSAL)
    rows = rows[(codes != Code.ALREADY_READ) & ~unread]
    return list(_rows(opened, outcomes, rows.tolist())) if len(rows) else []


def _rows(opened: OpenedBatch, outcomes: Outcomes, rows: list[int]) -> Iterator[Referring]:
    few = opened.take(rows)
    ids, references = (_ids(few, name) for name in ("id", "reference"))
    kinds, decisions = few.numbers("kind").tolist(), few.numbers("decision").tolist()
    amounts = map(show, few.numbers("amount").tolist(), few.numbers("decimals").tolist())
    shown = list(amounts)
    debtors, creditors, assets = (_names(few, name) for name in ("debtor", "creditor", "asset"))
    end_to_end_ids, chain_references, reasons = (
        few.texts(name) for name in ("end_to_end_id", "chain_reference", "reason")
    )
    sources = few.numbers("source").tolist()
    dates, priorities = few.numbers("value_date").tolist(), few.numbers("priority").tolist()
    expiries, windows = few.numbers("expires_at_ms").tolist(), few.numbers("window").tolist()
    sent = list(zip(dates, priorities, expiries, windows, strict=True))
    offsets, items = few.numbers("source_offset").tolist(), few.numbers("item").tolist()
    for i, row in enumerate(rows):
        code, repeat = int(outcomes.codes[row]), bool(outcomes.repeat[row])
        source = few.sources[sources[i]]
        accepted = code == Code.ACCEPTED and not repeat
        yield Referring(
            row=row,
            kind=Kind(kinds[i]),
            id=ids[i],
            reference=references[i],
            debtor=debtors[i],
            creditor=creditors[i],
            asset=assets[i],
            amount=shown[i],
            end_to_end_id=end_to_end_ids[i],
            chain_reference=chain_references[i],
            reason=reasons[i],
            decision=Decision(decisions[i]),
            source=(source.topic, source.partition, offsets[i], items[i]),
            code=code,
            repeat=repeat,
            window=outcomes.windows.get(assets[i], 0) if accepted else 0,
            terms=terms(*sent[i], outcomes.time_ms),
        )


def _names(opened: OpenedBatch, column: str) -> list[str]:
    """A dictionary column, row by row."""
    names, index = opened.names(column)
    return [names[i] for i in index.tolist()]


def _ids(opened: OpenedBatch, column: str) -> list[str]:
    """A column of ids, row by row."""
    words = opened.ids(column).tobytes()
    return [str(uuid.UUID(bytes=words[i : i + 16])) for i in range(0, len(words), 16)]
