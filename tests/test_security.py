"""How Kafka is reached: settings that cannot be meant, files that cannot be read, and what nobody may see."""

import ast
import json
import logging
from pathlib import Path
from typing import Any

import msgspec
import pytest
import structlog
import trustme
from aiokafka.protocol.admin import SaslAuthenticateRequest, SaslAuthenticateRequest_v0
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)
from faust.auth import SASLCredentials, SSLCredentials

import clearing
from clearing import config, kafka, security
from clearing.cli.config import shown
from clearing.config import ConfigError, Secret, Settings
from clearing.dev.services import environment
from clearing.failures import ExitCode, explain
from clearing.security import PLAINTEXT, Refused, Security
from clearing.service import configure_logs
from clearing.views.faust_app import _credentials
from tests.cli.run import Runner

PASSWORD = "hush-hush-hush"


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """ca.pem, own.pem (certificate), own.key, locked.key, password."""
    authority = trustme.CA()
    issued = authority.issue_cert("engine")
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    issued.cert_chain_pems[0].write_to_path(str(tmp_path / "own.pem"))
    issued.private_key_pem.write_to_path(str(tmp_path / "own.key"))
    locked = load_pem_private_key(issued.private_key_pem.bytes(), None).private_bytes(
        Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"pass phrase")
    )
    (tmp_path / "locked.key").write_bytes(locked)
    (tmp_path / "password").write_text(f"{PASSWORD}\n")
    (tmp_path / "empty").write_text("\n")
    (tmp_path / "no.pem").write_text("no certificate")
    return tmp_path


@pytest.fixture(autouse=True)
def _as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(security, "_in_use", PLAINTEXT)


LOGIN = {"kafka_security": "sasl_ssl", "kafka_user": "engine", "kafka_password": PASSWORD}


def settings(**values: Any) -> Settings:
    return config.load(**values)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"kafka_security": "tls"}, "kafka_security is tls: one of plaintext, ssl"),
        (LOGIN | {"kafka_sasl": "GSSAPI"}, "kafka_sasl is GSSAPI: one of PLAIN, SCRAM"),
        (LOGIN | {"kafka_user": ""}, "kafka_security is sasl_ssl, but there is no kafka_user"),
        (LOGIN | {"kafka_password": ""}, "neither kafka_password nor kafka_password_file"),
        (
            LOGIN | {"kafka_security": "plaintext"},
            "but kafka_security is plaintext: set it to sasl_",
        ),
        (LOGIN | {"kafka_security": "ssl"}, "but kafka_security is ssl: set it to sasl_ssl"),
        ({"kafka_ca": "ca.pem"}, "there is a kafka_ca, kafka_certificate or kafka_key, but"),
        ({"kafka_security": "ssl", "kafka_certificate": "own.pem"}, "but no kafka_key"),
        ({"kafka_security": "ssl", "kafka_key": "own.key"}, "but no kafka_certificate"),
        ({"kafka_security": "ssl", "kafka_ca": "gone.pem"}, "gone.pem: No such file"),
        ({"kafka_security": "ssl", "kafka_ca": "no.pem"}, "no.pem cannot be used"),
        (
            {"kafka_security": "ssl", "kafka_certificate": "ca.pem", "kafka_key": "own.key"},
            "own.key cannot be used: KEY_VALUES_MISMATCH",
        ),
        (
            LOGIN | {"kafka_password_file": "password"},
            "both kafka_password and kafka_password_file",
        ),
        (
            {"kafka_security": "ssl", "kafka_certificate": "own.pem", "kafka_key": "locked.key"},
            "locked.key cannot be used: no PEM, or a key with a pass phrase",
        ),
        (LOGIN | {"kafka_password": "", "kafka_password_file": "gone"}, "gone: No such file"),
        (LOGIN | {"kafka_password": "", "kafka_password_file": "empty"}, "empty is empty"),
    ],
)
def test_what_cannot_be_meant_is_said_before_anything_connects(
    files: Path, monkeypatch: pytest.MonkeyPatch, values: dict[str, object], said: str
) -> None:
    monkeypatch.chdir(files)
    with pytest.raises(ConfigError) as wrong:
        security.use(settings(**values))
    assert said in str(wrong.value)
    assert PASSWORD not in str(wrong.value)
    assert explain(wrong.value).code == ExitCode.USAGE


def test_settings_become_what_clients_take(files: Path) -> None:
    assert security.of(Settings()) == PLAINTEXT
    assert PLAINTEXT.arguments() == {"security_protocol": "PLAINTEXT"}
    values = {
        "kafka_security": "SASL_SSL",
        "kafka_ca": files / "ca.pem",
        "kafka_certificate": files / "own.pem",
        "kafka_key": files / "own.key",
        "kafka_sasl": "scram-sha-256",
        "kafka_user": "engine",
        "kafka_password_file": files / "password",
    }
    arguments = security.of(settings(**{key: str(v) for key, v in values.items()})).arguments()
    context = arguments.pop("ssl_context")
    assert context.check_hostname
    assert [ca["subject"] for ca in context.get_ca_certs()]
    assert arguments == {
        "security_protocol": "SASL_SSL",
        "sasl_mechanism": "SCRAM-SHA-256",
        "sasl_plain_username": "engine",
        "sasl_plain_password": PASSWORD,
    }


