"""What waits, as tables for people."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from clearing.cli.explain_text import waits_text
from clearing.cli.status_parts import clock, table_of
from clearing.explain.queues import AccountQueue, DeadlockNow, QueuedPayment, QueueReport
from clearing.explain.story import Binding

PAYMENTS_SHOWN = 60
WAITS_SHOWN = 20


def tables(reports: Sequence[QueueReport]) -> RenderableType:
    return Group(*(part for report in reports for part in _parts(report)))


def _parts(report: QueueReport) -> Iterator[RenderableType]:
    at = datetime.fromtimestamp(report.time_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    value = ", ".join(f"{units} {asset}" for asset, units in report.value.items())
    waits = f"{report.payments:,} payments wait: {value}" if report.payments else "nothing waits"
    yield Text.assemble(
        (report.netting_set, "bold"),
        f": {waits}  ",
        (f"log offset {report.read_to}, {at}", "dim"),
    )
    if report.queues:
        yield _queues("Queues, the first to leave first", report.queues)
    if report.incomplete:
        yield _queues("Legs that wait for others of their link", report.incomplete)
    if report.deadlock:
        yield _deadlock(report.deadlock)
    elif report.can_leave:
        yield Text("Something can leave: the engine's next search releases it.")
    elif report.queues:
        yield Text("Nothing can leave: whoever could pay would fail the value check.", "red")


def _queues(title: str, queues: Sequence[AccountQueue]) -> Table:
    shown, whole = 0, sum(len(queue.payments) for queue in queues)
    if whole > PAYMENTS_SHOWN:
        title += f" ({PAYMENTS_SHOWN} of {whole:,}, all of them with --json)"
    table = table_of(
        title,
        "asset",
        "participant",
        ">left",
        ">#",
        "payment",
        "to",
        ">amount",
        "",
        "since",
        "waits for",
    )
    for queue in queues:
        for number, payment in enumerate(queue.payments, start=1):
            if shown == PAYMENTS_SHOWN:
                return table
            shown += 1
            account = (queue.asset, queue.participant, queue.headroom) if number == 1 else ("",) * 3
            table.add_row(*account, str(number), *_cells(payment))
    return table


def _cells(payment: QueuedPayment) -> tuple[str | Text, ...]:
    since = clock(payment.since_ms) if payment.since_ms else f"log {payment.log_offset}"
    urgency = "" if payment.priority == "NORM" else payment.priority
    return (
        payment.payment,
        payment.creditor,
        payment.amount,
        f"{urgency} fail".strip() if payment.is_fail else urgency,
        since,
        Text(_bound(payment)),
    )


def _bound(payment: QueuedPayment) -> str:
    bound = payment.bound
    if payment.missing_legs:
        numbers = ", ".join(str(leg + 1) for leg in payment.missing_legs)
        return f"legs that have not arrived: {numbers}"
    if bound is None:
        return "the next search"
    return _binding(bound, payment.payment)


def _binding(bound: Binding, payment: str) -> str:
    if bound.limit == "FIFO":
        return "those before it"
    if bound.limit == "SUSPENDED":
        return f"{bound.participant}, suspended"
    whose = "" if bound.payment == payment else f" of {bound.participant} for {bound.payment}"
    against = f" against {bound.counterparty}" if bound.counterparty else ""
    lacks = f"{bound.lacks} {bound.asset}" if bound.lacks else "more than money"
    return f"{lacks} ({bound.limit}{against}){whose}"


def _deadlock(deadlock: DeadlockNow) -> RenderableType:
    lines = [waits_text(one) for one in deadlock.waits_for[:WAITS_SHOWN]]
    more = len(deadlock.waits_for) - WAITS_SHOWN
    lines += [f"{more:,} more, with --json"] if more > 0 else []
    lines += [f"in a circle: {', '.join(circle)}" for circle in deadlock.circles]
    if deadlock.free_any is not None:
        one = deadlock.free_any
        least = (
            "the least that frees something" if deadlock.is_least else "enough to free something"
        )
        lines.append(f"{one.amount} {one.asset} more for {one.participant}: {least}")
    else:
        lines.append("no liquidity frees anything: see what each waits for")
    if deadlock.free_all:
        parts = [f"{one.amount} {one.asset} for {one.participant}" for one in deadlock.free_all]
        lines.append(f"for everything to leave at once: {', '.join(parts)}")
    return Text.assemble(
        (f"{'Deadlock: nothing' if deadlock.circles else 'Nothing'} can leave\n", "red"),
        "\n".join(f"  {x}" for x in lines),
    )
