"""How Kafka is reached: in the clear or over TLS, with a login or without. Told once per process, by `use`.

Turns settings into what aiokafka's clients take; clearing.kafka gives it to each of them. A process talks to one
cluster as one user; a bank's own program may hand its `Security` to what it opens instead (clearing.client).
"""

import asyncio
import contextlib
import logging
import ssl
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from aiokafka.client import AIOKafkaClient
from aiokafka.conn import AIOKafkaConnection, create_conn
from aiokafka.errors import (
    IllegalSaslStateError,
    KafkaConnectionError,
    KafkaError,
    SaslAuthenticationFailed,
    UnsupportedSaslMechanismError,
)
from aiokafka.protocol.metadata import MetadataRequest

from clearing.config import ConfigError, Settings

PROTOCOLS = ("plaintext", "ssl", "sasl_plaintext", "sasl_ssl")
MECHANISMS = ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512")
DIAL_TIMEOUT_S = 5.0
_LISTENER = (
    "kafka_security: what that listener speaks; kafka_certificate, kafka_key: if it asks for one"
)


class Refused(KafkaConnectionError):
    """A broker is there and will not have us, or we not it. hint: the settings to look at. passing: it may only be
    about to start or to end."""

    def __init__(self, message: str, hint: str, *, passing: bool = False) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.passing = passing


class _Parting(ssl.SSLObject):
    """TLS of a connection that says good-bye without waiting for the broker to say it too.

    A broker that is about to answer may not hear it for long, and uvloop would wait 30 s: so long a client would
    take to stop, and a service to hand over. Nothing is lost: whoever closes a connection has his answers.
    """

    def unwrap(self) -> None:
        with contextlib.suppress(ssl.SSLWantReadError):
            super().unwrap()


@dataclass(frozen=True)
class Security:
    """protocol: one of PROTOCOLS; ca, certificate, key: PEM files; mechanism: one of MECHANISMS.

    Raises ConfigError where something is missing, does not fit the rest, or cannot be read.
    """

    protocol: str = "plaintext"
    ca: str = ""
    certificate: str = ""
    key: str = field(default="", repr=False)
    mechanism: str = "SCRAM-SHA-512"
    user: str = ""
    password: str = field(default="", repr=False)

    def __post_init__(self) -> None:
        for problem in self._problems():
            raise ConfigError(problem)
        if self.tls:
            _ = self.context  # reads the files

    @property
    def tls(self) -> bool:
        return self.protocol.endswith("ssl")

    @property
    def sasl(self) -> bool:
        return self.protocol.startswith("sasl")

    def _problems(self) -> Iterator[str]:
        said = f"kafka_security is {self.protocol}"
        if self.protocol not in PROTOCOLS:
            yield f"{said}: one of {', '.join(PROTOCOLS)}"
        if self.mechanism not in MECHANISMS:
            yield f"kafka_sasl is {self.mechanism}: one of {', '.join(MECHANISMS)}"
        if self.sasl and not self.user:
            yield f"{said}, but there is no kafka_user"
        if self.sasl and not self.password:
            yield f"kafka_user is {self.user}, but there is neither kafka_password nor kafka_password_file"
        if not self.sasl and (self.user or self.password):
            yield f"there is a kafka_user or its password, but {said}: set it to sasl_ssl"
        if not self.tls and (self.ca or self.certificate or self.key):
            yield f"there is a kafka_ca, kafka_certificate or kafka_key, but {said}: set it to ssl or sasl_ssl"
        if bool(self.certificate) != bool(self.key):
            there, missing = ("certificate", "key") if self.certificate else ("key", "certificate")
            yield f"there is a kafka_{there}, but no kafka_{missing}"

    @cached_property
    def context(self) -> ssl.SSLContext:
        """Certificates are checked, and that they name the host. Raises ConfigError."""
        with _reading("kafka_ca", self.ca):
            context = ssl.create_default_context(cafile=self.ca or None)
        context.sslobject_class = _Parting
        if self.certificate:
            # A key with a pass phrase would have it asked for at a terminal.
            with _reading("kafka_certificate or kafka_key", f"{self.certificate}, {self.key}"):
                context.load_cert_chain(self.certificate, self.key, password="")
        return context

    def arguments(self) -> dict[str, Any]:
        """What an aiokafka client is built with, over its defaults."""
        arguments: dict[str, Any] = {"security_protocol": self.protocol.upper()}
        if self.tls:
            arguments["ssl_context"] = self.context
        if self.sasl:
            logging.getLogger("aiokafka.conn").addFilter(_without_logins)  # once, however often
            arguments["sasl_mechanism"] = self.mechanism
            arguments["sasl_plain_username"] = self.user
            arguments["sasl_plain_password"] = self.password
        return arguments


