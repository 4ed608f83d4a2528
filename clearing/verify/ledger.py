"""The ledger in PostgreSQL against the settlement batches: what is posted, and that it adds up (R1, R2, R23, R25).

Reads the ledger in one read-only snapshot; the comparison itself is pure.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import asyncpg
import msgspec

from clearing.core.commands import Confirmation
from clearing.core.money import parse
from clearing.core.outputs import SettlementBatch, WindowEvent
from clearing.verify.report import Check, Findings

CONNECT_TIMEOUT_S = 10

Account = tuple[str, str, str]  # ledger, asset, participant

_decode_short = msgspec.json.Decoder(dict[str, str]).decode


class Line(NamedTuple):
    """An entry: minor units, and against whom and for which payment where the line is of one."""

    participant: str
    counterparty: str
    payment: str
    units: int


@dataclass(slots=True)
class Posting:
    """A batch as the ledger has it. entries: by the number of their line; lines of zero are not posted.

    short: who could not pay and how much each lacks, decimal strings.
    """

    id: str
    hash: str
    ledger: str
    asset: str
    kind: str
    window: int
    version: int
    sequence: int
    source_offset: int
    status: str
    reason: str
    part: int = 1
    parts: int = 1
    linked: list[str] = field(default_factory=list[str])
    short: dict[str, str] = field(default_factory=dict[str, str])
    entries: dict[int, Line] = field(default_factory=dict[int, Line])


@dataclass(slots=True)
class LedgerBooks:
    """Everything a ledger database holds of one netting set.

    running: (account, amount, balance after it) of each entry in the order of posting. sequences: of the last
    batch each ledger of this database has read.
    """

    postings: list[Posting] = field(default_factory=list[Posting])
    balances: dict[Account, int] = field(default_factory=dict[Account, int])
    running: list[tuple[Account, int, int]] = field(default_factory=list[tuple[Account, int, int]])
    sequences: dict[str, int] = field(default_factory=dict[str, int])


async def connect(dsn: str) -> asyncpg.Connection:
    return await asyncpg.connect(dsn, timeout=CONNECT_TIMEOUT_S)


async def read_books(connection: asyncpg.Connection, netting_set: str) -> LedgerBooks:
    """Books of one netting set as of now."""
    books = LedgerBooks()
    async with connection.transaction(isolation="repeatable_read", readonly=True):
        for row in await connection.fetch(
            "SELECT ledger, sequence FROM clearing.progress WHERE netting_set = $1", netting_set
        ):
            books.sequences[row["ledger"]] = row["sequence"]
        for row in await connection.fetch(
            "SELECT ledger, asset, participant, balance FROM clearing.accounts WHERE netting_set = $1",
            netting_set,
        ):
            books.balances[(row["ledger"], row["asset"], row["participant"])] = row["balance"]
        by_number: dict[int, Posting] = {}
        async for row in connection.cursor(
            "SELECT number, id, hash, ledger, asset, kind, window_number, version, part, parts, linked, "
            "sequence, source_offset, status, reason, short FROM clearing.batches "
            "WHERE netting_set = $1 ORDER BY number",
            netting_set,
            prefetch=5_000,
        ):
            by_number[row["number"]] = _posting(row)
        async for row in connection.cursor(
            "SELECT e.batch, e.line, a.ledger, a.asset, a.participant, c.participant AS counterparty, "
            "e.payment::text AS payment, e.amount, e.balance "
            "FROM clearing.entries AS e JOIN clearing.batches AS b ON b.number = e.batch "
            "JOIN clearing.accounts AS a ON a.id = e.account "
            "LEFT JOIN clearing.accounts AS c ON c.id = e.counterparty "
            "WHERE b.netting_set = $1 ORDER BY e.batch, e.line",
            netting_set,
            prefetch=20_000,
        ):
            account = (row["ledger"], row["asset"], row["participant"])
            by_number[row["batch"]].entries[row["line"]] = Line(
                row["participant"], row["counterparty"] or "", row["payment"] or "", row["amount"]
            )
            books.running.append((account, row["amount"], row["balance"]))
    books.postings = list(by_number.values())
    return books


def _posting(row: Any) -> Posting:
    return Posting(
        id=row["id"],
        hash=row["hash"],
        ledger=row["ledger"],
        asset=row["asset"],
        kind=row["kind"],
        window=row["window_number"],
        version=row["version"],
        sequence=row["sequence"],
        source_offset=row["source_offset"],
        status=row["status"],
        reason=row["reason"],
        part=row["part"],
        parts=row["parts"],
        linked=row["linked"],
        short=_decode_short(row["short"]),
    )


def check_postings(
    netting_set: str,
    books: LedgerBooks,
    batches: list[SettlementBatch],
    events: list[WindowEvent],
    answers: Iterable[Confirmation],
    end_offset: int,
) -> Check:
    """The ledger has posted each batch once, with its entries and no others, or refused it whole; and it has said
    so (R2, R23, R25).

    answers: of ledgers, as the log has them. end_offset: of the settlements topic as it was read; what was posted
    from beyond it is left for next time.
    """
    found = Findings()
    wanted = {batch.id: batch for batch in batches}
    posted: dict[str, Posting] = {}
    for posting in books.postings:
        if posting.source_offset >= end_offset:
            continue
        if posting.id in posted:
            found.add(f"batch {posting.id} is posted twice")
        posted[posting.id] = posting
        batch = wanted.get(posting.id)
        if batch is None:
            found.add(f"the ledger has batch {posting.id}, which nobody sent")
        else:
            found.extend(_posting_differences(posting, batch))
    _check_windows_posted(books.postings, found)
    _check_missing(books, batches, posted, found)
    _check_events(events, batches, posted, found)
    _check_answers(answers, posted, found)
    entries = sum(len(posting.entries) for posting in posted.values())
    refused = sum(posting.status == "REFUSED" for posting in posted.values())
    return found.check(
        "the ledger equals the batches",
        "R2 R23 R25",
        netting_set,
        f"{len(posted):,} of {len(batches):,} batches, {entries:,} entries; {refused:,} refused",
    )


def posted_lines(batch: SettlementBatch) -> dict[int, Line]:
    """The lines of a batch that a ledger posts, by their place in it."""
    return {
        number: Line(entry.participant, entry.counterparty, entry.payment, units)
        for number, entry in enumerate(batch.entries, 1)
        if (units := parse(entry.net, batch.scale) or 0)
    }


def _posting_differences(posting: Posting, batch: SettlementBatch) -> list[str]:
    names = ("hash", "ledger", "asset", "kind", "window", "version", "sequence", "part", "parts")
    facts: dict[str, tuple[object, object]] = {
        name: (getattr(posting, name), getattr(batch, name)) for name in (*names, "linked")
    }
    differences = [
        f"batch {batch.sequence}: {name} is {has} in the ledger, sent was {sent}"
        for name, (has, sent) in facts.items()
        if has != sent
    ]
    sent_entries = posted_lines(batch)
    if posting.status == "REFUSED":
        if posting.entries:
            differences.append(f"batch {batch.sequence} is refused and half posted")
        return differences
    for number in sorted({*sent_entries, *posting.entries}):
        has, sent = posting.entries.get(number), sent_entries.get(number)
        if has != sent:
            differences.append(
                f"batch {batch.sequence}: line {number} is {has} in the ledger, not {sent}"
            )
    return differences


def _check_windows_posted(postings: list[Posting], found: Findings) -> None:
    """A window is settled once: of the versions of each of its parts at most one is posted (R2)."""
    once: set[tuple[str, str, int, int]] = set()
    for posting in postings:
        key = (posting.ledger, posting.asset, posting.window, posting.part)
        if posting.kind != "funding" and posting.status == "POSTED":
            if key in once:
                found.add(f"window {posting.window} of {posting.asset} is posted twice")
            once.add(key)


def _check_missing(
    books: LedgerBooks,
    batches: list[SettlementBatch],
    posted: dict[str, Posting],
    found: Findings,
) -> None:
    missing = [batch for batch in batches if batch.id not in posted]
    for batch in missing:
        if batch.sequence <= books.sequences.get(batch.ledger, 0):
            found.add(f"batch {batch.sequence} was passed over by ledger {batch.ledger}")
    on_its_way = [b for b in missing if b.sequence > books.sequences.get(b.ledger, 0)]
    if on_its_way:
        ledgers = ", ".join(sorted({batch.ledger for batch in on_its_way}))
        found.wait_for(f"{len(on_its_way)} batches are not posted yet by {ledgers}")


def _check_events(
    events: list[WindowEvent],
    batches: list[SettlementBatch],
    posted: dict[str, Posting],
    found: Findings,
) -> None:
    """What the journal says of a window its ledger has done: SETTLED is every part of its last version."""
    last: dict[tuple[str, int], dict[int, str]] = {}
    for batch in batches:
        if batch.kind != "funding":
            last.setdefault((batch.asset, batch.window), {})[batch.part] = batch.id
    for event in events:
        state = {"SETTLED": "POSTED", "FAILED": "REFUSED", "ABORTED": "REFUSED"}.get(event.state)
        if state is None or not event.batch:
            continue
        meant = {event.batch}
        if event.state == "SETTLED":
            meant |= {*last.get((event.asset, event.window), {}).values()}
        for batch in meant:
            posting = posted.get(batch)
            if posting is None or posting.status != state:
                says = posting.status if posting else "nothing"
                found.add(
                    f"window {event.window} of {event.asset} is {event.state}, its ledger says {says}"
                )


def _check_answers(
    answers: Iterable[Confirmation], posted: dict[str, Posting], found: Findings
) -> None:
    """What the engine was told is what the ledger has: who was short of how much decides who pays (R25)."""
    for said in answers:
        posting = posted.get(said.batch)
        if posting is None or (posting.hash, posting.ledger) != (said.hash, said.ledger):
            continue  # an answer to nothing it has; the engine does not heed it, or its window is not posted
        if (said.status, said.short) != (posting.status, posting.short):
            found.add(f"the answer to batch {said.batch} is not what its ledger has of it")


def check_balances(netting_set: str, books: LedgerBooks) -> Check:
    """Each balance is the sum of its entries, at every entry; each asset sums to zero over all accounts (R1)."""
    found = Findings()
    sums: dict[Account, int] = {}
    for account, amount, balance in books.running:
        sums[account] = sums.get(account, 0) + amount
        if sums[account] != balance:
            found.add(
                f"{account}: balance {balance} after an entry of {amount}, entries say {sums[account]}"
            )
    for account, balance in books.balances.items():
        if balance != sums.get(account, 0):
            found.add(f"{account}: balance {balance}, its entries say {sums.get(account, 0)}")
    for account in sums.keys() - books.balances.keys():
        found.add(f"{account} has entries and no account")
    totals: dict[tuple[str, str], int] = {}
    for (ledger, asset, _), balance in books.balances.items():
        totals[(ledger, asset)] = totals.get((ledger, asset), 0) + balance
    for key, total in totals.items():
        if total:
            found.add(f"{key}: all accounts together hold {total}, not zero")
    return found.check(
        "balances are the sum of their entries",
        "R1",
        netting_set,
        f"{len(books.balances):,} balances of {len(totals):,} assets, {len(books.running):,} entries",
    )
