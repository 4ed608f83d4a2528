"""Replay: the log from its first record through the machine, held against what the journal says (R29).

Pure: log records and transactions are handed in. `clearing replay` and `clearing verify` are its shells.
"""

from collections import deque
from collections.abc import Iterable

import msgspec
import numpy as np

from clearing.core.ids import id_text
from clearing.core.money import show
from clearing.core.outputs import Position
from clearing.engine.machine import Machine
from clearing.log.payments import PRIORITIES
from clearing.log.records import OutputRecord, Transaction


class Replay:
    """Runs a machine over a log and compares it with each Transaction at its place.

    differences: where they part. compared: transactions that agreed. The log must be fed from its first record.
    """

    def __init__(self, netting_set: str, transactions: Iterable[Transaction]) -> None:
        self.machine = Machine(netting_set)
        self.compared = 0
        self.differences: list[str] = []
        self._waiting = deque(transactions)
        self._sequence = 0

    def apply(
        self, key: bytes | None, value: bytes | None, offset: int, time_ms: int
    ) -> list[OutputRecord]:
        """The next record of the log; what it causes. Raises Halt, UnreadableLog, AssertionError."""
        self._compare_below(offset)
        return self.machine.apply(key, value, offset, time_ms)

    def finish(self) -> None:
        """The log has ended: compare what is left."""
        self._compare_below(self.machine.next_offset)
        if self._waiting:
            last = self._waiting[-1]
            self.differences.append(
                f"the journal has gone to log offset {last.next_offset}, the log ends at "
                f"{self.machine.next_offset}: its tail is lost (F14)"
            )

    def _compare_below(self, offset: int) -> None:
        """Transactions that stand at or before this log offset: everything below it has been applied."""
        while self._waiting and self._waiting[0].next_offset <= offset:
            self._compare(self._waiting.popleft())

    def _compare(self, said: Transaction) -> None:
        machine = self.machine
        facts: dict[str, tuple[object, object]] = {
            "netting set": (said.netting_set, machine.netting_set),
            "sequence": (said.sequence, self._sequence + 1),
            "chain": (said.chain, machine.chain.hex()),
            "records": (said.records, machine.records),
            "time_ms": (said.time_ms, machine.state.counters.time_ms),
        }
        self._sequence = said.sequence
        wrong = [f"{name} {says} is {is_}" for name, (says, is_) in facts.items() if says != is_]
        if wrong:
            self.differences.append(
                f"transaction {said.sequence} at log offset {said.next_offset}: {', '.join(wrong)}"
            )
        else:
            self.compared += 1


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """Where a machine stands after its last record: the same for everybody who ran the same log."""

    netting_set: str
    records: int
    next_offset: int
    time_ms: int
    chain: str
    batches: int
    last_batch_hash: str
    remembered_ids: int


def standing(machine: Machine) -> Standing:
    counters = machine.state.counters
    return Standing(
        netting_set=machine.netting_set,
        records=machine.records,
        next_offset=machine.next_offset,
        time_ms=counters.time_ms,
        chain=machine.chain.hex(),
        batches=counters.batches,
        last_batch_hash=counters.last_batch_hash,
        remembered_ids=len(machine.state.ids),
    )


def positions(machine: Machine) -> list[Position]:
    """Every open account as it stands now, by participant and asset in their order of registration."""
    state = machine.state
    accounts = state.accounts
    result: list[Position] = []
    for p, a in np.argwhere(accounts.open).tolist():
        scale = state.assets[a].spec.scale
        held, cap, position, reserved, queued, queued_payments = (
            int(column[p, a])
            for column in (
                accounts.prefunded,
                accounts.cap,
                accounts.position,
                accounts.reserved,
                accounts.queued,
                accounts.queued_payments,
            )
        )
        result.append(
            Position(
                netting_set=state.name,
                participant=state.participants[p].id,
                asset=state.assets[a].spec.id,
                prefunded=show(held, scale),
                net_debit_cap=show(cap, scale),
                position=show(position, scale),
                reserved=show(reserved, scale),
                headroom=show(held + cap + position - reserved, scale),
                queued=show(queued, scale),
                queued_payments=queued_payments,
                window=state.assets[a].window.number,
                log_offset=machine.next_offset - 1,
                time_ms=state.counters.time_ms,
            )
        )
    return result


class WaitingPayment(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A payment that waits. since: log offset at which it entered. place: in its queue, from 1; 0 while its link
    waits for other legs. fail: the rest of a partial delivery (R22)."""

    id: str
    debtor: str
    creditor: str
    asset: str
    amount: str
    priority: str
    since: int
    end_to_end_id: str = ""
    link: str = ""
    place: int = 0
    fail: bool = False


def waiting(machine: Machine) -> list[WaitingPayment]:
    """Everything that waits now: queues by participant and asset in their order, then what is in none."""
    state = machine.state
    queued = [
        (item, place)
        for _, queue in sorted(state.queues.items())
        for place, item in enumerate(queue, 1)
    ]
    apart = [(item, 0) for item in state.waiting.values() if not item.is_queued]
    return [
        WaitingPayment(
            id=id_text(item.id),
            debtor=state.name_of(item.debtor),
            creditor=state.name_of(item.creditor),
            asset=state.assets[item.asset].spec.id,
            amount=show(item.units, state.assets[item.asset].spec.scale),
            priority=PRIORITIES[item.priority],
            since=item.log_offset,
            end_to_end_id=item.end_to_end_id,
            link=id_text(item.link) if item.link else "",
            place=place,
            fail=item.is_fail,
        )
        for item, place in queued + apart
    ]
