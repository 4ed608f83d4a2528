"""Faults of single requests: which, and what becomes of them. tests/simulation/network.py carries them out."""

from dataclasses import dataclass
from typing import Any


@dataclass(slots=True)
class Rule:
    """A fault for the next `count` requests that match; hits: how many did.

    process, api: None matches any. action: lose_request, lose_response, delay_request, delay_response,
    duplicate, break_before, break_after (the broker did it), error (the broker did nothing and answers this, by the
    protocol's name: NOT_COORDINATOR). skip: so many pass before.
    """

    action: str
    api: str | None = None
    process: str | None = None
    delay_s: float = 0.0
    error: str = ""
    count: int = 1
    skip: int = 0
    hits: int = 0

    def matches(self, api: str, process: str) -> bool:
        if self.hits >= self.count or self.api not in (None, api):
            return False
        if self.process not in (None, process):
            return False
        if self.skip > 0:
            self.skip -= 1
            return False
        return True


@dataclass(slots=True)
class Sent:
    """A request under way: `api` of `process` to `node`; what the network's watcher is told of."""

    process: str
    api: str
    node: int
    request: Any
    fault: str

    def words(self) -> str:
        return f"{self.api} to node {self.node} {self.fault}"
