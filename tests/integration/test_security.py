"""A cluster that trusts nobody: TLS, a login for each role, and only the rules that topics.toml means.

Every service is a process of its own that logs in as its role; banks and a ledger use the client. What is missing
in topics.toml fails here, and what must not be there is refused here. In the order of the file.
"""

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import pytest
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import ClusterAuthorizationFailedError, TopicAuthorizationFailedError

from clearing import config, kafka, security
from clearing.client import Bank, settlements
from clearing.client.following import Status
from clearing.config import Secret, Settings
from clearing.console.accounts import Accounts
from clearing.dev.postgres import EmbeddedPostgres
from clearing.dev.services import supervised
from clearing.doctor import examine
from clearing.failures import ExitCode, explain
from clearing.security import Refused, Security
from clearing.topics.contract import read_contract
from clearing.topics.rights import rules
from tests.console.stage import CHEAP, PASSWORD, PEOPLE
from tests.integration.secured import (
    ADMIN,
    BY_PLAIN,
    PREFIX,
    TIMEOUT_S,
    Secured,
    certified_kafka,
    grant,
    password_of,
    secured_kafka,
)
from tests.integration.test_console import Person

BANKS = ("ALPHA", "BRAVO")
ROLES = (
    "intake",
    "engine",
    "dispatch",
    "sink",
    "views",
    "console",
    "operator",
    "auditor",
    "ledger",
)
SERVICES = ("intake", "engine", "dispatch", "sink", "views", "console")

SCHEME = """
name = "Secured"
[netting_sets.hk]
[assets.HKD]
netting_set = "hk"
issuer = "HKMA"
ledger = "postgres"
kind = "cash"
scale = 2
accounts = { prefunded = "5000", net_debit_cap = "20000" }
[participants.ALPHA]
name = "Alpha"
[participants.BRAVO]
name = "Bravo"
"""


@pytest.fixture(scope="module")
async def cluster(
    postgres: EmbeddedPostgres, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Secured]:
    """Topics and scheme loaded by the operator; nothing is at work yet."""
    folder = tmp_path_factory.mktemp("secured")
    admin = await asyncpg.connect(postgres.dsn)
    await admin.execute("CREATE DATABASE secured")
    base = Settings(
        dsn=postgres.dsn_of("secured"), topic_prefix=PREFIX, snapshots=str(folder / "snapshots")
    )
    (folder / "scheme.toml").write_text(SCHEME)
    try:
        async with secured_kafka(folder / "kafka", (*ROLES, *BANKS)) as server:
            await grant(server, rules(read_contract(), base.topics, {"hk": BANKS}, {}))
            made = Secured(server, base, folder)
            loaded = await made.run("operator", "scheme", "load", "scheme.toml")
            assert loaded.code == ExitCode.OK, loaded
            yield made
    finally:
        await admin.execute("DROP DATABASE secured WITH (FORCE)")
        await admin.close()


@pytest.fixture(scope="module")
async def clearing(cluster: Secured) -> AsyncIterator[Secured]:
    """All services at work, each under its own name."""

    accounts = cluster.folder / "accounts.json"
    for name, roles in PEOPLE.items():
        Accounts(accounts, CHEAP).add(name, roles, PASSWORD)
    options = {"sink": ["--migrate"], "console": ["--port", "0", "--accounts", str(accounts)]}

    def command(role: str) -> list[str]:
        return [sys.executable, "-m", "clearing", role, *options.get(role, [])]

    async with AsyncExitStack() as stack:
        for role in SERVICES:
            services = await stack.enter_async_context(
                supervised(
                    cluster.settings(role), cluster.folder / "services", {role: 1}, command=command
                )
            )
            await services.ready()
            cluster.services[role] = services
        yield cluster


async def test_everything_works_under_the_rules(clearing: Secured) -> None:
    """Published, cleared, told, settled, posted, read by another ledger, proved."""
    async with clearing.bank("ALPHA") as alpha, clearing.bank("BRAVO") as bravo:
        paid = await alpha.pay("BRAVO", "HKD", "125.50")
        assert (await _told(alpha, paid, "ACSP")).window == 1
        await _close_window(clearing)
        await _told(alpha, paid, "ACSC")
        assert (await _told(bravo, paid, "ACSC")).amount == "125.50"
    ledger = clearing.kafka.security("ledger")
    read = [
        batch
        async for _, batch in settlements(
            clearing.kafka.bootstrap, "hk", prefix=PREFIX, follow=False, secured=ledger
        )
    ]
    assert [str(batch.gross) for batch in read if batch.kind == "net"] == ["125.50"]
    await _verify(clearing)