def _without_logins(record: logging.LogRecord) -> bool:
    """aiokafka's log of every request, at level DEBUG, is without those that say a password."""
    said = record.args if isinstance(record.args, tuple) else ()
    return not any(type(one).__name__.startswith("SaslAuthenticate") for one in said)


PLAINTEXT = Security()
_in_use = PLAINTEXT


def use(settings: Settings) -> None:
    """From now on this process's clients are built as settings say, unless told otherwise one by one.

    Raises ConfigError.
    """
    global _in_use
    _in_use = of(settings)


def in_use() -> Security:
    return _in_use


def of(settings: Settings) -> Security:
    """What settings say, files read. Raises ConfigError."""
    password = settings.kafka_password.reveal()
    if file := settings.kafka_password_file:
        if password:
            raise ConfigError("there are both kafka_password and kafka_password_file: give one")
        with _reading("kafka_password_file", file):
            password = Path(file).read_text("utf-8").partition("\n")[0].rstrip("\r")
        if not password:
            raise ConfigError(f"kafka_password_file: {file} is empty")
    return Security(
        protocol=settings.kafka_security.lower(),
        ca=settings.kafka_ca,
        certificate=settings.kafka_certificate,
        key=settings.kafka_key,
        mechanism=settings.kafka_sasl.upper(),
        user=settings.kafka_user,
        password=password,
    )


@contextlib.contextmanager
def _reading(what: str, file: str) -> Iterator[None]:
    """Errors as ConfigError, without what is in the files."""
    try:
        yield
    except ssl.SSLError as error:
        why = error.reason or "no PEM, or a key with a pass phrase"
        raise ConfigError(f"{what}: {file} cannot be used: {why}") from None
    except UnicodeDecodeError:
        raise ConfigError(f"{what}: {file} is not text") from None
    except OSError as error:
        raise ConfigError(f"{what}: {file}: {error.strerror}") from None


@contextlib.asynccontextmanager
async def explained(client: AIOKafkaClient) -> AsyncIterator[None]:
    """Around the start of a client: what aiokafka only tells its log, that a broker refuses us, is raised. In the
    clear nobody is asked why: nothing answers then, or something that is no such listener."""
    try:
        yield
    except KafkaConnectionError as error:
        if client._security_protocol == "PLAINTEXT":
            raise
        if refused := await why_unreachable(client):
            raise refused from error
        raise


async def why_unreachable(client: AIOKafkaClient) -> Refused | None:
    """What a broker says to a connection as this client would make it; None: nobody answers, or all is well."""
    for host, port, _ in client.hosts:
        try:
            async with asyncio.timeout(DIAL_TIMEOUT_S):
                await _dial(client, host, port)
        except (KafkaError, OSError, TimeoutError) as error:
            if refused := _refused(f"{host}:{port}", client, error):
                return refused
    return None


async def _dial(client: AIOKafkaClient, host: str, port: int) -> None:
    connection: AIOKafkaConnection = await create_conn(
        host,
        port,
        client_id=client._client_id,
        ssl_context=client._ssl_context,
        security_protocol=client._security_protocol,
        sasl_mechanism=client._sasl_mechanism,
        sasl_plain_username=client._sasl_plain_username,
        sasl_plain_password=client._sasl_plain_password,
    )
    try:
        await connection.send(MetadataRequest([]))
    finally:
        connection.close()


def _refused(where: str, client: AIOKafkaClient, error: BaseException) -> Refused | None:
    if isinstance(error, ssl.SSLCertVerificationError):
        hint = "kafka_ca: the PEM file of who signed it; bootstrap: the name that stands in it"
        return Refused(f"the certificate of {where} is not trusted: {error.verify_message}", hint)
    if isinstance(error, ssl.SSLError):
        return Refused(
            f"{where} does not agree on TLS: {error.reason or error.strerror}",
            _LISTENER,
            passing=True,
        )
    if isinstance(error, SaslAuthenticationFailed):
        return Refused(
            f"{where} refuses the login of {client._sasl_plain_username}",
            "kafka_user, kafka_password or kafka_password_file, kafka_sasl",
        )
    if isinstance(error, UnsupportedSaslMechanismError | IllegalSaslStateError):
        return Refused(
            f"{where} takes no login by {client._sasl_mechanism}",
            f"kafka_sasl: one of {', '.join(MECHANISMS)}; kafka_security",
        )
    if isinstance(error, KafkaConnectionError | ConnectionResetError | BrokenPipeError):
        spoken = client._security_protocol.lower()
        return Refused(f"{where} hangs up on {spoken}", _LISTENER, passing=True)
    return None
