"""Explain, queue, drill and optimise as people type them, against real servers and services.

One installation for the whole module, in the order of the file.
"""

import asyncio
import json
import signal
from collections.abc import AsyncIterator
from typing import Any
from uuid import uuid4

import asyncpg
import pytest

from clearing.config import Settings
from clearing.dev.postgres import EmbeddedPostgres
from clearing.dev.services import supervised
from clearing.dev.setup import in_force, prepare
from clearing.failures import ExitCode
from clearing.scheme.model import Scheme
from clearing.scheme.parse import parse
from tests.integration.test_cli import TIMEOUT_S, Installation, start

DATABASE = "explained"

SCHEME = """
name = "Explained"
[netting_sets.hk]
[assets.HKD]
netting_set = "hk"
issuer = "HKMA"
ledger = "postgres"
kind = "cash"
scale = 2
value_days_ahead = 2
queue = "FIFO"
on_shortfall = "WATERFALL"
pool = "10"
accounts = { prefunded = "100", net_debit_cap = "100" }
[assets.HKDT]
netting_set = "hk"
issuer = "ALPHA"
ledger = "postgres"
kind = "tokenised_deposit"
scale = 0
value_days_ahead = 2
queue = "BYPASS_FIFO"
accounts = { net_debit_cap = "0" }
[participants.ALPHA]
[participants.BRAVO]
[participants.CHARLIE]
"""


@pytest.fixture(scope="module")
async def clearing(
    bootstrap: str, postgres: EmbeddedPostgres, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Installation]:
    folder = tmp_path_factory.mktemp("explain")
    admin = await asyncpg.connect(postgres.dsn)
    await admin.execute(f"CREATE DATABASE {DATABASE}")
    settings = Settings(
        bootstrap=bootstrap,
        dsn=postgres.dsn_of(DATABASE),
        topic_prefix="explain-",
        snapshots=str(folder / "snapshots"),
    )
    scheme = parse(SCHEME)
    assert isinstance(scheme, Scheme), scheme
    try:
        partitions = await prepare(settings, scheme, by="test")
        counts = {"intake": 1, "engine": 1, "sink": 1}
        async with supervised(settings, folder / "services", counts) as services:
            await services.ready()
            await in_force(settings, partitions)
            yield Installation(settings, folder, services)
    finally:
        await admin.execute(f"DROP DATABASE {DATABASE} WITH (FORCE)")
        await admin.close()


async def pays(clearing: Installation, debtor: str, creditor: str, amount: str, **f: object) -> str:
    """Publish one payment; its id."""
    order = clearing.order(debtor, creditor, amount, **f)
    ended = await clearing("publish", stdin=order)
    assert ended.code == ExitCode.OK, ended.err
    return json.loads(order)["id"]


async def told(clearing: Installation, payment: str, *statuses: str) -> dict[str, Any]:
    """A payment's story, as soon as its status is one of these."""
    async with asyncio.timeout(TIMEOUT_S):
        while True:
            ended = await clearing("explain", payment, "--json")
            status = ended.data["status"] if ended.code == ExitCode.OK else ""
            if status in statuses:
                return ended.data
            assert status not in ("RJCT", "CANC", "ACSC"), f"it has ended: {ended.out}"


async def test_explain_a_payment_from_its_record_to_its_finality(clearing: Installation) -> None:
    """R23: the same from the topics and from the log as it is saved, but for what the engine came to since."""
    payment = await pays(clearing, "ALPHA", "BRAVO", "40.00")
    accepted = await told(clearing, payment, "ACSP")
    assert accepted["finality"]["final"] is None
    assert (await clearing("command", "close-window", "HKD")).code == ExitCode.OK
    story = await told(clearing, payment, "ACSC")
    entered, irrevocable, final = story["finality"].values()
    assert entered == irrevocable == accepted["finality"]["irrevocable"]
    assert entered["time_ms"] < final["time_ms"]
    (batch,) = story["releases"][0]["batches"]
    assert (batch["state"], batch["payments"]) == ("SETTLED", 1)
    assert entered["log_offset"] < batch["sent"]["log_offset"] < final["log_offset"]
    text = (await clearing("explain", payment)).out
    for words in ("ENTERED from explain-payments.hk.ALPHA offset 0", "IRREVOCABLE", "FINAL"):
        assert words in text
    assert (await clearing("replay", "--dump", "hk.log")).code == ExitCode.OK
    saved = await clearing("explain", payment, "--log", "hk.log", "--json")
    assert saved.data | {"read_to": 0} == story | {"read_to": 0}


