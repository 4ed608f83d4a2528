"""The life of a payment in the oracle: accepted, waiting, released, ended (R12, R20, R23).

The only place where positions change for a payment and where codes of waiting payments do.
"""

from clearing.core.reasons import Code
from tests.core.oracle_books import Books, Link, Member, Payment, decimal, uuid_text


def accept(books: Books, payment: Payment) -> None:
    """By its own row: irrevocable from here on."""
    books.assets[payment.asset].window.direct.append(_moved(books, payment, payment.units))


def _moved(books: Books, payment: Payment, units: int) -> Member:
    debtor, creditor, asset = payment.debtor, payment.creditor, payment.asset
    books.accounts[debtor, asset].position -= units
    books.accounts[creditor, asset].position += units
    if (debtor, creditor, asset) in books.usage:
        books.usage[debtor, creditor, asset] += units
        books.usage[creditor, debtor, asset] -= units
    link = payment.link.id if payment.link else 0
    return Member(payment.id, debtor, creditor, units, link, payment.seen, payment)


def wait(books: Books, payment: Payment, *, queued: bool) -> None:
    """Its turn is after everything that waits; not queued: it waits for the other legs of its link."""
    books.arrivals += 1
    payment.arrival, payment.queued = books.arrivals, queued
    if payment not in books.waiting:
        books.waiting.append(payment)


def release(books: Books, payments: list[Payment], how: str) -> None:
    """As one: what waited is accepted."""
    for payment in payments:
        window = books.assets[payment.asset].window
        window.released.append(_moved(books, payment, payment.units))
        payment.seen.code = int(Code.ACCEPTED)
        _resolve(books, payment, Code.ACCEPTED, how=how, window=window.number)
        _gone(books, payment)
    for payment in payments:
        if payment.link:
            end_link(books, payment.link)


def release_part(books: Books, payment: Payment, units: int) -> None:
    """R22: some of it is accepted, the rest waits where it stood."""
    assert 0 < units < payment.units
    window = books.assets[payment.asset].window
    window.released.append(_moved(books, payment, units))
    payment.units -= units
    payment.delivered = True
    _resolve(
        books,
        payment,
        Code.ACCEPTED,
        units=units,
        how="PARTIAL",
        window=window.number,
        remaining=payment.units,
    )


def end(books: Books, payment: Payment, code: Code) -> None:
    """It waits no more and is not accepted; a link ends as one (R20)."""
    if payment.link:
        end_legs(books, payment.link, other=(payment, code))
    else:
        _end_alone(books, payment, code)


def end_legs(
    books: Books,
    link: Link,
    code: Code = Code.LINK_REFUSED,
    other: tuple[Payment, Code] | None = None,
) -> None:
    """The link ends: what of its legs still waits with `code`, in their order; one may have its own (`other`)."""
    end_link(books, link)
    for leg in link.in_order():
        if leg in books.waiting:
            _end_alone(books, leg, other[1] if other and leg is other[0] else code)


def end_link(books: Books, link: Link) -> None:
    books.links.pop(link.id, None)
    books.ended_links[link.id] = books.date


def _end_alone(books: Books, payment: Payment, code: Code) -> None:
    payment.seen.code = int(code)
    if payment.original:
        payment.original.returned -= payment.units
    _resolve(books, payment, code)
    _gone(books, payment)


def _gone(books: Books, payment: Payment) -> None:
    books.waiting = [p for p in books.waiting if p is not payment]


def _resolve(
    books: Books,
    payment: Payment,
    code: Code,
    *,
    units: int | None = None,
    how: str = "",
    window: int = 0,
    remaining: int = 0,
) -> None:
    resolution = resolution_of(books, payment, code, payment.units if units is None else units)
    if remaining:
        resolution["remaining"] = decimal(remaining, books.assets[payment.asset].spec.scale)
    books.said.resolutions.append(resolution | {"how": how, "window": window})


def resolution_of(books: Books, payment: Payment, code: Code, units: int) -> dict[str, object]:
    place, scale = payment.place, books.assets[payment.asset].spec.scale
    units_sent, priority_sent = payment.sent
    return {
        "id": uuid_text(payment.id),
        "code": int(code),
        "kind": payment.kind,
        "debtor": payment.debtor,
        "creditor": payment.creditor,
        "asset": payment.asset,
        "amount": decimal(units, scale),
        "log_offset": place.log_offset,
        "row": place.row,
        "source": place.source,
        "end_to_end_id": place.texts[0],
        "chain_reference": place.texts[1],
        "how": "",
        "window": 0,
        "remaining": "",
        "return_of": uuid_text(payment.original.id) if payment.original else "",
        "value_date": payment.value_date,
        "priority": priority_sent,
        "expires_at_ms": payment.expires_at_ms,
        "window_asked": payment.asked_window,
        "amount_sent": decimal(units_sent, scale) if units != units_sent else "",
        "link": _declared(payment),
    }


def _declared(payment: Payment) -> tuple[str, str, int, int, bool] | None:
    """Of a leg: its link, what all legs declare, and which one it is."""
    if payment.link is None:
        return None
    terms, legs, partial = payment.link.declared
    digits = terms.to_bytes(16, "little").hex()
    return uuid_text(payment.link.id), digits, payment.leg, legs, partial


def is_held(books: Books, payment: Payment) -> bool:
    """R32: it stays while a party to it is suspended."""
    return "SUSPENDED" in (books.status[payment.debtor], books.status[payment.creditor])
