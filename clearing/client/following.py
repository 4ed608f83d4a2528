"""From the records of a status topic to the status of each payment: repeats dropped, finality spread. Pure.

The engine says once per bank, asset and window that all of it is final (ops/adr/0002). Here that one record
becomes an ACSC for each of the window's payments, which were remembered when they were accepted.
"""

from collections.abc import Iterator
from typing import Literal

import msgspec

from clearing.messages import FinalRecord, PaymentStatus, Receipt, StatusMessage, StatusRecord

Window = tuple[str, str, int]  # netting set, asset, number

decode_status = msgspec.json.Decoder(StatusMessage).decode


class Status(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one payment, as its sender or, `incoming`, its receiver is told.

    status (R41): ACSP accepted and irrevocable, ACSC settled and final, PDNG queued, RJCT refused, CANC cancelled;
    an incoming payment begins with ACSP. amount: decimal string. counterparty: the other bank, "" if the payment
    could not be read. repeat: the answer to an id sent before, nothing has happened (R28). source: topic,
    partition, offset, index in a bulk (-1: none) of the record the sender wrote. offset: of the status topic.
    """

    id: str
    status: Literal["ACSP", "ACSC", "PDNG", "RJCT", "CANC"]
    incoming: bool
    counterparty: str
    asset: str
    amount: str
    end_to_end_id: str
    window: int
    reason: str = ""
    text: str = ""
    repeat: bool = False
    chain_reference: str = ""
    source: tuple[str, int, int, int] | None = None
    netting_set: str
    log_offset: int
    time_ms: int
    offset: int


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

    def take(self, value: bytes, offset: int) -> Iterator[Status]:
        """Statuses one record brings. Raises msgspec.DecodeError on foreign bytes, BufferError over `remember`."""
        message = decode_status(value)
        place = (message.log_offset, message.index)
        if place <= self._last.get(message.netting_set, (-1, -1)):
            return
        self._last[message.netting_set] = place
        if isinstance(message, StatusRecord):
            for status in message.statuses:
                yield self._accepted(_sent(message, status, offset))
            for receipt in message.receipts:
                yield self._accepted(_received(message, receipt, offset))
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
            window = (status.netting_set, status.asset, status.window)
            self._open.setdefault(window, []).append(status)
        return status

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
        reason=status.reason,
        text=status.text,
        repeat=status.repeat,
        source=status.source,
        netting_set=record.netting_set,
        log_offset=record.log_offset,
        time_ms=record.time_ms,
        offset=offset,
    )


def _received(record: StatusRecord, receipt: Receipt, offset: int) -> Status:
    return Status(
        id=receipt.id,
        status="ACSP",
        incoming=True,
        counterparty=receipt.debtor,
        asset=receipt.asset,
        amount=receipt.amount,
        end_to_end_id=receipt.end_to_end_id,
        window=receipt.window,
        chain_reference=receipt.chain_reference,
        netting_set=record.netting_set,
        log_offset=record.log_offset,
        time_ms=record.time_ms,
        offset=offset,
    )
