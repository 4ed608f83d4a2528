"""What each statement of clearing.ledgers.statements does to a Shelf, in Python. Parameters: as in the SQL."""

from collections.abc import Callable, Sequence
from typing import Any

from asyncpg.exceptions import IntegrityConstraintViolationError

from clearing.ledgers import statements
from tests.simulation.books import Account, Batch, Books, Entry, Row, Shelf

_BATCH_COLUMNS = (
    "id",
    "hash",
    "ledger",
    "netting_set",
    "asset",
    "kind",
    "window_number",
    "version",
    "part",
    "parts",
    "linked",
    "sequence",
    "source_topic",
    "source_partition",
    "source_offset",
    "epoch",
    "status",
    "reason",
    "short",
    "entries",
)


def known(books: Books, ids: Sequence[str]) -> list[Row]:
    wanted = set(ids)
    return [
        {"id": batch.row["id"], "hash": batch.row["hash"]}
        for shelf in books.shelves.values()
        for batch in shelf.batches
        if batch.row["id"] in wanted
    ]


def unconfirmed(shelf: Shelf, confirmed: frozenset[str], limit: int) -> list[Row]:
    rows = [batch.row for batch in shelf.batches if batch.row["id"] not in confirmed]
    names = ("hash", "status", "reason", "epoch", "short")
    return [{"batch": row["id"], **{n: row[n] for n in names}} for row in rows[:limit]]


def _take_ownership(
    shelf: Shelf,
    ledger: str,
    netting_set: str,
    topic: str,
    partition: int,
    owner: str,
    held: int | None,
    no_hash: str,
) -> list[Row]:
    before = shelf.progress
    if before is None:
        shelf.progress = {
            "topic": topic,
            "partition": partition,
            "owner": owner,
            "epoch": (held or 0) + 1,
            "next_offset": 0,
            "sequence": 0,
            "hash": no_hash,
        }
    elif held is None or before["epoch"] <= held:
        epoch = max(before["epoch"], held or 0) + 1
        shelf.progress = before | {"owner": owner, "epoch": epoch}
    else:
        return []
    return [shelf.progress]


def _lock_progress(shelf: Shelf, *_: object) -> list[Row]:
    return [shelf.progress] if shelf.progress is not None else []


def _advance(
    shelf: Shelf, ledger: str, netting_set: str, next_offset: int, sequence: int, hash_: str
) -> list[Row]:
    assert shelf.progress is not None
    if next_offset < shelf.progress["next_offset"] or sequence < shelf.progress["sequence"]:
        raise IntegrityConstraintViolationError("progress never goes back")
    shelf.progress = shelf.progress | {
        "next_offset": next_offset,
        "sequence": sequence,
        "hash": hash_,
    }
    return [shelf.progress]


def _declare_asset(
    shelf: Shelf, ledger: str, netting_set: str, asset: str, scale: int
) -> list[Row]:
    return [{"scale": shelf.assets.setdefault(asset, scale)}]


def _open_accounts(
    shelf: Shelf,
    ledger: str,
    netting_set: str,
    assets: list[str],
    participants: list[str],
    overdrafts: list[int | None],
) -> list[Row]:
    for asset, participant, overdraft in zip(assets, participants, overdrafts, strict=True):
        if (overdraft is None) != participant.startswith("$"):
            raise IntegrityConstraintViolationError("only the scheme's accounts have no floor")
        there = shelf.accounts.get((asset, participant))
        number = there.id if there else len(shelf.accounts) + 1
        balance = there.balance if there else 0
        shelf.accounts[asset, participant] = Account(number, balance, overdraft)
    return []


def _standing(
    shelf: Shelf, ledger: str, netting_set: str, asset: str, participants: list[str]
) -> list[Row]:
    return [
        {"participant": name, **shelf.accounts[asset, name]._asdict()}
        for name in participants
        if (asset, name) in shelf.accounts
    ]


def _insert_batch(shelf: Shelf, *values: Any) -> list[Row]:
    shelf.batches.append(Batch(dict(zip(_BATCH_COLUMNS, values, strict=True))))
    return [{"number": len(shelf.batches) - 1}]


def _insert_entries(shelf: Shelf, number: int, *columns: list[Any]) -> list[Row]:
    shelf.enter(
        number,
        [
            Entry(
                line,
                shelf.account(account),
                shelf.account(counterparty)[1] if counterparty else "",
                payment or "",
                amount,
                balance,
            )
            for line, account, counterparty, payment, amount, balance in zip(*columns, strict=True)
        ],
    )
    return []


ANSWERS: dict[str, Callable[..., list[Row]]] = {
    statements.TAKE_OWNERSHIP: _take_ownership,
    statements.LOCK_PROGRESS: _lock_progress,
    statements.ADVANCE: _advance,
    statements.DECLARE_ASSET: _declare_asset,
    statements.OPEN_ACCOUNTS: _open_accounts,
    statements.STANDING: _standing,
    statements.INSERT_BATCH: _insert_batch,
    statements.INSERT_ENTRIES: _insert_entries,
}
