"""What banks are told, counted: first answers, last words, receipts, nets that are final. JSON in, counts out."""

import time
from collections import Counter
from dataclasses import dataclass, field

import msgspec

from clearing.core.money import parse
from clearing.messages import FinalRecord, PaymentStatus, StatusMessage, StatusRecord

LATENCIES_KEPT = 100_000

Source = tuple[str, int, int, int]  # topic, partition, offset, item

_decode = msgspec.json.Decoder(StatusMessage).decode


@dataclass(slots=True)
class Told:
    """Over all banks. rows: messages answered for the first time, repeats of theirs included.

    A payment's first answer is ACSP, RJCT or PDNG; its last word is any but PDNG. accepted: last words ACSP, in how
    many parts ever. waiting: those told PDNG without a last word, by their source; waited: how many there were.
    reasons: of all that was refused or has ended. nets: minor units of windows that became final (ACSC).
    latencies_s: of sampled payments, from published until the bank has read the first answer.
    """

    rows: int = 0
    accepted: int = 0
    repeated: int = 0
    instructions: Counter[str] = field(default_factory=Counter[str])  # CNCL, PDCR
    receipts: int = 0
    reasons: Counter[str] = field(default_factory=Counter[str])
    waiting: set[Source] = field(default_factory=set[Source])
    waited: int = 0
    nets: Counter[tuple[str, str]] = field(default_factory=Counter[tuple[str, str]])
    finals: int = 0
    unsettled: int = 0  # windows a ledger refused
    doubled: int = 0  # records told again (at least once): dropped here by their sequence
    latencies_s: list[float] = field(default_factory=list[float])


class Listener:
    """Hears what the status topics say. scales: decimals of each asset.

    words: whatever is said of the ids that somebody has put there, with the log offset at which it happened.
    """

    def __init__(self, scales: dict[str, int]) -> None:
        self.scales = scales
        self.told = Told()
        self.words: dict[str, list[tuple[int, PaymentStatus]]] = {}
        self._asked: dict[str, float] = {}  # id of a sampled payment → when it was sent
        self._marks: dict[tuple[str, str], tuple[int, int]] = {}

    def sample(self, record: bytes) -> None:
        """Remember when this payment was sent."""
        place = record.find(b'"id":"') + 6
        if place > 5 and len(self._asked) < LATENCIES_KEPT:
            self._asked[record[place : place + 36].decode("ascii", "replace")] = time.monotonic()

    def hear(self, bank: str, value: bytes) -> StatusRecord | None:
        """Count a record of a bank's status topic; the record if it is about payments and new."""
        message, told = _decode(value), self.told
        place = (message.log_offset, message.index)
        if place <= self._marks.get((bank, message.netting_set), (-1, -1)):
            told.doubled += 1
            return None
        self._marks[bank, message.netting_set] = place
        if isinstance(message, FinalRecord):
            self._final(bank, message)
            return None
        told.receipts += sum(not receipt.remaining for receipt in message.receipts)
        for status in message.statuses:
            self._status(status)
            if status.id in self._asked:
                told.latencies_s.append(time.monotonic() - self._asked.pop(status.id))
            if status.id in self.words:
                self.words[status.id].append((message.log_offset, status))
        return message

    def _status(self, status: PaymentStatus) -> None:
        told = self.told
        if status.source in told.waiting:  # it is not the row that is answered: it has been
            if status.remaining:
                return
            told.waiting.remove(status.source)
        elif (
            status.reason == "XREC"
        ):  # it was accepted before, and is taken out of its window again
            told.accepted -= 1
        else:
            told.rows += 1
            if status.repeat:
                told.repeated += 1
                return
        if status.status == "PDNG":
            told.waiting.add(status.source)
            told.waited += 1
        elif status.status == "ACSP":
            told.accepted += 1
        elif status.status in ("CNCL", "PDCR"):
            told.instructions[status.status] += 1
        else:
            told.reasons[status.reason] += 1

    def _final(self, bank: str, message: FinalRecord) -> None:
        if message.status != "ACSC":
            self.told.unsettled += 1
            return
        net = parse(message.net, self.scales[message.asset])
        assert net is not None, f"{bank} was told a net of {message.net!r}"
        self.told.finals += 1
        self.told.nets[bank, message.asset] += net
