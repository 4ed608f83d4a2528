"""Outcome codes in the words banks are told: status, reason and one sentence for people."""

from functools import cache
from typing import Literal, NamedTuple, cast

from clearing.core.reasons import REASONS, Code, Reason, status_of

StatusWord = Literal["ACSP", "PDNG", "RJCT", "CANC", "CNCL", "PDCR"]

# What is no refusal has no ISO reason; where something is yet to come, it is said what.
_OTHERS = {
    Code.ACCEPTED: Reason("", ""),
    Code.QUEUED: Reason("", "it waits for liquidity or for the other legs of its link"),
    Code.DONE: Reason("", "carried out"),
    Code.REQUESTED: Reason("", "accepted before: the creditor is asked to give it back"),
}
_REASONS = REASONS | _OTHERS


class Wording(NamedTuple):
    """reason: ISO code, "" where there is none; text: "" where the status says all."""

    status: StatusWord
    reason: str
    text: str


@cache
def wording(code: int) -> Wording:
    """What is said of an outcome. Raises ValueError on a code of a newer version, which is not guessed at (F17)."""
    reason = _REASONS.get(Code(code))
    if reason is None:
        raise ValueError(f"outcome {code} is told to nobody")
    return Wording(cast(StatusWord, str(status_of(code))), reason.iso, reason.text)
