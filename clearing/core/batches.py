"""Settlement batches: canonical content, ids from content, hashes that chain (R1, R2, R7).

members_root: SHA-256 chain over the window's accepted payments, one link per log record and asset:
root = SHA-256(root before + members), a member = id (16 bytes), debtor and creditor (their order of
registration, u32 big-endian), amount (i64 big-endian, minor units), in log order.
"""

import hashlib
from typing import Literal

import msgspec
import numpy as np

from clearing.core.inputs import I64, U64
from clearing.core.money import parse, show
from clearing.core.outputs import Entry, SettlementBatch
from clearing.core.state import Asset, NettingSet

_MEMBER = np.dtype([("id", "<u8", 2), ("debtor", ">u4"), ("creditor", ">u4"), ("amount", ">i8")])
_encode = msgspec.json.Encoder().encode


def batch_id(netting_set: str, asset: str, window: int, version: int) -> str:
    """First 32 hex digits of SHA-256 over what the batch settles."""
    return hashlib.sha256(f"{netting_set}|{asset}|{window}|{version}".encode()).hexdigest()[:32]


def batch_hash(batch: SettlementBatch) -> str:
    """SHA-256 of the message with an empty hash."""
    return hashlib.sha256(_encode(msgspec.structs.replace(batch, hash=""))).hexdigest()


def extend_members_root(root: str, ids: U64, debtor: I64, creditor: I64, amount: I64) -> str:
    """The chain with the members of one more log record."""
    members = np.empty(len(amount), _MEMBER)
    members["id"], members["debtor"], members["creditor"] = ids, debtor, creditor
    members["amount"] = amount
    chain = hashlib.sha256(bytes.fromhex(root))
    chain.update(members.tobytes())
    return chain.hexdigest()


def window_entries(state: NettingSet, a: int) -> list[Entry]:
    """Entries of the open window of asset `a`: every participant that sent or received, by registration."""
    accounts, scale = state.accounts, state.assets[a].spec.scale
    active = np.flatnonzero((accounts.sent[:, a] != 0) | (accounts.received[:, a] != 0)).tolist()
    return [
        Entry(
            participant=state.participants[p].id,
            net=show(int(accounts.credits[p, a]) - int(accounts.debits[p, a]), scale),
            debits=show(int(accounts.debits[p, a]), scale),
            credits=show(int(accounts.credits[p, a]), scale),
            sent=int(accounts.sent[p, a]),
            received=int(accounts.received[p, a]),
        )
        for p in active
    ]


def nets(batch: SettlementBatch) -> list[tuple[str, int]]:
    """(participant, net in minor units) of each entry."""
    result: list[tuple[str, int]] = []
    for entry in batch.entries:
        net = parse(entry.net, batch.scale)
        assert net is not None, f"entry of batch {batch.id} with net {entry.net!r}"
        result.append((entry.participant, net))
    return result


def seal(
    state: NettingSet,
    asset: Asset,
    *,
    kind: Literal["net", "funding"],
    identity: str,
    window: int,
    version: int,
    opened_at_ms: int,
    payments: int,
    gross: int,
    entries: list[Entry],
    log_first: int,
    log_last: int,
    members_root: str,
) -> SettlementBatch:
    """The next batch in the netting set's chain. Asserts R1 before anything leaves."""
    spec = asset.spec
    batch = SettlementBatch(
        id=identity,
        kind=kind,
        netting_set=state.name,
        sequence=state.counters.batches + 1,
        asset=spec.id,
        code=spec.code,
        issuer=spec.issuer,
        ledger=spec.ledger,
        scale=spec.scale,
        window=window,
        version=version,
        opened_at_ms=opened_at_ms,
        closed_at_ms=state.counters.time_ms,
        payments=payments,
        gross=show(gross, spec.scale),
        entries=entries,
        log_first=log_first,
        log_last=log_last,
        members_root=members_root,
        previous=state.counters.last_batch_hash,
    )
    assert sum(net for _, net in nets(batch)) == 0, f"batch {identity} does not sum to zero (R1)"
    batch = msgspec.structs.replace(batch, hash=batch_hash(batch))
    state.counters.batches += 1
    state.counters.last_batch_hash = batch.hash
    return batch
