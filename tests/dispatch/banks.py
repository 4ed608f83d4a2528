"""A netting set with three banks, in memory: what they send, through intake's packing and the engine's machine, and
what each of them reads of what dispatch tells.
"""

import uuid
from collections.abc import Sequence
from datetime import UTC, datetime

import msgspec

from clearing.client.following import Follower, Status, Told
from clearing.core.commands import CloseWindow, Confirmation, Fund
from clearing.core.outputs import SettlementBatch, WindowEvent
from clearing.dispatch.resolutions import resolution_records
from clearing.dispatch.statuses import final_records, status_records
from clearing.log.records import (
    OUTCOMES_KEY,
    RESOLUTION_KEY,
    WINDOW_KEY,
    OutputRecord,
    decode_event,
    decode_outcomes,
    decode_resolutions,
    decode_settlement,
)
from clearing.logfile import LogFileRecord
from clearing.messages import Payment, Return
from clearing.scheme.changes import to_commands
from clearing.scheme.model import Scheme
from clearing.scheme.parse import parse
from clearing.simulate import Simulation

START_MS = 1_767_614_400_000  # 2026-01-05T12:00Z
DAY = "2026-01-05"
BANKS = ("ALPHA", "BRAVO", "CHARLIE")
SCHEME = """
name = "Queues"
[netting_sets.hk]
[assets.HKD]
netting_set = "hk"
issuer = "HKMA"
ledger = "postgres"
kind = "cash"
scale = 2
queue = "FIFO"
value_days_ahead = 3
at_cutoff = "{at_cutoff}"
on_shortfall = "{on_shortfall}"
accounts = {{ prefunded = "100", net_debit_cap = "0" }}
[assets.BOND]
netting_set = "hk"
issuer = "CMU"
ledger = "cmu"
kind = "security_token"
scale = 0
queue = "FIFO"
value_days_ahead = 3
accounts = {{ prefunded = "10", net_debit_cap = "0" }}
[participants.ALPHA]
name = "Alpha"
netting_sets = ["hk"]
[participants.BRAVO]
name = "Bravo"
netting_sets = ["hk"]
[participants.CHARLIE]
name = "Charlie"
netting_sets = ["hk"]
[[pairs]]
delivery = "BOND"
payment = "HKD"
model = 3
"""

encode = msgspec.json.Encoder().encode


class Banks:
    """A netting set with three banks of 100.00 HKD and 10 BOND each, and what each of them has read."""

    def __init__(
        self, at_cutoff: str = "ROLL", on_shortfall: str = "HOLD", confirm: bool = True
    ) -> None:
        scheme = parse(SCHEME.format(at_cutoff=at_cutoff, on_shortfall=on_shortfall))
        assert isinstance(scheme, Scheme), scheme
        self.heard: dict[str, list[Told]] = {bank: [] for bank in BANKS}
        self.followers = {bank: Follower(10_000) for bank in BANKS}
        self.batches: list[SettlementBatch] = []
        self._places: dict[str, tuple[int, int]] = dict.fromkeys(BANKS, (-1, -1))
        self._number = 0
        self.simulation = Simulation("hk", START_MS, [self._read], confirm=confirm)
        today = datetime.fromtimestamp(START_MS / 1000, UTC).date()
        for command in to_commands(scheme, "hk", "scheme", today, 5):
            self.simulation.command(command)

    def _read(self, record: LogFileRecord, outputs: Sequence[OutputRecord]) -> None:
        """What dispatch makes of one log record, as a reader of each status topic takes it."""
        indexes: dict[str, int] = {}
        for output in outputs:
            if output.topic == "settlements":
                message = decode_settlement(output.value)
                if isinstance(message, SettlementBatch):
                    self.batches.append(message)
            if output.topic != "outcomes":
                continue
            if output.key == OUTCOMES_KEY:
                told = status_records("hk", record.value or b"", decode_outcomes(output.value))
            elif output.key == RESOLUTION_KEY:
                told = resolution_records(decode_resolutions(output.value), indexes)
            else:
                assert output.key == WINDOW_KEY
                event = decode_event(output.value)
                assert isinstance(event, WindowEvent)
                told = final_records(event, indexes)
            for bank, value in told:
                indexes[bank] = indexes.get(bank, 0) + 1
                self._take(bank, bytes(value))

    def _take(self, bank: str, value: bytes) -> None:
        message = msgspec.json.decode(value)
        place = (message["log_offset"], message["index"])
        assert place > self._places[bank], f"{bank} was told {place} after {self._places[bank]}"
        self._places[bank] = place
        self.heard[bank] += self.followers[bank].take(value, len(self.heard[bank]))

    def send(self, owner: str, *messages: msgspec.Struct) -> None:
        """Messages in one log record."""
        for message in messages:
            self.simulation.pay(owner, encode(message))
        self.simulation.flush()

    def close(self, *assets: str) -> None:
        for asset in assets or ("HKD",):
            self._number += 1
            command = CloseWindow(id=f"close-{self._number}", by="test", asset=asset)
            self.simulation.command(command)
        self.simulation.flush()

    def fund(self, bank: str, amount: str, asset: str = "HKD") -> None:
        self._number += 1
        command = Fund(
            id=f"fund-{self._number}", by="test", participant=bank, asset=asset, amount=amount
        )
        self.simulation.command(command)

    def answer(self, batch: SettlementBatch, status: str, **short: str) -> None:
        confirmation = Confirmation(
            ledger=batch.ledger,
            batch=batch.id,
            hash=batch.hash,
            status="POSTED" if status == "POSTED" else "REFUSED",
            reason="" if status == "POSTED" else "AM04",
            short=short,
            epoch=1,
        )
        self.simulation.confirmation(confirmation)

    def statuses(self, bank: str, *payments: Payment | Return) -> list[tuple[str, str]]:
        """(status, reason) of these payments, or of all, in the order in which the bank read them."""
        ids = {payment.id for payment in payments}
        return [
            (one.status, one.reason)
            for one in self.heard[bank]
            if isinstance(one, Status) and not one.instruction and (not ids or one.id in ids)
        ]

    def instructions(self, bank: str) -> list[tuple[str, str, str]]:
        return [
            (one.instruction, one.status, one.reference)
            for one in self.heard[bank]
            if isinstance(one, Status) and one.instruction
        ]


def identity() -> str:
    return str(uuid.uuid4())


def pay(debtor: str, creditor: str, amount: str, asset: str = "HKD", **more: object) -> Payment:
    payment = Payment(
        id=identity(),
        debtor=debtor,
        creditor=creditor,
        asset=asset,
        amount=amount,
        value_date=DAY,
        end_to_end_id="E2E",
    )
    return msgspec.structs.replace(payment, **more)
