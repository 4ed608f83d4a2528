"""What each sender was told of each of its messages in a simulation, from the first word to the last."""

from dataclasses import dataclass, field

from clearing.core.reasons import Code, Status
from clearing.messages import PaymentStatus, StatusRecord
from clearing.scenario import Result
from clearing.verify.statuses import decode_status


@dataclass(slots=True)
class Story:
    """One message. label: what it is called elsewhere: its end-to-end id, if no other one has it. words: what its
    sender was told, in order."""

    id: str
    label: str
    sender: str
    first: PaymentStatus
    about: str = ""
    words: list[str] = field(default_factory=list[str])

    @property
    def what(self) -> str:
        if not self.first.instruction:
            return self.label
        return f"{self.first.instruction} {self.about}".rstrip()

    @property
    def to(self) -> str:
        return self.first.creditor

    @property
    def asset(self) -> str:
        return self.first.asset

    @property
    def amount(self) -> str:
        return self.first.amount

    @property
    def told(self) -> str:
        return " → ".join(self.words)

    @property
    def told_plainly(self) -> tuple[str, str]:
        """Status and reason it was told first, and what they mean."""
        return f"{self.first.status} {self.first.reason}".rstrip(), self.first.text


def stories(result: Result) -> list[Story]:
    """All of them, in the order of the log; a repeat is one of its own."""
    hows = _hows(result)
    found: dict[tuple[str, str], Story] = {}
    told: list[Story] = []
    for sender, record in _records(result):
        for status in record.statuses:
            word = _word(status, hows.get((record.log_offset, status.id), ""))
            known = found.get((sender, status.id))
            if known is not None and not status.repeat and status.id:
                known.words.append(word)
                continue
            story = Story(
                status.id, status.end_to_end_id or status.id, sender, status, words=[word]
            )
            told.append(story)
            if not status.repeat:
                found[sender, status.id] = story
    _name(told)
    return told


def _records(result: Result) -> list[tuple[str, StatusRecord]]:
    decoded = ((one.participant, decode_status(one.message)) for one in result.statuses)
    return [(name, message) for name, message in decoded if isinstance(message, StatusRecord)]


def _hows(result: Result) -> dict[tuple[int, str], str]:
    """How payments left their queue, by log offset and id."""
    return {
        (record.log_offset, item.id): item.how
        for record in result.resolutions
        for item in record.items
        if item.code == Code.ACCEPTED
    }


def _word(status: PaymentStatus, how: str) -> str:
    parts = [status.status, status.reason]
    if status.remaining:
        parts.append(f"{status.amount}, {status.remaining} left")
    is_release = status.status == Status.ACSP and how not in ("", "PARTIAL")
    parts.append(f"({how.lower()})" if is_release else "")
    parts.append("(again)" if status.repeat else "")
    return " ".join(filter(None, parts))


def _name(told: list[Story]) -> None:
    """Labels that more than one payment has are no names; what an instruction is about is called by its own."""
    payments = [story for story in told if not story.first.instruction]
    ids: dict[str, set[str]] = {}
    for story in payments:
        ids.setdefault(story.label, set()).add(story.id)
    for story in payments:
        if len(ids[story.label]) > 1:
            story.label = story.id
    labels = {story.id: story.label for story in payments}
    for story in told:
        about = story.first.reference
        story.about = labels.get(about, about)
        if story.first.instruction:
            labels.setdefault(story.id, f"{story.first.instruction} {story.about}")
