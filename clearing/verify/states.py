"""What every row is now: exactly one state each, followed from its outcome through its resolutions (R17, R30)."""

from enum import IntEnum

import numpy as np

from clearing.core.inputs import U8
from clearing.core.reasons import FIRST_REFUSAL, FIRST_REJECT, Code
from clearing.verify.resolved import How, Resolved
from clearing.verify.tables import NO_OUTCOME, Rows


class State(IntEnum):
    """NOTHING: read before, or no outcome was said. QUEUED: it still waits; from CANCELLED to LINK_REFUSED it
    waited and has ended. RECAST: taken out of its window again (R25). DONE, REQUESTED: of instructions."""

    NOTHING = 0
    ACCEPTED = 1
    QUEUED = 2
    CANCELLED = 3
    EXPIRED = 4
    DROPPED = 5
    DEFAULTED = 6
    LINK_REFUSED = 7
    RECAST = 8
    REFUSED = 9
    REJECTED = 10
    DONE = 11
    REQUESTED = 12
    REPEATED = 13


STATES = tuple(state.name.lower() for state in State if state)

# How a payment that waited ends; with any other code its link could not be completed.
_ENDS: dict[int, State] = {
    Code.ACCEPTED: State.ACCEPTED,
    Code.CANCELLED: State.CANCELLED,
    Code.EXPIRED: State.EXPIRED,
    Code.CUTOFF: State.DROPPED,
    Code.DEBTOR_DEFAULTED: State.DEFAULTED,
    Code.CREDITOR_DEFAULTED: State.DEFAULTED,
    Code.RECAST: State.RECAST,
}
STATE_OF_END: U8 = np.array([_ENDS.get(code, State.LINK_REFUSED) for code in range(256)], np.uint8)


def _states_of_outcomes() -> U8:
    states = np.full(256, State.REFUSED, np.uint8)
    states[FIRST_REJECT:FIRST_REFUSAL] = State.REJECTED
    for code, state in (
        (Code.ACCEPTED, State.ACCEPTED),
        (Code.QUEUED, State.QUEUED),
        (Code.ALREADY_READ, State.NOTHING),
        (Code.DONE, State.DONE),
        (Code.REQUESTED, State.REQUESTED),
        (NO_OUTCOME, State.NOTHING),
    ):
        states[code] = state
    return states


_STATE_OF_OUTCOME = _states_of_outcomes()


def states_of(rows: Rows, resolved: Resolved) -> U8:
    """State of each row, after everything that was said."""
    states = np.empty(len(rows), np.uint8)
    for first, part in rows.parts():
        some = _STATE_OF_OUTCOME[part.code]
        some[part.repeat & (some != State.NOTHING)] = State.REPEATED
        some[~part.fresh] = State.NOTHING
        states[first : first + len(part)] = some
    # The last word on a row counts; a part that was released leaves it waiting.
    known = np.flatnonzero((resolved.row >= 0) & (resolved.how != How.PARTIAL))
    states[resolved.row[known]] = STATE_OF_END[resolved.code[known]]
    return states
