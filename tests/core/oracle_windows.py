"""Windows of the oracle: cut-offs (R17, R22), closing alone or together (R4, R20), batches, funding.

What ledgers answer is in oracle_settlement.py.
"""

import hashlib
from typing import Any

from clearing.core.reasons import Code
from tests.core.oracle_batches import content, entry, identity, parts_of, root, seal, shifted
from tests.core.oracle_books import (
    FUNDING,
    Books,
    Chunk,
    Cleared,
    ClosedWindow,
    Member,
    OpenWindow,
    Part,
    decimal,
    minor,
)
from tests.core.oracle_links import deliver_parts
from tests.core.oracle_release import offset
from tests.core.oracle_waiting import end

FAILED = ("FAILED", "ABORTED")


# --- open windows ------------------------------------------------------------------------------------------------


def next_cutoff(books: Books, asset: Cleared) -> int:
    if asset.spec.every_s:
        every_ms = asset.spec.every_s * 1000
        return books.time_ms - books.time_ms % every_ms + every_ms
    return min((at for at in asset.cutoffs if at > books.time_ms), default=0)


def reschedule(books: Books, name: str) -> None:
    window = books.assets[name].window
    before, window.cutoff_ms = window.cutoff_ms, next_cutoff(books, books.assets[name])
    if window.cutoff_ms != before:
        say_open(books, name)


def open_window(books: Books, name: str, number: int) -> None:
    asset = books.assets[name]
    asset.window = OpenWindow(number, books.time_ms, next_cutoff(books, asset))
    say_open(books, name)


def say_open(books: Books, name: str) -> None:
    window = books.assets[name].window
    opened = {"opened_at_ms": window.opened_at_ms, "cutoff_ms": window.cutoff_ms}
    say(books, name, window.number, 1, "OPEN", **opened)


def say(books: Books, asset: str, number: int, version: int, state: str, **more: Any) -> None:
    """A window event. What it says of a batch, a reason or entries comes in `more`."""
    nothing = {"batch": "", "hash": "", "payments": 0, "gross": "0", "reason": "", "entries": []}
    nothing |= {"opened_at_ms": 0, "cutoff_ms": 0}
    where = {"asset": asset, "window": number, "version": version, "state": state}
    books.said.windows.append(where | nothing | more)


# --- closing -----------------------------------------------------------------------------------------------------


def close_due(books: Books) -> None:
    due = [n for n, a in books.assets.items() if 0 < a.window.cutoff_ms <= books.time_ms]
    close_at_cutoff(books, due)


def close_at_cutoff(books: Books, names: list[str]) -> None:
    """First the queues of all of them, then the windows; one that closed with another does not close again."""
    for name in names:
        _at_cutoff(books, name)
    numbers = {name: books.assets[name].window.number for name in names}
    for name in names:
        if books.assets[name].window.number == numbers[name]:
            _close_with_linked(books, name)


def close_immediate(books: Books) -> bool:
    """It is no cut-off of the queue: only what is for that window alone ends. Whether anything did."""
    before = len(books.waiting)
    for name, asset in books.assets.items():
        if asset.spec.model.delay == "IMMEDIATE" and asset.window.members:
            _close_with_linked(books, name)
    return len(books.waiting) < before


def _close_with_linked(books: Books, name: str) -> None:
    """One window and all that share links with it, directly or through others."""
    closing = [name]
    while more := [other for other in _linked_with(books, closing) if other not in closing]:
        closing += more
    closing.sort(key=list(books.assets).index)
    _close(books, closing)


def _linked_with(books: Books, closing: list[str]) -> list[str]:
    links = {m.link for name in closing for m in books.assets[name].window.members if m.link}
    return [
        name
        for name, asset in books.assets.items()
        if any(m.link in links for m in asset.window.members)
    ]


def _at_cutoff(books: Books, name: str) -> None:
    """R14, R22, R17: what can leave does so, also in part; what may not roll ends; what is left is told (R16)."""
    spec, number = books.assets[name].spec, books.assets[name].window.number
    if not any(p.asset == name for p in books.waiting):
        return
    offset(books)
    deliver_parts(books, name)
    for payment in list(books.waiting):
        if payment.asset != name or payment not in books.waiting:
            continue
        dropped = spec.at_cutoff == "DROP" and not payment.delivered  # a fail stays open (R22)
        if dropped or payment.asked_window == number:
            end(books, payment, Code.CUTOFF)
    left = [p for p in books.waiting if p.queued and p.asset == name]
    if left:
        books.said.deadlocks.append((name, len(left), sum(p.units for p in left)))


