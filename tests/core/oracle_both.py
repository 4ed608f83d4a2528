"""Engine and oracle side by side, for cases that are written by hand."""

from typing import Any

from clearing.core.commands import Confirmation, ControlMessage
from clearing.core.inputs import LogRecord
from clearing.core.outputs import Outputs
from clearing.core.reasons import Code
from clearing.core.state import NettingSet
from clearing.core.step import step
from tests.core.build import Log, Row
from tests.core.oracle import Oracle, Said
from tests.core.oracle_compare import compare, compare_state
from tests.core.streams import advice


class Both:
    """Engine and oracle side by side: each record goes to both, and they agree on everything."""

    def __init__(self, *commands: ControlMessage) -> None:
        self.log, self.oracle, self.state = Log(), Oracle("hk"), NettingSet("hk")
        self.books = self.oracle.books
        self.control(*commands)

    def apply(self, record: LogRecord) -> Said:
        out: Outputs = step(self.state, record)
        said = self.oracle.apply(record, advice(out))
        compare(out, said, record, self.books)
        compare_state(self.state, self.oracle)
        return said

    def pay(self, *rows: Row) -> list[Code]:
        return [Code(code) for code, _ in self.apply(self.log.payments(*rows)).outcomes]

    def control(self, *messages: ControlMessage) -> Said:
        return self.apply(self.log.control(*messages))

    def answer(self, batch: dict[str, Any], status: str = "POSTED", **more: Any) -> Said:
        names = {"ledger": batch["ledger"], "batch": batch["id"], "hash": batch["hash"]}
        message = Confirmation(**names, status=status, **more)  # pyright: ignore[reportArgumentType]
        return self.apply(self.log.control(message, topic="confirmations"))

    def held_and_owed(self, name: str) -> int:
        account = self.books.accounts[name, "HKD"]
        return account.held + account.position
