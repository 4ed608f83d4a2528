"""A broker as production has them: TLS, a login for each role, and nothing allowed that no rule allows.

Its certificates are made here. Users log in by SCRAM-SHA-512, one of them by PLAIN as well; who starts the broker
may do everything. Another broker knows its clients by their certificates alone.
"""

import asyncio
import sys
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import trustme
from aiokafka.errors import for_code
from aiokafka.protocol.admin import CreateAclsRequest
from cryptography.hazmat.primitives import serialization

from clearing import kafka
from clearing.client import Bank
from clearing.config import Settings
from clearing.dev.kafka import EmbeddedKafka
from clearing.dev.services import Services, environment
from clearing.security import Security
from clearing.topics.rights import ALLOW, LITERAL, OPERATIONS, PREFIXED, RESOURCES, Rule

TIMEOUT_S = 120
PREFIX = "sec-"
ADMIN = "admin"
MECHANISM = "SCRAM-SHA-512"
BY_PLAIN = "operator"
_SCRAM = "org.apache.kafka.common.security.scram.ScramLoginModule"
_PLAIN = "org.apache.kafka.common.security.plain.PlainLoginModule"


def password_of(user: str) -> str:
    return f"secret-of-{user}"


@dataclass(frozen=True)
class SecuredKafka:
    """A running broker; `ca` is the PEM file of who signed its certificate."""

    bootstrap: str
    ca: Path
    folder: Path

    def security(self, user: str) -> Security:
        return Security(protocol="sasl_ssl", ca=str(self.ca), user=user, password=password_of(user))

    def settings(self, user: str, base: Settings) -> Settings:
        """Of a process that logs in as this user."""
        file = self.folder / f"{user}.password"
        file.write_text(password_of(user) + "\n")
        return msgspec.structs.replace(
            base,
            bootstrap=self.bootstrap,
            kafka_security="sasl_ssl",
            kafka_ca=str(self.ca),
            kafka_user=user,
            kafka_password_file=str(file),
        )


@asynccontextmanager
async def secured_kafka(folder: Path, users: Iterable[str]) -> AsyncIterator[SecuredKafka]:
    folder.mkdir(parents=True, exist_ok=True)
    authority = trustme.CA()
    ca = folder / "ca.pem"
    authority.cert_pem.write_to_path(str(ca))
    settings = _broker_settings(_key_store(authority, folder))
    broker = EmbeddedKafka(
        folder / "broker",
        settings=settings,
        secured=Security(protocol="sasl_ssl", ca=str(ca), user=ADMIN, password=password_of(ADMIN)),
        users={user: password_of(user) for user in (*users, ADMIN)},
    )
    async with broker:
        yield SecuredKafka(broker.bootstrap, ca, folder)
        await broker.kill()


def _key_store(authority: trustme.CA, folder: Path) -> Path:
    """Certificate and key as Kafka wants them: one file, the key as PKCS #8."""
    issued = authority.issue_cert("127.0.0.1", "localhost")
    key = serialization.load_pem_private_key(issued.private_key_pem.bytes(), None)
    encoded = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    store = folder / "broker.pem"
    store.write_bytes(encoded + b"".join(pem.bytes() for pem in issued.cert_chain_pems))
    return store


def _broker_settings(key_store: Path) -> dict[str, object]:
    login = f'{_SCRAM} required username="{ADMIN}" password="{password_of(ADMIN)}";'
    return {
        "listener.security.protocol.map": "CONTROLLER:PLAINTEXT,BROKER:SASL_SSL",
        **_tls(key_store),
        "sasl.enabled.mechanisms": f"PLAIN,{MECHANISM}",
        "sasl.mechanism.inter.broker.protocol": MECHANISM,
        "listener.name.broker.scram-sha-512.sasl.jaas.config": login,
        "listener.name.broker.plain.sasl.jaas.config": (
            f'{_PLAIN} required user_{BY_PLAIN}="{password_of(BY_PLAIN)}";'
        ),
        "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
        "allow.everyone.if.no.acl.found": "false",
        # The controller's own listener has no login; no client comes that way.
        "super.users": f"User:{ADMIN};User:ANONYMOUS",
    }


def _tls(key_store: Path) -> dict[str, object]:
    return {
        "ssl.keystore.type": "PEM",
        "ssl.keystore.location": key_store,
        "ssl.truststore.type": "PEM",
        "ssl.truststore.location": key_store.with_name("ca.pem"),
    }


@asynccontextmanager
async def certified_kafka(folder: Path) -> AsyncIterator[EmbeddedKafka]:
    """A broker whose clients need a certificate of its authority; `folder` has ca.pem, own.pem and own.key."""
    folder.mkdir(parents=True, exist_ok=True)
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(folder / "ca.pem"))
    own = authority.issue_cert("engine.example")
    own.cert_chain_pems[0].write_to_path(str(folder / "own.pem"))
    own.private_key_pem.write_to_path(str(folder / "own.key"))
    settings = _tls(_key_store(authority, folder)) | {
        "listener.security.protocol.map": "CONTROLLER:PLAINTEXT,BROKER:SSL",
        "ssl.client.auth": "required",
    }
    secured = Security(
        "ssl",
        ca=str(folder / "ca.pem"),
        certificate=str(folder / "own.pem"),
        key=str(folder / "own.key"),
    )
    async with EmbeddedKafka(folder / "broker", settings=settings, secured=secured) as broker:
        yield broker
        await broker.kill()


async def grant(cluster: SecuredKafka, rules: Iterable[Rule]) -> None:
    """As `kafka-acls --add` does it, from any host."""
    secured = cluster.security(ADMIN)
    async with kafka.administration(cluster.bootstrap, secured=secured) as admin:
        for rule in rules:
            for operation in rule.operations:
                request = CreateAclsRequest(
                    RESOURCES[rule.resource],
                    rule.name,
                    PREFIXED if rule.prefixed else LITERAL,
                    rule.principal,
                    "*",
                    OPERATIONS[operation],
                    ALLOW,
                )
                response: Any = await admin._send_request(request)
                for code, message in response.creation_responses:
                    if code:
                        raise for_code(code)(f"{rule}: {message}")


class Ran(NamedTuple):
    """How a command ended."""

    code: int
    out: str
    err: str


@dataclass(frozen=True)
class Secured:
    """The cluster with its rules, and what is common to all settings."""

    kafka: SecuredKafka
    base: Settings
    folder: Path
    services: dict[str, Services] = field(default_factory=dict[str, Services])

    def settings(self, user: str) -> Settings:
        return self.kafka.settings(user, self.base)

    def denied(self) -> list[str]:
        """What the broker has denied to whom."""
        log = self.folder / "kafka" / "broker" / "broker.log"
        return [line for line in log.read_text().splitlines() if " is Denied " in line]

    def bank(self, name: str) -> Bank:
        secured = self.kafka.security(name)
        return Bank(self.kafka.bootstrap, name, "hk", prefix=PREFIX, secured=secured)

    async def run(self, user: str, *arguments: object, **changed: Any) -> Ran:
        """A command as somebody types it who logs in as this user. changed: settings."""
        settings = msgspec.structs.replace(self.settings(user), **changed)
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "clearing", *map(str, arguments)),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            cwd=self.folder,
            env=environment(settings, "") | {"COLUMNS": "160"},
        )
        async with asyncio.timeout(TIMEOUT_S):
            out, err = await process.communicate()
        assert process.returncode is not None
        return Ran(process.returncode, out.decode(), err.decode())
