"""What a set-off gave: figures as data, and as tables for people."""

from collections.abc import Sequence
from decimal import Decimal

import msgspec
import numpy as np
from rich import box
from rich.console import Group
from rich.table import Table
from rich.text import Text

from clearing.cli.obligation_files import Obligation, SetOffLine, set_off_lines
from clearing.core.money import show
from clearing.core.setoff import set_off

PARTIES_SHOWN = 40
_EFFICIENCY_SCALE = 4


class PartyReport(msgspec.Struct, frozen=True, kw_only=True):
    """One party before and after. net: owed to it minus what it owes, the same before and after."""

    party: str
    owes_before: str
    owes_after: str
    owed_before: str
    owed_after: str
    net: str


class SetOffReport(msgspec.Struct, frozen=True, kw_only=True):
    """Amounts are decimal strings. efficiency: cleared / before, rounded down; "0.0000" of nothing.

    whole, in_part, not_at_all: number of obligations that are cleared so.
    """

    scale: int
    obligations: int
    before: str
    cleared: str
    after: str
    efficiency: str
    whole: int
    in_part: int
    not_at_all: int
    parties: list[PartyReport]
    results: list[SetOffLine]


def report_of(obligations: Sequence[Obligation], scale: int) -> SetOffReport:
    """Sets off, and counts again from the result that nobody's net balance has changed."""
    names = sorted({name for one in obligations for name in (one.debtor, one.creditor)})
    number = {name: i for i, name in enumerate(names)}
    debtor = np.array([number[one.debtor] for one in obligations], np.int64)
    creditor = np.array([number[one.creditor] for one in obligations], np.int64)
    amount = np.array([one.units for one in obligations], np.int64)
    order = np.empty(len(obligations), np.int64)
    by_amount = sorted(
        range(len(obligations)), key=lambda i: (obligations[i].units, obligations[i].id)
    )
    order[by_amount] = np.arange(len(obligations))
    cleared: list[int] = set_off(debtor, creditor, amount, order).tolist()

    before, done = sum(one.units for one in obligations), sum(cleared)
    whole = sum(units == one.units for one, units in zip(obligations, cleared, strict=True))
    touched = sum(units > 0 for units in cleared)
    share = done * 10**_EFFICIENCY_SCALE // before if before else 0
    return SetOffReport(
        scale=scale,
        obligations=len(obligations),
        before=show(before, scale),
        cleared=show(done, scale),
        after=show(before - done, scale),
        efficiency=show(share, _EFFICIENCY_SCALE),
        whole=whole,
        in_part=touched - whole,
        not_at_all=len(obligations) - touched,
        parties=_parties(names, obligations, cleared, scale),
        results=set_off_lines(obligations, cleared, scale),
    )


def _parties(
    names: list[str], obligations: Sequence[Obligation], cleared: list[int], scale: int
) -> list[PartyReport]:
    owes, owed = ({name: [0, 0] for name in names} for _ in range(2))  # before, after
    for one, units in zip(obligations, cleared, strict=True):
        for side, name in ((owes, one.debtor), (owed, one.creditor)):
            side[name][0] += one.units
            side[name][1] += one.units - units
    parties: list[PartyReport] = []
    for name in names:
        net = owed[name][0] - owes[name][0]
        assert net == owed[name][1] - owes[name][1], f"the net balance of {name} has changed"
        texts = [show(units, scale) for units in (*owes[name], *owed[name], net)]
        parties.append(
            PartyReport(
                party=name,
                owes_before=texts[0],
                owes_after=texts[1],
                owed_before=texts[2],
                owed_after=texts[3],
                net=texts[4],
            )
        )
    return parties


def tables(report: SetOffReport) -> Group:
    summary = Table(box=box.SIMPLE, show_header=False, title="Set-off", title_justify="left")
    summary.add_column("what")
    summary.add_column("how much", justify="right")
    counts = f"{report.whole:,} whole, {report.in_part:,} in part, {report.not_at_all:,} not at all"
    for what, much in (
        ("obligations", f"{report.obligations:,}"),
        ("parties", f"{len(report.parties):,}"),
        ("value before", report.before),
        ("cleared", report.cleared),
        ("value after", report.after),
        ("efficiency", f"{Decimal(report.efficiency) * 100:.2f} %"),
        ("obligations cleared", counts),
    ):
        summary.add_row(what, much)
    return Group(summary, _party_table(report))


def _party_table(report: SetOffReport) -> Table:
    hidden = len(report.parties) - PARTIES_SHOWN
    title = "Nobody's net has changed"
    if hidden > 0:
        title += f" (the first {PARTIES_SHOWN} by name; {hidden:,} more with --json)"
    table = Table("party", box=box.SIMPLE, title=title, title_justify="left")
    for name in ("owes before", "owes after", "is owed before", "is owed after", "net"):
        table.add_column(name, justify="right")
    for one in report.parties[:PARTIES_SHOWN]:
        table.add_row(
            Text(one.party),
            *(one.owes_before, one.owes_after, one.owed_before, one.owed_after, one.net),
        )
    return table
