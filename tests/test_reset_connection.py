"""The one place where Kafka clients are built: what it mends of aiokafka (F11)."""

import asyncio
from typing import Any

import pytest
import uvloop
from aiokafka import conn
from aiokafka.errors import KafkaConnectionError
from aiokafka.protocol.metadata import MetadataRequest

from clearing import kafka


def test_a_connection_that_was_reset_is_a_broken_one_and_no_bug(
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # F11
    monkeypatch.setattr(conn.AIOKafkaConnection, "send", conn.AIOKafkaConnection.send)
    kafka.tune_client()

    async def send_after_reset() -> Any:
        server = await asyncio.start_server(lambda reader, writer: None, "127.0.0.1", 0)
        host, port = server.sockets[0].getsockname()
        connection = conn.AIOKafkaConnection(host, port)
        connection._reader, connection._writer = await asyncio.open_connection(host, port)
        connection._versions = {MetadataRequest.API_KEY: (0, 1)}
        connection._read_task = asyncio.create_task(asyncio.sleep(60))
        connection._writer.transport.abort()
        await asyncio.sleep(0.01)  # its handle is closed with the next turn of the loop
        try:
            return await connection.send(MetadataRequest([]))
        finally:
            server.close()

    with pytest.raises(KafkaConnectionError, match="broken"):
        uvloop.run(send_after_reset())
