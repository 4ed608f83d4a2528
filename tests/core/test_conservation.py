"""Books kept from the log and the outputs alone: every payment is in exactly one place, and no leg is final alone.

R30: count and value of what entered = what batches settle + what waits + what was refused, per window. R20: at no
moment is one leg of a link final and another not. An observer's view: nothing of the engine's state is used but
in the end, to see that it agrees.
"""

import random
from collections import Counter
from dataclasses import dataclass, field

import pytest

from clearing.core.ids import id_hex
from clearing.core.inputs import Kind, LogRecord, PaymentRows
from clearing.core.money import parse
from clearing.core.outputs import Outputs, Resolution, SettlementBatch, WindowEvent
from clearing.core.reasons import Code
from clearing.core.state import NettingSet
from clearing.core.step import step
from tests.core.streams import WORLDS, Stream, World

Place = tuple[str, int]  # asset, window
# Mostly payments and money for them, so that most of what waits is released.
MOVES = (*("pay",) * 10, *("money",) * 6, *("confirm",) * 4, "close", "tick", "again", "operate")


@dataclass
class Observer:
    """waiting: id → what is open. count, value: of what each window holds. legs: link → where its legs are."""

    scales: dict[str, int]
    waiting: dict[str, tuple[str, int]] = field(default_factory=dict[str, tuple[str, int]])
    count: Counter[Place] = field(default_factory=Counter[Place])
    value: Counter[Place] = field(default_factory=Counter[Place])
    final: set[Place] = field(default_factory=set[Place])
    link_of: dict[str, str] = field(default_factory=dict[str, str])
    legs: dict[tuple[str, int], list[tuple[str, Place]]] = field(
        default_factory=dict[tuple[str, int], list[tuple[str, Place]]]
    )
    taken_out: set[str] = field(default_factory=set[str])

    def see(self, record: LogRecord, out: Outputs) -> None:
        if record.payments is not None:
            self._rows(record, record.payments, out)
        for item in out.resolutions:
            self._resolved(record, item)
        for event in out.events:
            if isinstance(event, WindowEvent) and event.state == "SETTLED":
                self._settled(event)
        self._batches([b for b in out.settlements if isinstance(b, SettlementBatch)])
        self._no_leg_alone()

    def _rows(self, record: LogRecord, rows: PaymentRows, out: Outputs) -> None:
        assert out.outcomes is not None
        resolved = {item.id.replace("-", "") for item in out.resolutions}
        for row, code in enumerate(out.outcomes.codes.tolist()):
            if out.outcomes.repeat[row] or rows.kind[row] > Kind.RETURN:
                continue
            id_ = id_hex(rows.id[row])
            if rows.links is not None and rows.links.legs[row]:
                self.link_of.setdefault(id_, id_hex(rows.links.link[row]))
            if code not in (Code.ACCEPTED, Code.QUEUED):
                continue
            asset = rows.assets[rows.asset[row]]
            missing = self.scales[asset] - int(rows.decimals[row])
            units = int(rows.amount[row]) * 10**missing
            if code == Code.QUEUED:
                assert id_ not in self.waiting
                self.waiting[id_] = asset, units
            else:
                assert id_ not in resolved
                self._accepted(record, id_, (asset, out.outcomes.windows[asset]), units)

    def _accepted(self, record: LogRecord, id_: str, place: Place, units: int) -> None:
        assert place not in self.final, "a settled window is never reopened"  # R5
        self.count[place] += 1
        self.value[place] += units
        if id_ in self.link_of:
            self.legs.setdefault((self.link_of[id_], record.offset), []).append((id_, place))

    def _resolved(self, record: LogRecord, item: Resolution) -> None:
        id_ = item.id.replace("-", "")
        units = parse(item.amount, self.scales[item.asset])
        rest = parse(item.remaining or "0", self.scales[item.asset])
        assert units
        assert rest is not None
        if item.code == Code.RECAST:
            self.count[item.asset, item.window] -= 1
            self.value[item.asset, item.window] -= units
            self.taken_out.add(id_)
            return
        assert self.waiting.pop(id_) == (item.asset, units + rest), "it waited, with this amount"
        if rest:
            self.waiting[id_] = item.asset, rest
        if item.code == Code.ACCEPTED:
            self._accepted(record, id_, (item.asset, item.window), units)

    def _settled(self, event: WindowEvent) -> None:
        place = event.asset, event.window
        assert place not in self.final
        self.final.add(place)
        assert event.payments == self.count[place]
        assert parse(event.gross, self.scales.get(event.asset, 0)) == self.value[place]

    def _batches(self, batches: list[SettlementBatch]) -> None:
        """All parts of a window that left now hold exactly what the window took in."""
        windows: dict[Place, list[SettlementBatch]] = {}
        for batch in batches:
            if batch.kind != "funding":
                windows.setdefault((batch.asset, batch.window), []).append(batch)
        for place, parts in windows.items():
            if len(parts) == parts[0].parts:
                gross = [parse(part.gross, part.scale) or 0 for part in parts]
                assert sum(part.payments for part in parts) == self.count[place], place
                assert sum(gross) == self.value[place], place

    def _no_leg_alone(self) -> None:
        for legs in self.legs.values():
            final = {place in self.final and id_ not in self.taken_out for id_, place in legs}
            out = {id_ in self.taken_out for id_, _ in legs}
            assert len(final) == 1 == len(out), legs


@pytest.mark.parametrize("seed", range(3))
def test_everything_is_in_one_place_and_no_leg_is_final_alone(seed: int) -> None:  # R20, R30
    payments = links = 0
    for number, world in enumerate(WORLDS):
        observer = play(world, random.Random(f"{number} {seed}"))
        payments += sum(observer.count.values())
        links += len(observer.legs)
    assert payments > 200
    assert links > 3


def play(world: World, rng: random.Random, records: int = 60) -> Observer:
    state, stream = NettingSet("hk", seed=1), Stream(world)
    stream.engine = lambda record: step(state, record)
    stream.open()
    observer = Observer({asset.spec.id: asset.spec.scale for asset in state.assets})
    for _ in range(records):
        record, _ = stream.next(rng.choice(MOVES), rng.getrandbits(32))
        assert stream.told
        observer.see(record, stream.told)
    waits = {
        id_: (state.assets[item.asset].spec.id, item.units) for id_, item in state.waiting.items()
    }
    assert waits == observer.waiting
    return observer
