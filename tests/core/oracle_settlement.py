"""What ledgers answer, in the oracle: posted, or refused and what is done about it (R4, R11, R20, R23)."""

from clearing.core.commands import Confirmation
from tests.core.oracle_batches import summed
from tests.core.oracle_books import FUNDING, Books, ClosedWindow, Part
from tests.core.oracle_shortfall import resolve_shortfall
from tests.core.oracle_windows import say_batch, sums


def confirm(books: Books, answer: Confirmation) -> str:
    part = books.pending.get(answer.batch)
    if part is None:
        return "REPEATED"
    if (part.batch["ledger"], part.batch["hash"]) != (answer.ledger, answer.hash):
        return "REFUSED"
    if part.state != "PENDING_SETTLEMENT":
        same = (part.state == "POSTED") == (answer.status == "POSTED")
        return "REPEATED" if same else "REFUSED"
    if part.window is None:
        _funded(books, part, answer.status == "POSTED")
    elif answer.status == "POSTED":
        part.state = "POSTED"
        _settle(books, part.window.together)
    else:
        _refused(books, part, part.window, answer)
    return "DONE"


def _funded(books: Books, part: Part, posted: bool) -> None:
    del books.pending[part.batch["id"]]
    (member,) = part.members
    for name, units in ((member.debtor, -member.units), (member.creditor, member.units)):
        if not posted and name != FUNDING:
            books.accounts[name, part.batch["asset"]].held -= units


def _refused(books: Books, part: Part, window: ClosedWindow, answer: Confirmation) -> None:
    if resolve_shortfall(books, window, answer):
        return
    part.state = "FAILED"
    scale = part.batch["scale"]
    entries = summed(part.batch["entries"], list(books.status), scale)
    say_batch(books, part, "FAILED", sums([part]), reason=answer.reason, entries=entries)


def _settle(books: Books, together: list[ClosedWindow]) -> None:
    """R11, R20: once everything of all these windows is posted, they are final at once."""
    if any(part.state != "POSTED" for window in together for part in window.parts):
        return
    for window in sorted(together, key=lambda w: w.parts[0].batch["sequence"]):
        scale = books.assets[window.asset].spec.scale
        lines = [line for part in window.parts for line in part.batch["entries"]]
        entries = summed(lines, list(books.status), scale)
        say_batch(books, window.parts[0], "SETTLED", sums(window.parts), entries=entries)
        books.closed.remove(window)
        for part in window.parts:
            del books.pending[part.batch["id"]]
        for m in window.members:
            _to_held(books, m.debtor, window.asset, -m.units)
            _to_held(books, m.creditor, window.asset, m.units)
        for name, units in window.shifted.items():
            _to_held(books, name, window.asset, units)


def _to_held(books: Books, name: str, asset: str, units: int) -> None:
    books.accounts[name, asset].held += units
    books.accounts[name, asset].position -= units
