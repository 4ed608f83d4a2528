"""Our own way out (clearing.sending) is the same over uvloop's TLS, which has its own writelines."""

import asyncio
import ssl
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
import trustme
import uvloop
from aiokafka import conn
from aiokafka.errors import KafkaConnectionError
from aiokafka.protocol.metadata import MetadataRequest
from aiokafka.protocol.produce import ProduceRequest

from clearing import kafka
from clearing.security import Security

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(autouse=True)
def _tuned(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(conn.AIOKafkaConnection, "send", conn.AIOKafkaConnection.send)
    kafka.tune_client()


async def connected(
    authority: trustme.CA, folder: Path, serve: Serve
) -> tuple[conn.AIOKafkaConnection, asyncio.Server]:
    """A connection over TLS to a broker that is `serve`, past the question which versions it has."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    authority.cert_pem.write_to_path(str(folder / "ca.pem"))
    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
    host, port = server.sockets[0].getsockname()
    trusting = Security("ssl", ca=str(folder / "ca.pem")).context
    connection = conn.AIOKafkaConnection(host, port, request_timeout_ms=10_000)
    connection._reader, connection._writer = await asyncio.open_connection(host, port, ssl=trusting)
    connection._versions = {MetadataRequest.API_KEY: (0, 1), ProduceRequest.API_KEY: (3, 3)}
    connection._read_task = connection._create_reader_task()
    return connection, server


@pytest.mark.parametrize("sizes", [(0,), (100,), (5_000, 0, 70_000), (9_000_000, 1, 3_000_000)])
def test_what_is_sent_in_pieces_arrives_as_aiokafka_sends_it(
    authority: trustme.CA, tmp_path: Path, sizes: tuple[int, ...]
) -> None:
    """The broker reads slowly, so that what is sent has to wait in buffers."""
    topics = [("log", [(n, bytes([n]) * size) for n, size in enumerate(sizes)])]
    request = ProduceRequest(None, -1, 1_000, topics)
    arrived: asyncio.Queue[bytes] = asyncio.Queue()

    async def broker(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for _ in range(2):
            await asyncio.sleep(0.05)
            length = int.from_bytes(await reader.readexactly(4), "big")
            await arrived.put(await reader.readexactly(length))

    async def send_both() -> list[bytes]:
        connection, server = await connected(authority, tmp_path, broker)
        ours = asyncio.ensure_future(connection.send(request))
        connection._correlation_id -= 1
        theirs = asyncio.ensure_future(kafka._aiokafka_send(connection, request))
        try:
            async with asyncio.timeout(20):
                return [await arrived.get(), await arrived.get()]
        finally:
            for task in (ours, theirs):
                task.cancel()
            await asyncio.gather(ours, theirs, return_exceptions=True)
            connection.close()
            server.close()

    ours, theirs = uvloop.run(send_both())
    assert ours == theirs
    assert len(ours) > sum(sizes)


@pytest.mark.parametrize("request_", [MetadataRequest([]), ProduceRequest(None, -1, 1_000, [])])
def test_a_connection_that_is_reset_is_a_broken_one(
    authority: trustme.CA, tmp_path: Path, request_: MetadataRequest | ProduceRequest
) -> None:  # F11
    """Told at once, not by a time-out; also to who sends before anybody has noticed."""

    async def broker(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.transport.abort()

    async def send() -> None:
        connection, server = await connected(authority, tmp_path, broker)
        try:
            async with asyncio.timeout(5):
                for _ in range(100):
                    await connection.send(request_)
        finally:
            connection.close()
            server.close()

    with pytest.raises(KafkaConnectionError):
        uvloop.run(send())


def test_a_connection_that_we_closed_ourselves_is_a_broken_one(
    authority: trustme.CA, tmp_path: Path
) -> None:
    async def broker(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()

    async def send() -> None:
        connection, server = await connected(authority, tmp_path, broker)
        assert connection._writer is not None
        connection._writer.transport.abort()
        try:
            async with asyncio.timeout(5):
                await connection.send(ProduceRequest(None, -1, 1_000, []))
        finally:
            connection.close()
            server.close()

    with pytest.raises(KafkaConnectionError):
        uvloop.run(send())


def test_who_closes_a_connection_waits_for_no_good_bye(
    authority: trustme.CA, tmp_path: Path
) -> None:
    """A broker that does not read does not say it: uvloop by itself would wait 30 s."""

    async def broker(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        assert isinstance(writer.transport, asyncio.Transport)
        writer.transport.pause_reading()
        await asyncio.sleep(60)

    async def close() -> None:
        connection, server = await connected(authority, tmp_path, broker)
        assert connection._writer is not None
        connection.send(MetadataRequest([])).close()
        connection._writer.close()
        async with asyncio.timeout(10):
            await connection._writer.wait_closed()
        connection.close()
        server.close()

    uvloop.run(close())
