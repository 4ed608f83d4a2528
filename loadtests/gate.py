"""The validity gate: figures of a run in which something was lost, came twice, or still waited are no figures."""

from collections import Counter
from collections.abc import Mapping

import msgspec


class Invalid(Exception):
    """in ≠ out, or something was still queued behind the measurement: no figures then; the message says what."""


class Flow(msgspec.Struct, frozen=True, kw_only=True):
    """Rows of one measurement when it ended: what banks published, and how far each stage has come with that.

    outcomes: what they became; planned: what they had to become. unconfirmed: batches that their ledger has not
    answered. None: that stage had no part in it.
    """

    entered: int
    logged: int
    cleared: int
    told: int | None
    planned: Mapping[str, int]
    outcomes: Mapping[str, int]
    unconfirmed: int | None = None


def gate(what: str, flow: Flow) -> None:
    """Raise Invalid unless every row that entered went through every stage, once, and became what was planned."""
    problems: list[str] = []
    stages = {"in the log": flow.logged, "cleared": flow.cleared, "told to banks": flow.told}
    for stage, rows in stages.items():
        if rows is not None and rows < flow.entered:
            problems.append(f"{flow.entered - rows:,} rows were not yet {stage}")
        elif rows is not None and rows > flow.entered:
            problems.append(f"{rows - flow.entered:,} rows more were {stage} than entered")
    planned, outcomes = +Counter(flow.planned), +Counter(flow.outcomes)
    if planned != outcomes:
        problems.append(f"planned were {_list(planned)}, they became {_list(outcomes)}")
    if flow.unconfirmed:
        problems.append(f"{flow.unconfirmed} batches wait for their ledger")
    if problems:
        raise Invalid(f"{what}: of {flow.entered:,} rows, {'; '.join(problems)}")


def gate_peer(peer: str, problems: list[str]) -> None:
    """Raise Invalid if a peer's outputs are not what its input calls for."""
    if problems:
        raise Invalid(f"{peer} did not do the work: {'; '.join(problems)}")


def _list(outcomes: Mapping[str, int]) -> str:
    return ", ".join(f"{count:,} {name}" for name, count in sorted(outcomes.items())) or "none"
