"""A settlement batch down to its entries, and the proof of what it says: hash, sum, chain (R1, R7)."""

import msgspec
from aiokafka import TopicPartition
from msgspec.structs import replace

from clearing.core.batches import batch_hash
from clearing.core.entries import proved_lines
from clearing.core.faults import Halt
from clearing.core.outputs import SettlementBatch
from clearing.core.state import NO_HASH
from clearing.log.records import decode_settlement
from clearing.reading import Reader
from clearing.views.model import BatchView

ENTRIES_SHOWN = 1_000


class Claim(msgspec.Struct, frozen=True):
    """ok: None where it cannot be told."""

    claim: str
    ok: bool | None
    detail: str


class Proof(msgspec.Struct, frozen=True):
    ok: bool
    checks: list[Claim]


class BatchLook(msgspec.Struct, frozen=True, kw_only=True):
    """batch: with ENTRIES_SHOWN of its entries from `entry` on; the proof is over all of them."""

    batch: SettlementBatch
    view: BatchView | None
    entries_total: int
    entry: int
    proof: Proof


async def read_batch(reader: Reader, view: BatchView) -> SettlementBatch | None:
    """As it stands in `settlements`; None where that does not hold it any more."""
    place = TopicPartition(view.topic, view.partition)
    async for records in reader.chunks(place, view.offset, view.offset + 1):
        for record in records:
            message = decode_settlement(record.value or b"")
            if isinstance(message, SettlementBatch) and message.id == view.id:
                return message
    return None


def batch_look(
    batch: SettlementBatch, view: BatchView | None, before: SettlementBatch | None, entry: int
) -> BatchLook:
    """before: the batch before it in the netting set, None: it is the first, or not known."""
    checks = [_hash_claim(batch), _sum_claim(batch), _chain_claim(batch, before)]
    return BatchLook(
        batch=replace(batch, entries=batch.entries[entry : entry + ENTRIES_SHOWN]),
        view=view,
        entries_total=len(batch.entries),
        entry=entry,
        proof=Proof(all(each.ok is not False for each in checks), checks),
    )


def _hash_claim(batch: SettlementBatch) -> Claim:
    found = batch_hash(batch)
    detail = f"sha256 {found}" if found == batch.hash else f"it says {batch.hash}, and is {found}"
    return Claim("its hash is that of its content", found == batch.hash, detail)


def _sum_claim(batch: SettlementBatch) -> Claim:
    claim = "its entries sum to zero (R1)"
    try:
        lines = proved_lines(batch)
    except Halt as error:
        return Claim(claim, False, str(error))
    return Claim(claim, True, f"{len(lines):,} entries")


def _chain_claim(batch: SettlementBatch, before: SettlementBatch | None) -> Claim:
    if batch.sequence == 1:
        claim = "it is the first of its netting set (R7)"
        return Claim(claim, batch.previous == NO_HASH, f"previous {batch.previous}")
    claim = f"it follows batch {batch.sequence - 1} (R7)"
    if before is None:
        return Claim(claim, None, "the batch before it is not kept in the views any more")
    follows = batch.previous == batch_hash(before)
    return Claim(claim, follows, f"previous {batch.previous}")
