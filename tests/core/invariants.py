"""What must hold whatever clearing does, worked out from its inputs and outputs alone; no oracle has a say here.

A Watch goes along with a stream of log records: it keeps what became of every payment, who is in which window and
what money came from outside, and holds the state of the engine and every batch against that.
"""

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from fractions import Fraction

import msgspec
import numpy as np

from clearing.core.commands import Confirmation
from clearing.core.ids import id_text
from clearing.core.inputs import Kind, LogRecord
from clearing.core.outputs import (
    ConfirmationEvent,
    Outputs,
    Resolution,
    SettlementBatch,
    ShortfallEvent,
    WindowEvent,
)
from clearing.core.reasons import Code
from clearing.core.state import NettingSet
from tests.core.build import batches
from tests.core.oracle_books import minor, uuid_text

Window = tuple[str, int]  # asset, number
Piece = tuple[str, str, str, int]  # payment, debtor, creditor, units


@dataclass
class Told:
    """What is told of a payment that was accepted or waits. units: all of it; pieces: where it was accepted."""

    asset: str
    debtor: str
    creditor: str
    units: int
    link: int
    pieces: list[tuple[Window, int]] = field(default_factory=list[tuple[Window, int]])
    ended: int = 0  # units that have ended without being accepted, or were taken out again

    @property
    def waiting(self) -> int:
        return self.units - self.ended - sum(units for _, units in self.pieces)


