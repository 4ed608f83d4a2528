"""The bank invariant on a ledger that is at work: whoever reads it, whenever, finds every asset sum to zero (R1).

One read after the other in a thread of its own while the verification goes on, each a snapshot of the database. As
in a ledger of entries nothing can be taken back, what a read has seen posted must be there at the next one too.
"""

import asyncio
import threading
from types import TracebackType

import asyncpg

from clearing.verify.ledger import connect
from clearing.verify.report import Check, Findings

INTERVAL_S = 0.2
LEAST_READS = 20  # also where there was little to verify
_JOIN_TIMEOUT_S = 30

_TOTALS = (
    "SELECT netting_set, ledger, asset, sum(balance) AS total, count(*) AS accounts "
    "FROM clearing.accounts GROUP BY netting_set, ledger, asset"
)
_PROGRESS = "SELECT netting_set, ledger, sequence, epoch FROM clearing.progress"


class LedgerWatch:
    """Reads the ledger again and again from entering to leaving. checks: when it was left."""

    def __init__(self, dsn: str, interval_s: float = INTERVAL_S) -> None:
        self.found = Findings()
        self.reads = self.posted = 0
        self._dsn, self._interval_s = dsn, interval_s
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._run, name="ledger-watch", daemon=True)
        self._sequences: dict[tuple[str, str], tuple[int, int]] = {}

    async def __aenter__(self) -> "LedgerWatch":
        self._thread.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._done.set()
        if kind is None:
            await asyncio.to_thread(self._thread.join, _JOIN_TIMEOUT_S)

    def _run(self) -> None:
        try:
            asyncio.run(self._watch())
        except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
            # The verification's own connection tells it too; here it only ends the watch.
            self.found.wait_for(f"the ledger could not be read any more: {error}")

    async def _watch(self) -> None:
        connection = await connect(self._dsn)
        try:
            while not (self._done.is_set() and self.reads >= LEAST_READS):
                await self._read(connection)
                if not self._done.is_set():
                    await asyncio.sleep(self._interval_s)
        finally:
            await connection.close()

    async def _read(self, connection: asyncpg.Connection) -> None:
        async with connection.transaction(isolation="repeatable_read", readonly=True):
            totals = await connection.fetch(_TOTALS)
            progress = await connection.fetch(_PROGRESS)
        self.reads += 1
        for row in totals:
            self.take_total(row["netting_set"], row["ledger"], row["asset"], int(row["total"]))
        for row in progress:
            self.take_progress(row["netting_set"], row["ledger"], row["sequence"], row["epoch"])

    def take_total(self, netting_set: str, ledger: str, asset: str, total: int) -> None:
        """What one read found: all accounts of an asset together."""
        if total:
            self.found.add(
                f"read {self.reads}: the accounts of {asset} in {netting_set} at {ledger} hold {total} together"
            )

    def take_progress(self, netting_set: str, ledger: str, sequence: int, epoch: int) -> None:
        """And how far a ledger has come."""
        before, owner = self._sequences.get((netting_set, ledger), (sequence, epoch))
        if sequence < before or epoch < owner:
            self.found.add(
                f"read {self.reads}: {ledger} went back from batch {before} to {sequence} of {netting_set}, or "
                f"from epoch {owner} to {epoch}"
            )
        self.posted += sequence - before
        self._sequences[netting_set, ledger] = sequence, epoch

    def check(self) -> Check:
        """At every read, also while batches are posted, each asset sums to zero and nothing goes back (R1, R31)."""
        return self.found.check(
            "the ledger sums to zero at every read",
            "R1 R31",
            "ledger",
            f"{self.reads:,} reads, between which {self.posted:,} batches were posted",
        )
