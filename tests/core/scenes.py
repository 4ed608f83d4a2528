"""Scenes for the tests of queues, links, models and default: four banks, whole amounts, and what each call caused.

Bench and Row are build.py's; a scene keeps what the last log record caused and says it in few words.
"""

from collections.abc import Callable
from typing import Any, TypeVar

from clearing.core.commands import (
    CloseWindow,
    ControlMessage,
    Fund,
    RegisterAsset,
    RegisterPair,
    SettleWindow,
)
from clearing.core.entries import proved_lines
from clearing.core.inputs import LogRecord
from clearing.core.outputs import CommandEvent, Event, Outputs, SettlementBatch, WindowEvent
from clearing.core.reasons import Code
from clearing.core.registry import (
    AssetSpec,
    AtCutoff,
    BisModel,
    Delay,
    Granularity,
    Interchange,
    OnShortfall,
    QueuePolicy,
    SettlementModel,
)
from tests.core.build import Bench, Row, batches, hkd, linked

BANKS = A, B, C, D = ("ALPHHKHH", "BETAHKHH", "GAMMHKHH", "DELTHKHH")
FIFO, BYPASS = QueuePolicy.FIFO, QueuePolicy.BYPASS_FIFO
DROP = AtCutoff.DROP
WATERFALL, RECAST = OnShortfall.WATERFALL, OnShortfall.RECAST
NET, GROSS = SettlementModel(), SettlementModel(granularity=Granularity.GROSS)
PAIRS = SettlementModel(interchange=Interchange.BILATERAL)
NET_NOW, GROSS_NOW, PAIRS_NOW = (
    SettlementModel(model.granularity, model.interchange, Delay.IMMEDIATE)
    for model in (NET, GROSS, PAIRS)
)
NORM, HIGH, URGT = 0, 1, 2
ACCEPTED, QUEUED, DONE = Code.ACCEPTED, Code.QUEUED, Code.DONE

_Event = TypeVar("_Event", bound=Event)
Fate = tuple[int, Code, str]  # id, code, how


def asset(id_: str = "HKD", **changes: Any) -> AssetSpec:
    """An asset without decimals."""
    return hkd(**({"id": id_, "code": id_, "scale": 0} | changes))


def row(
    id_: int, debtor: str, creditor: str, amount: int, asset: str = "HKD", **changes: Any
) -> Row:
    """A payment of a whole amount."""
    fields: dict[str, Any] = {"decimals": 0} | changes
    return Row(id_, debtor, creditor, amount, asset, **fields)


def number(id_: str) -> int:
    """The number of a payment, from its id as banks see it."""
    return int.from_bytes(bytes.fromhex(id_.replace("-", "")), "little")


def fates(out: Outputs) -> list[Fate]:
    """What became of payments of earlier rows, in the order in which they are told."""
    return [(number(item.id), Code(item.code), item.how) for item in out.resolutions]


def released(*ids: int, how: str) -> list[Fate]:
    return [(id_, ACCEPTED, how) for id_ in ids]


