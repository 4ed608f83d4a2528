"""The ledger in PostgreSQL against the settlement batches: what is posted, and that it adds up (R1, R2, R23, R25).

Reads the ledger in one read-only snapshot; the comparison itself is pure.
"""

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

import asyncpg
import msgspec

from clearing.core.commands import Confirmation
from clearing.core.outputs import SettlementBatch, WindowEvent
from clearing.verify.report import Check, Findings
from clearing.verify.sums import units_of

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


class TakesBooks(Protocol):
    """What books are read into, a batch at a time in the order of posting."""

    sequences: dict[str, int]
    balances: dict[Account, int]

    def take(self, posting: Posting) -> None: ...
    def move(self, account: Account, amount: int, balance: int) -> None: ...


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

    def take(self, posting: Posting) -> None:
        self.postings.append(posting)

    def move(self, account: Account, amount: int, balance: int) -> None:
        self.running.append((account, amount, balance))

    async def into(self, comparison: TakesBooks) -> None:
        """Everything, to be compared."""
        comparison.sequences, comparison.balances = self.sequences, self.balances
        for posting in self.postings:
            comparison.take(posting)
        for account, amount, balance in self.running:
            comparison.move(account, amount, balance)


class PostgresBooks:
    """The books of a netting set in a database, as of the moment in which they are read."""

    def __init__(self, dsn: str, netting_set: str) -> None:
        self._dsn, self._netting_set = dsn, netting_set

    async def into(self, comparison: TakesBooks) -> None:
        """A batch at a time: a ledger may have more entries than there is memory."""
        connection = await connect(self._dsn)
        try:
            await _read_into(comparison, connection, self._netting_set)
        finally:
            await connection.close()


class BooksToRead(Protocol):
    async def into(self, comparison: TakesBooks) -> None: ...


async def connect(dsn: str) -> asyncpg.Connection:
    return await asyncpg.connect(dsn, timeout=CONNECT_TIMEOUT_S)


async def read_books(connection: asyncpg.Connection, netting_set: str) -> LedgerBooks:
    """Books of one netting set as of now, in memory."""
    books = LedgerBooks()
    await _read_into(books, connection, netting_set)
    return books


_BATCHES = (
    "SELECT number, id, hash, ledger, asset, kind, window_number, version, part, parts, linked, "
    "sequence, source_offset, status, reason, short FROM clearing.batches "
    "WHERE netting_set = $1 ORDER BY number"
)
_ENTRIES = (
    "SELECT e.batch, e.line, a.ledger, a.asset, a.participant, c.participant AS counterparty, "
    "e.payment::text AS payment, e.amount, e.balance "
    "FROM clearing.entries AS e JOIN clearing.batches AS b ON b.number = e.batch "
    "JOIN clearing.accounts AS a ON a.id = e.account "
    "LEFT JOIN clearing.accounts AS c ON c.id = e.counterparty "
    "WHERE b.netting_set = $1 ORDER BY e.batch, e.line"
)
_BATCHES_AT_ONCE, _ENTRIES_AT_ONCE = 500, 10_000


async def _read_into(into: TakesBooks, connection: asyncpg.Connection, netting_set: str) -> None:
    """One snapshot: batches with their entries, in the order in which they were posted."""
    async with connection.transaction(isolation="repeatable_read", readonly=True):
        for row in await connection.fetch(
            "SELECT ledger, sequence FROM clearing.progress WHERE netting_set = $1", netting_set
        ):
            into.sequences[row["ledger"]] = row["sequence"]
        for row in await connection.fetch(
            "SELECT ledger, asset, participant, balance FROM clearing.accounts WHERE netting_set = $1",
            netting_set,
        ):
            into.balances[(row["ledger"], row["asset"], row["participant"])] = row["balance"]
        entries = await connection.cursor(_ENTRIES, netting_set)
        fetched: deque[Any] = deque()
        async for row in connection.cursor(_BATCHES, netting_set, prefetch=_BATCHES_AT_ONCE):
            posting = _posting(row)
            while fetched or (fetched := deque(await entries.fetch(_ENTRIES_AT_ONCE))):
                if fetched[0]["batch"] != row["number"]:
                    break
                entry = fetched.popleft()
                posting.entries[entry["line"]] = Line(
                    entry["participant"],
                    entry["counterparty"] or "",
                    entry["payment"] or "",
                    entry["amount"],
                )
                account = (entry["ledger"], entry["asset"], entry["participant"])
                into.move(account, entry["amount"], entry["balance"])
            into.take(posting)


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


class _Taken(NamedTuple):
    """What is remembered of a posting."""

    hash: str
    ledger: str
    status: str
    short: dict[str, str]


