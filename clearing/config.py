"""Settings of every process: defaults < TOML file < environment (CLEARING_…) < command-line flags.

One flat, typed structure. Which Kafka, which ledger, where files go; business rules live in the scheme.
"""

import os
import tomllib
from pathlib import Path
from typing import Any

import msgspec

from clearing.names import Topics


def default_home() -> Path:
    """The one folder everything is cached and kept in: CLEARING_CACHE or the user's cache folder."""
    if configured := os.environ.get("CLEARING_CACHE"):
        return Path(configured).expanduser()
    base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(base).expanduser() / "clearing-engine"


class Secret:
    """Text that nothing shows: no log line, no traceback, no `clearing config show`; JSON refuses it."""

    __slots__ = ("_text",)

    def __init__(self, text: str = "") -> None:
        self._text = text

    def reveal(self) -> str:
        return self._text

    def __repr__(self) -> str:
        return "***" if self._text else ""

    def __bool__(self) -> bool:
        return bool(self._text)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and self._text == other._text

    def __hash__(self) -> int:
        return hash(self._text)


NO_SECRET = Secret()


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """bootstrap: Kafka servers host:port,…; dsn: PostgreSQL URL of the ledger; snapshots: folder of engine
    snapshots (shared between hosts if engines are to take over quickly from one another); snapshot_every_s: how
    much of the log a restart replays at most, in time."""

    bootstrap: str = "127.0.0.1:9092"
    # plaintext | ssl | sasl_plaintext | sasl_ssl: what the cluster's listener speaks (clearing.security).
    kafka_security: str = "plaintext"
    kafka_ca: str = (
        ""  # PEM file of who signs the brokers' certificates. "": those the system trusts
    )
    # PEM files of this process's own certificate and its key, where brokers ask for one.
    kafka_certificate: str = ""
    kafka_key: str = ""
    kafka_sasl: str = "SCRAM-SHA-512"  # PLAIN | SCRAM-SHA-256 | SCRAM-SHA-512
    kafka_user: str = ""
    # Its password: in CLEARING_KAFKA_PASSWORD, or the first line of a file.
    kafka_password: Secret = NO_SECRET
    kafka_password_file: str = ""
    dsn: str = ""
    topic_prefix: str = ""
    snapshots: str = ""
    snapshot_every_s: float = 60.0
    # Whether an engine keeps warm copies of the netting sets that others serve, to take over within a second: each
    # costs as much memory and CPU again.
    standby: bool = False
    # Name of this process among its peers: restarted under it, it goes on at once.
    instance: str = ""
    log_format: str = "auto"  # auto | json | console
    log_level: str = "info"
    metrics_port: int = 0  # 0: any free port, -1: none
    # Seconds between two probes of no value that `clearing views` sends round (ops/adr/0019-probe.md). 0: none.
    probe_every_s: float = 5.0
    metrics_host: str = "127.0.0.1"  # 0.0.0.0: to be scraped from other hosts

    @property
    def topics(self) -> Topics:
        return Topics(self.topic_prefix)

    @property
    def snapshot_folder(self) -> Path:
        return Path(self.snapshots) if self.snapshots else default_home() / "snapshots"


class ConfigError(Exception):
    """A setting that cannot be used; the message names where it came from."""


def settings_file(path: Path | None = None) -> Path | None:
    """The file settings are read from: `path`, CLEARING_CONFIG, or ./clearing.toml if it exists."""
    if named := path or (Path(p) if (p := os.environ.get("CLEARING_CONFIG")) else None):
        return named
    usual = Path("clearing.toml")
    return usual if usual.exists() else None


def read_file(file: Path) -> dict[str, object]:
    """What a settings file says. Raises ConfigError."""
    try:
        return tomllib.loads(file.read_text("utf-8"))
    except OSError as error:
        raise ConfigError(f"{file}: {error.strerror}") from error
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"{file}: {error}") from error


def load(path: Path | None = None, **flags: object) -> Settings:
    """Settings from file (see `settings_file`), environment and flags. Raises ConfigError."""
    file = settings_file(path)
    values = read_file(file) if file else {}
    for name in Settings.__struct_fields__:
        if (value := os.environ.get(f"CLEARING_{name.upper()}")) is not None:
            values[name] = value
    values |= {name: value for name, value in flags.items() if value is not None}
    try:
        return msgspec.convert(values, Settings, strict=False, dec_hook=_decode)
    except msgspec.ValidationError as error:
        raise ConfigError(str(error)) from error


def _decode(kind: type, value: Any) -> Any:
    if kind is Secret and isinstance(value, str):
        return Secret(value)
    raise TypeError(f"a {kind.__name__.lower()} is text")  # what it is must not be said
