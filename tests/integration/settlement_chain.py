"""Test helpers: a chain of settlement records as the engine writes them, and a naive ledger to compare with."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal
from uuid import UUID

import asyncpg
import msgspec

from clearing.config import Settings
from clearing.core.batches import batch_hash, batch_id, nets
from clearing.core.money import parse, show
from clearing.core.outputs import Entry, LedgerAccount, Settlement, SettlementBatch
from clearing.core.state import NO_HASH
from clearing.ledgers.chain import LedgerRecord, read
from clearing.ledgers.ledger import Source
from clearing.names import FUNDING_ACCOUNT

ALPHA, BETA, GAMMA = "ALPHHKHH", "BETAHKHH", "GAMMHKHH"


@dataclass
class SettlementChain:
    """Makes the records of one netting set in their order."""

    netting_set: str = "hk"
    scale: int = 2
    sequence: int = 0
    previous: str = NO_HASH

    def account(
        self,
        participant: str,
        overdraft: str = "0.00",
        asset: str = "HKD",
        ledger: str = "postgres",
    ) -> LedgerAccount:
        return LedgerAccount(
            netting_set=self.netting_set,
            asset=asset,
            ledger=ledger,
            scale=self.scale,
            participant=participant,
            overdraft=overdraft,
        )

    def batch(
        self,
        nets: Mapping[str, int],
        window: int = 1,
        version: int = 1,
        kind: Literal["net", "funding"] = "net",
        asset: str = "HKD",
        ledger: str = "postgres",
    ) -> SettlementBatch:
        """The next batch, one line a participant; nets in minor units."""
        entries = [self._entry(participant, units) for participant, units in nets.items()]
        return self._sealed(entries, window, version=version, kind=kind, asset=asset, ledger=ledger)

    def bilateral(
        self, pairs: Sequence[tuple[str, str, int, int]], window: int = 1, **changes: Any
    ) -> SettlementBatch:
        """The next batch, a pair of lines for each (debtor, creditor, owed, of that set off)."""
        entries: list[Entry] = []
        for debtor, creditor, units, off in pairs:
            entries += [
                self._entry(debtor, -units, off, counterparty=creditor),
                self._entry(creditor, units, -off, counterparty=debtor),
            ]
        return self._sealed(entries, window, **changes)

    def gross(
        self, payments: Sequence[tuple[str, str, int]], window: int = 1, **changes: Any
    ) -> SettlementBatch:
        """The next batch, a pair of lines for each payment (debtor, creditor, units)."""
        entries: list[Entry] = []
        for number, (debtor, creditor, units) in enumerate(payments):
            payment = payment_id(window, number)
            entries += [
                self._entry(debtor, -units, counterparty=creditor, payment=payment),
                self._entry(creditor, units, counterparty=debtor, payment=payment),
            ]
        return self._sealed(entries, window, kind="gross", **changes)

    def _entry(self, participant: str, owed: int, set_off: int = 0, **names: str) -> Entry:
        """owed: before set-off, + in favour of the participant."""
        return Entry(
            participant,
            show(owed + set_off, self.scale),
            debits=show(max(-owed, 0), self.scale),
            credits=show(max(owed, 0), self.scale),
            sent=int(owed < 0),
            received=int(owed > 0),
            set_off=show(set_off, self.scale) if set_off else "",
            **names,
        )

    def _sealed(
        self,
        entries: list[Entry],
        window: int,
        version: int = 1,
        kind: Literal["net", "gross", "funding"] = "net",
        asset: str = "HKD",
        ledger: str = "postgres",
        part: int = 1,
        parts: int = 1,
        linked: Sequence[str] = (),
    ) -> SettlementBatch:
        self.sequence += 1
        name = f"funding-{self.sequence}" if kind == "funding" else f"{window}-{part}"
        plain = SettlementBatch(
            id=batch_id(self.netting_set, f"{ledger}-{asset}-{name}", window, version),
            kind=kind,
            netting_set=self.netting_set,
            sequence=self.sequence,
            asset=asset,
            code=asset,
            issuer="HKMA",
            ledger=ledger,
            scale=self.scale,
            window=window,
            version=version,
            opened_at_ms=0,
            closed_at_ms=1,
            payments=sum(entry.sent for entry in entries),
            gross="0.00",
            entries=entries,
            log_first=0,
            log_last=1,
            members_root=NO_HASH,
            previous=self.previous,
            hash="",
            part=part,
            parts=parts,
            linked=list(linked),
        )
        batch = msgspec.structs.replace(plain, hash=batch_hash(plain))
        self.previous = batch.hash
        return batch

    def funding(self, participant: str, units: int, asset: str = "HKD") -> SettlementBatch:
        return self.batch(
            {participant: units, FUNDING_ACCOUNT: -units}, window=0, kind="funding", asset=asset
        )


def payment_id(window: int, number: int) -> str:
    return str(UUID(int=window << 64 | number, version=4))


def opening(chain: SettlementChain, funds: int = 100_00) -> list[Settlement]:
    """Two accounts without overdraft, and the first one's prefunding."""
    return [chain.account(ALPHA), chain.account(BETA), chain.funding(ALPHA, funds)]


