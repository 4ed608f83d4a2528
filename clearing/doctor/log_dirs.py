"""How full the brokers' disks are (DescribeLogDirs, KIP-827), a request that aiokafka does not have."""

from typing import Any

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.protocol.api import Request
from aiokafka.protocol.types import (
    Boolean,
    CompactArray,
    CompactString,
    Int16,
    Int32,
    Int64,
    Schema,
    TaggedFields,
)

from clearing.doctor.facts import Disk
from clearing.observe.transaction_requests import Answer, Flexible

_Text = CompactString("utf-8")


class DescribeLogDirsResponse_v4(Answer):  # noqa: N801  named as aiokafka names them
    API_KEY = 35
    API_VERSION = 4
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        ("error_code", Int16),
        (
            "results",
            CompactArray(
                ("error_code", Int16),
                ("log_dir", _Text),
                (
                    "topics",
                    CompactArray(
                        ("topic", _Text),
                        (
                            "partitions",
                            CompactArray(
                                ("partition", Int32),
                                ("size_bytes", Int64),
                                ("offset_lag", Int64),
                                ("is_future", Boolean),
                                ("tags", TaggedFields),
                            ),
                        ),
                        ("tags", TaggedFields),
                    ),
                ),
                ("total_bytes", Int64),
                ("usable_bytes", Int64),
                ("tags", TaggedFields),
            ),
        ),
        ("tags", TaggedFields),
    )


class DescribeLogDirsRequest_v4(Flexible):  # noqa: N801
    API_KEY = 35
    API_VERSION = 4
    RESPONSE_TYPE = DescribeLogDirsResponse_v4
    SCHEMA = Schema(
        (
            "topics",
            CompactArray(
                ("topic", _Text), ("partitions", CompactArray(Int32)), ("tags", TaggedFields)
            ),
        ),
        ("tags", TaggedFields),
    )


class DescribeLogDirsRequest(Request[DescribeLogDirsRequest_v4]):
    API_KEY = 35

    def build(self, request_struct_class: Any) -> DescribeLogDirsRequest_v4:
        return request_struct_class([], {})


async def broker_disks(admin: AIOKafkaAdminClient, brokers: list[int]) -> list[Disk]:
    """Each folder that a broker keeps logs in; none of a broker that does not tell (before Kafka 3.3)."""
    disks: list[Disk] = []
    for broker in brokers:
        response = await admin._client.send(broker, DescribeLogDirsRequest())
        for code, folder, _, total, usable, *_ in response.results:
            if not code and total > 0:
                disks.append(Disk(f"broker {broker}, {folder}", total, usable))
    return disks