async def test_every_client_of_a_process_is_built_so() -> None:
    security.use(settings(**LOGIN))
    consumer, producer = kafka.consumer("h:1"), kafka.producer("h:1")
    other = kafka.producer("h:1", secured=PLAINTEXT)
    clients = [consumer._client, producer.client, other.client]
    assert [one._security_protocol for one in clients] == ["SASL_SSL", "SASL_SSL", "PLAINTEXT"]
    assert consumer._client._sasl_plain_password == PASSWORD
    for one in (producer, other):
        await one.stop()
    await consumer.stop()


def test_nobody_builds_a_client_past_the_settings() -> None:
    """Each constructor of aiokafka's in the product is given what clearing.security says."""
    built: list[str] = []
    names = {"AIOKafkaProducer", "AIOKafkaConsumer", "AIOKafkaAdminClient", "Producer", "Consumer"}
    folder = Path(clearing.__file__).parent
    for file in folder.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text("utf-8"))):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") in names:
                built.append(file.relative_to(folder).as_posix())
    assert sorted(built) == [
        *("dev/banks.py", "dev/banks.py", "dev/kafka.py"),
        *("kafka.py", "kafka.py", "kafka.py"),
    ]


def test_faust_logs_in_as_the_others() -> None:
    assert _credentials(PLAINTEXT) is None
    assert isinstance(_credentials(Security("ssl")), SSLCredentials)
    login = _credentials(security.of(settings(**LOGIN)))
    assert isinstance(login, SASLCredentials)
    assert (login.protocol.value, login.mechanism.value) == ("SASL_SSL", "SCRAM-SHA-512")
    assert (login.username, login.password) == ("engine", PASSWORD)
    in_the_clear = _credentials(
        Security("sasl_plaintext", user="a", password="b", mechanism="PLAIN")
    )
    assert in_the_clear is not None
    assert in_the_clear.protocol.value == "SASL_PLAINTEXT"


# --- what nobody may see -----------------------------------------------------------------------------------------


def test_a_secret_shows_itself_to_nobody() -> None:
    found = settings(**LOGIN)
    said = security.of(found)
    for text in (repr(found), str(found), repr(said), str(shown(found.kafka_password))):
        assert PASSWORD not in text
    assert "***" in repr(found)
    with pytest.raises(TypeError):
        msgspec.json.encode(found)
    with pytest.raises(ConfigError) as wrong:
        config.load(kafka_password=[PASSWORD])
    assert PASSWORD not in str(wrong.value)


def test_config_show_has_no_secrets(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run = Runner(capsys)
    for name, value in LOGIN.items():
        monkeypatch.setenv(f"CLEARING_{name.upper()}", value)
    for how in ((), ("--json",)):
        ended = run("config", "show", *how)
        assert ended.code == ExitCode.OK
        assert "***" in ended.out
        assert "CLEARING_KAFKA_PASSWORD" in ended.out
        assert PASSWORD not in ended.out + ended.err


def test_settings_that_cannot_be_used_are_shown(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """`clearing config show` is what the error says to look at."""
    run = Runner(capsys)
    monkeypatch.setenv("CLEARING_KAFKA_SECURITY", "tls")
    assert run("config", "show").code == ExitCode.OK
    ended = run("status")
    assert ended.code == ExitCode.USAGE
    assert "kafka_security is tls" in ended.err


def test_a_child_process_gets_the_password() -> None:
    assert environment(settings(**LOGIN), "x")["CLEARING_KAFKA_PASSWORD"] == PASSWORD
    assert environment(Settings(), "x")["CLEARING_KAFKA_PASSWORD"] == ""


@pytest.mark.parametrize("log_format", ["json", "console"])
def test_tracebacks_in_logs_have_no_values(
    log_format: str, capsys: pytest.CaptureFixture[str]
) -> None:
    configure_logs(Settings(log_format=log_format))

    def fail(sasl_plain_password: str) -> None:
        raise ValueError("went wrong")

    for log in (structlog.get_logger(), logging.getLogger("aiokafka")):
        try:
            fail(PASSWORD)
        except ValueError:
            log.exception("failed")
    said = capsys.readouterr().err
    assert said.count("went wrong") >= 2
    assert PASSWORD not in said


def test_aiokafkas_log_of_requests_is_without_logins(caplog: pytest.LogCaptureFixture) -> None:
    security.of(settings(**LOGIN)).arguments()
    log = logging.getLogger("aiokafka.conn")
    login: Any = SaslAuthenticateRequest(PASSWORD.encode()).prepare({36: (0, 0)})
    assert isinstance(login, SaslAuthenticateRequest_v0)
    with caplog.at_level(logging.DEBUG, "aiokafka.conn"):
        log.debug("Request to %s:%d %d: %s", "h", 1, 2, login)
        log.debug("Request to %s:%d %d: %s", "h", 1, 3, "another")
    assert PASSWORD not in caplog.text
    assert "another" in caplog.text


def test_a_refusal_names_the_settings() -> None:
    failure = explain(Refused("h:1 refuses the login of engine", "kafka_user"))
    assert (failure.message, failure.hint) == (
        "Kafka: h:1 refuses the login of engine",
        "kafka_user",
    )
    assert failure.code == ExitCode.USAGE
    hangs_up = explain(Refused("h:1 hangs up on ssl", "kafka_security", passing=True))
    assert hangs_up.code == ExitCode.UNREACHABLE  # a supervisor tries again: it may be starting


def test_secrets_are_compared_by_what_they_are() -> None:
    assert Secret("a") == Secret("a") != Secret("b")
    assert hash(Secret("a")) == hash(Secret("a"))
    assert not Secret()
    assert json.dumps(str(Secret("a"))) == '"***"'
