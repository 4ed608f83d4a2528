"""One source partition: where reading it begins, what has been read of it, why it cannot be read on.

Nothing is ever skipped: a position that the broker does not have any more stops that source, loudly, and
that source alone (F14). What it takes to go on is an operator's decision.
"""

from dataclasses import dataclass, field
from enum import StrEnum

from aiokafka import TopicPartition
from aiokafka.errors import (
    CorruptRecordException,
    KafkaError,
    OffsetOutOfRangeError,
    RecordTooLargeError,
    TopicAuthorizationFailedError,
    UnsupportedCodecError,
)

from clearing.core.inputs import SourceSpan
from clearing.records import Records


class Stop(StrEnum):
    """Why a source is not read on."""

    BEYOND_END = "beyond_end"  # its tail is lost
    BELOW_START = "below_start"  # retention has passed what was not read yet
    START_UNKNOWN = "start_unknown"  # no committed offset, and the first records are gone
    RECREATED = "recreated"  # deleted and made again: its offsets count from 0 again, and mean other records
    POSITION_GONE = "position_gone"  # one of these two, while it was being read
    FORBIDDEN = "forbidden"
    UNDECODABLE = "undecodable"  # a record batch the client cannot take apart
    UNREACHABLE = "unreachable"
    NO_LOG_PARTITION = "no_log_partition"


# These may pass by themselves; the others would skip or repeat if they were tried again unseen.
PASSING = (Stop.FORBIDDEN, Stop.UNDECODABLE, Stop.UNREACHABLE, Stop.NO_LOG_PARTITION)


class SourceStopped(Exception):
    """This source cannot be read on; the others can."""

    def __init__(self, reason: Stop, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason


Read = tuple[SourceSpan, list[Records]]


@dataclass(slots=True, eq=False)
class Source:
    """A source partition while it is assigned here.

    [start, end) is read and not yet packed, `records` are what it holds, in parts, none of them empty;
    markers and aborted records are none.
    """

    partition: TopicPartition
    is_control: bool  # commands and confirmations, not payments
    start: int
    end: int
    records: list[Records] = field(default_factory=list[Records])
    condemned: SourceStopped | None = (
        None  # not to be read on; its lane lets go of it when it comes to it
    )

    def take(self) -> Read:
        """What is read, and from here on somebody else's to keep."""
        taken = SourceSpan(*self.partition, self.start, self.end), self.records
        self.start, self.records = self.end, []
        return taken


def first_offset(committed: int | None, acknowledged: int | None, first: int, end: int) -> int:
    """Where to begin: behind what the log is known to have, else at the topic's first record.

    committed: by the group; acknowledged: what this process saw the log acknowledge, which may be more. first, end:
    the topic's first offset and the one behind its last, read after these two: another worker may be at it.
    Raises SourceStopped.
    """
    known = [offset for offset in (committed, acknowledged) if offset is not None]
    if not known:
        if first > 0:
            raise SourceStopped(
                Stop.START_UNKNOWN, f"no committed offset, and the topic begins at {first}"
            )
        return first
    start = max(known)
    if start > end:
        raise SourceStopped(Stop.BEYOND_END, f"read up to {start}, but the topic ends at {end}")
    if start < first:
        raise SourceStopped(
            Stop.BELOW_START, f"read up to {start}, but the topic begins at {first}"
        )
    return start


def recreated(topic: str, before: str, now: str) -> SourceStopped:
    """Its records would count as those that stood at the same offsets before: nobody reads them as these."""
    return SourceStopped(
        Stop.RECREATED,
        f"{topic} was deleted and made again: what was read had the id {before}, this is {now}",
    )


def stopped_by(error: Exception) -> SourceStopped | None:
    """The error as one of this source alone, None if it is the session's.

    What is not Kafka's own comes from taking a record batch apart, which its sender has made.
    """
    match error:
        case SourceStopped():
            return error
        case OffsetOutOfRangeError():
            return SourceStopped(Stop.POSITION_GONE, f"out of range: {error}")
        case TopicAuthorizationFailedError():
            return SourceStopped(Stop.FORBIDDEN, "reading it is not allowed")
        case CorruptRecordException() | UnsupportedCodecError() | RecordTooLargeError():
            return SourceStopped(Stop.UNDECODABLE, repr(error))
        case KafkaError():
            return None
    return SourceStopped(Stop.UNDECODABLE, repr(error))
