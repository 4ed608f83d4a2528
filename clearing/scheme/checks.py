"""What must hold between the sections of a scheme: assets that differ, sums that can be counted, members.

Reads a Scheme that may still hold placeholders of refused values: it says nothing about those.
"""

from clearing.core.money import MAX_UNSETTLED, parse, show
from clearing.scheme.fields import Complaints
from clearing.scheme.model import Scheme

MAX_CONDITIONAL = MAX_UNSETTLED // 2  # the engine's own bound on prefunding and caps of one asset


def check(scheme: Scheme, complaints: Complaints) -> None:
    """Complain about everything that holds only between sections."""
    _same_assets(scheme, complaints)
    _sums(scheme, complaints)
    if not complaints.problems:  # else what is missing may just have been refused
        _members(scheme, complaints)


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
    """Prefunding and caps of an asset together stay countable: the engine refuses accounts beyond that."""
    for asset in scheme.assets.values():
        scale = asset.spec.scale
        total = sum(
            parse(amount, scale) or 0
            for account in scheme.accounts
            if account.asset == asset.spec.id
            for amount in (account.prefunded, account.net_debit_cap)
        )
        if total > MAX_CONDITIONAL:
            message = (
                f"assets.{asset.spec.id}: prefunding and net debit caps add up to {show(total, scale)},"
                f" more than the {show(MAX_CONDITIONAL, scale)} that can be counted at scale {scale}"
            )
            complaints.add(("assets", asset.spec.id), message)


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
