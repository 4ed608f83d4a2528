"""The plain meaning of clearing, one payment at a time, in dicts and Python integers: the oracle of the core.

Written from RULES and reasons.Code, not from clearing.core: nothing of it is imported but the types of what goes
in. Slow and simple on purpose. It says what must come out: outcomes, resolutions, batches (with hashes), windows,
accounts. Here is what a log record does, in its order; the other oracle_*.py say what each of that means.
"""

from clearing.core.commands import Confirmation
from clearing.core.inputs import LogRecord
from clearing.core.reasons import Code
from tests.core.oracle_books import DAY_MS, Books, Said
from tests.core.oracle_commands import command
from tests.core.oracle_release import offset
from tests.core.oracle_rows import clear_rows
from tests.core.oracle_settlement import confirm
from tests.core.oracle_waiting import end
from tests.core.oracle_windows import close_due, close_immediate

__all__ = ["DAY_MS", "Oracle", "Said"]

Advice = dict[tuple[str, int], dict[tuple[str, str], int]]


class Oracle:
    """State of one netting set after the records given to apply()."""

    def __init__(self, name: str) -> None:
        self.books = Books(name)
        self.marks: dict[tuple[str, int], int] = {}

    def apply(self, record: LogRecord, advice: Advice | None = None) -> Said:
        """advice: the set-off (R18) of windows that close now, (asset, window) → (debtor, creditor) → units: where
        several are the best, that one is held to be right, after it was checked. None: the oracle's own."""
        books = self.books
        books.said, books.offset, books.advice = Said(), record.offset, advice or {}
        marks = self._read(record)
        self._pass_time(record.time_ms)
        self._expire()
        close_due(books)
        if record.payments is not None:
            clear_rows(books, record, marks)
        for item in record.control:
            if item.offset < marks[item.source] or item.message is None:
                continue
            if isinstance(item.message, Confirmation):
                books.said.answers.append(confirm(books, item.message))
            else:
                command(books, item.message)
        offset(books)
        while close_immediate(books):
            offset(books)
        for asset in books.assets.values():
            asset.window.seal_record(record.offset)
        return books.said

    def _read(self, record: LogRecord) -> list[int]:
        """From which offset on each source of the record is new."""
        marks = [self.marks.get((s.topic, s.partition), 0) for s in record.sources]
        for span, mark in zip(record.sources, marks, strict=True):
            assert span.start <= mark, "a gap: the streams of these tests have none"
            self.marks[span.topic, span.partition] = max(mark, span.end)
        return marks

    def _pass_time(self, time_ms: int) -> None:
        books = self.books
        books.time_ms = max(books.time_ms, time_ms)
        today = books.time_ms // DAY_MS
        if books.calendar:
            begun = [date for date, opens_ms in books.calendar if opens_ms <= books.time_ms]
            today = begun[-1] if begun else books.calendar[0][0]
        if today > books.date:
            books.date = today
            books.usage = dict.fromkeys(books.usage, 0)  # R10: within a business day
            oldest = books.oldest_day()
            books.requests = {i: r for i, r in books.requests.items() if r.day >= oldest}
            books.ended_links = {i: day for i, day in books.ended_links.items() if day >= oldest}

    def _expire(self) -> None:
        books = self.books
        for payment in list(books.waiting):
            if payment in books.waiting and 0 < payment.expires_at_ms <= books.time_ms:
                end(books, payment, Code.EXPIRED)
