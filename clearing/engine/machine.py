"""The deterministic machine: bytes of the log in, output records out, one hash chain over all of them.

Live engine, recovery, replay, simulate and verify all run this one. No I/O: the callers read and write.
"""

from collections.abc import Iterable

from clearing.core import snapshot
from clearing.core.state import NettingSet
from clearing.core.step import step
from clearing.log.records import CHAIN_START, OutputRecord, encode, extend_chain, read


class Machine:
    """State of one netting set at a place in its log.

    chain: SHA-256 over all outputs so far; next_offset: first log offset not applied; records: applied so far,
    loaded_records: those of them that were applied before the last recovery began: in a snapshot, a warm copy.
    After Halt, UnreadableLog or AssertionError the machine is not to be used any more.
    """

    def __init__(self, netting_set: str, seed: int = 0) -> None:
        self.netting_set = netting_set
        self.state = NettingSet(netting_set, seed)
        self.chain = CHAIN_START
        self.next_offset = 0
        self.records = 0
        self.loaded_records = 0

    def apply(
        self, key: bytes | None, value: bytes | None, offset: int, time_ms: int
    ) -> list[OutputRecord]:
        """Apply one Kafka record of the log; everything it caused, in canonical order."""
        assert offset >= self.next_offset, f"log offset {offset} again, expected {self.next_offset}"
        record = read(key, value or b"", offset, time_ms)
        outputs = step(self.state, record)
        records = encode(self.netting_set, offset, self.state.counters.time_ms, outputs)
        self.chain = extend_chain(self.chain, offset, records)
        self.next_offset = offset + 1
        self.records += 1
        return records

    def dump(self) -> list[bytes]:
        """Chunks of a snapshot of this machine; equal machines give equal chunks."""
        return [self._place(), *snapshot.dump(self.state)]

    def frozen(self) -> list[snapshot.Chunk]:
        """The same bytes, for a thread to write while the machine goes on: what is large is shared, not copied."""
        return [self._place(), *snapshot.frozen(self.state)]

    def _place(self) -> bytes:
        return self.chain + self.next_offset.to_bytes(8, "big") + self.records.to_bytes(8, "big")

    @classmethod
    def load(cls, data: memoryview, seed: int = 0) -> "Machine":
        """The machine that was dumped."""
        state = snapshot.load(data[48:], seed)
        machine = cls(state.name, seed)
        machine.state = state
        machine.chain = bytes(data[:32])
        machine.next_offset = int.from_bytes(data[32:40], "big")
        machine.records = machine.loaded_records = int.from_bytes(data[40:48], "big")
        return machine


def replay(machine: Machine, log: Iterable[tuple[bytes | None, bytes | None, int, int]]) -> None:
    """Apply (key, value, offset, time_ms) records for their effect on the state only."""
    for key, value, offset, time_ms in log:
        machine.apply(key, value, offset, time_ms)
