"""What a KafkaProxy knows of Kafka's protocol, and what it can do to one request or its response.

Rules are values that the proxy asks, in the order in which they were given; nothing here touches a socket.
"""

import asyncio
import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum, IntEnum
from fnmatch import fnmatchcase
from functools import cache
from typing import Any

import aiokafka.protocol.coordination
import aiokafka.protocol.produce
import aiokafka.protocol.transaction  # noqa: F401  its classes are found by RequestStruct.__subclasses__
from aiokafka.protocol.api import RequestStruct, Response

_HEADER = struct.Struct(">hhih")


class Api(IntEnum):
    """Kafka's api keys."""

    PRODUCE = 0
    FETCH = 1
    LIST_OFFSETS = 2
    METADATA = 3
    OFFSET_COMMIT = 8
    OFFSET_FETCH = 9
    FIND_COORDINATOR = 10
    JOIN_GROUP = 11
    HEARTBEAT = 12
    LEAVE_GROUP = 13
    SYNC_GROUP = 14
    API_VERSIONS = 18
    INIT_PRODUCER_ID = 22
    ADD_PARTITIONS_TO_TXN = 24
    ADD_OFFSETS_TO_TXN = 25
    END_TXN = 26
    TXN_OFFSET_COMMIT = 28


class ErrorCode(IntEnum):
    """Those of Kafka's error codes that fault tests answer with."""

    MESSAGE_TOO_LARGE = 10
    NOT_COORDINATOR = 16
    NOT_ENOUGH_REPLICAS = 19
    NOT_ENOUGH_REPLICAS_AFTER_APPEND = 20
    TOPIC_AUTHORIZATION_FAILED = 29
    INVALID_PRODUCER_EPOCH = 47
    INVALID_TXN_STATE = 48
    CONCURRENT_TRANSACTIONS = 51
    TRANSACTIONAL_ID_AUTHORIZATION_FAILED = 53
    PRODUCER_FENCED = 90


@cache
def _structs() -> dict[tuple[int, int], type[RequestStruct]]:
    return {(one.API_KEY, one.API_VERSION): one for one in RequestStruct.__subclasses__()}


@dataclass(frozen=True, slots=True)
class Request:
    """One request as it came; `api` is a plain number where `Api` does not know it. frame: without its length."""

    api: int
    version: int
    correlation: int
    client: str
    frame: bytes
    # Where what follows the header begins, in versions whose header has no tagged fields.
    body: int

    @classmethod
    def parse(cls, frame: bytes) -> "Request":
        api, version, correlation, length = _HEADER.unpack_from(frame)
        body = _HEADER.size + max(0, length)
        return cls(
            api,
            version,
            correlation,
            frame[_HEADER.size : body].decode(errors="replace"),
            frame,
            body,
        )

    @property
    def answered(self) -> bool:
        """Every request is answered, but for a Produce that asks for no acknowledgement."""
        if self.api != Api.PRODUCE:
            return True
        place = self.body
        if self.version >= 3:  # the transactional id stands first
            place += 2 + max(0, int.from_bytes(self.frame[place : place + 2], "big", signed=True))
        return self.frame[place : place + 2] != b"\0\0"

    def decode(self) -> Any:
        """The request as aiokafka's class of its version. Raises KeyError where aiokafka has none."""
        known = _structs()[self.api, self.version]
        assert not known.FLEXIBLE_VERSION, "the header of this one has more than it is read for"
        return known.decode(self.frame[self.body :])


@dataclass(slots=True)
class Exchange:
    """A request and what became of it. answer: of our own making, instead of the broker's; response: the
    broker's, as it came, also where the client never got it."""

    request: Request
    peer: tuple[str, int]
    answer: bytes | None = None
    response: bytes | None = None
    answered: asyncio.Event = field(default_factory=asyncio.Event)  # by the broker

    def decode_response(self) -> Any:
        """The broker's response as aiokafka's class. Raises KeyError where aiokafka has none."""
        assert self.response is not None, "there is no response yet"
        kind = _structs()[self.request.api, self.request.version].RESPONSE_TYPE
        return kind.decode(self.response[4:])


