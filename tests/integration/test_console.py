"""The console against a broker, intake, engine and views: it sees, acts under four eyes, looks back, redrives."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
from aiokafka import TopicPartition

from clearing import kafka
from clearing.config import Settings
from clearing.console.access import Front
from clearing.console.accounts import Accounts
from clearing.console.redrive import ORIGIN_HEADER
from clearing.console.serve import run
from clearing.dev.services import supervised
from clearing.dev.setup import in_force
from clearing.failures import ExitCode
from tests.console.stage import CHEAP, PASSWORD, PEOPLE
from tests.integration.test_cli import Installation

BOUND_S = 90.0
PAYMENT = "00000000-0000-4000-8000-00000000000"
SCHEME = """
name = "Console"
[netting_sets.hk]
[assets.HKD]
netting_set = "hk"
issuer = "HKMA"
ledger = "postgres"
scale = 2
kind = "cash"
queue = "FIFO"
value_days_ahead = 2
accounts = { net_debit_cap = "3" }
[participants.ALPHA]
[participants.BRAVO]
"""


class Person:
    """Somebody in front of the console."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        self.client = client

    async def login(self, user: str) -> "Person":
        said = await self.posted("/api/login", {"user": user, "password": PASSWORD})
        self.client.headers["X-CSRF-Token"] = said["csrf"]
        return self

    async def data(self, path: str, **query: Any) -> Any:
        reply = await self.client.get(path, params=query)
        assert reply.status_code == 200, reply.text
        return reply.json()["data"]

    async def posted(self, path: str, body: Any) -> Any:
        reply = await self.client.post(path, json=body)
        assert reply.status_code == 200, reply.text
        return reply.json()

    async def until(self, path: str, holds: Callable[[Any], bool], **query: Any) -> Any:
        """What a page says once this holds."""
        deadline = time.monotonic() + BOUND_S
        while not holds(found := await self.data(path, **query)):
            assert time.monotonic() < deadline, found
            await asyncio.sleep(0.1)
        return found


@asynccontextmanager
async def console(settings: Settings, folder: Path) -> AsyncIterator[str]:
    accounts = Accounts(folder / "accounts.json", CHEAP)
    for name, roles in PEOPLE.items():
        accounts.add(name, roles, PASSWORD)
    address: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    serving = run(
        settings,
        lambda: None,
        front=Front(port=0),
        accounts=accounts,
        on_ready=address.set_result,
    )
    running = asyncio.create_task(serving)
    try:
        await asyncio.wait([running, address], return_when=asyncio.FIRST_COMPLETED)
        yield await address
    finally:
        running.cancel()
        await asyncio.wait([running], timeout=BOUND_S)
        assert running.cancelled(), running


@pytest.fixture(scope="module")
async def people(
    bootstrap: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Callable[[str], Awaitable[Person]]]:
    """People by name, logged in to the console of an installation in which ALPHA pays more than it can."""
    folder = tmp_path_factory.mktemp("console")
    settings = Settings(
        bootstrap=bootstrap, topic_prefix="console-", snapshots=str(folder / "snapshots")
    )
    (folder / "scheme.toml").write_text(SCHEME)
    async with AsyncExitStack() as stack:
        services = await stack.enter_async_context(supervised(settings, folder / "services", {}))
        installation = Installation(settings, folder, services)
        loaded = await installation("scheme", "load", "scheme.toml", "--by", "carol", "--json")
        assert loaded.code == ExitCode.OK, loaded.err
        services.start("intake-1", "engine-1", "views-1")
        address = await stack.enter_async_context(console(settings, folder))
        await services.ready()
        await in_force(settings, loaded.data["netting_sets"])
        await _pays(settings)

        async def person(name: str) -> Person:
            client = httpx.AsyncClient(base_url=address, timeout=BOUND_S)
            return await Person(await stack.enter_async_context(client)).login(name)

        yield person


async def _pays(settings: Settings) -> None:
    """Five payments of 1.00, of which three fit; and bytes that nobody can read."""
    topic = settings.topics.payments("hk", "ALPHA")
    tomorrow = str(datetime.now(UTC).date() + timedelta(days=1))  # valid at either side of midnight
    async with kafka.started(kafka.producer(settings.bootstrap)) as producer:
        for number in range(5):
            order = {"type": "payment", "id": f"{PAYMENT}{number}", "debtor": "ALPHA"}
            order |= {"creditor": "BRAVO", "asset": "HKD", "amount": "1.00"}
            order |= {"value_date": tomorrow, "end_to_end_id": f"E{number}"}
            await producer.send_and_wait(topic, msgspec.json.encode(order), partition=0)
        await producer.send_and_wait(topic, b"{not json", partition=0)