async def test_much_at_once_goes_through_tls(clearing: Secured) -> None:
    """Requests and answers of megabytes: what clearing.sending and clearing.fetching do is done over TLS too."""
    async with clearing.bank("ALPHA") as alpha, clearing.bank("BRAVO") as bravo:
        orders = [bravo.payment("ALPHA", "HKD", "0.01") for _ in range(20_000)]
        assert await bravo.publish(orders) == len(orders)
        last = await alpha.pay("BRAVO", "HKD", "0.01")
        for order in (orders[0], orders[-1]):
            await _told(bravo, order.id, "ACSP")
        await _told(alpha, last, "ACSP")
        await _close_window(clearing)
        await _told(bravo, orders[-1].id, "ACSC")
    await _verify(clearing)


async def test_who_was_killed_recovers_under_the_rules(clearing: Secured) -> None:
    """What is read only then: the engine its outputs, dispatch the ends of status topics."""
    for role in ("engine", "dispatch", "intake"):
        clearing.services[role].kill(f"{role}-1")
    async with clearing.bank("ALPHA") as alpha:
        secured = clearing.kafka.security("ALPHA")
        producer = kafka.producer(clearing.kafka.bootstrap, secured=secured)
        async with kafka.started(producer):
            topic = clearing.base.topics.payments("hk", "ALPHA")
            await producer.send_and_wait(topic, b"nonsense", partition=0)
        paid = await alpha.pay("BRAVO", "HKD", "1.00")
        await _told(alpha, paid, "ACSP")
    rejected = await clearing.run("auditor", "follow", "rejected", "--from-start", "--count", 1)
    assert "XSYN" in rejected.out, rejected
    await _verify(clearing)


async def test_the_console_shows_and_redrives_under_the_rules(clearing: Secured) -> None:
    """What could not be read is published again, which is the console's right alone."""
    said = clearing.services["console"]["console-1"].says("console")
    assert said is not None
    address = str(said["address"])
    async with (
        httpx.AsyncClient(base_url=address, timeout=TIMEOUT_S) as one,
        httpx.AsyncClient(base_url=address, timeout=TIMEOUT_S) as another,
    ):
        alice, bob = await Person(one).login("alice"), await Person(another).login("bob")
        for page in ("overview", "windows", "positions", "batches", "queues", "audit", "activity"):
            await alice.data(f"/api/{page}")
        await alice.until("/api/services", lambda data: len(data["groups"]) == 4)
        assert (await alice.data("/api/asof"))["hk"]["last_ms"]
        assert (await alice.data("/api/drill", netting_set="hk")) is not None
        listed = await alice.until("/api/rejected", lambda data: bool(data["rejected"]))
        chosen = {"netting_set": "hk", "offsets": [listed["rejected"][0]["offset"]]}
        (tried,) = (await alice.posted("/api/rejected/preview", chosen))["previews"]
        assert tried["text"] == "nonsense"
        order = {"netting_set": "hk", "command": tried["command"], "hash": tried["hash"]}
        proposal = (await alice.posted("/api/actions", order))["proposal"]
        await bob.until("/api/proposals", lambda data: bool(data["proposals"]))
        path = f"/api/proposals/hk/{proposal}/approve"
        done = await bob.posted(path, {"hash": tried["hash"]})
        assert done["effect"]["note"].startswith("published again"), done


async def test_a_halt_is_told_and_ended_under_the_rules(clearing: Secured) -> None:
    """Who writes into the log what no intake writes: an administrator who may."""
    log, admin = clearing.base.topics.log, clearing.kafka.security(ADMIN)
    producer = kafka.producer(clearing.kafka.bootstrap, secured=admin)
    async with kafka.started(producer):
        await producer.send_and_wait(log, b"nonsense", key=b"payments/1", partition=0)
    async with asyncio.timeout(TIMEOUT_S):
        while "engine" not in {halt["service"] for halt in await _halts(clearing)}:  # noqa: ASYNC110
            await asyncio.sleep(0.5)
    retried = await clearing.run("operator", "retry", "hk")
    assert retried.code == ExitCode.OK, retried