class Fate(Enum):
    """What becomes of a request or a response once a rule has acted on it."""

    PASS = "passes"
    LOSE = "is lost, and with it whatever comes after it on this connection, as in TCP"
    CLOSE = "the connection is reset instead"


@dataclass(slots=True, eq=False)
class Rule:
    """What to do to which requests, and how often that was done.

    api, client (a pattern, * for any run of characters), where: which ones. skip: so many that match pass first.
    times: for so many, None: as long as it stands. on_response: when the response comes, not before the request
    is forwarded. delay_s: None: until `release()`. hits: the exchanges it acted on, in order.
    """

    api: int
    client: str = "*"
    skip: int = 0
    times: int | None = 1
    where: Callable[[Request], bool] | None = None
    on_response: bool = False
    fate: Fate = Fate.PASS
    delay_s: float | None = 0.0
    error: int | None = None
    call: Callable[[Exchange], object] | None = None
    hits: list[Exchange] = field(default_factory=list[Exchange])
    _seen: int = 0
    _hit: asyncio.Event = field(default_factory=asyncio.Event)
    _released: asyncio.Event = field(default_factory=asyncio.Event)

    def takes(self, exchange: Exchange, *, response: bool) -> bool:
        """Whether it acts on this one; asked once for each."""
        request = exchange.request
        if (
            response != self.on_response
            or request.api != self.api
            or not fnmatchcase(request.client, self.client)
            or not (self.where is None or self.where(request))
            or (self.times is not None and len(self.hits) >= self.times)
        ):
            return False
        self._seen += 1
        return self._seen > self.skip

    async def act(self, exchange: Exchange) -> Fate:
        """Do it; the caller lets the request or response have its fate."""
        self.hits.append(exchange)
        self._hit.set()
        if self.call is not None:
            self.call(exchange)
        if self.error is not None:
            exchange.answer = error_answer(exchange.request, self.error)
        if self.delay_s is None:
            await self._released.wait()
        elif self.delay_s:
            await asyncio.sleep(self.delay_s)
        return self.fate

    def release(self) -> None:
        """Let what it holds, and whatever it would hold from now on, go its way."""
        self._released.set()

    async def hit(self, timeout_s: float = 30) -> Exchange:
        """Wait until it has acted for the first time. Raises TimeoutError."""
        async with asyncio.timeout(timeout_s):
            await self._hit.wait()
        return self.hits[0]


def error_answer(request: Request, code: int) -> bytes:
    """A response frame, without its length, that says `code` of everything the request asks for.

    Raises AssertionError for an api whose answers are not known here.
    """
    asked = request.decode()
    answer: type[Response] = _structs()[request.api, request.version].RESPONSE_TYPE
    match request.api:
        case Api.PRODUCE:
            # After the code: offset, timestamp (from v2), log start offset (from v5), none of them known.
            unknown = (-1,) * (1 + (request.version >= 2) + (request.version >= 5))
            topics = [
                (topic, [(partition, code, *unknown) for partition, _ in partitions])
                for topic, partitions in asked.topics
            ]
            made = answer(topics, 0) if request.version >= 1 else answer(topics)
        case Api.ADD_PARTITIONS_TO_TXN:
            errors = [
                (t, [(partition, code) for partition in numbers]) for t, numbers in asked.topics
            ]
            made = answer(0, errors)
        case Api.INIT_PRODUCER_ID:
            made = answer(0, code, -1, -1)
        case Api.END_TXN | Api.ADD_OFFSETS_TO_TXN:
            made = answer(0, code)
        case _:
            raise AssertionError(f"no answer of our own is known for api {request.api}")
    return request.correlation.to_bytes(4, "big") + made.encode()
