"""Kafka requests about open transactions (KIP-664) that aiokafka does not have; named and written as its own are.

The formats are Kafka's. Nothing here sends anything.
"""

from collections.abc import Sequence
from typing import Any

from aiokafka.protocol.api import Request, RequestStruct, Response
from aiokafka.protocol.types import (
    CompactArray,
    CompactString,
    Int16,
    Int32,
    Int64,
    Schema,
    TaggedFields,
)

_Text = CompactString("utf-8")


class Answer(Response):
    """aiokafka declares these as properties, and sets them as this does."""

    API_KEY: Any = -1
    API_VERSION: Any = 0


class Flexible(RequestStruct):
    """What the requests below have in common."""

    FLEXIBLE_VERSION = True
    API_KEY = -1
    API_VERSION = 0
    RESPONSE_TYPE = Answer
    SCHEMA = Schema()


class DescribeProducersResponse_v0(Answer):  # noqa: N801  named as aiokafka names them
    API_KEY = 61
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        (
            "topics",
            CompactArray(
                ("topic", _Text),
                (
                    "partitions",
                    CompactArray(
                        ("partition", Int32),
                        ("error_code", Int16),
                        ("error_message", _Text),
                        (
                            "producers",
                            CompactArray(
                                ("producer_id", Int64),
                                ("producer_epoch", Int32),
                                ("last_sequence", Int32),
                                ("last_timestamp_ms", Int64),
                                ("coordinator_epoch", Int32),
                                ("transaction_start_offset", Int64),
                                ("tags", TaggedFields),
                            ),
                        ),
                        ("tags", TaggedFields),
                    ),
                ),
                ("tags", TaggedFields),
            ),
        ),
        ("tags", TaggedFields),
    )


class DescribeProducersRequest_v0(Flexible):  # noqa: N801
    API_KEY = 61
    RESPONSE_TYPE = DescribeProducersResponse_v0
    SCHEMA = Schema(
        (
            "topics",
            CompactArray(
                ("topic", _Text), ("partitions", CompactArray(Int32)), ("tags", TaggedFields)
            ),
        ),
        ("tags", TaggedFields),
    )


class DescribeProducersRequest(Request[DescribeProducersRequest_v0]):
    API_KEY = 61

    def __init__(self, topics: Sequence[tuple[str, list[int], dict[int, bytes]]]) -> None:
        self._topics = topics

    def build(self, request_struct_class: Any) -> DescribeProducersRequest_v0:
        return request_struct_class(self._topics, {})


class ListTransactionsResponse_v0(Answer):  # noqa: N801
    API_KEY = 66
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        ("error_code", Int16),
        ("unknown_states", CompactArray(_Text)),
        (
            "transactions",
            CompactArray(
                ("transactional_id", _Text),
                ("producer_id", Int64),
                ("state", _Text),
                ("tags", TaggedFields),
            ),
        ),
        ("tags", TaggedFields),
    )


class ListTransactionsRequest_v0(Flexible):  # noqa: N801
    API_KEY = 66
    RESPONSE_TYPE = ListTransactionsResponse_v0
    SCHEMA = Schema(
        ("states", CompactArray(_Text)),
        ("producer_ids", CompactArray(Int64)),
        ("tags", TaggedFields),
    )


class ListTransactionsRequest(Request[ListTransactionsRequest_v0]):
    API_KEY = 66

    def __init__(self, producer_ids: Sequence[int]) -> None:
        self._producer_ids = producer_ids

    def build(self, request_struct_class: Any) -> ListTransactionsRequest_v0:
        return request_struct_class([], self._producer_ids, {})


class DescribeTransactionsResponse_v0(Answer):  # noqa: N801
    API_KEY = 65
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        (
            "transactions",
            CompactArray(
                ("error_code", Int16),
                ("transactional_id", _Text),
                ("state", _Text),
                ("timeout_ms", Int32),
                ("start_time_ms", Int64),
                ("producer_id", Int64),
                ("producer_epoch", Int16),
                (
                    "topics",
                    CompactArray(
                        ("topic", _Text),
                        ("partitions", CompactArray(Int32)),
                        ("tags", TaggedFields),
                    ),
                ),
                ("tags", TaggedFields),
            ),
        ),
        ("tags", TaggedFields),
    )


class DescribeTransactionsRequest_v0(Flexible):  # noqa: N801
    API_KEY = 65
    RESPONSE_TYPE = DescribeTransactionsResponse_v0
    SCHEMA = Schema(("transactional_ids", CompactArray(_Text)), ("tags", TaggedFields))


class DescribeTransactionsRequest(Request[DescribeTransactionsRequest_v0]):
    API_KEY = 65

    def __init__(self, transactional_ids: Sequence[str]) -> None:
        self._transactional_ids = transactional_ids

    def build(self, request_struct_class: Any) -> DescribeTransactionsRequest_v0:
        return request_struct_class(self._transactional_ids, {})
