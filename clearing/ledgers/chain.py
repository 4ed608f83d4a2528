"""Settlement records before any ledger sees them: decoded, proved, followed in their chain. Pure.

Everything here holds for every ledger: a batch has the hash it claims, its entries are what they say and sum
to zero (R1, R18), and it is the next of its netting set (R7). What does not hold is a Halt: nobody may post
beyond it.
"""

from dataclasses import dataclass

import msgspec

from clearing.core.batches import batch_hash
from clearing.core.entries import MAX_UNITS, Line, proved_lines
from clearing.core.faults import Halt, HaltKind
from clearing.core.money import parse
from clearing.core.outputs import LedgerAccount, SettlementBatch
from clearing.core.state import NO_HASH
from clearing.log.records import decode_settlement


class Progress(msgspec.Struct, frozen=True, kw_only=True):
    """Where a ledger stands with a netting set.

    next_offset: the first one of `settlements` not read. epoch: raised by each new owner, from 1. sequence,
    hash: of the last batch of the netting set, of whatever ledger (R7); 0 and NO_HASH before the first.
    """

    epoch: int
    next_offset: int = 0
    sequence: int = 0
    hash: str = NO_HASH


@dataclass(frozen=True, slots=True)
class BatchRecord:
    """A proved batch. Its lines with a net of zero move nothing: they are left out.

    lines: in their order. moves: participant → what the batch as a whole does to its account, minor units.
    Both sum to zero.
    """

    offset: int
    batch: SettlementBatch
    lines: list[Line]
    moves: dict[str, int]


@dataclass(frozen=True, slots=True)
class AccountRecord:
    """An account to open or to change. overdraft: minor units."""

    offset: int
    account: LedgerAccount
    overdraft: int


LedgerRecord = BatchRecord | AccountRecord


def read(netting_set: str, offset: int, value: bytes | None) -> LedgerRecord:
    """A record of the settlements topic, proved on its own. Raises Halt."""
    try:
        message = decode_settlement(value or b"")
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise Halt(
            HaltKind.UNREADABLE, f"settlements offset {offset} cannot be read: {error}"
        ) from error
    if message.netting_set != netting_set:
        raise Halt(
            HaltKind.FOREIGN_WRITER,
            f"settlements offset {offset} belongs to netting set {message.netting_set}, not {netting_set}",
        )
    if isinstance(message, LedgerAccount):
        if is_scheme_account(message.participant):
            raise Halt(
                HaltKind.INVARIANT,
                f"settlements offset {offset} gives {message.participant} a floor: it has none",
            )
        overdraft = parse(message.overdraft, message.scale)
        if overdraft is None or not 0 <= overdraft <= MAX_UNITS:
            raise Halt(
                HaltKind.INVARIANT,
                f"account of {message.participant} in {message.asset}: overdraft {message.overdraft!r} "
                f"is no amount at scale {message.scale}",
            )
        return AccountRecord(offset, message, overdraft)
    return _proved(offset, message)


def is_scheme_account(participant: str) -> bool:
    """$FUNDING, $COLLATERAL, $POOL: the scheme's own, without a floor, opened by the first posting."""
    return participant.startswith("$")


def _proved(offset: int, batch: SettlementBatch) -> BatchRecord:
    if batch_hash(batch) != batch.hash:
        raise Halt(HaltKind.CHAIN, f"batch {batch.id} does not have the hash it claims")
    lines = [line for line in proved_lines(batch) if line.net]
    moves: dict[str, int] = {}
    for line in lines:
        participant = line.entry.participant
        moves[participant] = moves.get(participant, 0) + line.net
    return BatchRecord(offset, batch, lines, moves)


def is_repeat(batch: SettlementBatch, known_hash: str | None) -> bool:
    """Whether the ledger holds this very batch already. Raises Halt if it holds another under its id."""
    if known_hash is not None and known_hash != batch.hash:
        raise Halt(
            HaltKind.LEDGER_CONFLICT,
            f"batch {batch.id} came with hash {batch.hash[:16]}… but the ledger holds it with {known_hash[:16]}…",
        )
    return known_hash is not None


def follow(progress: Progress, batch: SettlementBatch) -> Progress:
    """Progress with `batch` as the last of its chain. Raises Halt if it is not the next one (R7)."""
    if batch.sequence != progress.sequence + 1:
        raise Halt(
            HaltKind.CHAIN,
            f"batch {batch.id} is number {batch.sequence} of {batch.netting_set}, "
            f"number {progress.sequence + 1} was due (R7)",
        )
    if batch.previous != progress.hash:
        raise Halt(
            HaltKind.CHAIN,
            f"batch {batch.id} follows {batch.previous[:16]}…, the last batch of {batch.netting_set} "
            f"was {progress.hash[:16]}… (R7)",
        )
    return msgspec.structs.replace(progress, sequence=batch.sequence, hash=batch.hash)
