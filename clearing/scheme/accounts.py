"""The accounts of a scheme file: what an asset gives each participant, a participant's own terms over it, limits.

Amounts are read at their asset's scale. What holds between accounts is in clearing.scheme.checks.
"""

from collections.abc import Iterable
from dataclasses import dataclass, fields

from clearing.core.money import show
from clearing.scheme.fields import Table, did_you_mean
from clearing.scheme.model import Account, Asset, BilateralLimit, Participant


@dataclass(frozen=True, slots=True)
class Terms:
    """Amounts of an account in minor units, as defaults of an asset or as one participant's own.

    None: not said. Prefunding and cap are then 0, the overdraft follows the cap, the others stay as they are.
    """

    prefunded: int | None = None
    net_debit_cap: int | None = None
    overdraft: int | None = None
    reserved: int | None = None
    collateral: int | None = None


_TERMS = tuple(each.name for each in fields(Terms))


def read_terms(table: Table, scale: int) -> Terms:
    """Amounts of an account; what else stands in the table is for the caller to read, and to end."""
    return Terms(*(table.amount(name, scale) for name in _TERMS))


def read_accounts(
    participant: Participant,
    table: Table,
    assets: dict[str, Asset],
    defaults: dict[str, Terms | None],
    participants: Iterable[str],
) -> list[Account]:
    """Accounts of one participant: per asset its own terms over the asset's; `false`: none.

    participants: names of all of them, for bilateral limits.
    """
    own = table.table("accounts")
    for name in own.values if own else ():
        assert own is not None
        if name not in assets:
            own.complain(f"no such asset{did_you_mean(name, assets)}", name)
        elif assets[name].netting_set not in participant.netting_sets:
            place = assets[name].netting_set
            own.complain(f"the asset's netting set {place} is none of the participant's", name)
    others = [name for name in participants if name != participant.id]
    accounts: list[Account] = []
    for name, asset in assets.items():
        terms, limits = defaults[name], tuple[BilateralLimit, ...]()
        if own and own.is_false(name):
            continue
        if own and name in own.values and (inner := own.table(name)):
            terms = _over(read_terms(inner, asset.spec.scale), terms or Terms())
            limits = _limits(inner, participant.id, others, asset.spec.scale)
            inner.end()
        if terms and asset.netting_set in participant.netting_sets:
            accounts.append(_account(participant.id, asset, terms, limits))
    return accounts


def _over(own: Terms, default: Terms) -> Terms:
    pairs = ((getattr(own, name), getattr(default, name)) for name in _TERMS)
    return Terms(*(first if first is not None else second for first, second in pairs))


def _limits(
    table: Table, participant: str, others: list[str], scale: int
) -> tuple[BilateralLimit, ...]:
    """`limits = { BANKB = "1000", BANKC = false }`: false takes a limit away again."""
    inner = table.table("limits")
    found: list[BilateralLimit] = []
    for name in inner.values if inner else ():
        assert inner is not None
        if name == participant:
            inner.complain("nobody has a limit with itself", name)
        elif name not in others:
            inner.complain(f"no such participant{did_you_mean(name, others)}", name)
        elif inner.is_false(name):
            found.append(BilateralLimit(name, False))
        elif (units := inner.amount(name, scale)) is not None:
            found.append(BilateralLimit(name, show(units, scale)))
    return tuple(found)


def _account(
    participant: str, asset: Asset, terms: Terms, limits: tuple[BilateralLimit, ...]
) -> Account:
    scale = asset.spec.scale

    def said(units: int | None) -> str | None:
        return None if units is None else show(units, scale)

    return Account(
        participant,
        asset.spec.id,
        show(terms.prefunded or 0, scale),
        show(terms.net_debit_cap or 0, scale),
        said(terms.overdraft),
        said(terms.reserved),
        said(terms.collateral),
        limits,
    )
