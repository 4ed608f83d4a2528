"""Facts that findings are made of, as they were asked for. Values only."""

from collections.abc import Collection
from typing import NamedTuple

_TOPIC, _WRITE, _ALL, _ALLOW = (
    2,
    4,
    2,
    3,
)  # Kafka's numbers of resources, operations and permissions
_PREFIXED = 4


class Broker(NamedTuple):
    id: int
    host: str
    port: int


class Partition(NamedTuple):
    """leader: -1: none. replicas, in_sync: how many."""

    topic: str
    number: int
    leader: int
    replicas: int
    in_sync: int

    def __str__(self) -> str:
        return f"{self.topic}-{self.number}"


class Acl(NamedTuple):
    """One rule, with Kafka's numbers."""

    principal: str
    resource_type: int
    pattern: str
    pattern_type: int
    operation: int
    permission: int

    @property
    def allows_write(self) -> bool:
        return self.permission == _ALLOW and self.operation in (_WRITE, _ALL)

    def covers_any(self, topics: Collection[str]) -> bool:
        """Whether it is about one of these topics at least."""
        if self.resource_type != _TOPIC:
            return False
        if self.pattern_type == _PREFIXED:
            return any(topic.startswith(self.pattern) for topic in topics)
        return self.pattern == "*" or self.pattern in topics


class Disk(NamedTuple):
    where: str
    total_bytes: int
    free_bytes: int
