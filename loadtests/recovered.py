"""Recovery times as values, and as a table for the documentation."""

from typing import Any

import msgspec
import numpy as np

from loadtests.figures import Machine


class Measured(msgspec.Struct, frozen=True, kw_only=True):
    """One service with so much behind it. seconds: part → one value for each kill; "in all" is their sum, but for
    a standby's "fenced to serving", which is of two parts.

    payments: cleared so far, all of them remembered; ledger_rows: entries posted.
    """

    role: str
    payments: int
    ledger_rows: int
    snapshot: bool
    seconds: dict[str, list[float]]

    @property
    def name(self) -> str:
        without = "" if self.snapshot else ", without a snapshot"
        if self.role == "sink":
            return f"sink, {self.ledger_rows:,} rows in the ledger"
        if self.role == "standby":
            return f"standby, {self.payments:,} payments remembered"
        return f"engine, {self.payments:,} payments remembered{without}"


class Recovered(msgspec.Struct, frozen=True, kw_only=True):
    """All that was measured."""

    machine: Machine
    options: dict[str, Any]
    rows: list[Measured]


def markdown(run: Recovered) -> str:
    """Median and spread of the whole, medians of the parts."""
    at = run.machine
    versions = ", ".join(f"{name} {number}" for name, number in at.versions.items())
    payments = " ".join(f"--payments {number}" for number in run.options["payments"])
    tables = "\n\n".join(
        _table([row for row in run.rows if row.role == role])
        for role in ("engine", "sink", "standby")
    )
    return f"""# Recovery: from kill -9 to the next committed output

    python -m loadtests.recovery {payments} --repeat {run.options["repeat"]} --replays {run.options["replays"]}

A supervisor starts the killed process again at once. Payments come in all the while; the output is a transaction
that a read_committed reader gets, or a confirmation in the log. Seconds; the whole as median (fastest to slowest),
the parts as medians. A standby serves what another engine served that was stopped (SIGSTOP): the group notices
after its session timeout of 6 s; "fenced to serving" is what the engine itself needs then.

{tables}

{at.processor}, {at.cores} cores, {at.memory_gib} GiB, {at.system}, Python {at.python}; {versions}
"""


def _table(rows: list[Measured]) -> str:
    parts = [part for part in rows[0].seconds if part != "in all"]
    lines = [
        f"| | kills | in all | {' | '.join(parts)} |",
        "| --- | ---: | ---: |" + " ---: |" * len(parts),
    ]
    for row in rows:
        whole = row.seconds["in all"]
        spread = f"{np.median(whole):.2f} ({min(whole):.2f} to {max(whole):.2f})"
        medians = " | ".join(f"{np.median(row.seconds[part]):.2f}" for part in parts)
        lines.append(f"| {row.name} | {len(whole)} | {spread} | {medians} |")
    return "\n".join(lines)
