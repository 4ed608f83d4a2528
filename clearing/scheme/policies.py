"""How an asset is settled and what waits in it, as a scheme file says it (R6, R10, R13, R17, R18, R21, R25).

One asset's own choices are checked against each other here; pairs of assets in clearing.scheme.checks.
"""

import re
from dataclasses import dataclass
from enum import StrEnum

from clearing.core.money import MAX_DIGITS, show
from clearing.core.registry import (
    AtCutoff,
    BisModel,
    Delay,
    Granularity,
    Interchange,
    OnShortfall,
    QueuePolicy,
    SettlementModel,
)
from clearing.core.value import UNIT_SCALE
from clearing.scheme.fields import Table, did_you_mean, shown
from clearing.scheme.model import Asset, Pair, Valuation

MAX_HAIRCUT_BP = 10_000

_ANY = re.compile(r".*", re.DOTALL)
_MODEL: tuple[tuple[str, type[StrEnum]], ...] = (
    ("granularity", Granularity),
    ("interchange", Interchange),
    ("delay", Delay),
)


@dataclass(frozen=True, slots=True)
class Policies:
    """The settlement part of an AssetSpec."""

    model: SettlementModel
    queue: QueuePolicy
    at_cutoff: AtCutoff
    on_shortfall: OnShortfall
    set_off: bool


def read_policies(table: Table) -> Policies:
    """Model, queue and what happens at a cut-off or a shortfall; complains about what makes no sense together."""
    model = _model(table)
    policies = Policies(
        model=model or SettlementModel(),
        queue=QueuePolicy(table.choice("queue", QueuePolicy, "NONE") or QueuePolicy.NONE),
        at_cutoff=AtCutoff(table.choice("at_cutoff", AtCutoff, "ROLL") or AtCutoff.ROLL),
        on_shortfall=OnShortfall(
            table.choice("on_shortfall", OnShortfall, "HOLD") or OnShortfall.HOLD
        ),
        set_off=table.flag("set_off") or False,
    )
    if model is not None:
        _sense(table, policies)
    return policies


def _sense(table: Table, policies: Policies) -> None:
    model = policies.model
    name = model_name(model)
    bilateral = (model.granularity, model.interchange) == (Granularity.NET, Interchange.BILATERAL)
    if policies.set_off and not bilateral:
        table.complain(
            "obligations are set off between two participants only: the model has to be NET/BILATERAL/…,"
            f" it is {name}",
            "set_off",
        )
    if policies.on_shortfall is not OnShortfall.HOLD and model != SettlementModel():
        table.complain(
            f"{policies.on_shortfall} makes the batch of a window anew, which only a model"
            f" {model_name(SettlementModel())} can do, it is {name}; else HOLD",
            "on_shortfall",
        )


def _model(table: Table) -> SettlementModel | None:
    """R6: "NET/BILATERAL/DEFERRED"; None where it is none."""
    default = model_name(SettlementModel())
    text = table.text("model", _ANY, "a settlement model", default)
    if not isinstance(table.values.get("model", ""), str):
        return None  # which was complained about
    words = text.split("/")
    if len(words) == len(_MODEL) and all(
        word in set(kind) for word, (_, kind) in zip(words, _MODEL, strict=True)
    ):
        return SettlementModel(Granularity(words[0]), Interchange(words[1]), Delay(words[2]))
    known = [
        f"{granularity}/{interchange}/{delay}"
        for granularity in Granularity
        for interchange in Interchange
        for delay in Delay
    ]
    options = " / ".join(" or ".join(kind) for _, kind in _MODEL)
    table.complain(
        f"{shown(text)} is not a settlement model: {options}{did_you_mean(text, known)}", "model"
    )
    return None


def model_name(model: SettlementModel) -> str:
    """As a scheme file says it: "GROSS/MULTILATERAL/IMMEDIATE"."""
    return "/".join(getattr(model, name) for name, _ in _MODEL)


def read_valuation(table: Table, scale: int) -> Valuation | None:
    """`valuation = { price = "7.8", haircut_bp = 200, short_limit = "1000" }` (R10); None where there is none."""
    inner = table.table("valuation")
    if inner is None:
        return None
    price = worth(inner, "price")
    if "price" not in inner.values:
        inner.complain("price is missing (the worth of one whole unit, in quotes)")
    haircut_bp = inner.whole("haircut_bp", 0, MAX_HAIRCUT_BP, default=0)
    limit = inner.amount("short_limit", scale)
    inner.end()
    return Valuation(price or "0", haircut_bp, None if limit is None else show(limit, scale))


def worth(table: Table, key: str) -> str | None:
    """A price or limit in the unit of account, written one way only; None where it is missing."""
    units = table.amount(key, UNIT_SCALE, MAX_DIGITS + UNIT_SCALE)
    return None if units is None else show_worth(units)


def show_worth(units: int) -> str:
    """Units of 10^-UNIT_SCALE without zeros at the end: "7.8"."""
    return show(units, UNIT_SCALE).rstrip("0").rstrip(".")


def read_pair(table: Table, assets: dict[str, Asset]) -> Pair:
    """One [[pairs]]: whose legs may be linked (R21)."""
    delivery, payment = table.choice("delivery", assets), table.choice("payment", assets)
    pair = Pair(delivery, payment, _bis_model(table))
    table.end()
    return pair


def _bis_model(table: Table) -> BisModel:
    """1, 2, 3 or a name. Placeholder GROSS_GROSS."""
    options = ", ".join(f"{model.value} ({model.name})" for model in BisModel)
    table.also("model")
    value = table.values.get("model")
    if value is None:
        table.complain(f"model is missing (one of {options})")
    elif isinstance(value, str) and value in BisModel.__members__:
        return BisModel[value]
    elif type(value) is int and value in set(BisModel):
        return BisModel(value)
    else:
        hint = did_you_mean(value, BisModel.__members__) if isinstance(value, str) else ""
        table.complain(f"{shown(value)} is not one of {options}{hint}", "model")
    return BisModel.GROSS_GROSS