async def _halts(clearing: Secured) -> list[Any]:
    status = await clearing.run("operator", "status", "--json")
    assert status.code == ExitCode.OK, status
    return json.loads(status.out)["halts"]


async def test_nothing_that_works_was_denied(clearing: Secured) -> None:
    """Neither quietly: what a service may not do it may leave out, and say nothing."""
    doctor = await clearing.run("operator", "doctor", "--json")
    found = {(each["check"], each["verdict"]) for each in json.loads(doctor.out)}
    assert {"topics", "transactions", "acls", "clocks", "disk", "ledger", "versions"} <= {
        check for check, verdict in found if verdict == "pass"
    }, doctor
    assert ("acls", "pass") in found
    assert clearing.denied() == []


async def test_topics_are_changed_by_operators_alone(clearing: Secured) -> None:
    wanted = (clearing.folder / "scheme.toml").read_text()
    (clearing.folder / "more.toml").write_text(f"{wanted}[participants.CHARLIE]\n")
    refused = await clearing.run("auditor", "topics", "apply", "more.toml")
    assert refused.code == ExitCode.FAILED
    assert "does not authorise this user" in refused.err
    assert "clearing topics acls" in refused.err
    changed = ConfigResource(
        ConfigResourceType.TOPIC, clearing.base.topics.rejected, {"retention.ms": "1000"}
    )
    admin = clearing.kafka.security(ADMIN)
    async with kafka.administration(clearing.kafka.bootstrap, secured=admin) as administrator:
        await administrator.alter_configs([changed])
    made = await clearing.run("operator", "topics", "apply", "more.toml")
    assert made.code == ExitCode.OK, made
    assert "status.CHARLIE: create" in made.out
    assert "retention.ms" in made.out


async def test_a_bank_writes_nothing_but_its_own_payments(clearing: Secured) -> None:
    topics = clearing.base.topics
    for topic in (
        topics.payments("hk", "BRAVO"),
        *(topics.log, topics.commands, topics.confirmations, topics.settlements),
        *(topics.outcomes, topics.journal, topics.status("ALPHA"), topics.status("BRAVO")),
    ):
        await _refused_to_write(clearing, "ALPHA", topic)
    assert clearing.denied()


async def test_only_the_engine_writes_outputs_and_only_operators_command(clearing: Secured) -> None:
    topics = clearing.base.topics
    for user in ("intake", "dispatch", "sink", "views", "console", "operator", "auditor", "ledger"):
        for topic in (topics.outcomes, topics.journal, topics.settlements):
            await _refused_to_write(clearing, user, topic)
    for user in ("engine", "dispatch", "sink", "views", "auditor", "ledger"):
        await _refused_to_write(clearing, user, topics.commands)
    for user in ("dispatch", "sink", "views", "console", "operator", "auditor", "ledger"):
        await _refused_to_write(clearing, user, topics.log)


async def test_a_bank_reads_nobody_elses_statuses(clearing: Secured) -> None:
    theirs = Bank(
        clearing.kafka.bootstrap,
        "BRAVO",
        "hk",
        prefix=PREFIX,
        secured=clearing.kafka.security("ALPHA"),
    )
    with pytest.raises(TopicAuthorizationFailedError, match=r"status\.BRAVO"):
        await theirs.__aenter__()


async def test_a_service_with_anothers_login_says_what_it_lacks(clearing: Secured) -> None:
    ended = await clearing.run("sink", "intake", "--metrics-port", "-1")
    assert ended.code == ExitCode.FAILED
    assert "does not authorise this user" in ended.err


