"""Kafka's protocol as far as the simulation speaks it: names, versions, errors, answers that are only errors."""

from collections.abc import Callable
from functools import cache
from typing import Any

from aiokafka import errors

Answer = Callable[[Any], None]
NOBODY = -1
NAMES = {
    0: "Produce",
    1: "Fetch",
    2: "ListOffsets",
    3: "Metadata",
    8: "OffsetCommit",
    9: "OffsetFetch",
    10: "FindCoordinator",
    11: "JoinGroup",
    12: "Heartbeat",
    13: "LeaveGroup",
    14: "SyncGroup",
    19: "CreateTopics",
    22: "InitProducerId",
    24: "AddPartitionsToTxn",
    26: "EndTxn",
    37: "CreatePartitions",
}
# What a Kafka 4 broker offers; a client takes the highest that it knows.
VERSIONS = {
    0: (0, 12),
    1: (4, 17),
    2: (1, 10),
    3: (0, 13),
    8: (2, 9),
    9: (1, 9),
    10: (0, 6),
    11: (0, 9),
    12: (0, 4),
    13: (0, 5),
    14: (0, 5),
    19: (2, 7),
    22: (0, 5),
    24: (0, 5),
    26: (0, 5),
    37: (0, 3),
}


@cache
def newest(request: Any) -> Any:
    """The version of a class of requests that client and broker both know: what `Request.prepare` looks up."""
    oldest, newest = VERSIONS[request.API_KEY]
    return next(c for c in reversed(request._CLASSES) if oldest <= c.API_VERSION <= newest)


def error_code(name: str) -> int:
    """The number of an error by its name in the protocol, as far as aiokafka knows it: NOT_COORDINATOR."""
    return next(c for c in errors.kafka_errors.values() if c.message == name).errno


def name_of(request: Any) -> str:
    """What the protocol calls it: Fetch, EndTxn."""
    return NAMES[request.API_KEY]


def refuse(request: Any, error: int) -> Any | None:
    """The answer that carries nothing but this error; None where the protocol has no place for it."""
    kind = request.RESPONSE_TYPE
    match name_of(request):
        case "Produce":
            return kind(each(request.topics, lambda p: (p[0], error, -1, -1, -1)), 0)
        case "Fetch":
            per = each(request.topics, lambda p: (p[0], error, -1, -1, -1, [], -1, b""))
            return kind(0, 0, 0, per)
        case "ListOffsets":
            return kind(0, each(request.topics, lambda p: (p[0], error, -1, -1)))
        case "OffsetCommit":
            return kind(0, each(request.topics, lambda p: (p[0], error)))
        case "OffsetFetch":
            return kind(0, each(request.topics, lambda p: (p, -1, "", error)), error)
        case "FindCoordinator":
            return kind(0, error, None, NOBODY, "", NOBODY)
        case "JoinGroup":
            return kind(0, error, -1, "", "", "", [])
        case "SyncGroup":
            return kind(0, error, b"")
        case "InitProducerId":
            return kind(0, error, -1, -1)
        case "AddPartitionsToTxn":
            return kind(0, each(request.topics, lambda p: (p, error)))
        case "Heartbeat" | "LeaveGroup" | "EndTxn":
            return kind(0, error)
    return None


def each(topics: Any, make: Callable[[Any], Any]) -> list[tuple[str, list[Any]]]:
    """The same shape with something else in the place of each partition."""
    return [(topic, [make(asked) for asked in per]) for topic, per in topics]
