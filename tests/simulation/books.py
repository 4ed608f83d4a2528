"""What the simulated ledger's database holds, and the constraints it has in common with the real one's.

Every netting set is a `Shelf`; a transaction works on a copy of it and puts it back at its commit. Pure: no time,
no sessions. tests/simulation/ledger.py answers SQL from it, tests/simulation/auditor.py reads it afterwards.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import msgspec
from asyncpg.exceptions import IntegrityConstraintViolationError, UniqueViolationError

from clearing.verify.ledger import LedgerBooks, Line, Posting

Key = tuple[str, str]  # ledger, netting set
Row = dict[str, Any]


class Account(NamedTuple):
    id: int
    balance: int
    overdraft: int | None


class Entry(NamedTuple):
    line: int
    account: tuple[str, str]  # asset, participant
    counterparty: str
    payment: str
    amount: int
    balance: int


class Batch(NamedTuple):
    row: Row  # columns of clearing.batches
    entries: tuple[Entry, ...] = ()


@dataclass(slots=True)
class Shelf:
    """Of one ledger and netting set. progress: its row, None before the first owner."""

    progress: Row | None = None
    assets: dict[str, int] = field(default_factory=dict[str, int])
    accounts: dict[tuple[str, str], Account] = field(default_factory=dict[tuple[str, str], Account])
    batches: list[Batch] = field(default_factory=list[Batch])

    def copy(self) -> "Shelf":
        return replace(
            self,
            assets=dict(self.assets),
            accounts=dict(self.accounts),
            batches=list(self.batches),
        )

    def account(self, number: int) -> tuple[str, str]:
        return next(name for name, account in self.accounts.items() if account.id == number)

    def enter(self, number: int, entries: Sequence[Entry]) -> None:
        """Add the entries of a batch, and move the balances."""
        self.batches[number] = self.batches[number]._replace(entries=tuple(entries))
        for entry in entries:
            account = self.accounts[entry.account]
            if account.balance + entry.amount != entry.balance:
                raise IntegrityConstraintViolationError(
                    f"{entry.account}: an entry does not continue its balance"
                )
            self.accounts[entry.account] = account._replace(balance=entry.balance)
        moved: Counter[tuple[str, str]] = Counter()
        for entry in entries:
            moved[entry.account] += entry.amount
        for name, units in moved.items():
            account = self.accounts[name]
            if account.overdraft is not None and units < 0 and account.balance < -account.overdraft:
                raise IntegrityConstraintViolationError(f"{name} would fall below its floor")


class Commit(NamedTuple):
    """One transaction that took effect: when, and the batches it brought (id, hash, status)."""

    at_s: float
    owner: str
    batches: tuple[tuple[str, str, str], ...]


@dataclass(slots=True)
class Books:
    """Everything committed. states: of before each commit that a failover may still lose, oldest first.

    broken: what no database would have let through or what the bank invariant forbids; it has to stay empty.
    """

    shelves: dict[Key, Shelf] = field(default_factory=dict[Key, Shelf])
    confirmed: frozenset[str] = frozenset()
    commits: list[Commit] = field(default_factory=list[Commit])
    broken: list[str] = field(default_factory=list[str])
    lost_commits: int = 0
    _states: list[tuple[dict[Key, Shelf], frozenset[str]]] = field(
        default_factory=list[tuple[dict[Key, Shelf], frozenset[str]]]
    )

    def shelf(self, key: Key) -> Shelf:
        return self.shelves.get(key) or Shelf()

    def put(self, key: Key, shelf: Shelf, at_s: float, owner: str) -> None:
        """Commit a shelf. Raises what the database's own constraints would raise."""
        before = self.shelf(key)
        added = shelf.batches[len(before.batches) :]
        self._check_added(key, shelf, added)
        self._check_sums(key, shelf)
        self._remember()
        self.shelves[key] = shelf
        batches = tuple((b.row["id"], b.row["hash"], b.row["status"]) for b in added)
        self.commits.append(Commit(at_s, owner, batches))

    def confirm(self, batches: Sequence[str]) -> None:
        self._remember()
        self.confirmed |= set(batches)

    def fail_over(self, commits: int) -> int:
        """Go back to before the last commits, as a standby does that had not received them; how many that were."""
        lost = min(commits, len(self._states))
        if lost:
            self.shelves, self.confirmed = self._states[-lost]
            del self._states[-lost:]
        self.lost_commits += lost
        return lost

    def _remember(self) -> None:
        self._states.append((dict(self.shelves), self.confirmed))
        del self._states[:-16]

    def _check_added(self, key: Key, shelf: Shelf, added: Sequence[Batch]) -> None:
        """batches.id, batches_window_settles_once, batches_are_whole (R31)."""
        there = {batch.row["id"] for other in self.shelves.values() for batch in other.batches}
        ids = Counter(batch.row["id"] for batch in added)
        for id_, times in ids.items():
            if id_ in there or times > 1:
                raise UniqueViolationError(f"batch {id_} is there already")
        windows = Counter(
            (b.row["asset"], b.row["window_number"], b.row["part"])
            for b in shelf.batches
            if b.row["kind"] != "funding" and b.row["status"] == "POSTED"
        )
        if twice := [window for window, times in windows.items() if times > 1]:
            raise UniqueViolationError(f"window {twice[0]} is settled twice")
        progress = shelf.progress
        for batch in added:
            row = batch.row
            if len(batch.entries) != row["entries"] or sum(e.amount for e in batch.entries):
                raise IntegrityConstraintViolationError(f"batch {row['id']} is not whole (R1)")
            if (
                progress is None
                or progress["epoch"] != row["epoch"]
                or progress["next_offset"] <= row["source_offset"]
                or progress["sequence"] < row["sequence"]
            ):
                raise IntegrityConstraintViolationError(
                    f"batch {row['id']} is posted without its owner's progress (R31)"
                )

    def _check_sums(self, key: Key, shelf: Shelf) -> None:
        """The bank invariant: nothing is made or lost, at no commit (R1)."""
        sums: Counter[str] = Counter()
        for (asset, _), account in shelf.accounts.items():
            sums[asset] += account.balance
        self.broken += [f"{key}: all accounts in {a} hold {s}" for a, s in sums.items() if s]

    def of(self, netting_set: str) -> LedgerBooks:
        """As clearing.verify reads a ledger."""
        books = LedgerBooks()
        for (ledger, name), shelf in self.shelves.items():
            if name != netting_set:
                continue
            if shelf.progress is not None:
                books.sequences[ledger] = shelf.progress["sequence"]
            for (asset, participant), account in shelf.accounts.items():
                books.balances[ledger, asset, participant] = account.balance
            for batch in shelf.batches:
                books.postings.append(_posting(batch))
                books.running += [
                    ((ledger, *entry.account), entry.amount, entry.balance)
                    for entry in batch.entries
                ]
        return books


def _posting(batch: Batch) -> Posting:
    row = batch.row
    same = ("id", "hash", "ledger", "asset", "kind", "version", "sequence", "source_offset")
    return Posting(
        **{name: row[name] for name in same},
        window=row["window_number"],
        status=row["status"],
        reason=row["reason"],
        part=row["part"],
        parts=row["parts"],
        linked=list(row["linked"]),
        short=msgspec.json.decode(row["short"]),
        entries={
            entry.line: Line(entry.account[1], entry.counterparty, entry.payment, entry.amount)
            for entry in batch.entries
        },
    )
