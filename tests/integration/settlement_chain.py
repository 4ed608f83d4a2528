"""Test helpers: a chain of settlement records as the engine writes them, and a naive ledger to compare with."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

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
        """The next batch; nets in minor units."""
        self.sequence += 1
        name = str(window) if kind == "net" else f"funding-{self.sequence}"
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
            payments=len(nets),
            gross=show(sum(abs(net) for net in nets.values()), self.scale),
            entries=[
                Entry(participant, show(net, self.scale), "0.00", "0.00", 1, 1)
                for participant, net in nets.items()
            ],
            log_first=0,
            log_last=1,
            members_root=NO_HASH,
            previous=self.previous,
        )
        batch = msgspec.structs.replace(plain, hash=batch_hash(plain))
        self.previous = batch.hash
        return batch

    def funding(self, participant: str, units: int, asset: str = "HKD") -> SettlementBatch:
        return self.batch(
            {participant: units, FUNDING_ACCOUNT: -units}, window=0, kind="funding", asset=asset
        )


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
            self.balances.setdefault((message.asset, FUNDING_ACCOUNT), 0)
            self.overdrafts[key] = overdraft
            return
        lines = [((message.asset, participant), net) for participant, net in nets(message) if net]
        if all(self._allows(key, net) for key, net in lines):
            for key, net in lines:
                self.balances[key] += net
            self.answers[message.id] = "POSTED"
        else:
            self.answers[message.id] = "REFUSED"

    def _allows(self, key: tuple[str, str], net: int) -> bool:
        if key not in self.balances:
            return False
        after = self.balances[key] + net
        return net > 0 or key[1] == FUNDING_ACCOUNT or after >= -self.overdrafts[key]


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
