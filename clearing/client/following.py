"""From the records of a status topic to the status of each payment: repeats dropped, finality spread. Pure.

The engine says once per bank, asset and window that all of it is final (ops/adr/0002). Here that one record
becomes an ACSC for each of the window's payments, which were remembered when they were accepted.
"""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Literal

import msgspec

from clearing.core.outputs import LinkedLeg
from clearing.core.reasons import REASONS, Code
from clearing.messages import (
    CancellationAnswer,
    CancellationRequest,
    FinalRecord,
    PaymentStatus,
    Receipt,
    StatusMessage,
    StatusRecord,
    Withdrawal,
)

Window = tuple[str, str, int]  # netting set, asset, number

_TAKEN_BACK = REASONS[Code.RECAST].iso

decode_status = msgspec.json.Decoder(StatusMessage).decode


class Status(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one payment, as its sender or, `incoming`, its receiver is told; or of an instruction sent.

    status (R41): ACSP accepted and irrevocable, ACSC settled and final, PDNG queued, RJCT refused or ended, CANC
    cancelled; an incoming payment begins with ACSP. RJCT with XREC takes an ACSP back: a party could not pay.
    Of an instruction (cancel, priority, answer) about `reference`: CNCL carried out, PDCR the creditor is asked.
    amount: decimal string; of a part where `remaining` still waits, and each part has its own ACSP and ACSC.
    counterparty: the other bank, "" if the payment could not be read. return_of: the payment it gives back.
    repeat: the answer to an id sent before, nothing has happened (R28). source: topic, partition, offset, index
    in a bulk (-1: none) of the record the sender wrote. offset: of the status topic.
    Of a payment received, as its sender wrote it, for a return (R5): value_date, priority, expires_at_ms and
    window_asked (0: none), its link, and amount_sent where `amount` is a part of it.
    """

    id: str
    status: Literal["ACSP", "ACSC", "PDNG", "RJCT", "CANC", "CNCL", "PDCR"]
    incoming: bool
    counterparty: str
    asset: str
    amount: str
    end_to_end_id: str
    window: int
    remaining: str = ""
    return_of: str = ""
    instruction: Literal["", "cancel", "priority", "answer"] = ""
    reference: str = ""
    reason: str = ""
    text: str = ""
    repeat: bool = False
    chain_reference: str = ""
    value_date: str = ""
    priority: Literal["NORM", "HIGH", "URGT"] = "NORM"
    expires_at_ms: int = 0
    window_asked: int = 0
    amount_sent: str = ""
    link: LinkedLeg | None = None
    source: tuple[str, int, int, int] | None = None
    netting_set: str
    log_offset: int
    time_ms: int
    offset: int


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """The sender of `original`, which was accepted, asks for it back (R23). Answer it: message type `answer`.

    id: of the cancellation, which the answer names. amount, end_to_end_id: of the original. The rest: as in Status.
    """

    id: str
    original: str
    counterparty: str
    asset: str
    amount: str
    end_to_end_id: str
    reason: str
    netting_set: str
    log_offset: int
    time_ms: int
    offset: int


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """What the other bank answers to `request`, a cancellation sent here: AGREED is followed by a return (R5)."""

    request: str
    decision: Literal["AGREED", "DECLINED"]
    counterparty: str
    reason: str
    netting_set: str
    log_offset: int
    time_ms: int
    offset: int


Told = Status | Request | Answer


class Follower:
    """Takes the records of one status topic in order.

    remember: how many accepted payments of windows that are not final it keeps at most; 0: none, and no ACSC.
    """

    def __init__(self, remember: int) -> None:
        self._incomplete: list[Window] = []
        self._remember = remember
        self._remembered = 0
        self._open: dict[Window, list[Status]] = {}
        self._last: dict[str, tuple[int, int]] = {}  # (log_offset, index) by netting set

    def take(self, value: bytes, offset: int) -> Iterator[Told]:
        """What one record brings. Raises msgspec.DecodeError on foreign bytes, BufferError over `remember`."""
        message = decode_status(value)
        place = (message.log_offset, message.index)
        if place <= self._last.get(message.netting_set, (-1, -1)):
            return
        self._last[message.netting_set] = place
        if isinstance(message, StatusRecord):
            statuses = list(_statuses(message, offset))
            self._forget(statuses)
            for status in statuses:
                yield self._accepted(status)
            for request in message.requests:
                yield _request(message, request, offset)
            for answer in message.answers:
                yield _answer(message, answer, offset)
        elif message.status == "ACSC":
            yield from self._final(message, offset)
        # else: the ledger refused the batch. That changes no payment's status: all stay ACSP, irrevocable and
        # not settled, until the window is settled again.

    def take_incomplete(self) -> list[Window]:
        """Windows that became final with payments accepted before the first record taken: those get no ACSC."""
        incomplete, self._incomplete = self._incomplete, []
        return incomplete

    def _accepted(self, status: Status) -> Status:
        if status.status == "ACSP" and not status.repeat and self._remember:
            if self._remembered >= self._remember:
                raise BufferError(
                    f"more than {self._remember} accepted payments wait for their windows to become final: "
                    "raise `remember`, or set it to 0 and follow the windows"
                )
            self._remembered += 1
            self._open.setdefault(_window(status), []).append(status)
        return status

    def _forget(self, statuses: list[Status]) -> None:
        """Those that are taken back out of the window they were accepted in (R25); 0: whichever that was."""
        gone = {_key(s): s.window for s in statuses if s.reason == _TAKEN_BACK}
        if not gone:
            return
        assets = {key[:2] for key in gone}
        for window in [window for window in self._open if window[:2] in assets]:
            before = self._open.pop(window)
            kept = [s for s in before if gone.get(_key(s), -1) not in (0, s.window)]
            self._remembered -= len(before) - len(kept)
            if kept:
                self._open[window] = kept

    def _final(self, message: FinalRecord, offset: int) -> Iterator[Status]:
        window = (message.netting_set, message.asset, message.window)
        accepted = self._open.pop(window, [])
        self._remembered -= len(accepted)
        if self._remember and len(accepted) != message.sent + message.received:
            self._incomplete.append(window)
        for status in accepted:
            yield msgspec.structs.replace(
                status,
                status="ACSC",
                log_offset=message.log_offset,
                time_ms=message.time_ms,
                offset=offset,
            )


def _window(status: Status) -> Window:
    return status.netting_set, status.asset, status.window


def _key(status: Status) -> tuple[str, str, str, bool]:
    return status.netting_set, status.asset, status.id, status.incoming


def _statuses(record: StatusRecord, offset: int) -> Iterator[Status]:
    for status in record.statuses:
        yield _sent(record, status, offset)
    today = datetime.fromtimestamp(record.time_ms // 1000, UTC).date().isoformat()
    for receipt in record.receipts:
        yield _received(record, receipt, offset, today)
    for withdrawal in record.withdrawn:
        yield _withdrawn(record, withdrawal, offset)


def _sent(record: StatusRecord, status: PaymentStatus, offset: int) -> Status:
    return Status(
        id=status.id,
        status=status.status,
        incoming=False,
        counterparty=status.creditor,
        asset=status.asset,
        amount=status.amount,
        end_to_end_id=status.end_to_end_id,
        window=status.window,
        remaining=status.remaining,
        return_of=status.return_of,
        instruction=status.instruction,
        reference=status.reference,
        reason=status.reason,
        text=status.text,
        repeat=status.repeat,
        source=status.source,
        netting_set=record.netting_set,
        log_offset=record.log_offset,
        time_ms=record.time_ms,
        offset=offset,
    )


def _received(record: StatusRecord, receipt: Receipt, offset: int, today: str) -> Status:
    """today: the value date where the receipt has none of its own."""
    return Status(
        id=receipt.id,
        status="ACSP",
        incoming=True,
        counterparty=receipt.debtor,
        asset=receipt.asset,
        amount=receipt.amount,
        end_to_end_id=receipt.end_to_end_id,
        window=receipt.window,
        remaining=receipt.remaining,
        return_of=receipt.return_of,
        reason=receipt.reason,
        chain_reference=receipt.chain_reference,
        value_date=receipt.value_date or today,
        priority=receipt.priority,
        expires_at_ms=receipt.expires_at_ms,
        window_asked=receipt.window_asked,
        amount_sent=receipt.amount_sent,
        link=receipt.link,
        netting_set=record.netting_set,
        log_offset=record.log_offset,
        time_ms=record.time_ms,
        offset=offset,
    )


def _withdrawn(record: StatusRecord, withdrawal: Withdrawal, offset: int) -> Status:
    return Status(
        id=withdrawal.id,
        status="RJCT",
        incoming=True,
        counterparty=withdrawal.debtor,
        asset=withdrawal.asset,
        amount=withdrawal.amount,
        end_to_end_id=withdrawal.end_to_end_id,
        window=withdrawal.window,
        reason=withdrawal.reason,
        text=withdrawal.text,
        netting_set=record.netting_set,
        log_offset=record.log_offset,
        time_ms=record.time_ms,
        offset=offset,
    )


def _request(record: StatusRecord, request: CancellationRequest, offset: int) -> Request:
    return Request(
        id=request.id,
        original=request.original,
        counterparty=request.debtor,
        asset=request.asset,
        amount=request.amount,
        end_to_end_id=request.end_to_end_id,
        reason=request.reason,
        netting_set=record.netting_set,
        log_offset=record.log_offset,
        time_ms=record.time_ms,
        offset=offset,
    )


def _answer(record: StatusRecord, answer: CancellationAnswer, offset: int) -> Answer:
    return Answer(
        request=answer.request,
        decision=answer.decision,
        counterparty=answer.creditor,
        reason=answer.reason,
        netting_set=record.netting_set,
        log_offset=record.log_offset,
        time_ms=record.time_ms,
        offset=offset,
    )
