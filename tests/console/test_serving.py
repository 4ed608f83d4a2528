"""The console as a process runs it: a real web server and stream on the loopback; its threads; Kafka is away."""

import asyncio
import socket
import threading
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import msgspec
import pytest

from clearing.config import ConfigError, Settings
from clearing.console.access import Front
from clearing.console.accounts import Accounts
from clearing.console.refusals import Refusal
from clearing.console.serve import run
from clearing.console.workshop import WAITING_MOST, Workshop
from tests.console.stage import CHEAP, PASSWORD

BOUND_S = 60.0


@asynccontextmanager
async def served(folder: Path) -> AsyncIterator[httpx.AsyncClient]:
    """A console whose Kafka nobody answers for; whoever is alice is logged in."""
    accounts = Accounts(folder / "accounts.json", CHEAP)
    accounts.add("alice", ["operator"], PASSWORD)
    address: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    running = asyncio.create_task(
        run(
            Settings(bootstrap="127.0.0.1:1", snapshots=str(folder)),
            lambda: None,
            front=Front(port=0),
            accounts=accounts,
            on_ready=address.set_result,
        )
    )
    try:
        async with asyncio.timeout(BOUND_S):
            await asyncio.wait([running, address], return_when=asyncio.FIRST_COMPLETED)
            async with httpx.AsyncClient(base_url=await address, timeout=BOUND_S) as client:
                body = {"user": "alice", "password": PASSWORD}
                reply = await client.post("/api/login", json=body)
                assert reply.status_code == 200, reply.text
                client.headers["X-CSRF-Token"] = reply.json()["csrf"]
                yield client
    finally:
        running.cancel()
        async with asyncio.timeout(BOUND_S):
            await asyncio.wait([running])
        assert running.cancelled(), running.exception()


async def events(client: httpx.AsyncClient) -> AsyncGenerator[tuple[str, object], None]:
    """Of the stream: names and data."""
    name = ""
    async with client.stream("GET", "/api/stream") as reply:
        assert reply.headers["content-type"].startswith("text/event-stream")
        assert reply.headers["cache-control"] == "no-store"
        async for line in reply.aiter_lines():
            if line.startswith("event: "):
                name = line.removeprefix("event: ")
            elif line.startswith("data: "):
                yield name, msgspec.json.decode(line.removeprefix("data: "))


async def test_it_serves_streams_and_says_that_kafka_is_away(tmp_path: Path) -> None:
    async with served(tmp_path) as client:
        overview = (await client.get("/api/overview")).json()
        assert (overview["stale"], overview["data_ms"]) == (True, None)
        assert "Kafka cannot be read" in overview["notes"][0]
        said = events(client)
        first = [await anext(said) for _ in range(3)]
        assert [name for name, _ in first] == ["hello", "overview", "changed"]
        # The session ends: the stream says so, and is over.
        assert (await client.post("/api/logout", json={})).status_code == 204
        assert [name for name, _ in [each async for each in said]][-1] == "bye"
        assert (await client.get("/api/stream")).status_code == 401


async def test_it_ends_under_whoever_looks(tmp_path: Path) -> None:
    async with served(tmp_path) as client:
        said = events(client)
        assert (await anext(said))[0] == "hello"
    await said.aclose()


async def test_an_address_that_is_taken(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        front = Front(port=other.getsockname()[1])
        with pytest.raises(ConfigError, match="in use"):
            await run(
                Settings(), lambda: None, front=front, accounts=Accounts(tmp_path / "a", CHEAP)
            )


# --- workshops -------------------------------------------------------------------------------------------------


async def test_a_workshop_does_one_thing_at_a_time_in_its_own_thread() -> None:
    workshop = Workshop("test")
    inside, most, threads = 0, 0, set[int]()

    async def work() -> int:
        nonlocal inside, most
        inside += 1
        most = max(most, inside)
        threads.add(threading.get_ident())
        await asyncio.sleep(0)
        inside -= 1
        return 7

    try:
        found = await asyncio.gather(*(workshop.do(work) for _ in range(WAITING_MOST)))
    finally:
        await workshop.stop()
    assert (found, most, len(threads)) == ([7] * WAITING_MOST, 1, 1)
    assert threads != {threading.get_ident()}


async def test_a_workshop_that_is_full_or_slow_says_come_again() -> None:
    workshop = Workshop("test", timeout_s=0.05)
    release = threading.Event()

    async def work() -> None:
        await asyncio.to_thread(release.wait)

    try:
        with pytest.raises(Refusal, match="still at work"):
            await workshop.do(work)
        waiting = [asyncio.create_task(workshop.do(work)) for _ in range(WAITING_MOST - 1)]
        await asyncio.sleep(0)
        with pytest.raises(Refusal, match="questions wait already"):
            await workshop.do(work)
        release.set()
        await asyncio.gather(*waiting, return_exceptions=True)
    finally:
        release.set()
        await workshop.stop()


async def test_an_error_in_a_workshop_is_whoevers_asked() -> None:
    workshop = Workshop("test")

    async def work() -> None:
        raise LookupError("not there")

    async def fine() -> int:
        return 1

    try:
        with pytest.raises(LookupError, match="not there"):
            await workshop.do(work)
        assert await workshop.do(fine) == 1
    finally:
        await workshop.stop()
    await workshop.stop()