def _close(books: Books, names: list[str]) -> None:
    for name in names:  # R17
        for payment in list(books.waiting):
            asked = (
                payment.asset == name and payment.asked_window == books.assets[name].window.number
            )
            if asked and payment in books.waiting:
                end(books, payment, Code.CUTOFF)
    together: list[ClosedWindow] = []
    chunks: dict[str, list[list[Chunk]]] = {}
    for name in names:
        window = books.assets[name].window
        window.seal_record(books.offset)
        if window.chunks:
            spec = books.assets[name].spec
            chunks[name] = parts_of(spec, window.chunks)
            closed = ClosedWindow(name, window.number, window.opened_at_ms, window.chunks)
            closed.on_shortfall = spec.on_shortfall
            closed.together = together
            together.append(closed)
    ids = {
        w.asset: [what(w, 1, n + 1, len(chunks[w.asset])) for n in range(len(chunks[w.asset]))]
        for w in together
    }
    for name in names:
        number = books.assets[name].window.number
        if name in ids:
            (window,) = (w for w in together if w.asset == name)
            others = [identity(books, of) for other in ids if other != name for of in ids[other]]
            for n, of_part in enumerate(chunks[name]):
                _send_part(books, window, of_part, n + 1, len(chunks[name]), 1, others)
            books.closed.append(window)
            say_batch(books, window.parts[0], "PENDING_SETTLEMENT", sums(window.parts))
        else:
            say(books, name, number, 1, "SETTLED")
        open_window(books, name, number + 1)


def what(window: ClosedWindow, version: int, part: int, parts: int) -> str:
    """What a batch settles: its id is made from that."""
    text = f"{window.asset}|{window.number}|{version}"
    return text if parts == 1 else f"{text}|{part}"


def _send_part(
    books: Books,
    window: ClosedWindow,
    chunks: list[Chunk],
    part: int,
    parts: int,
    version: int,
    linked: list[str],
) -> Part:
    spec = books.assets[window.asset].spec
    advice = books.advice.get((window.asset, window.number))
    made = content(books, spec, chunks, advice)
    if window.shifted or window.by_scheme:
        made["entries"] = shifted(made["entries"], window.shifted | window.by_scheme, spec.scale)
    batch = seal(
        books,
        window.asset,
        what(window, version, part, parts),
        window=window.number,
        version=version,
        opened_at_ms=window.opened_at_ms,
        part=part,
        parts=parts,
        linked=linked,
        members_root=root(window.chained, list(books.status)),
        **made,
    )
    sent = Part(batch, chunks, window)
    window.parts = [p for p in window.parts if p.batch.get("part", 1) != part] + [sent]
    window.parts.sort(key=lambda p: p.batch.get("part", 1))
    _send(books, sent)
    return sent


def _send(books: Books, part: Part) -> None:
    books.pending[part.batch["id"]] = part
    books.said.batches.append(part.batch)


def send_again(books: Books, window: ClosedWindow) -> None:
    """R4: what failed of a window, as the next version of it."""
    for part in list(window.parts):
        if part.state in FAILED:
            _next_version(books, window, part, part.chunks)


def replace_batch(books: Books, window: ClosedWindow, chunks: list[Chunk], reason: str) -> None:
    """R25: a batch that was refused is given up, and its window is netted anew."""
    (part,) = window.parts
    say_batch(books, part, "ABORTED", sums([part]), reason=reason)
    if chunks:
        _next_version(books, window, part, chunks)
        return
    del books.pending[part.batch["id"]]
    books.closed.remove(window)
    say(books, window.asset, window.number, part.batch["version"] + 1, "SETTLED")


def _next_version(books: Books, window: ClosedWindow, old: Part, chunks: list[Chunk]) -> None:
    """It names the batches that the linked windows have by now."""
    del books.pending[old.batch["id"]]
    others = [part.batch["id"] for w in window.together if w is not window for part in w.parts]
    number, parts = old.batch.get("part", 1), old.batch.get("parts", 1)
    new = _send_part(books, window, chunks, number, parts, old.batch["version"] + 1, others)
    say_batch(books, new, "PENDING_SETTLEMENT", sums([new]))


def abort(books: Books, window: ClosedWindow) -> None:
    for part in window.parts:
        if part.state == "FAILED":
            part.state = "ABORTED"
            say_batch(books, part, "ABORTED", sums([part]))


def sums(parts: list[Part]) -> dict[str, Any]:
    scale = parts[0].batch["scale"]
    gross = sum(minor(p.batch["gross"], scale) for p in parts)
    return {"payments": sum(p.batch["payments"] for p in parts), "gross": decimal(gross, scale)}


def say_batch(books: Books, part: Part, state: str, of: dict[str, Any], **more: Any) -> None:
    batch = part.batch
    names = {"batch": batch["id"], "hash": batch["hash"]}
    say(books, batch["asset"], batch["window"], batch["version"], state, **names, **of, **more)


# --- funding -----------------------------------------------------------------------------------------------------


def fund(books: Books, name: str, asset: str, units: int, command: str) -> None:
    """R9: it counts at once, and leaves as a batch of its own."""
    if not units:
        return
    books.accounts[name, asset].held += units
    sides = (FUNDING, name) if units > 0 else (name, FUNDING)
    members = [Member(0, *sides, abs(units))]
    scale = books.assets[asset].spec.scale
    batch = seal(
        books,
        asset,
        f"fund|{command}",
        kind="funding",
        window=0,
        version=1,
        opened_at_ms=books.time_ms,
        payments=1,
        gross=decimal(abs(units), scale),
        entries=[entry(one, members, scale) for one in (name, FUNDING)],
        log_first=books.offset,
        log_last=books.offset,
        members_root=hashlib.sha256(command.encode()).hexdigest(),
    )
    _send(books, Part(batch, [(books.offset, members)]))
