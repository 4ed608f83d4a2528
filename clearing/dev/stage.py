"""What scenes of the demo are made of: a bank pays, an operator commands, somebody is told something, or is not.

Scenes run beside the workload of a drill. Whatever they send is added to the banks' plan, so that the proof at the
end covers it too.
"""

from collections.abc import Callable
from typing import Literal

import msgspec
import numpy as np

from clearing import kafka
from clearing.core.commands import Approve, Propose, SetStatus
from clearing.core.money import parse
from clearing.core.outputs import CommandEvent
from clearing.dev.drill import Drill, DrillFailed
from clearing.dev.records import Document, Fields, leg_of, line_of
from clearing.dev.workload import id_of
from clearing.messages import PaymentStatus

OPERATOR, SECOND = "demo", "demo-second"

Command = SetStatus | Propose | Approve
Standing = Literal["ACTIVE", "SUSPENDED", "DEFAULTED"]


class Stage:
    """`say`: told what happens; `said`: the sentences that are to be kept for the end."""

    def __init__(self, drill: Drill, say: Callable[[str], None]) -> None:
        self.drill = drill
        self.say = say
        self.said: list[str] = []
        self._random = np.random.default_rng([drill.seed, 2])
        self._commands = 0
        self._dates = {
            asset: day
            for stream in drill.banks.streams
            for asset, day in stream.value_dates.items()
        }

    def keep(self, sentence: str) -> None:
        """Said now, and again when the run is summed up."""
        self.say(sentence)
        self.said.append(sentence)

    def netting_set(self, asset: str) -> str:
        return self.drill.scheme.assets[asset].netting_set

    def units(self, asset: str, amount: str) -> int:
        units = parse(amount, self.drill.banks.scales[asset])
        assert units is not None, f"{amount} is no amount of {asset}"
        return units

    def new_id(self) -> str:
        return id_of(self._random.bytes(16).hex())

    def payment(self, debtor: str, creditor: str, asset: str, amount: str) -> Fields:
        """An urgent one: nothing of the workload is before it for long."""
        return Fields(
            id=self.new_id(),
            debtor=debtor,
            creditor=creditor,
            asset=asset,
            amount=amount,
            value_date=self._dates[asset],
            end_to_end_id=f"DEMO-{len(self.drill.banks.listener.words) + 1}",
            priority="URGT",
        )

    async def send(self, payment: Fields, link: Document | None = None) -> None:
        banks = self.drill.banks
        banks.listener.words[payment.id] = []
        value = line_of(payment) if link is None else leg_of(payment, link)
        await banks.send(self.netting_set(payment.asset), payment.debtor, value)

    async def accepted(self, payment: Fields) -> tuple[int, PaymentStatus]:
        """(log offset, status) of its last word, which must be that it is accepted; it counts in the plan."""
        plan, units = self.drill.banks.planned, self.units(payment.asset, payment.amount)
        plan.accept(payment.debtor, payment.creditor, payment.asset, units)
        return await self._last(payment, "ACSP", "")

    async def ended(self, payment: Fields, outcome: str, reason: str) -> tuple[int, PaymentStatus]:
        """The same of one that is refused, or that has waited and ends: `outcome` of clearing.dev.tally."""
        self.drill.banks.planned.end(outcome, reason)
        return await self._last(payment, "RJCT", reason)

    async def waits(self, payment: Fields) -> int:
        """Log offset at which it began to wait."""
        offset, status = await self._word(payment, 0)
        self.check(status.status == "PDNG", f"{payment.id} waits", status)
        return offset

    async def _last(self, payment: Fields, status: str, reason: str) -> tuple[int, PaymentStatus]:
        offset, said = await self._word(payment, 0)
        if said.status == "PDNG":
            offset, said = await self._word(payment, 1)
        self.check((said.status, said.reason) == (status, reason), f"{payment.id} {status}", said)
        return offset, said

    async def _word(self, payment: Fields, number: int) -> tuple[int, PaymentStatus]:
        words = self.drill.banks.listener.words[payment.id]
        await self.until(lambda: len(words) > number, f"{payment.debtor} to be told of its payment")
        return words[number]

    async def until(self, condition: Callable[[], bool], what: str) -> None:
        await self.drill.until(condition, what)

    def check(self, holds: bool, what: str, found: object) -> None:
        """Raises DrillFailed with what was found instead."""
        if not holds:
            raise DrillFailed(f"not as the scene has it: {what}; it is {found}")

    async def command(self, netting_set: str, command: Command) -> CommandEvent:
        """What became of a command."""
        settings = self.drill.settings
        producer = kafka.producer(settings.bootstrap, client="clearing-demo")
        async with kafka.started(producer):
            await producer.send_and_wait(
                settings.topics.commands,
                msgspec.json.encode(command),
                netting_set.encode(),
                self.drill.partitions[netting_set],
            )
        commands = self.drill.watch.progress.commands
        await self.until(lambda: command.id in commands, f"the command {command.id}")
        return commands[command.id]

    def command_id(self) -> str:
        self._commands += 1
        return f"demo-{self.drill.seed}-{self._commands}"

    async def set_status(
        self, netting_set: str, participant: str, status: Standing
    ) -> CommandEvent:
        """By one person alone."""
        return await self.command(netting_set, self._status(participant, status))

    async def approved(self, netting_set: str, participant: str, status: Standing) -> None:
        """Proposed by one, approved by another (R33)."""
        inner = self._status(participant, status)
        proposal = self.command_id()
        await self.command(netting_set, Propose(id=proposal, by=OPERATOR, command=inner))
        proposals = self.drill.watch.progress.proposals
        await self.until(lambda: proposal in proposals, f"the proposal {proposal}")
        hash_ = proposals[proposal].hash
        approve = Approve(id=self.command_id(), by=SECOND, proposal=proposal, hash=hash_)
        event = await self.command(netting_set, approve)
        self.check(event.status == "DONE", f"{participant} is {status}", event)

    def _status(self, participant: str, status: Standing) -> SetStatus:
        return SetStatus(id=self.command_id(), by=OPERATOR, participant=participant, status=status)
