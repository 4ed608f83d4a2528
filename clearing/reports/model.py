"""What an end-of-day report says: one table for each question, rows in a fixed order. Pure values.

Money is a decimal string at the asset's scale, times are epoch milliseconds of the log, None is unknown.
"""

from typing import Literal

import msgspec
from msgspec.structs import replace

ReasonKind = Literal["refused", "ended", "unreadable"]
ExceptionKind = Literal[
    "failed",
    "aborted",
    "sent_again",
    "recast",
    "shortfall",
    "deadlock",
    "funding_refused",
    "confirmation_refused",
    "unreadable",
    "halt",
]


class AssetDay(msgspec.Struct, frozen=True, kw_only=True):
    """The scheme's day in one asset. Payments by when they were accepted, windows by when they closed.

    net: what changes hands, half of the sum of all nets without their signs. finality: closed → final.
    """

    asset: str
    accepted: int
    accepted_value: str | None
    taken_out: int
    taken_out_value: str | None
    refused: int
    queued: int
    queued_value: str | None
    released: int
    released_value: str | None
    ended: int
    ended_value: str | None
    waiting: int | None
    waiting_value: str | None
    longest_wait_ms: int | None
    windows: int
    windows_final: int
    batches: int
    gross: str
    net: str
    finality_median_ms: int | None
    finality_longest_ms: int | None


class AccountDay(msgspec.Struct, frozen=True, kw_only=True):
    """A participant's day in one asset; asset "": of what it sent that is of none that is cleared.

    sent, received: accepted on the day, at once or from the queue. taken_out: of these and earlier ones, what a
    recast took out of its window again (R25), as debtor and as creditor. queued: entered the queue; released,
    ended: left it, by acceptance or otherwise; waiting: at the end. longest_wait_ms: of all those. net: over the
    windows that closed on the day; funded: prefunding that was sent to the ledger. instructions: cancellations,
    changes of priority, answers. repeated: the same again, no effect (R28).
    """

    participant: str
    asset: str
    sent: int
    sent_value: str | None
    received: int
    received_value: str | None
    taken_out_sent: int
    taken_out_sent_value: str | None
    taken_out_received: int
    taken_out_received_value: str | None
    queued: int
    queued_value: str | None
    released: int
    released_value: str | None
    ended: int
    ended_value: str | None
    waiting: int | None
    waiting_value: str | None
    longest_wait_ms: int | None
    refused: int
    unreadable: int
    repeated: int
    instructions: int
    net: str | None
    funded: str | None


class ReasonDay(msgspec.Struct, frozen=True, kw_only=True):
    """How often a participant was told a reason. value: None where not all amounts fit the asset's scale."""

    participant: str
    asset: str
    kind: ReasonKind
    reason: str
    text: str
    payments: int
    value: str | None


class WindowDay(msgspec.Struct, frozen=True, kw_only=True):
    """A window that closed on the day, as it stands when the report is made.

    opened_at_ms: None of an empty window that was open when the day began. finality_ms: closed → final. payments,
    gross: of everybody; None in the report of one participant.
    """

    asset: str
    window: int
    opened_at_ms: int | None
    closed_at_ms: int
    final_at_ms: int | None
    finality_ms: int | None
    state: str
    version: int
    batches: int
    payments: int | None
    gross: str | None
    reason: str


class BatchDay(msgspec.Struct, frozen=True, kw_only=True):
    """A settlement batch of a window that closed on the day, of every version, or of prefunding of the day."""

    sequence: int
    batch: str
    kind: str
    asset: str
    ledger: str
    window: int
    version: int
    part: int
    sent_at_ms: int
    payments: int
    gross: str
    hash: str


class NetDay(msgspec.Struct, frozen=True, kw_only=True):
    """A participant's line in a window that closed on the day: all parts and counterparties, the last version.

    net = credits - debits + set_off, and what a shortfall gave or took.
    """

    participant: str
    asset: str
    window: int
    version: int
    net: str
    debits: str
    credits: str
    set_off: str
    sent: int
    received: int
    final_at_ms: int | None


class ExceptionDay(msgspec.Struct, frozen=True, kw_only=True):
    """What was not as it should be on the day, whatever day it belongs to. text: one sentence."""

    at_ms: int
    kind: ExceptionKind
    asset: str = ""
    window: int | None = None
    participant: str = ""
    times: int = 1
    value: str | None = None
    log_offset: int | None = None
    text: str


class DayReport(msgspec.Struct, frozen=True, kw_only=True):
    """The day of one netting set. is_complete: the log has gone past the day; else as of `as_of_ms`.

    participant: whose report it is, "" for the scheme's. limits: what could not be known, a sentence each.
    """

    netting_set: str
    date: str
    timezone: str
    from_ms: int
    to_ms: int
    as_of_ms: int | None
    is_complete: bool
    participant: str = ""
    assets: list[AssetDay] = []
    accounts: list[AccountDay] = []
    reasons: list[ReasonDay] = []
    windows: list[WindowDay] = []
    batches: list[BatchDay] = []
    nets: list[NetDay] = []
    exceptions: list[ExceptionDay] = []
    limits: list[str] = []


# The tables of a report and the type of their rows, in the order in which they are shown.
TABLES: dict[str, type[msgspec.Struct]] = {
    "assets": AssetDay,
    "accounts": AccountDay,
    "reasons": ReasonDay,
    "windows": WindowDay,
    "batches": BatchDay,
    "nets": NetDay,
    "exceptions": ExceptionDay,
}

# Of these everybody is told who took part in the window; of the others the participant alone.
_OF_WINDOWS = frozenset({"failed", "aborted", "sent_again"})


def of_participant(report: DayReport, participant: str) -> DayReport:
    """What one participant may see: its own rows and the windows it took part in, nothing of others.

    No totals of the scheme and no batches, whose sums are of all.
    """
    nets = [net for net in report.nets if net.participant == participant]
    own = {(net.asset, net.window) for net in nets}
    return replace(
        report,
        participant=participant,
        assets=[],
        accounts=[row for row in report.accounts if row.participant == participant],
        reasons=[row for row in report.reasons if row.participant == participant],
        windows=[
            replace(window, payments=None, gross=None, reason="")
            for window in report.windows
            if (window.asset, window.window) in own
        ],
        batches=[],
        nets=nets,
        exceptions=[
            row if row.participant == participant else _without_others(row)
            for row in report.exceptions
            if row.participant == participant
            or (row.kind in _OF_WINDOWS and (row.asset, row.window) in own)
        ],
    )


def _without_others(row: ExceptionDay) -> ExceptionDay:
    """That it happened; not the sum of all, nor the reason, which may say who could not pay."""
    return replace(row, value=None, text=row.text.partition(":")[0])