@dataclass
class Watch:
    state: NettingSet
    told: dict[str, Told] = field(default_factory=dict[str, Told])
    legs: dict[int, tuple[int, set[str]]] = field(default_factory=dict[int, tuple[int, set[str]]])
    members: dict[Window, list[Piece]] = field(default_factory=lambda: defaultdict(list[Piece]))
    shifts: dict[Window, Counter[str]] = field(default_factory=lambda: defaultdict(Counter[str]))
    settled: set[Window] = field(default_factory=set[Window])
    outside: Counter[str] = field(default_factory=Counter[str])  # asset → money from outside
    funding: dict[str, SettlementBatch] = field(default_factory=dict[str, SettlementBatch])
    last_batch: tuple[int, str] = (0, "0" * 64)

    def after(self, record: LogRecord, out: Outputs) -> None:
        """Takes in what a log record caused; raises AssertionError where it cannot be."""
        paid = self._rows(record, out)
        for item in out.resolutions:
            paid += self._resolution(item)
        for batch in batches(out):
            self._batch(batch)
        self._events(record, out)
        if record.payments is not None or not record.control:
            self._within_limits(paid)
        self._conserved()
        self._in_is_out()
        self._links_whole()

    # --- taking in -----------------------------------------------------------------------------------------------

    def _rows(self, record: LogRecord, out: Outputs) -> list[tuple[str, str]]:
        """Accounts that were debited by rows."""
        rows, paid = record.payments, list[tuple[str, str]]()
        if rows is None:
            return paid
        assert out.outcomes is not None
        assert len(out.outcomes.codes) == len(rows)  # R30: every row has exactly one outcome
        for i, code in enumerate(out.outcomes.codes.tolist()):
            moves = rows.kind[i] <= Kind.RETURN and code in (Code.ACCEPTED, Code.QUEUED)
            if not moves or out.outcomes.repeat[i]:
                continue
            asset = rows.assets[int(rows.asset[i])]
            payment = uuid_text(int(rows.id[i, 0]) | int(rows.id[i, 1]) << 64)
            told = self._new(record, i, asset)
            # Only what was forgotten can come again: it has to be over.
            assert payment not in self.told or not self.told[payment].waiting
            self.told[payment] = told
            if told.link:
                legs = int(rows.links.legs[i]) if rows.links else 0
                self.legs.setdefault(told.link, (legs, set()))[1].add(payment)
            if code == Code.ACCEPTED:
                paid += self._accepted(payment, told.units, out.outcomes.windows[asset])
        return paid

    def _new(self, record: LogRecord, i: int, asset: str) -> Told:
        rows = record.payments
        assert rows is not None
        scale = self.state.assets[self.state.asset_index[asset]].spec.scale
        link = 0
        if rows.links is not None and rows.links.legs[i]:
            link = int(rows.links.link[i, 0]) | int(rows.links.link[i, 1]) << 64
        return Told(
            asset,
            rows.participants[int(rows.debtor[i])],
            rows.participants[int(rows.creditor[i])],
            int(rows.amount[i]) * 10 ** (scale - int(rows.decimals[i])),
            link,
        )

    def _accepted(self, payment: str, units: int, window: int) -> list[tuple[str, str]]:
        told = self.told[payment]
        place = (told.asset, window)
        assert place not in self.settled  # R5: a settled window is never opened again
        told.pieces.append((place, units))
        self.members[place].append((payment, told.debtor, told.creditor, units))
        return [(told.debtor, told.asset)]

    def _resolution(self, item: Resolution) -> list[tuple[str, str]]:
        told = self.told[item.id]
        scale = self.state.assets[self.state.asset_index[item.asset]].spec.scale
        units, window = minor(item.amount, scale), (item.asset, item.window)
        assert units > 0
        if item.code == Code.RECAST:
            self.members[window].remove((item.id, told.debtor, told.creditor, units))
            told.pieces.remove((window, units))
            told.ended += units
            return []
        before = told.waiting
        assert before >= units  # what is resolved has waited, and was not resolved before
        if item.code == Code.ACCEPTED:
            assert minor(item.remaining or "0", scale) == before - units
            return self._accepted(item.id, units, item.window)
        assert units == before
        told.ended += units
        return []

    def _batch(self, batch: SettlementBatch) -> None:
        """R1, R7."""
        sequence, previous = self.last_batch
        assert (batch.sequence, batch.previous) == (sequence + 1, previous)
        self.last_batch = (batch.sequence, batch.hash)
        assert sum(minor(line.net, batch.scale) for line in batch.entries) == 0
        if batch.kind == "funding":
            self.funding[batch.id] = batch
            self.outside[batch.asset] += minor(batch.entries[0].net, batch.scale)

    def _events(self, record: LogRecord, out: Outputs) -> None:
        answers = [i.message for i in record.control if isinstance(i.message, Confirmation)]
        judged = [event for event in out.events if isinstance(event, ConfirmationEvent)]
        for answer, event in zip(answers, judged, strict=True):
            batch = self.funding.get(answer.batch)
            if batch and (event.status, answer.status) == ("DONE", "REFUSED"):
                self.outside[batch.asset] -= minor(batch.entries[0].net, batch.scale)
        for event in out.events:
            if isinstance(event, ShortfallEvent):
                self._shortfall(event)
        for event in out.events:
            if isinstance(event, WindowEvent) and event.state == "SETTLED":
                self._settled(event)

    def _shortfall(self, event: ShortfallEvent) -> None:
        """R25: collateral + pool + survivors = shortfall, exactly."""
        scale = self.state.assets[self.state.asset_index[event.asset]].spec.scale
        collateral, pool = minor(event.collateral, scale), minor(event.pool, scale)
        survivors = {name: minor(units, scale) for name, units in event.survivors.items()}
        shortfall = minor(event.shortfall, scale)
        assert collateral + pool + sum(survivors.values()) == shortfall
        shift = self.shifts[event.asset, event.window]
        shift[event.participant] += shortfall
        shift["$COLLATERAL"] -= collateral
        shift["$POOL"] -= pool
        shift.subtract(survivors)
        self.outside[event.asset] += collateral + pool

    def _settled(self, event: WindowEvent) -> None:
        """R2: what is settled is what its members come to, and it is settled once."""
        place = (event.asset, event.window)
        scale = self.state.assets[self.state.asset_index[event.asset]].spec.scale
        assert place not in self.settled
        self.settled.add(place)
        nets, sent, received = Counter(self.shifts[place]), Counter[str](), Counter[str]()
        for _, debtor, creditor, units in self.members[place]:
            nets.update({debtor: -units})
            nets.update({creditor: units})
            sent[debtor] += 1
            received[creditor] += 1
        lines = {line.participant: line for line in event.entries}
        assert {name: minor(line.net, scale) for name, line in lines.items()} == {
            name: nets[name] for name in lines
        }
        assert {name for name, net in nets.items() if net} <= lines.keys()
        assert Counter({n: line.sent for n, line in lines.items()}) == sent
        assert Counter({n: line.received for n, line in lines.items()}) == received
        assert event.payments == len(self.members[place])
        assert minor(event.gross, scale) == sum(units for *_, units in self.members[place])

    # --- what must hold ------------------------------------------------------------------------------------------

    def _within_limits(self, paid: list[tuple[str, str]]) -> None:
        """R8: nobody that has just paid is below its floor. (Commands may lower a limit after that: R9.)"""
        flat = [self.state.flat(*account) for account in paid]
        assert None not in flat
        if flat:
            assert self.state.accounts.headroom(np.array(flat, np.int64)).min() >= 0

    def _conserved(self) -> None:
        """Σ prefunded + position per asset is what came from outside, no more and no less."""
        accounts = self.state.accounts
        total = accounts.prefunded.sum(axis=0) + accounts.position.sum(axis=0)
        for a, asset in enumerate(self.state.assets):
            assert int(total[a]) == self.outside[asset.spec.id], asset.spec.id

    def _in_is_out(self) -> None:
        """R30: what waits by what was said is what waits; nothing was accepted twice or lost."""
        assert all(told.waiting >= 0 for told in self.told.values())
        assert {id_: told.waiting for id_, told in self.told.items() if told.waiting} == {
            id_text(item.id): item.units for item in self.state.waiting.values()
        }

    def _links_whole(self) -> None:
        """R20: never one leg accepted and another not, in part or whole; nor one final and another not."""
        for number, payments in self.legs.values():
            legs = [self.told[payment] for payment in payments]
            done = {Fraction(sum(u for _, u in leg.pieces), leg.units) for leg in legs}
            assert done == {Fraction(0)} or (len(done) == 1 and len(legs) == number)
            finals = {tuple(place in self.settled for place, _ in leg.pieces) for leg in legs}
            assert len(finals) == 1


def encoded(out: Outputs) -> bytes:
    """All of it as bytes, to compare (R29)."""
    outcomes = out.outcomes and (
        out.outcomes.codes.tolist(),
        out.outcomes.repeat.tolist(),
        out.outcomes.windows,
    )
    rest = (out.settlements, out.positions, out.rejected, out.resolutions, out.events)
    return msgspec.json.encode((outcomes, *rest))
