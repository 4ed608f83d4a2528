"""What must hold between the sections of a scheme: assets that differ, sums that can be counted, pairs, members.

Reads a Scheme that may still hold placeholders of refused values: it says nothing about those.
"""

from clearing.core.money import MAX_UNSETTLED, parse, show
from clearing.core.registry import BisModel, Granularity
from clearing.scheme.fields import Complaints
from clearing.scheme.model import Asset, Pair, Scheme

MAX_CONDITIONAL = MAX_UNSETTLED // 2  # the engine's own bound on these sums


def check(scheme: Scheme, complaints: Complaints) -> None:
    """Complain about everything that holds only between sections."""
    _same_assets(scheme, complaints)
    _sums(scheme, complaints)
    _pairs(scheme, complaints)
    _limits(scheme, complaints)
    if not complaints.problems:  # else what is missing may just have been refused
        _members(scheme, complaints)
        _short_limits(scheme, complaints)


def _same_assets(scheme: Scheme, complaints: Complaints) -> None:
    """R3: an asset is (code, issuer, ledger); in two places it would be netted twice, in part each."""
    seen: dict[tuple[str, str, str], str] = {}
    for asset in scheme.assets.values():
        spec = asset.spec
        identity = (spec.code, spec.issuer, spec.ledger)
        first = seen.setdefault(identity, spec.id)
        if first != spec.id and all(identity):
            message = f"assets.{spec.id}: the same (code, issuer, ledger) as {first}"
            complaints.add(("assets", spec.id), message)


def _sums(scheme: Scheme, complaints: Complaints) -> None:
    """Prefunding, caps and reservations of an asset together stay countable: the engine refuses more."""
    for asset in scheme.assets.values():
        scale = asset.spec.scale
        total = sum(
            parse(amount, scale) or 0
            for account in scheme.accounts
            if account.asset == asset.spec.id
            for amount in (account.prefunded, account.net_debit_cap, account.reserved or "0")
        )
        if total > MAX_CONDITIONAL:
            message = (
                f"assets.{asset.spec.id}: prefunding, caps and reservations add up to {show(total, scale)},"
                f" more than the {show(MAX_CONDITIONAL, scale)} that can be counted at scale {scale}"
            )
            complaints.add(("assets", asset.spec.id), message)


# R21 as data: what a model asks of (delivery, payment).
_SIDES = {
    BisModel.GROSS_GROSS: (Granularity.GROSS, Granularity.GROSS),
    BisModel.GROSS_NET: (Granularity.GROSS, Granularity.NET),
    BisModel.NET_NET: (Granularity.NET, Granularity.NET),
}


def _pairs(scheme: Scheme, complaints: Complaints) -> None:
    """R21: the two assets of a pair can be accepted, and closed, in one step."""
    seen: set[frozenset[str]] = set()
    for index, pair in enumerate(scheme.pairs):
        path, names = ("pairs", index), (pair.delivery, pair.payment)
        if complaints.concern(*path):
            continue
        if pair.delivery == pair.payment:
            message = f"pairs.payment: {pair.payment} is the delivery too; its legs need no pair"
            complaints.add((*path, "payment"), message)
        elif frozenset(names) in seen:
            complaints.add(path, f"pairs: the pair of {' and '.join(sorted(names))} stands twice")
        elif not any(complaints.concern("assets", name) for name in names):
            _pair(pair, scheme.assets[names[0]], scheme.assets[names[1]], path, complaints)
        seen.add(frozenset(names))


def _pair(
    pair: Pair, delivery: Asset, payment: Asset, path: tuple[str, int], complaints: Complaints
) -> None:
    """Complain about two assets whose legs cannot be linked this way."""
    label = f"{pair.delivery} and {pair.payment}"
    if delivery.netting_set != payment.netting_set:
        places = f"{delivery.netting_set} and {payment.netting_set}"
        message = f"{label} are cleared in two netting sets, {places}: they cannot be linked"
        complaints.add((*path, "payment"), f"pairs.payment: {message}")
        return
    one, other = delivery.spec.model, payment.spec.model
    if one.delay != other.delay:
        message = (
            f"{label} are {one.delay} and {other.delay}: windows of a pair close together, so both"
            " have the same delay"
        )
        complaints.add(path, f"pairs: {message}")
    sides = (one.granularity, other.granularity)
    if sides != _SIDES[pair.model]:
        needs = " delivery and a ".join(_SIDES[pair.model])
        message = f"model {pair.model.value} ({pair.model.name}) needs a {needs} payment"
        message += f"; {pair.delivery} is {sides[0]}, {pair.payment} is {sides[1]}"
        complaints.add((*path, "model"), f"pairs.model: {message}{_way_out(sides)}")


def _way_out(sides: tuple[Granularity, Granularity]) -> str:
    """The model that these two have, "; did you mean 3 (NET_NET)?"."""
    for model, wanted in _SIDES.items():
        if sides == wanted:
            return f"; did you mean {model.value} ({model.name})?"
    return "; the GROSS one has to be the delivery"


def _limits(scheme: Scheme, complaints: Complaints) -> None:
    """R10: a bilateral limit is between two accounts."""
    holders = {(account.participant, account.asset) for account in scheme.accounts}
    for account in scheme.accounts:
        for limit in account.limits:
            if (limit.counterparty, account.asset) not in holders:
                names = ("participants", account.participant, "accounts", account.asset, "limits")
                path = (*names, limit.counterparty)
                message = f"{limit.counterparty} has no account in {account.asset}"
                complaints.add(path, f"{'.'.join(path)}: {message}")


def _short_limits(scheme: Scheme, complaints: Complaints) -> None:
    """R10: the value check counts assets with a valuation; without any the limit would never bind."""
    for participant in scheme.participants.values():
        if participant.short_limit and not any(
            map(scheme.has_valuations, participant.netting_sets)
        ):
            path = ("participants", participant.id, "short_limit")
            places = ", ".join(participant.netting_sets)
            message = f"no asset of {places} has a valuation, so nothing would be checked"
            complaints.add(path, f"{'.'.join(path)}: {message}")


def _members(scheme: Scheme, complaints: Complaints) -> None:
    """A netting set has assets, and participants to net between."""
    if not scheme.netting_sets:
        complaints.add((), "a scheme has one netting set at least: [netting_sets.NAME]")
    for name, members in scheme.members.items():
        path, label = ("netting_sets", name), f"netting_sets.{name}"
        if not scheme.assets_of(name):
            complaints.add(path, f"{label}: no asset is cleared in it")
        if len(members) < 2:
            complaints.add(path, f"{label}: netting needs two participants, it has {len(members)}")
