"""`clearing optimise`: which payments of a queue without FIFO would best leave together; and their release."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter, validators

from clearing.cli.session import Given, Session
from clearing.failures import ExitCode, Failure

if TYPE_CHECKING:
    from rich.console import RenderableType

    from clearing.explain.optimum import OptimiseReport
    from clearing.live import Live

PAYMENTS_SHOWN = 40
_MAX_PUBLISHED = 20_000  # ids in a command: intake reads one of at most a megabyte


def optimise(
    asset: str,
    *,
    time_limit_s: Annotated[
        float, Parameter(name="--time-limit-s", validator=validators.Number(gt=0))
    ] = 10.0,
    publish: bool = False,
    by: str | None = None,
    netting_set: str | None = None,
    log: Annotated[Path | None, Parameter(name="--log")] = None,
    timeout_s: Annotated[float, Parameter(name="--timeout-s")] = 15.0,
    session: Given,
) -> ExitCode:
    """Find the payments of most value that could leave a BYPASS_FIFO queue together, with the exact solver.

    The engine finds by itself what can leave in the order of the queue (R15). Without FIFO there may be more: which
    of all subsets is the best is a hard problem, so the time is bounded, and what is found is never worse. With
    --publish it is released by a command, as one, or proposed where four eyes are required: the engine checks it
    again, and it is in the log, so that a replay never solves again.

    Rebuilds the state beside the engine: from the newest snapshot in the folder of snapshots, else from the log's
    first record. Needs the extra `optim`. Exit code 1 if what was published is refused: the queue has moved on.

        clearing optimise HKDT
        clearing optimise HKDT --time-limit-s 60 --publish --by alice

    Parameters
    ----------
    asset
        Whose queue.
    time_limit_s
        How long to search at most.
    publish
        Have it released.
    by
        Who asks; stands in the log. Default: your user name.
    netting_set
        Where two netting sets clear the asset: which.
    log
        A log saved by `clearing replay --dump` or `simulate --log-out`, as it ends, instead of Kafka's.
    timeout_s
        How long to wait for the engine's answer.
    """
    from clearing.cli.live_states import live_states
    from clearing.explain.optimum import optimise_report

    if log is not None and publish:
        raise Failure(
            "what a saved log holds is past", "clearing optimise --publish", ExitCode.USAGE
        )
    (live,) = live_states(session, netting_set, log, asset=asset)
    _check(live, asset)
    with session.progress(f"solving, {time_limit_s:g} s at most"):
        report = optimise_report(live, asset, time_limit_s)
    session.show(report, tables)
    if not publish or not report.payments:
        return ExitCode.OK
    return _publish(session, live, report, by, timeout_s)


def _check(live: "Live", asset: str) -> None:
    """Raises Failure where there is nothing to choose."""
    from clearing.core.registry import QueuePolicy

    a = live.state.asset_index.get(asset)
    if a is None:
        name = live.machine.netting_set
        raise Failure(f"netting set {name} does not clear {asset!r}", code=ExitCode.USAGE)
    policy = live.state.assets[a].spec.queue
    if policy is not QueuePolicy.BYPASS_FIFO:
        raise Failure(
            f"the queue of {asset} is {policy}: only under BYPASS_FIFO there is a choice",
            "clearing queue",
            ExitCode.USAGE,
        )


def _publish(
    session: Session, live: "Live", report: "OptimiseReport", by: str | None, timeout_s: float
) -> ExitCode:
    """As a command, or as a proposal where four eyes are required (R33)."""
    from clearing.cli.sending import Proposing, send
    from clearing.core.commands import ReleaseQueued

    ids = [each.payment for each in report.payments]
    if len(ids) > _MAX_PUBLISHED:
        raise Failure(f"{len(ids):,} payments are more than one command can release")
    how = Proposing(
        netting_set=report.netting_set,
        by=by,
        timeout_s=timeout_s,
        propose=live.state.counters.approval_required,
    )
    return send(session, ReleaseQueued(**how.signed(), payments=ids), how)


def tables(report: "OptimiseReport") -> "RenderableType":
    from rich.console import Group
    from rich.text import Text

    from clearing.cli.status_parts import table_of

    waits = f"{report.waiting:,} payments of {report.waiting_value} {report.asset} wait"
    head = Text.assemble(
        (f"{report.asset} in {report.netting_set}", "bold"),
        f": {waits}  ",
        (f"log offset {report.read_to}", "dim"),
    )
    lines = [
        f"in the order of the queue {report.baseline_payments:,} of {report.baseline_value} can leave"
    ]
    if report.left_out:
        lines.append(f"{report.left_out:,} are linked with legs in other assets, and were left out")
    proven = "proven to be the best" if report.proven_optimal else "not proven to be the best"
    took = f"{report.seconds:.2f} s, {proven}"
    if not report.payments:
        return Group(head, Text("\n".join((*lines, f"nothing can leave ({took})"))))
    better = f", {report.better_by} more" if report.better_by.strip("0.") else ""
    lines.append(f"together {len(report.payments):,} of {report.value} can leave{better} ({took})")
    shown = report.payments[:PAYMENTS_SHOWN]
    table = table_of("", "payment", "from", "to", ">amount", "")
    for each in shown:
        table.add_row(each.payment, each.debtor, each.creditor, each.amount, each.link and "linked")
    more = len(report.payments) - len(shown)
    end = [Text(f"and {more:,} more, with --json")] if more else []
    return Group(head, Text("\n".join(lines)), table, *end)
