"""Schemes for random streams: few banks, small amounts, so that queues, gridlock and limits happen all the time."""

from dataclasses import dataclass

from clearing.core.commands import (
    ControlMessage,
    RegisterPair,
    RegisterParticipant,
    SetBilateralLimit,
    SetCollateral,
    SetPool,
    SetShortLimit,
    SetStatus,
    SetValuation,
)
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
from tests.core.build import hkd, opening

BANKS = ("ALPHHKHH", "BETAHKHH", "GAMMHKHH", "DELTHKHH", "EPSIHKHH")
STRANGER, LEFT, NOBODY = (
    "STRAHKHH",
    "LEFTHKHH",
    "NOBODY",
)  # without accounts; closed; not registered

NET, PAIRS = SettlementModel(), SettlementModel(interchange=Interchange.BILATERAL)
GROSS = SettlementModel(granularity=Granularity.GROSS)
NET_AT_ONCE = SettlementModel(delay=Delay.IMMEDIATE)
GROSS_AT_ONCE = SettlementModel(granularity=Granularity.GROSS, delay=Delay.IMMEDIATE)
FIFO, BYPASS = QueuePolicy.FIFO, QueuePolicy.BYPASS_FIFO


def asset(id_: str, scale: int = 2, **changes: object) -> AssetSpec:
    return hkd(**({"id": id_, "code": id_, "scale": scale} | changes))


ASSETS = {
    spec.id: spec
    for spec in (
        hkd(),
        asset("JPY", 0, max_amount="150", value_days_ahead=1, on_shortfall=OnShortfall.RECAST),
        asset("USDX", 6, code="USD", issuer="X", ledger="evm", every_s=60),
        asset("TOK", 9),
        # Deferred, with queues.
        asset("CASH", queue=FIFO, on_shortfall=OnShortfall.WATERFALL),
        asset("EURO", queue=BYPASS, at_cutoff=AtCutoff.DROP, on_shortfall=OnShortfall.RECAST),
        asset("GAPS", 0, queue=BYPASS),
        asset("DEBT", 0, model=PAIRS, set_off=True, queue=FIFO),
        asset("PAIR", 0, model=PAIRS, every_s=90),
        asset("BOND", 0, model=GROSS, queue=FIFO, at_cutoff=AtCutoff.DROP, every_s=300),
        # Immediate.
        asset("RTGS", model=GROSS_AT_ONCE, queue=FIFO),
        asset("COIN", 0, model=GROSS_AT_ONCE, queue=BYPASS, ledger="evm"),
        asset("FAST", model=NET_AT_ONCE),
    )
}
LINKED = (
    ("BOND", "CASH", BisModel.GROSS_NET),
    ("CASH", "EURO", BisModel.NET_NET),
    ("EURO", "HKD", BisModel.NET_NET),
    ("COIN", "RTGS", BisModel.GROSS_GROSS),
)


@dataclass(frozen=True)
class World:
    """A scheme: these assets; cap and prefunding of every account, in whole units; the most of a payment."""

    assets: tuple[str, ...]
    cap: int = 10
    held: int = 2
    most: int = 12
    banks: int = 4
    valued: tuple[str, ...] = ()
    limited: tuple[str, ...] = ()

    @property
    def participants(self) -> tuple[str, ...]:
        return BANKS[: self.banks]

    def registration(self) -> list[ControlMessage]:
        commands: list[ControlMessage] = [
            RegisterParticipant(id="stranger", by="op", participant=STRANGER),
            RegisterParticipant(id="left", by="op", participant=LEFT),
            SetStatus(id="closed", by="op", participant=LEFT, status="CLOSED"),
        ]
        for i, name in enumerate(self.assets):
            specs = (ASSETS[name],)
            opened = opening(self.participants, specs, str(self.cap), str(self.held))
            commands += opened if i == 0 else [opened[0], *opened[1 + self.banks :]]
        return commands + self._pairs() + self._limits() + self._values()

    def pairs(self) -> list[tuple[str, str]]:
        return [pair[:2] for pair in LINKED if {*pair[:2]} <= {*self.assets}]

    def _pairs(self) -> list[ControlMessage]:
        return [
            RegisterPair(id=f"pair-{one}-{other}", by="op", delivery=one, payment=other, model=bis)
            for one, other, bis in LINKED
            if {one, other} <= {*self.assets}
        ]

    def _limits(self) -> list[ControlMessage]:
        one, other, third, *_ = self.participants
        limits: list[ControlMessage] = []
        for name in self.limited:
            for debtor, creditor in ((one, other), (other, one), (third, one)):
                limits.append(
                    SetBilateralLimit(
                        id=f"limit-{debtor}-{creditor}-{name}",
                        by="op",
                        participant=debtor,
                        counterparty=creditor,
                        asset=name,
                        limit=str(self.most // 2),
                    )
                )
            limits.append(SetPool(id=f"pool-{name}", by="op", asset=name, amount="1"))
            limits.append(
                SetCollateral(id=f"coll-{name}", by="op", participant=one, asset=name, amount="2")
            )
        return limits

    def _values(self) -> list[ControlMessage]:
        values: list[ControlMessage] = [
            SetValuation(
                id=f"value-{name}",
                by="op",
                asset=name,
                price=("1", "0.13", "7.8")[i % 3],
                haircut_bp=(0, 500, 2_000)[i % 3],
                short_limit=(None, str(self.cap // 3))[i % 2],
            )
            for i, name in enumerate(self.valued)
        ]
        if self.valued:
            values += [
                SetShortLimit(id=f"short-{name}", by="op", participant=name, limit=limit)
                for name, limit in zip(self.participants, ("9", "30.5"), strict=False)
            ]
        return values


# The first is the main job's: no queue, nothing linked, amounts that reach what can be counted.
PLAIN = World(("HKD", "JPY", "USDX", "TOK"), cap=30, held=10, most=200, banks=5)
MIXED = World(
    ("CASH", "EURO", "DEBT", "BOND", "RTGS", "COIN", "JPY", "TOK"),
    valued=("CASH", "EURO"),
    limited=("CASH", "RTGS"),
)
WORLDS = (
    PLAIN,
    MIXED,
    World(("CASH",), limited=("CASH",)),
    World(("CASH",), cap=0, held=5, banks=3),
    World(("EURO",), cap=3),
    World(("GAPS",), cap=1, held=0, most=6),
    World(("RTGS", "COIN"), limited=("COIN",)),
    World(("BOND", "CASH", "EURO")),
    World(("CASH", "EURO", "HKD"), valued=("CASH", "HKD", "EURO")),
    World(("HKD", "FAST", "EURO"), cap=0, held=9),
    World(("DEBT", "PAIR"), limited=("DEBT",), banks=5),
    World(("RTGS", "COIN", "FAST"), cap=3, valued=("RTGS", "COIN")),
    World(("BOND", "CASH", "EURO", "COIN", "RTGS", "DEBT", "FAST"), banks=5, limited=("CASH",)),
)
