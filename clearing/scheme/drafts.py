"""What a scheme says and the published commands do not: drafts of commands about assets, participants and pairs.

A draft has no id and nobody's name yet: clearing.scheme.changes gives it both. Generators, because each draft is
folded into `published` before the next one is looked for.
"""

from collections.abc import Iterator

from clearing.core.commands import (
    Proposable,
    RegisterAsset,
    RegisterPair,
    RegisterParticipant,
    RequireApproval,
    SetPool,
    SetShortLimit,
    SetValuation,
)
from clearing.core.money import parse, show
from clearing.core.registry import AssetSpec, SettlementModel
from clearing.core.value import UNIT_SCALE
from clearing.scheme.model import Asset, Pair, Participant
from clearing.scheme.policies import model_name, show_worth
from clearing.scheme.standing import Published, Valued

Draft = tuple[str, Proposable]  # (what it does in words, the command without id and by)


def asset(wanted: Asset, published: Published) -> Iterator[Draft]:
    """Register it, or register it anew with what has changed."""
    spec, before = wanted.spec, published.assets.get(wanted.spec.id)
    if before == spec:
        return
    what = (
        _differences(before, spec) if before else f"{spec.code} of {spec.issuer} on {spec.ledger}"
    )
    yield f"asset {spec.id}: {what}", RegisterAsset(id="", by="", asset=spec)


def _differences(before: AssetSpec, after: AssetSpec) -> str:
    """ "every_s 5 → 10, queue NONE → FIFO"."""
    names = [n for n in after.__struct_fields__ if getattr(before, n) != getattr(after, n)]
    return ", ".join(f"{n} {_word(getattr(before, n))} → {_word(getattr(after, n))}" for n in names)


def _word(value: object) -> str:
    """A field's value as the scheme file has it."""
    match value:
        case SettlementModel():
            return model_name(value)
        case bool():
            return str(value).lower()
        case _:
            return str(value)


def pool(wanted: Asset, published: Published) -> Iterator[Draft]:
    """The default fund in an asset (R25)."""
    spec = wanted.spec
    if wanted.pool is None:
        return
    units, before = exact(wanted.pool, spec.scale), published.pools.get(spec.id, 0)
    if units != before:
        text = f"pool of {spec.id}: {show(before, spec.scale)} → {wanted.pool}"
        yield text, SetPool(id="", by="", asset=spec.id, amount=wanted.pool)


def valuation(wanted: Asset, published: Published) -> Iterator[Draft]:
    """What an asset counts in the value check (R10)."""
    spec, said = wanted.spec, wanted.valuation
    if said is None:
        return
    limit = None if said.short_limit is None else exact(said.short_limit, spec.scale)
    if published.valuations.get(spec.id) == Valued(
        exact(said.price, UNIT_SCALE), said.haircut_bp, limit
    ):
        return
    text = f"valuation of {spec.id}: {said.price}, haircut {said.haircut_bp} bp"
    if said.short_limit is not None:
        text += f", short limit {said.short_limit}"
    command = SetValuation(
        id="",
        by="",
        asset=spec.id,
        price=said.price,
        haircut_bp=said.haircut_bp,
        short_limit=said.short_limit,
    )
    yield text, command


def participant(wanted: Participant, published: Published) -> Iterator[Draft]:
    """Register it, or give it another name."""
    before = published.participants.get(wanted.id)
    if before == wanted.name:
        return
    what = f": {wanted.name}" if before is None else f": {before} is called {wanted.name}"
    command = RegisterParticipant(id="", by="", participant=wanted.id, name=wanted.name)
    yield f"participant {wanted.id}{what}", command


def short_limit(wanted: Participant, published: Published) -> Iterator[Draft]:
    """Put a participant under the value check, or take it out of it (R10)."""
    said, before = wanted.short_limit, published.short_limits.get(wanted.id)
    units = exact(said, UNIT_SCALE) if said else None
    if said is None or units == before:
        return
    known = "none" if before is None else show_worth(before)
    text = f"short limit of {wanted.id}: {known} → {said or 'none'}"
    yield text, SetShortLimit(id="", by="", participant=wanted.id, limit=said or None)


def pair(wanted: Pair, published: Published) -> Iterator[Draft]:
    """Let legs of two assets be linked (R21)."""
    delivery, payment, model = wanted.delivery, wanted.payment, wanted.model
    before = published.pairs.get((delivery, payment))
    if before == model:
        return
    change = f"{before.name} → {model.name}" if before else model.name
    command = RegisterPair(id="", by="", delivery=delivery, payment=payment, model=model)
    yield f"pair {delivery} / {payment}: {change}", command


def four_eyes(wanted: bool | None, published: Published) -> Iterator[Draft]:
    """Whether a second person is needed from here on (R33): to come last, for it holds for what comes after it."""
    if wanted is not None and wanted != published.four_eyes:
        text = "a second person has to approve" if wanted else "nobody has to approve any more"
        yield f"four eyes: {text}", RequireApproval(id="", by="", required=wanted)


def exact(amount: str, scale: int) -> int:
    """Minor units of an amount of a checked scheme."""
    units = parse(amount, scale)
    assert units is not None, f"{amount!r} was checked when the scheme was read"
    return units
