"""Nothing was accepted beyond its limits: headroom, replayed in the order of the log (R8, R9).

Bilateral limits and the value check (R10) are beside it, in clearing.verify.bilateral and clearing.verify.values.
"""

import numpy as np

from clearing.core.inputs import I64
from clearing.core.money import show
from clearing.verify.bilateral import check_bilateral
from clearing.verify.changes import Change, account_changes
from clearing.verify.effects import GIVES, TAKES, Effects, member_times, time_of
from clearing.verify.facts import Facts
from clearing.verify.members import NEVER
from clearing.verify.report import Check, Findings
from clearing.verify.values import check_values


def check_limits(facts: Facts) -> Check:
    """Each accepted debit left its account with headroom >= 0 and passed no limit of R10.

    What was released as one is asked as one. R9: what was accepted stands when a limit is lowered; only a debit
    is ever asked.
    """
    found = Findings()
    time, changes = member_times(facts), account_changes(facts)
    _check_headroom(facts, time, changes, found)
    pairs = check_bilateral(facts, time, found)
    valued = check_values(facts, time, changes, found)
    return found.check(
        "nothing was accepted beyond its limits",
        "R8 R9 R10",
        facts.netting_set,
        f"{len(facts.members):,} debits in the order of the log; {pairs:,} bilateral limits, "
        f"{valued:,} participants under the value check",
    )


def _check_headroom(facts: Facts, time: I64, changes: list[Change], found: Findings) -> None:
    table, members = facts.table, facts.members
    width = max(len(table.assets.names), 1)
    effects = Effects()
    debit, credit = (side * width + members.asset for side in (members.debtor, members.creditor))
    effects.add(debit, time, -members.units, is_debit=True)
    effects.add(credit, time, members.units)
    gone = np.flatnonzero(members.gone_at != NEVER)
    for account, sign, phase in ((debit, 1, GIVES), (credit, -1, TAKES)):
        at = time_of(members.gone_at[gone], phase, 0)
        effects.add(account[gone], at, sign * members.units[gone])
    effects.add_changes(
        (participant * width + asset, change.log_offset, change.units)
        for change in changes
        if (participant := table.participants.find(change.participant)) >= 0
        and (asset := table.assets.find(change.asset)) >= 0
    )
    for key, at, below in zip(*(column.tolist() for column in effects.breaches()), strict=True):
        participant, asset = divmod(key, width)
        name = table.assets.names[asset]
        found.add(
            f"{table.participants.names[participant]} was debited at log offset {at} though it lacked "
            f"{show(below, facts.scales.get(name, 0))} {name}"
        )