class Scene(Bench):
    """A bench that keeps what the last record caused. Without options: nobody has anything, nobody may owe."""

    out: Outputs

    def __init__(self, *assets: AssetSpec, held: str = "0", cap: str = "0", **options: Any) -> None:
        self.numbered = 0
        fields: dict[str, Any] = {"banks": BANKS, "assets": assets or (asset(queue=FIFO),)}
        fields |= {"held": held, "cap": cap} | options
        super().__init__(**fields)
        for batch in batches(self.opened):
            self.answer(batch)

    def apply(self, record: LogRecord) -> Outputs:
        self.out = super().apply(record)
        return self.out

    def do(self, kind: Callable[..., ControlMessage], **fields: Any) -> str:
        """One command; why it was refused, "" if it was not."""
        self.numbered += 1
        fields = {"id": f"scene-{self.numbered}", "by": "op"} | fields
        told = self.events(CommandEvent, self.control(kind(**fields)))
        return told[-1].reason

    def close(self, asset: str = "") -> list[SettlementBatch]:
        assert self.do(CloseWindow, asset=asset) == ""
        return batches(self.out)

    def settle(self, asset: str, window: int) -> list[SettlementBatch]:
        """Send what failed of a window again."""
        assert self.do(SettleWindow, asset=asset, window=window) == ""
        return batches(self.out)

    def refuse(self, batch: SettlementBatch, lacks: dict[str, int]) -> None:
        """Its ledger says who lacks how much."""
        texts = {name: str(units) for name, units in lacks.items()}
        self.answer(batch, "REFUSED", reason="no cover", short=texts)

    def register(self, spec: AssetSpec) -> None:
        assert self.do(RegisterAsset, asset=spec) == ""

    def fund(self, bank: str, amount: int, asset: str = "HKD") -> list[Fate]:
        """Prefunding in, or out; what it frees."""
        assert self.do(Fund, participant=bank, asset=asset, amount=str(amount)) == ""
        return self.fates

    def pair(self, delivery: str, payment: str, model: BisModel = BisModel.NET_NET) -> None:
        assert self.do(RegisterPair, delivery=delivery, payment=payment, model=model) == ""

    @property
    def fates(self) -> list[Fate]:
        return fates(self.out)

    @property
    def windows(self) -> list[tuple[str, int, int, str]]:
        """(asset, window, version, state) of each window event but those that open one."""
        return [
            (event.asset, event.window, event.version, event.state)
            for event in self.events(WindowEvent)
            if event.state != "OPEN"
        ]

    def events(self, kind: type[_Event], out: Outputs | None = None) -> list[_Event]:
        return [event for event in (out or self.out).events if isinstance(event, kind)]

    def queue(self, bank: str, asset: str = "HKD") -> list[int]:
        """What waits in a bank's queue, first to leave first."""
        place = self.state.participant_index[bank], self.state.asset_index[asset]
        return [
            int.from_bytes(bytes.fromhex(item.id), "little")
            for item in self.state.queues.get(place, [])
        ]

    def left(self, asset: str = "HKD") -> dict[str, int]:
        """Headroom of each bank."""
        return {bank: self.account(bank, asset).headroom for bank in BANKS}


def waits(*payments: tuple[int, int], policy: QueuePolicy = FIFO, held: str = "0") -> Scene:
    """A has `held`; payments of it to B wait, (amount, priority), numbered from 1."""
    scene = Scene(asset(queue=policy), held=held)
    for number, (amount, priority) in enumerate(payments, 1):
        assert scene.pay(row(number, A, B, amount, priority=priority)) == [QUEUED]
    return scene


def market(queue: QueuePolicy = FIFO, bonds: int = 7, cash: int = 5, **changes: Any) -> Scene:
    """A has bonds and B has cash, for a trade of 7 against 5."""
    scene = Scene(asset(queue=queue, **changes), asset("BOND", queue=queue, **changes))
    scene.pair("BOND", "HKD", BisModel.NET_NET)
    for bank, amount, name in ((A, bonds, "BOND"), (B, cash, "HKD")):
        if amount:
            scene.fund(bank, amount, name)
    return scene


def trade(link: int = 1, first: int = 1, partial: bool = False, **changes: Any) -> list[Row]:
    """Delivery of 7 bonds by A against 5 from B."""
    bonds, cash = row(first, A, B, 7, "BOND", **changes), row(first + 1, B, A, 5, **changes)
    return linked(bonds, cash, link=link, partial=partial)


def nets(batch: SettlementBatch) -> dict[str, int]:
    """Net of each participant of a batch with one line each, proved."""
    assert len({line.entry.participant for line in proved_lines(batch)}) == len(batch.entries)
    return {entry.participant: int(entry.net) for entry in batch.entries}