@pytest.mark.parametrize(
    ("changed", "said", "hint"),
    [
        ({"kafka_password_file": "wrong"}, "refuses the login of operator", "kafka_password"),
        ({"kafka_ca": ""}, "is not trusted: unable to get local issuer", "kafka_ca"),
        ({"kafka_sasl": "SCRAM-SHA-256"}, "takes no login by SCRAM-SHA-256", "kafka_sasl"),
        ({"kafka_security": "sasl_plaintext", "kafka_ca": ""}, "hangs up on", "kafka_security"),
        ({"bootstrap": "127.0.0.1:1"}, "cannot reach Kafka at 127.0.0.1:1", "--bootstrap"),
    ],
)
async def test_why_a_cluster_refuses_us_is_said(
    cluster: Secured, changed: dict[str, str], said: str, hint: str
) -> None:
    (cluster.folder / "wrong").write_text("not-the-password")
    for command in ("status", "doctor"):
        ended = await cluster.run("operator", command, "--debug", **changed)
        shown = " ".join((ended.out + ended.err).split())
        assert said in shown, shown
        assert hint in shown, shown
        assert ended.code != ExitCode.OK
        for secret in (password_of("operator"), "not-the-password"):
            assert secret not in ended.out + ended.err


async def test_a_password_may_come_by_environment_and_go_as_it_is(cluster: Secured) -> None:
    """PLAIN says it to the broker; aiokafka's log of what it sends does not."""
    password = Secret(password_of(BY_PLAIN))
    ended = await cluster.run(
        *(BY_PLAIN, "topics", "plan", "scheme.toml", "--debug"),
        kafka_sasl="PLAIN",
        kafka_password=password,
        kafka_password_file="",
    )
    assert ended.code == ExitCode.OK, ended
    assert "SaslHandShake" in ended.err
    assert password.reveal() not in ended.out + ended.err


async def test_a_certificate_instead_of_a_login(tmp_path: Path) -> None:
    async with certified_kafka(tmp_path) as broker:
        files: dict[str, Any] = {
            "kafka_ca": str(tmp_path / "ca.pem"),
            "kafka_certificate": str(tmp_path / "own.pem"),
            "kafka_key": str(tmp_path / "own.key"),
        }
        secured = security.of(config.load(kafka_security="ssl", **files))
        async with kafka.administration(broker.bootstrap, secured=secured) as admin:
            assert (await admin.describe_cluster())["brokers"]
        without = Security("ssl", ca=files["kafka_ca"])
        with pytest.raises(Refused) as refused:
            async with kafka.administration(broker.bootstrap, secured=without):
                raise AssertionError("let in")
        assert "kafka_certificate" in refused.value.hint


async def test_tls_where_nobody_speaks_it(bootstrap: str) -> None:
    with pytest.raises(Refused) as refused:
        async with kafka.administration(bootstrap, secured=Security("ssl")):
            raise AssertionError("let in")
    assert "kafka_security" in refused.value.hint


async def test_the_doctor_tells_that_a_listener_is_not_in_the_clear(cluster: Secured) -> None:
    in_the_clear = Settings(bootstrap=cluster.kafka.bootstrap)
    [finding] = await examine(in_the_clear)
    assert (finding.check, finding.verdict) == ("security", "fail")
    assert "hangs up on plaintext" in finding.text
    assert "kafka_security" in finding.fix


async def _refused_to_write(clearing: Secured, user: str, topic: str) -> None:
    """Who may write nothing at all is refused before he names the topic."""
    secured = clearing.kafka.security(user)
    producer = kafka.producer(clearing.kafka.bootstrap, secured=secured)
    with pytest.raises((TopicAuthorizationFailedError, ClusterAuthorizationFailedError)) as refused:
        async with kafka.started(producer):
            await producer.send_and_wait(topic, b"{}", partition=0)
    failure = explain(refused.value)
    assert "does not authorise this user" in failure.message
    assert topic in failure.message or user == "auditor"


async def _told(bank: Bank, payment: str, status: str) -> Status:
    async with asyncio.timeout(TIMEOUT_S):
        async for one in bank.statuses(from_beginning=True):
            if (one.id, one.status) == (payment, status):
                return one
    raise AssertionError("statuses never end")


async def _close_window(clearing: Secured) -> None:
    closed = await clearing.run("operator", "command", "close-window", "HKD")
    assert closed.code == ExitCode.OK, closed


async def _verify(clearing: Secured) -> None:
    verified = await clearing.run("auditor", "verify", "--wait", "--json")
    assert verified.code == ExitCode.OK, verified
    assert json.loads(verified.out)["ok"]
