"""Test helpers: the engine's topics under a prefix of their own, and log records written as intake writes them."""

from collections.abc import Sequence
from uuid import UUID

import numpy as np
from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from clearing import kafka
from clearing.core.commands import ControlMessage, OpenAccount, RegisterAsset, RegisterParticipant
from clearing.core.inputs import ControlItem, Kind, SourceSpan
from clearing.core.registry import AssetSpec
from clearing.log import control, payments
from clearing.log.records import OutputRecord
from clearing.names import Topics

OUTPUTS = ("outcomes", "settlements", "windows", "positions", "rejected", "journal")
BANKS = ("ALPHHKHH", "BETAHKHH", "GAMMHKHH")


async def create_topics(bootstrap: str, topics: Topics, partitions: int = 1) -> None:
    """Log and outputs, each with `partitions` partitions."""
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    try:
        stamped = {"message.timestamp.type": "LogAppendTime"}
        new = [NewTopic(topics.log, partitions, 1, topic_configs=stamped)]
        new += [NewTopic(getattr(topics, name), partitions, 1) for name in OUTPUTS]
        await admin.create_topics(new)
    finally:
        await admin.close()


def opening(cap: str = "1000000.00", every_s: int = 0) -> list[ControlMessage]:
    """One asset (windows by command unless every_s), three banks and their accounts."""
    spec = AssetSpec(
        id="HKD", code="HKD", issuer="HKMA", ledger="postgres", scale=2, every_s=every_s
    )
    commands: list[ControlMessage] = [RegisterAsset(id="a", by="op", asset=spec)]
    commands += [RegisterParticipant(id=f"p-{bank}", by="op", participant=bank) for bank in BANKS]
    commands += [
        OpenAccount(id=f"o-{bank}", by="op", participant=bank, asset="HKD", net_debit_cap=cap)
        for bank in BANKS
    ]
    return commands


def control_value(messages: Sequence[ControlMessage], start: int = 0) -> bytes:
    """Control record of messages from the commands topic at offset `start`."""
    items = [ControlItem(source=0, offset=start + i, message=m) for i, m in enumerate(messages)]
    return control.pack(items, [SourceSpan("commands", 0, start, start + len(messages))])


def payments_value(ids: Sequence[UUID], value_date: int, start: int = 0) -> bytes:
    """One payment of 1.00 from the first bank to the second per id; source offsets from `start`."""
    n = len(ids)
    rows = payments.RowBatch(
        id=np.frombuffer(b"".join(i.bytes for i in ids), np.uint8).reshape(n, 16),
        debtor=[BANKS[0]] * n,
        creditor=[BANKS[1]] * n,
        asset=["HKD"] * n,
        amount=np.full(n, 1, np.int64),
        decimals=np.zeros(n, np.uint8),
        value_date=np.full(n, value_date, np.int32),
        priority=np.zeros(n, np.uint8),
        kind=np.full(n, Kind.PAYMENT, np.uint8),
        end_to_end_id=[f"E{start + i}" for i in range(n)],
        chain_reference=None,
        expires_at_ms=np.zeros(n, np.int64),
        window=np.zeros(n, np.int32),
        source=np.zeros(n, np.int32),
        source_offset=np.arange(start, start + n),
        item=np.full(n, -1, np.int32),
        reject=np.zeros(n, np.uint8),
    )
    return payments.pack(rows, [SourceSpan(f"payments.hk.{BANKS[0]}", 0, start, start + n)])


async def write_log(bootstrap: str, topics: Topics, values: Sequence[tuple[bytes, bytes]]) -> None:
    """Append (key, value) records to partition 0 of the log."""
    async with kafka.started(kafka.producer(bootstrap)) as producer:
        for key, value in values:
            await producer.send_and_wait(topics.log, value, key, 0)


async def read_topic(
    bootstrap: str, topic: str, partition: int = 0
) -> list[tuple[int, bytes | None, bytes | None, int]]:
    """Committed records of one partition: (offset, key, value, timestamp)."""
    tp = TopicPartition(topic, partition)
    async with kafka.started(kafka.consumer(bootstrap)) as reader:
        reader.assign([tp])
        return [
            (r.offset, r.key, r.value, r.timestamp) async for r in kafka.read_to_end(reader, tp)
        ]


async def read_outputs(bootstrap: str, topics: Topics) -> list[OutputRecord]:
    """Everything the engine has committed, topic by topic."""
    found: list[OutputRecord] = []
    for name in OUTPUTS:
        for _, key, value, _ in await read_topic(bootstrap, getattr(topics, name)):
            found.append(OutputRecord(name, key or b"", value or b""))
    return found
