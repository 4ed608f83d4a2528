"""The journal by itself: transactions without holes, and every event inside the one it belongs to (R29).

Without a replay: that the engine had one owner at a time, and that nothing of a transaction was torn off, can be
seen in the order of the journal alone.
"""

from clearing.core.outputs import Event
from clearing.log.records import Transaction
from clearing.verify.report import Check, Findings


class JournalOrder:
    """Feed it the journal's records in order."""

    def __init__(self) -> None:
        self._found = Findings()
        self._last: Transaction | None = None
        self._transactions = self._events = 0
        self._open: list[int] = []  # log offsets of events since the last transaction
        self._owners: set[str] = set()

    def event(self, event: Event) -> None:
        self._events += 1
        self._open.append(event.log_offset)

    def transaction(self, said: Transaction) -> None:
        """It ends what was written since the one before."""
        last, found = self._last, self._found
        sequence, offset, records, time_ms = (
            (last.sequence, last.next_offset, last.records, last.time_ms) if last else (0, 0, 0, 0)
        )
        what = f"transaction {said.sequence}"
        if said.sequence != sequence + 1:
            found.add(f"{what} stands behind transaction {sequence}")
        if last is not None and said.next_offset <= offset and not self._completes(last, said):
            found.add(f"{what} goes to log offset {said.next_offset}, the one before to {offset}")
        if said.records < records or (said.next_offset > offset and said.records == records):
            found.add(f"{what} has seen {said.records:,} log records, the one before {records:,}")
        if said.time_ms < time_ms:
            found.add(f"{what} is of an earlier time than the one before")
        for at in self._open:
            if not offset <= at < said.next_offset:
                found.add(f"an event of log offset {at} stands in {what}, which is of other ones")
        self._open.clear()
        self._owners.add(said.owner)
        self._last, self._transactions = said, self._transactions + 1

    def _completes(self, last: Transaction, said: Transaction) -> bool:
        """Whether it only adds, in other topics, what a broker has kept readers from seeing of the last one."""
        same = (last.next_offset, last.chain, last.records) == (
            said.next_offset,
            said.chain,
            said.records,
        )
        return same and not self._open

    def check(self, netting_set: str) -> Check:
        """Transactions follow each other without a hole, each with its own events, whoever the owner was (R29)."""
        if self._open:
            self._found.add(
                f"{len(self._open):,} events stand behind the last transaction: it is torn"
            )
        return self._found.check(
            "the journal has no holes",
            "R29 R31",
            netting_set,
            f"{self._transactions:,} transactions of {len(self._owners):,} owners, {self._events:,} events",
        )
