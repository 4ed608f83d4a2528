"""Nothing was accepted beyond its limits: headroom, replayed in the order of the log (R8, R9).

Bilateral limits and the value check (R10) are beside it, in clearing.verify.bilateral and clearing.verify.values.
"""

from collections.abc import Iterator

import numpy as np

from clearing.core.inputs import I64
from clearing.core.money import show
from clearing.verify.bilateral import Bilateral
from clearing.verify.changes import Change, account_changes
from clearing.verify.effects import Effects, member_times
from clearing.verify.facts import Facts
from clearing.verify.members import Members
from clearing.verify.report import Check, Findings
from clearing.verify.values import Values


def check_limits(facts: Facts) -> Check:
    """Each accepted debit left its account with headroom >= 0 and passed no limit of R10.

    What was released as one is asked as one. R9: what was accepted stands when a limit is lowered; only a debit
    is ever asked.
    """
    found = Findings()
    changes = account_changes(facts)
    headroom, values = _Headroom(facts, changes, found), Values(facts, changes, found)
    bilateral = Bilateral(facts)
    for _, some in facts.members.pieces():
        time = member_times(facts, some)
        headroom.add(some, time)
        values.add(some, time)
        bilateral.add(some, time)
    pairs = bilateral.finish(found)
    return found.check(
        "nothing was accepted beyond its limits",
        "R8 R9 R10",
        facts.netting_set,
        f"{len(facts.members):,} debits in the order of the log; {pairs:,} bilateral limits, "
        f"{values.finish():,} participants under the value check",
    )


class _Headroom:
    """Accounts as far as the members have been added. balances: by account, see _key."""

    def __init__(self, facts: Facts, changes: list[Change], found: Findings) -> None:
        self._facts, self._found = facts, found
        participants, assets = facts.table.participants, facts.table.assets
        self._width = max(len(assets.names), 1)
        self._balances = np.zeros(max(len(participants.names), 1) * self._width, np.int64)
        rows = [
            (participant * self._width + asset, change.log_offset, change.units)
            for change in changes
            if (participant := participants.find(change.participant)) >= 0
            and (asset := assets.find(change.asset)) >= 0
        ]
        rows += self._taken_out()
        self._changes = np.array(sorted(rows, key=lambda row: row[1]), np.int64).reshape(-1, 3)

    def _taken_out(self) -> Iterator[tuple[int, int, int]]:
        """What a recast gives back to debtors and takes from creditors."""
        members = self._facts.members
        gone = members.take(members.gone)
        for side, sign in ((gone.debtor, 1), (gone.creditor, -1)):
            account = side * self._width + gone.asset
            yield from zip(
                account.tolist(), gone.gone_at.tolist(), (sign * gone.units).tolist(), strict=True
            )

    def add(self, some: Members, time: I64) -> None:
        effects = Effects()
        debit, credit = (side * self._width + some.asset for side in (some.debtor, some.creditor))
        effects.add(debit, time, -some.units, is_debit=True)
        effects.add(credit, time, some.units)
        until = int(np.searchsorted(self._changes[:, 1], some.offset[-1], side="right"))
        effects.add_columns(self._changes[:until])
        self._changes = self._changes[until:]
        self._note(effects)

    def _note(self, effects: Effects) -> None:
        table, scales = self._facts.table, self._facts.scales
        found = effects.breaches(self._balances)
        for key, at, below in zip(*(column.tolist() for column in found), strict=True):
            participant, asset = divmod(key, self._width)
            name = table.assets.names[asset]
            self._found.add(
                f"{table.participants.names[participant]} was debited at log offset {at} though it lacked "
                f"{show(below, scales.get(name, 0))} {name}"
            )