class LedgerComparison:
    """Compares the books of a netting set with what was to be posted, as they are read.

    batches: (offset in the topic of settlements, batch). events: of its windows. answers: of ledgers, as the
    log has them. end_offset: of the settlements as they were read; what was posted from beyond it is left for next
    time.
    """

    def __init__(
        self,
        netting_set: str,
        batches: Iterable[tuple[int, SettlementBatch]],
        events: list[WindowEvent],
        answers: Iterable[Confirmation],
        end_offset: int,
    ) -> None:
        self.netting_set = netting_set
        self.sequences: dict[str, int] = {}
        self.balances: dict[Account, int] = {}
        self._wanted = {batch.id: (offset, batch) for offset, batch in batches}
        self._events, self._answers, self._end = events, answers, end_offset
        self._posted: dict[str, _Taken] = {}
        self._settled: set[tuple[str, str, int, int]] = set()
        self._sums: dict[Account, int] = {}
        self._postings, self._running, self._moved = Findings(), Findings(), 0
        self._entries = 0

    def take(self, posting: Posting) -> None:
        """The next batch that a ledger has, with its entries."""
        found = self._postings
        self._settle(posting)
        if posting.source_offset >= self._end:
            return
        if posting.id in self._posted:
            found.add(f"batch {posting.id} is posted twice")
        self._entries += len(posting.entries)
        self._posted[posting.id] = _Taken(
            posting.hash, posting.ledger, posting.status, posting.short
        )
        offset, batch = self._wanted.get(posting.id, (-1, None))
        if batch is None:
            found.add(f"the ledger has batch {posting.id}, which nobody sent")
            return
        if posting.source_offset != offset:
            found.add(
                f"batch {batch.sequence} was posted from offset {posting.source_offset}, where it does "
                f"not stand: it is at {offset}"
            )
        found.extend(_posting_differences(posting, batch))

    def _settle(self, posting: Posting) -> None:
        """A window is settled once: of the versions of each of its parts at most one is posted (R2)."""
        key = (posting.ledger, posting.asset, posting.window, posting.part)
        if posting.kind != "funding" and posting.status == "POSTED":
            if key in self._settled:
                self._postings.add(f"window {posting.window} of {posting.asset} is posted twice")
            self._settled.add(key)

    def move(self, account: Account, amount: int, balance: int) -> None:
        """The next entry, and the balance of its account after it."""
        self._moved += 1
        total = self._sums[account] = self._sums.get(account, 0) + amount
        if total != balance:
            self._running.add(
                f"{account}: balance {balance} after an entry of {amount}, entries say {total}"
            )

    def checks(self) -> list[Check]:
        """What was found, when everything was read."""
        return [self._check_postings(), self._check_confirmed(), self._check_balances()]

    def _check_postings(self) -> Check:
        """The ledger has posted each batch once, with its entries and no others, from where it stands, or refused
        it whole; and it has said so (R2, R23, R25).
        """
        found, batches = self._postings, [batch for _, batch in self._wanted.values()]
        _check_missing(self.sequences, batches, self._posted, found)
        _check_events(self._events, batches, self._posted, found)
        refused = sum(posting.status == "REFUSED" for posting in self._posted.values())
        return found.check(
            "the ledger equals the batches",
            "R2 R23 R25",
            self.netting_set,
            f"{len(self._posted):,} of {len(batches):,} batches, {self._entries:,} entries; {refused:,} refused",
        )

    def _check_confirmed(self) -> Check:
        """What was confirmed is what the ledger has: nothing was said before it was committed, or of something that
        was rolled back; and who was short of how much, which decides who pays (R23, R25).
        """
        found = Findings()
        said = 0
        for answer in self._answers:
            _, batch = self._wanted.get(answer.batch, (-1, None))
            if batch is None or (batch.hash, batch.ledger) != (answer.hash, answer.ledger):
                continue  # of nothing that was sent: the engine does not heed it
            if answer.ledger not in self.sequences:
                continue  # of a ledger in another database
            said += 1
            posting = self._posted.get(answer.batch)
            if posting is None:
                found.add(
                    f"batch {batch.sequence} was confirmed as {answer.status}; its ledger has not got it"
                )
            elif (posting.hash, posting.ledger) == (answer.hash, answer.ledger) and (
                (answer.status, answer.short) != (posting.status, posting.short)
            ):
                found.add(f"the answer to batch {answer.batch} is not what its ledger has of it")
        return found.check(
            "what ledgers confirmed, they have",
            "R23 R25",
            self.netting_set,
            f"{said:,} confirmations against {len(self._posted):,} batches",
        )

    def _check_balances(self) -> Check:
        """Each balance is the sum of its entries, at every entry; each asset sums to zero over all of them (R1)."""
        found, sums = self._running, self._sums
        for account, balance in self.balances.items():
            if balance != sums.get(account, 0):
                found.add(f"{account}: balance {balance}, its entries say {sums.get(account, 0)}")
        for account in sums.keys() - self.balances.keys():
            found.add(f"{account} has entries and no account")
        totals: dict[tuple[str, str], int] = {}
        for (ledger, asset, _), balance in self.balances.items():
            totals[(ledger, asset)] = totals.get((ledger, asset), 0) + balance
        for key, total in totals.items():
            if total:
                found.add(f"{key}: all accounts together hold {total}, not zero")
        return found.check(
            "balances are the sum of their entries",
            "R1",
            self.netting_set,
            f"{len(self.balances):,} balances of {len(totals):,} assets, {self._moved:,} entries",
        )


def posted_lines(batch: SettlementBatch) -> dict[int, Line]:
    """The lines of a batch that a ledger posts, by their place in it."""
    return {
        number: Line(entry.participant, entry.counterparty, entry.payment, units)
        for number, entry in enumerate(batch.entries, 1)
        if (units := units_of(entry.net, batch.scale) or 0)
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


def _check_missing(
    sequences: dict[str, int],
    batches: list[SettlementBatch],
    posted: dict[str, _Taken],
    found: Findings,
) -> None:
    missing = [batch for batch in batches if batch.id not in posted]
    for batch in missing:
        if batch.sequence <= sequences.get(batch.ledger, 0):
            found.add(f"batch {batch.sequence} was passed over by ledger {batch.ledger}")
    on_its_way = [b for b in missing if b.sequence > sequences.get(b.ledger, 0)]
    if on_its_way:
        ledgers = ", ".join(sorted({batch.ledger for batch in on_its_way}))
        found.wait_for(f"{len(on_its_way)} batches are not posted yet by {ledgers}")


def _check_events(
    events: list[WindowEvent],
    batches: list[SettlementBatch],
    posted: dict[str, _Taken],
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
