"""Readers at the end of a slow line: what they ask for at once comes before they ask again."""

import asyncio
from pathlib import Path

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from msgspec.json import encode

from clearing import kafka
from clearing.client import Bank
from clearing.messages import PaymentStatus, StatusRecord
from clearing.names import Topics
from tests.faults.proxied import PATIENCE_S, broker_behind_proxy

BANK = "ALPHHKHH"
LARGE = [1_000_000] * 8 + [1_500_000]  # bytes; the last is larger than what is asked for at once
LINE_BYTES_PER_S = 2_000_000
# In which the line carries any of them, and not all of them.
TIMEOUT_MS = 2_500


def status_record(number: int, size_bytes: int) -> bytes:
    status = PaymentStatus(
        id=str(number), status="RJCT", text="x" * size_bytes, source=("payments", 0, number, -1)
    )
    return encode(
        StatusRecord(
            netting_set="hk",
            log_offset=number,
            index=0,
            time_ms=0,
            statuses=[status],
            receipts=[],
        )
    )


async def create_topics(bootstrap: str, *names: str) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    try:
        await admin.create_topics([NewTopic(name, 1, 1) for name in names])
    finally:
        await admin.close()


async def test_a_bank_that_is_behind_catches_up_over_a_slow_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:  # F6
    topics = Topics("")
    async with broker_behind_proxy(tmp_path) as (broker, proxy):
        await create_topics(broker.bootstrap, topics.payments("hk", BANK), topics.status(BANK))
        producer: AIOKafkaProducer = kafka.producer(broker.bootstrap)
        async with kafka.started(producer):
            for number, size_bytes in enumerate(LARGE):
                value = status_record(number, size_bytes)
                await producer.send_and_wait(topics.status(BANK), value, b"hk", 0)
        monkeypatch.setattr(kafka, "REQUEST_TIMEOUT_MS", TIMEOUT_MS)
        await proxy.throttle(LINE_BYTES_PER_S, f"bank-{BANK}")
        told: list[int] = []
        async with Bank(proxy.bootstrap, BANK, "hk") as bank, asyncio.timeout(PATIENCE_S):
            async for _, record in bank.records(from_beginning=True):
                told.append(record.log_offset)
                if len(told) == len(LARGE):
                    break
    assert told == list(range(len(LARGE)))
