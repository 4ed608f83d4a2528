"""A plan: what banks publish, and what must have become of each row when nothing is on its way any more.

Where a payment's way depends on timing (did it wait, who was first) the plan says nothing: only how it ends.
"""

from collections import Counter
from dataclasses import dataclass, field

# What a row is in the end, as clearing.verify.states names it; "queued" is none: then it still waits.
OUTCOMES = (
    "accepted",
    "queued",
    "cancelled",
    "expired",
    "dropped",
    "defaulted",
    "link_refused",
    "recast",
    "refused",
    "rejected",
    "done",
    "requested",
    "repeated",
)


@dataclass(slots=True)
class Tally:
    """One row is one message: each item of a bulk, or a record that cannot be read.

    outcomes: of OUTCOMES; accepted is what was accepted at once or after it had waited, done and requested are of
    instructions. reasons: ISO codes of all that was refused, rejected or has ended. accepted, nets: minor units.
    """

    records: int = 0
    rows: int = 0
    outcomes: Counter[str] = field(default_factory=Counter[str])
    reasons: Counter[str] = field(default_factory=Counter[str])
    accepted: Counter[str] = field(default_factory=Counter[str])  # by asset
    nets: Counter[tuple[str, str]] = field(default_factory=Counter[tuple[str, str]])

    def accept(self, debtor: str, creditor: str, asset: str, units: int) -> None:
        """A payment that is accepted in the end."""
        self.outcomes["accepted"] += 1
        self.accepted[asset] += units
        self.nets[debtor, asset] -= units
        self.nets[creditor, asset] += units

    def end(self, outcome: str, reason: str = "") -> None:
        """A row that is not: an instruction, or one that ends for a reason."""
        self.outcomes[outcome] += 1
        if reason:
            self.reasons[reason] += 1

    def add(self, other: "Tally") -> None:
        self.records += other.records
        self.rows += other.rows
        for name in ("outcomes", "reasons", "accepted", "nets"):
            getattr(self, name).update(getattr(other, name))
