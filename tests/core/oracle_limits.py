"""The oracle's limits (R8-R10): why payments cannot leave as one, each with the first reason that applies to it.

A single payment is a group of one. Everything is checked after all of the group, its own credits counted.
"""

from fractions import Fraction

from clearing.core.reasons import Code
from tests.core.oracle_books import Books, Payment

MOST_UNSETTLED = 2**61


def has_room(books: Books, arriving: Payment) -> bool:
    """What could become unsettled stays countable."""
    asset = arriving.asset
    total = books.unsettled(asset) + books.queued_units(asset) + arriving.units
    return total <= MOST_UNSETTLED


def is_blocked(books: Books, payment: Payment) -> bool:
    """R13: under FIFO it may not pass what stands before it, that is what is as urgent or more."""
    if books.assets[payment.asset].spec.queue != "FIFO":
        return False
    queue = books.queue(payment.debtor, payment.asset)
    return any(ahead.priority >= payment.priority for ahead in queue)


def lack(books: Books, payment: Payment, group: list[Payment]) -> Code | None:
    """What `payment` lacks if `group`, itself among them, left as one."""
    if over_bilateral_limit(books, payment.debtor, payment.creditor, payment.asset, group):
        return Code.BILATERAL_LIMIT
    if headroom_after(books, payment.debtor, payment.asset, group) < 0:
        capped = books.accounts[payment.debtor, payment.asset].cap > 0
        return Code.NET_DEBIT_CAP if capped else Code.LIQUIDITY
    if payment.asset in books.valuations and value_lacks(books, payment.debtor, group):
        return Code.VALUE_CHECK
    return None


def fits(books: Books, group: list[Payment]) -> bool:
    return all(lack(books, payment, group) is None for payment in group)


def headroom_after(books: Books, name: str, asset: str, group: list[Payment]) -> int:
    return books.accounts[name, asset].headroom + net(name, asset, group)


def net(name: str, asset: str, group: list[Payment]) -> int:
    """What `name` gets in an asset, less what it gives."""
    of_asset = [p for p in group if p.asset == asset]
    received = sum(p.units for p in of_asset if p.creditor == name)
    return received - sum(p.units for p in of_asset if p.debtor == name)


def over_bilateral_limit(
    books: Books, debtor: str, creditor: str, asset: str, group: list[Payment]
) -> bool:
    key = (debtor, creditor, asset)
    if key not in books.bilateral:
        return False
    between = [
        p for p in group if p.asset == asset and {p.debtor, p.creditor} == {debtor, creditor}
    ]
    more = sum(p.units if p.debtor == debtor else -p.units for p in between)
    return books.usage[key] + more > books.bilateral[key]


def value_lacks(books: Books, name: str, group: list[Payment]) -> bool:
    """R10: would the value of what `name` holds no longer cover what it owes?"""
    if name not in books.short_limits:
        return False
    total, shorts = Fraction(0), Fraction(0)
    for asset, valuation in books.valuations.items():
        account = books.accounts.get((name, asset))
        if account is None:
            continue
        balance = account.held + account.position + net(name, asset, group)
        per_unit = valuation.price / 10 ** books.assets[asset].spec.scale
        if balance >= 0:
            total += balance * per_unit * (10_000 - valuation.haircut_bp)
            continue
        if valuation.short_limit is not None and -balance > valuation.short_limit:
            return True
        total += balance * per_unit * (10_000 + valuation.haircut_bp)
        shorts -= balance * per_unit * (10_000 + valuation.haircut_bp)
    return total < 0 or shorts > books.short_limits[name] * 10_000