def encode(message: Settlement) -> bytes:
    return msgspec.json.encode(message)


def records(messages: Sequence[Settlement], start: int = 0, step: int = 2) -> list[LedgerRecord]:
    """Messages as the sink hands them to a ledger; step 2: a transaction marker after each."""
    return [
        read(message.netting_set, start + step * i, encode(message))
        for i, message in enumerate(messages)
    ]


def source(netting_set: str = "hk", partition: int = 0) -> Source:
    return Source(netting_set, "settlements", partition)


def settings(dsn: str) -> Settings:
    return Settings(dsn=dsn)


@dataclass
class NaiveLedger:
    """The plain meaning of posting: one record after the other, each batch whole or refused."""

    balances: dict[tuple[str, str], int] = field(default_factory=dict[tuple[str, str], int])
    overdrafts: dict[tuple[str, str], int] = field(default_factory=dict[tuple[str, str], int])
    answers: dict[str, str] = field(default_factory=dict[str, str])

    def take(self, message: Settlement) -> None:
        if message.ledger != "postgres":
            return
        if isinstance(message, LedgerAccount):
            overdraft = parse(message.overdraft, message.scale)
            assert overdraft is not None
            key = (message.asset, message.participant)
            self.balances.setdefault(key, 0)
            self.overdrafts[key] = overdraft
            return
        moves: dict[tuple[str, str], int] = {}
        for participant, net in nets(message).items():
            if net:
                key = (message.asset, participant)
                moves[key] = moves.get(key, 0) + net
        if all(self._allows(key, net) for key, net in moves.items()):
            for key, net in moves.items():
                self.balances[key] = self.balances.get(key, 0) + net
            self.answers[message.id] = "POSTED"
        else:
            self.answers[message.id] = "REFUSED"

    def _allows(self, key: tuple[str, str], net: int) -> bool:
        if key[1].startswith("$"):
            return True
        if key not in self.balances:
            return False
        return net >= 0 or self.balances[key] + net >= -self.overdrafts[key]


async def balances(
    connection: asyncpg.Connection, netting_set: str = "hk"
) -> dict[tuple[str, str], int]:
    """(asset, participant) -> minor units."""
    rows = await connection.fetch(
        "SELECT asset, participant, balance FROM clearing.accounts WHERE netting_set = $1",
        netting_set,
    )
    return {(row["asset"], row["participant"]): row["balance"] for row in rows}


async def answers(connection: asyncpg.Connection, netting_set: str = "hk") -> dict[str, str]:
    """Batch id -> POSTED or REFUSED."""
    rows = await connection.fetch(
        "SELECT id, status FROM clearing.batches WHERE netting_set = $1", netting_set
    )
    return {row["id"]: row["status"] for row in rows}


async def faults(connection: asyncpg.Connection) -> list[str]:
    return [row["fault"] for row in await connection.fetch("SELECT fault FROM clearing.faults")]