async def test_nobody_knows_the_id(clearing: Installation) -> None:
    ended = await clearing("explain", uuid4())
    assert (ended.code, "it is not in the log (hk)" in ended.err) == (ExitCode.FAILED, True)


async def test_queue_shows_what_waits_and_the_amount_told_frees_it(clearing: Installation) -> None:
    """R16: ALPHA has 60 and a cap of 100, CHARLIE 100 and 100."""
    first = await pays(clearing, "ALPHA", "CHARLIE", "380.00")
    second = await pays(clearing, "CHARLIE", "ALPHA", "210.00")
    waiting = (await told(clearing, first, "PDNG"))["waiting"]
    await told(clearing, second, "PDNG")
    report = (await clearing("queue", "--json")).data
    assert [(q["participant"], q["value"]) for q in report["queues"]] == [
        ("ALPHA", "380.00"),
        ("CHARLIE", "210.00"),
    ]
    assert all(p["since_ms"] > 0 for q in report["queues"] for p in q["payments"])
    assert report["deadlock"]["circles"] == [["ALPHA", "CHARLIE"]]
    extra = report["deadlock"]["free_any"]
    assert extra == {"participant": "ALPHA", "asset": "HKD", "amount": "10.00"}
    assert (waiting["position"], waiting["binds"][0]["limit"]) == (1, "NET_DEBIT_CAP")
    text = (await clearing("queue", "--asset", "HKD")).out
    assert "10.00 HKD more for ALPHA: the least that frees something" in text
    fund = ("command", "fund", extra["participant"], "HKD", extra["amount"])
    assert (await clearing(*fund)).code == ExitCode.OK
    released = await told(clearing, second, "ACSP")
    assert released["releases"][0]["how"] in ("SINGLE", "BILATERAL", "MULTILATERAL")


async def test_queue_is_watched_until_ctrl_c(clearing: Installation) -> None:
    process = await start(
        clearing.settings, clearing.folder, "queue", "--watch", "--json", "--interval-s", "0.05"
    )
    assert process.stdout is not None
    async with asyncio.timeout(TIMEOUT_S):
        first = json.loads(await process.stdout.readline())
        await pays(clearing, "BRAVO", "CHARLIE", "1000.00")
        while True:
            look = json.loads(await process.stdout.readline())
            if look["payments"] == first["payments"] + 1:
                break
        process.send_signal(signal.SIGINT)
        assert await process.wait() == ExitCode.INTERRUPTED
    assert look["read_to"] > first["read_to"]


async def test_drill_says_who_would_pay_and_changes_nothing(clearing: Installation) -> None:
    """R26: ALPHA owes CHARLIE 380 - 210, and has 100 - 40 + 10. What the log holds is the same afterwards."""
    before = (await clearing("replay", "--json")).data["standing"]
    ended = await clearing("drill", "--json")
    (one,) = ended.data["failures"]
    assert (ended.code, one["participant"], one["owed"]) == (ExitCode.OK, "ALPHA", "170.00")
    assert (one["prefunded"], one["lacking"], one["uncovered"]) == ("70.00", "100.00", "0.00")
    assert one["pays"] == {"collateral": "0.00", "pool": "10.00", "survivors": {"CHARLIE": "90.00"}}
    text = await clearing("drill", "--participant", "ALPHA", "--asset", "HKD")
    assert "0.00 from collateral of ALPHA, 10.00 from the pool" in text.out
    assert (await clearing("replay", "--json")).data["standing"] == before


async def test_optimise_has_the_engine_release_what_it_found(clearing: Installation) -> None:
    """R15: the first payment of ALPHA keeps the circle behind it from leaving in order."""
    waits = [
        await pays(clearing, debtor, creditor, amount, asset="HKDT")
        for debtor, creditor, amount in (
            ("ALPHA", "BRAVO", "20"),
            ("ALPHA", "CHARLIE", "7"),
            ("CHARLIE", "ALPHA", "7"),
        )
    ]
    await told(clearing, waits[-1], "PDNG")
    ended = await clearing("optimise", "HKDT", "--publish", "--by", "ann", "--json")
    assert ended.code == ExitCode.OK, ended.err
    report, answer = ended.lines
    assert sorted(each["payment"] for each in report["payments"]) == sorted(waits[1:])
    assert (answer["command"], answer["status"]) == ("release_queued", "DONE")
    release = (await told(clearing, waits[1], "ACSP"))["releases"][0]
    assert (release["how"], release["by"], release["together_with"]) == (
        "OPERATOR",
        "ann",
        waits[2:],
    )
    assert (await told(clearing, waits[0], "PDNG"))["waiting"]["frees"] == "20"
