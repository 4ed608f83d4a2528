"""Settlement batches for ledgers that read the topic themselves: committed ones only, each checked first.

A ledger that posts them must remember, in the transaction of the posting, the batch's id and hash and offset + 1.
An account may have several lines in a batch: all of them are posted or none, and the floor is for their sum.
"""

from collections.abc import AsyncIterator

import msgspec
from aiokafka import TopicPartition

from clearing import kafka
from clearing.core.batches import batch_hash
from clearing.core.entries import proved_lines
from clearing.core.faults import Halt
from clearing.core.outputs import Settlement, SettlementBatch
from clearing.core.state import NO_HASH
from clearing.names import Topics
from clearing.scheme.directory import read_directory
from clearing.security import Security

POLL_MS = 1_000

_decode = msgspec.json.Decoder(Settlement).decode


class BrokenChain(Exception):
    """A batch is not what it says it is, or not the next one: post nothing, ask the operator."""


class Chain:
    """Checks the batches of one netting set in order: content, entries, sequence, chain (R1, R7, R18).

    previous: hash of the last batch before the first one checked; "": not known, unless that has sequence 1.
    """

    def __init__(self, netting_set: str, previous: str = "") -> None:
        self.netting_set = netting_set
        self._previous = previous
        self._sequence = 0  # of the last batch, 0: not known

    def check(self, batch: SettlementBatch) -> None:
        """Raises BrokenChain."""
        if batch.hash != batch_hash(batch):
            raise BrokenChain(f"batch {batch.id} does not have the hash it claims")
        if batch.netting_set != self.netting_set:
            raise BrokenChain(f"batch {batch.id} is of {batch.netting_set}, not {self.netting_set}")
        try:
            proved_lines(batch)
        except Halt as error:
            raise BrokenChain(str(error)) from error
        if self._sequence and batch.sequence != self._sequence + 1:
            raise BrokenChain(f"batch {batch.sequence} follows batch {self._sequence}")
        expected = NO_HASH if batch.sequence == 1 else self._previous
        if expected and batch.previous != expected:
            raise BrokenChain(f"batch {batch.sequence} does not follow the batch before it")
        self._previous, self._sequence = batch.hash, batch.sequence


async def settlements(
    bootstrap: str,
    netting_set: str | None = None,
    from_offset: int = 0,
    *,
    previous: str = "",
    prefix: str = "",
    follow: bool = True,
    secured: Security | None = None,
) -> AsyncIterator[tuple[int, SettlementBatch]]:
    """(offset, batch) of one netting set in order, or of all of them side by side (None).

    To go on where a ledger stopped: from_offset = the last offset + 1 and previous = the last batch's hash, both
    of one netting set. follow: wait for more; otherwise it ends where the topic ends now. Raises BrokenChain;
    OffsetOutOfRangeError when records from `from_offset` on are gone; LookupError for an unknown netting set.
    secured: as in Bank.
    """
    if netting_set is None and (from_offset or previous):
        raise ValueError("an offset belongs to one netting set: name it")
    topics = Topics(prefix)
    directory = await read_directory(bootstrap, topics, secured)
    if netting_set is not None and netting_set not in directory:
        raise LookupError(
            f"no netting set {netting_set}; there are: {', '.join(sorted(directory))}"
        )
    chains = {
        TopicPartition(topics.settlements, partition): Chain(name, previous)
        for name, partition in directory.items()
        if netting_set in (None, name)
    }
    consumer = kafka.consumer(
        bootstrap, client="settlements", secured=secured, **kafka.AT_A_DISTANCE
    )
    async with kafka.started(consumer) as reader:
        reader.assign(list(chains))
        for partition in chains:
            reader.seek(partition, from_offset)
        ends = await reader.end_offsets(list(chains))
        while follow or [p for p, end in ends.items() if await reader.position(p) < end]:
            batches = await reader.getmany(timeout_ms=POLL_MS if follow else 200)
            for partition, records in batches.items():
                for record in records:
                    if not follow and record.offset >= ends[partition]:
                        break
                    settlement = _decode(record.value or b"")
                    if isinstance(settlement, SettlementBatch):
                        chains[partition].check(settlement)
                        yield record.offset, settlement
