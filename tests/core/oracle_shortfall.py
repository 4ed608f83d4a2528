"""R25 in the oracle: a ledger could not take a net batch because somebody is short. Waterfall or recast."""

from fractions import Fraction

from clearing.core.commands import Confirmation
from clearing.core.reasons import Code
from tests.core.oracle_books import (
    COLLATERAL,
    POOL,
    Books,
    Chunk,
    ClosedWindow,
    Event,
    Member,
    decimal,
    minor,
)
from tests.core.oracle_waiting import resolution_of
from tests.core.oracle_windows import replace_batch


def resolve_shortfall(books: Books, window: ClosedWindow, answer: Confirmation) -> bool:
    """By the scheme's rule; False: there is none that helps, the window has FAILED."""
    spec = books.assets[window.asset].spec
    named = {name: minor(answer.short.get(name, "0"), spec.scale) for name in books.status}
    lacks = {name: units for name, units in named.items() if units > 0}
    if not lacks or len(window.together) > 1:
        return False
    if window.on_shortfall == "WATERFALL":
        return _waterfall(books, window, lacks, answer.reason)
    if window.on_shortfall == "RECAST" and not any(m.link for m in window.members):
        _recast(books, window, set(lacks), answer.reason)
        return True
    return False  # HOLD; or legs could be torn apart (R20)


def _nets(window: ClosedWindow) -> dict[str, int]:
    nets = dict(window.shifted)
    for m in window.members:
        nets[m.debtor] = nets.get(m.debtor, 0) - m.units
        nets[m.creditor] = nets.get(m.creditor, 0) + m.units
    return nets


def _waterfall(books: Books, window: ClosedWindow, lacks: dict[str, int], reason: str) -> bool:
    """Collateral, then the pool, then those whom the short one paid. All shortfalls are covered, or none."""
    asset, scale = window.asset, books.assets[window.asset].spec.scale
    collateral, pool = dict(books.collateral), dict(books.pool)
    nets, moves = _nets(window), dict.fromkeys(lacks, 0)
    if any(units > -nets.get(name, 0) for name, units in lacks.items()):
        return False  # nobody lacks more than it owes
    events: list[Event] = []
    for name, units in lacks.items():
        own = min(units, collateral.get((name, asset), 0))
        common = min(units - own, pool.get(asset, 0))
        collateral[name, asset] = collateral.get((name, asset), 0) - own
        pool[asset] = pool.get(asset, 0) - common
        shares = _survivors(books, window, name, units - own - common, nets, set(lacks))
        if shares is None:
            return False
        moves[name] += units
        moves[COLLATERAL] = moves.get(COLLATERAL, 0) - own
        moves[POOL] = moves.get(POOL, 0) - common
        for survivor, share in shares.items():
            moves[survivor] = moves.get(survivor, 0) - share
            nets[survivor] -= share
        events.append(
            {
                "asset": asset,
                "window": window.number,
                "version": window.parts[0].batch["version"] + 1,
                "participant": name,
                "shortfall": decimal(units, scale),
                "collateral": decimal(own, scale),
                "pool": decimal(common, scale),
                "survivors": {n: decimal(share, scale) for n, share in shares.items()},
            }
        )
    books.collateral, books.pool = collateral, pool
    for name, units in moves.items():
        if not units:
            continue
        shift = window.by_scheme if name in (COLLATERAL, POOL) else window.shifted
        shift[name] = shift.get(name, 0) + units
        if (name, asset) in books.accounts:
            books.accounts[name, asset].position += units
    replace_batch(books, window, window.parts[0].chunks, reason)
    books.said.shortfalls += events
    return True


def _survivors(
    books: Books, window: ClosedWindow, name: str, rest: int, nets: dict[str, int], short: set[str]
) -> dict[str, int] | None:
    """Shares of those who are to receive, pro rata to what `name` paid them. Who would give more than it is to
    receive gives that, and the others share what is left anew."""
    paid = {
        other: sum(m.units for m in window.members if (m.debtor, m.creditor) == (name, other))
        for other in books.status
        if other not in short and nets.get(other, 0) > 0
    }
    all_of_it: dict[str, int] = {}
    while True:
        sharing = {n: units for n, units in paid.items() if units and n not in all_of_it}
        left = rest - sum(all_of_it.values())
        if left and not sharing:
            return None
        shares = largest_remainder(left, sharing) if left else {}
        over = [other for other, share in shares.items() if share > nets[other]]
        if not over:
            return {n: share for n in paid if (share := (all_of_it | shares).get(n, 0))}
        all_of_it |= {other: nets[other] for other in over}


def largest_remainder(total: int, weights: dict[str, int]) -> dict[str, int]:
    """Whole shares of `total` pro rata to the weights; what rounding leaves goes to the largest remainders, ties
    in the order given."""
    exact = {name: Fraction(total * w, sum(weights.values())) for name, w in weights.items()}
    shares = {name: int(share) for name, share in exact.items()}
    left = total - sum(shares.values())
    by_remainder = sorted(exact, key=lambda name: shares[name] - exact[name])
    for name in by_remainder[:left]:
        shares[name] += 1
    return shares


def _recast(books: Books, window: ClosedWindow, short: set[str], reason: str) -> None:
    """What the short ones sent or received in this window is taken out of it. What is left is chained as one."""
    chunks = window.parts[0].chunks
    kept = [(at, m) for at, m in placed(chunks) if not short & {m.debtor, m.creditor}]
    for at, m in placed(chunks):
        if short & {m.debtor, m.creditor}:
            _take_out(books, window, m, at)
    window.chained = [(0, [m for _, m in kept])]
    replace_batch(books, window, [(at, [m]) for at, m in kept], reason)


def placed(chunks: list[Chunk]) -> list[tuple[int, Member]]:
    return [(at, m) for at, members in chunks for m in members]


def _take_out(books: Books, window: ClosedWindow, m: Member, offset: int) -> None:
    """What is known of it is its place in the window: the log record that accepted it, no row, kind or texts."""
    books.accounts[m.debtor, window.asset].position += m.units
    books.accounts[m.creditor, window.asset].position -= m.units
    assert m.seen
    assert m.payment
    m.seen.code = int(Code.RECAST)
    if m.payment.original:
        m.payment.original.returned -= m.units
    unknown = {
        "row": -1,
        "source": ("", 0, -1, -1),
        "end_to_end_id": "",
        "kind": 0,
        "return_of": "",
        "value_date": 0,
        "priority": 0,
        "expires_at_ms": 0,
        "window_asked": 0,
        "amount_sent": "",
        "link": None,
    }
    known = {"log_offset": offset, "window": window.number}
    resolution = resolution_of(books, m.payment, Code.RECAST, m.units)
    books.said.resolutions.append(resolution | unknown | known)