async def test_it_shows_what_goes_on(people: Callable[[str], Awaitable[Person]]) -> None:
    vera = await people("vera")
    found = await vera.until(
        "/api/positions",
        lambda data: any(row["queued_payments"] == 2 for row in data["positions"]),
    )
    by_name = {row["participant"]: row for row in found["positions"]}
    assert (by_name["ALPHA"]["position"], by_name["ALPHA"]["used"]) == ("-3.00", 1.0)
    (report,) = (await vera.data("/api/queues"))["queues"]
    assert (report["payments"], report["value"]) == (2, {"HKD": "2.00"})
    await vera.until("/api/windows", lambda data: bool(data["windows"]), state="OPEN")
    services = await vera.until(
        "/api/services", lambda data: len(data["services"]) >= 3 and bool(data["groups"])
    )
    assert {"intake", "engine", "views"} <= {row["service"] for row in services["services"]}
    assert services["transactions"] is not None
    story = (await vera.data(f"/api/payments/{PAYMENT}0"))["story"]
    assert story["status"] == "ACSP"
    assert (await vera.until("/api/overview", lambda data: data["outlooks"]))["sentence"]


async def test_two_people_raise_a_cap_and_what_waits_leaves(
    people: Callable[[str], Awaitable[Person]],
) -> None:  # R33
    alice, bob = await people("alice"), await people("bob")
    before = (await alice.data("/api/asof"))["hk"]
    wish = {"participant": "ALPHA", "asset": "HKD", "net_debit_cap": "10"}
    body = {"netting_set": "hk", "kind": "set_cap", "fields": wish}
    tried = await alice.posted("/api/actions/preview", body)
    assert [each["payment"] for each in tried["released"]] == [f"{PAYMENT}3", f"{PAYMENT}4"]
    order = {"netting_set": "hk", "command": tried["command"], "hash": tried["hash"]}
    sent = await alice.posted("/api/actions", order)
    assert sent["status"] == "PROPOSED", sent
    listed = await bob.until("/api/proposals", lambda data: bool(data["proposals"]))
    (proposal,) = listed["proposals"]
    path = f"/api/proposals/hk/{proposal['proposal']}/approve"
    done = await bob.posted(path, {"hash": proposal["hash"]})
    assert done["effect"] == {"status": "DONE", "reason": "", "note": ""}
    (report,) = (await bob.data("/api/queues"))["queues"]
    assert report["payments"] == 0
    audit = await bob.until(
        "/api/audit", lambda data: any(row["by"] == "bob" for row in data["audit"])
    )
    assert audit["chain"]["hk"]["ok"] is True
    # As it was before: both wait still.
    (then,) = (await bob.data("/api/queues", at=before["last_ms"]))["queues"]
    assert then["payments"] == 2


async def test_redriven_bytes_carry_their_origin_and_are_not_redriven_again(
    people: Callable[[str], Awaitable[Person]], bootstrap: str
) -> None:
    alice, bob = await people("alice"), await people("bob")
    listed = await alice.until("/api/rejected", lambda data: bool(data["rejected"]))
    (row,) = listed["rejected"]
    chosen = {"netting_set": "hk", "offsets": [row["offset"]]}
    (tried,) = (await alice.posted("/api/rejected/preview", chosen))["previews"]
    assert (tried["text"], tried["redrivable"]) == ("{not json", True)
    order = {"netting_set": "hk", "command": tried["command"], "hash": tried["hash"]}
    proposal = (await alice.posted("/api/actions", order))["proposal"]
    await bob.until("/api/proposals", lambda data: bool(data["proposals"]))
    path = f"/api/proposals/hk/{proposal}/approve"
    done = await bob.posted(path, {"hash": tried["hash"]})
    assert done["effect"]["note"].startswith("published again"), done
    topic = TopicPartition("console-payments.hk.ALPHA", 0)
    async with kafka.started(kafka.consumer(bootstrap)) as reader:
        reader.assign([topic])
        records: list[Any] = [each async for each in kafka.read_to_end(reader, topic)]
    assert [each.value for each in records[-2:]] == [b"{not json", b"{not json"]
    origin = f"{topic.topic}@{row['source_offset']}".encode()
    assert list(records[-1].headers) == [(ORIGIN_HEADER, origin)]
    # It cannot be read now either: rejected anew, it says where it came from.
    listed = await alice.until("/api/rejected", lambda data: len(data["rejected"]) == 2)
    newest, first = listed["rejected"]
    assert first["redrive"]["state"] == "APPROVED"
    chosen = {"netting_set": "hk", "offsets": [newest["offset"]]}
    (again,) = (await alice.posted("/api/rejected/preview", chosen))["previews"]
    assert (again["redrivable"], "once is enough" in again["why_not"]) == (False, True)
