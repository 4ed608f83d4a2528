"""What stands in a netting set though its scheme file does not say it: loading leaves it alone, and notes it.

Taking something out of the file undoes nothing: who leaves is suspended or closed by command, a limit is taken away
by `false`.
"""

from collections.abc import Iterator

from clearing.core.money import show
from clearing.scheme.model import Scheme
from clearing.scheme.policies import show_worth
from clearing.scheme.standing import Published


def leftovers(scheme: Scheme, published: Published) -> Iterator[str]:
    """One line each, of what is registered first, then of limits."""
    name = published.netting_set
    members, assets = set(scheme.members[name]), {a.spec.id: a for a in scheme.assets_of(name)}
    accounts = {(account.participant, account.asset): account for account in scheme.accounts}
    for asset in sorted(published.assets.keys() - assets.keys()):
        yield f"asset {asset} is registered but not in the file: it stays"
    for participant in sorted(published.participants.keys() - members - published.closed):
        yield f"participant {participant} is registered but not in the file: suspend or close it by command"
    for participant, asset in sorted(published.accounts.keys() - accounts.keys()):
        if participant in members:
            yield f"account of {participant} in {asset} is open but not in the file: it stays"
    said = {(pair.delivery, pair.payment) for pair in scheme.pairs}
    for delivery, payment in sorted(published.pairs.keys() - said):
        yield f"pair {delivery} / {payment} is registered but not in the file: it stays"
    yield from _assets(scheme, published)
    yield from _accounts(scheme, published)
    for participant, units in sorted(published.short_limits.items()):
        wanted = scheme.participants.get(participant)
        if wanted is not None and wanted.short_limit is None:
            yield f"short limit {show_worth(units)} of {participant} is not in the file: it stays"
    if published.four_eyes and scheme.netting_sets[name].four_eyes is None:
        yield "four eyes are required, which the file does not say: they stay"


def _assets(scheme: Scheme, published: Published) -> Iterator[str]:
    for asset in scheme.assets_of(published.netting_set):
        name, scale = asset.spec.id, asset.spec.scale
        pool = published.pools.get(name, 0)
        if asset.pool is None and pool:
            yield f"pool {show(pool, scale)} of {name} is not in the file: it stays"
        if asset.valuation is None and name in published.valuations:
            yield f"valuation of {name} is not in the file: it stays"


def _accounts(scheme: Scheme, published: Published) -> Iterator[str]:
    for account in scheme.accounts_of(published.netting_set):
        key = account.participant, account.asset
        scale = scheme.assets[account.asset].spec.scale
        label = f"account of {account.participant} in {account.asset}"
        for what, wanted, units in (
            ("reserved", account.reserved, published.reserved.get(key, 0)),
            ("collateral", account.collateral, published.collateral.get(key, 0)),
        ):
            if wanted is None and units:
                yield f"{label}: {what} {show(units, scale)} is not in the file: it stays"
        said = {limit.counterparty for limit in account.limits}
        for (participant, counterparty, asset), units in sorted(published.limits.items()):
            if (participant, asset) == key and counterparty not in said:
                text = f"limit {show(units, scale)} with {counterparty}"
                yield f"{label}: {text} is not in the file: it stays"
