"""`clearing drill`: if somebody could not pay any more, who would pay what? On a copy of live state (R26)."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from clearing.cli.session import Given
from clearing.failures import ExitCode, Failure

if TYPE_CHECKING:
    from rich.console import RenderableType

    from clearing.explain.drill import AssetDrill, DrillReport, Payers


def drill(
    *,
    participant: str | None = None,
    asset: str = "",
    netting_set: str | None = None,
    log: Annotated[Path | None, Parameter(name="--log")] = None,
    session: Given,
) -> ExitCode:
    """Cover-1: let the largest net debtor of each asset fail, and say who would pay what. Changes nothing.

    Asks what is owed in the open window and in batches that are not final. The one that fails pays out of its
    prefunding and is not let into overdraft; what is lacking then is paid by the asset's rule: WATERFALL, its
    collateral, the pool, those whom it owes; RECAST, its payments are taken out of the window; HOLD, nobody pays
    before operators decide: who could is told. All sums are exact.

    Exit code 0 if the rules of all assets cover it, 1 if something stays uncovered: more than all have, HOLD, or
    others who would be short after a recast.

        clearing drill
        clearing drill --participant BANKBBBB --json
        clearing drill --asset HKD --log hk.log

    Parameters
    ----------
    participant
        Who fails, in every asset in which it owes. Default: in each asset whoever owes most.
    asset
        Only this asset.
    netting_set
        Only this netting set. Default: that of the asset, else all. With --json a line each.
    log
        A log saved by `clearing replay --dump` or `simulate --log-out`, as it ends, instead of Kafka's.
    """
    from clearing.cli.live_states import live_states
    from clearing.explain.drill import drill_report

    states = live_states(session, netting_set, log, asset=asset)
    known = [live for live in states if participant in (None, *live.state.participant_index)]
    if not known:
        raise Failure(f"there is no participant {participant}", code=ExitCode.USAGE)
    reports = [
        drill_report(live.state, live.machine.next_offset, participant, asset) for live in known
    ]
    for report in reports:
        session.show(report, tables)
    return ExitCode.OK if all(report.covered for report in reports) else ExitCode.FAILED


def tables(report: "DrillReport") -> "RenderableType":
    """For people: a line an asset, and below who pays."""
    from rich.console import Group
    from rich.text import Text

    from clearing.cli.status_parts import table_of

    head = Text.assemble(
        (report.netting_set, "bold"),
        f": drill as of log offset {report.read_to}; nothing was changed",
    )
    verdict = (
        Text("Everything is covered by the assets' rules.", "green")
        if report.covered
        else Text("Not everything is covered by the assets' rules.", "red")
    )
    if not report.failures:
        return Group(
            head, Text(f"nobody owes anything in {', '.join(report.quiet) or 'any asset'}")
        )
    table = table_of("", "asset", "rule", "fails", ">owes", ">prefunded", ">lacking", ">uncovered")
    for one in report.failures:
        colour = "red" if one.uncovered.strip("0.") else "green"
        uncovered = Text(one.uncovered, colour)
        table.add_row(
            one.asset, one.rule, one.participant, one.owed, one.prefunded, one.lacking, uncovered
        )
    lines = [line for one in report.failures if one.lacking.strip("0.") for line in _lines(one)]
    quiet = [f"nobody owes in {', '.join(report.quiet)}"] if report.quiet else []
    return Group(head, table, Text("\n".join((*lines, *quiet))), verdict)


def _lines(one: "AssetDrill") -> Iterator[str]:
    yield f"{one.asset}: {one.participant} lacks {one.lacking}"
    if one.pays is not None:
        yield from _payers(one.pays, one.participant, "by their credits" if one.by_credits else "")
        if one.uncovered.strip("0."):
            yield f"  {one.uncovered} are beyond all of them: the window would have FAILED"
    if one.could_pay is not None:
        yield "  HOLD: the window would have FAILED, and operators would have to decide:"
        yield f"  fund {one.participant} with {one.lacking} and settle the window again, or abort it;"
        yield "  if the waterfall were the rule:"
        how = "by their credits" if one.by_credits else "by what they are to receive"
        yield from _payers(one.could_pay, one.participant, how)
        if one.beyond.strip("0."):
            yield f"  {one.beyond} would be beyond all of them"
    if one.recast is not None:
        recast = one.recast
        yield f"  {recast.payments:,} payments of {recast.gross} are taken out; nets change:"
        yield from _amounts(recast.changes)
        for name, units in recast.short.items():
            yield f"  {name} counted on them and would be short of {units}"
    if one.batches:
        yield f"  under way: {', '.join(one.batches)}"


def _payers(payers: "Payers", participant: str, how: str) -> Iterator[str]:
    yield f"  {payers.collateral} from collateral of {participant}, {payers.pool} from the pool"
    if payers.survivors:
        yield f"  from those whom it owes{', ' + how if how else ''}:"
        yield from _amounts(payers.survivors)


def _amounts(amounts: dict[str, str]) -> Iterator[str]:
    """A column of names and amounts, these to the right."""
    width, most = max(map(len, amounts), default=0), max(map(len, amounts.values()), default=0)
    for name, units in amounts.items():
        yield f"    {name:<{width}}  {units:>{most}}"
