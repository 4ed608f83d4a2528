"""A real, single-node Apache Kafka (KRaft) as a child process, on a Java runtime from PyPI.

    async with EmbeddedKafka(folder) as kafka:
        ...  # kafka.bootstrap

The broker's log file is `<folder>/broker.log`; everything else it writes is below `<folder>` too.
"""

import shutil
import signal
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from clearing.dev.cache import exclusive
from clearing.dev.jars import Progress
from clearing.dev.kafka_home import (
    LONG_LIVED,
    NO_USERS,
    KafkaHome,
    clean_environment,
    install,
    kafka_folder,
    storage_tool_format,
)
from clearing.dev.process import Child, ServerError, accepts, free_port, spawn, until_ready
from clearing.security import PLAINTEXT, Security

NODE_ID = 1
# A download by a slow line included.
INSTALL_TIMEOUT_MS = 600_000

SETTINGS: Mapping[str, object] = {
    "process.roles": "broker,controller",
    "node.id": NODE_ID,
    "controller.listener.names": "CONTROLLER",
    "listener.security.protocol.map": "CONTROLLER:PLAINTEXT,BROKER:PLAINTEXT",
    "inter.broker.listener.name": "BROKER",
    # Everything has exactly one replica.
    "default.replication.factor": 1,
    "offsets.topic.replication.factor": 1,
    "offsets.topic.num.partitions": 10,
    "transaction.state.log.replication.factor": 1,
    "transaction.state.log.min.isr": 1,
    "transaction.state.log.num.partitions": 10,
    "share.coordinator.state.topic.replication.factor": 1,
    "share.coordinator.state.topic.min.isr": 1,
    # Topics come from topics/topics.toml, never by a typing error.
    "auto.create.topics.enable": "false",
    "message.max.bytes": 16 << 20,
    "replica.fetch.max.bytes": 16 << 20,
    # No waiting for group members that may yet come; a killed one is noticed in seconds.
    "group.initial.rebalance.delay.ms": 0,
    "group.min.session.timeout.ms": 1_000,
    "transaction.abort.timed.out.transaction.cleanup.interval.ms": 1_000,
    # After a kill -9 the new broker waits for the old one's session to end: 3 s instead of 9.
    "broker.session.timeout.ms": 3_000,
    "broker.heartbeat.interval.ms": 500,
    # A small machine: few threads, and 16 MiB instead of 128 for the compacting thread.
    "num.network.threads": 2,
    "num.io.threads": 4,
    "background.threads": 2,
    "log.cleaner.dedupe.buffer.size": 16 << 20,
}


class EmbeddedKafka:
    """One broker with its data in `data_dir`; may be stopped, killed and started again.

    `bootstrap` is known after the first start and stays the same for as long as its port is free.
    `settings` are broker properties over SETTINGS; `progress` hears of downloads (jars there, in all).
    `proxy_port` is that of a KafkaProxy: clients that come through it are told to stay on it. `secured`: how its
    listener is reached, where `settings` make it another than in the clear; `users`: who may log in by
    SCRAM-SHA-512, and the password: those that an empty data folder begins with. `long_lived`: its JVM optimises
    what runs often, which pays after a minute under load.
    """

    def __init__(
        self,
        data_dir: Path,
        *,
        heap_mib: int = 1024,
        settings: Mapping[str, object] | None = None,
        start_timeout_ms: int = 60_000,
        stop_timeout_ms: int = 30_000,
        progress: Progress | None = None,
        proxy_port: int | None = None,
        secured: Security = PLAINTEXT,
        users: Mapping[str, str] = NO_USERS,
        long_lived: bool = False,
    ) -> None:
        self.data_dir = data_dir.absolute()
        self.log_path = self.data_dir / "broker.log"
        self._heap_mib = heap_mib
        self._settings = {**SETTINGS, **(settings or {})}
        self._start_timeout_ms = start_timeout_ms
        self._stop_timeout_ms = stop_timeout_ms
        self._progress = progress
        self._proxy_port = proxy_port
        self._secured = secured
        self._users = users
        self._compiler = LONG_LIVED if long_lived else ()
        self._ports: list[int] = []  # broker, controller, what is behind the proxy
        self._child: Child | None = None

    @property
    def bootstrap(self) -> str:
        """`host:port` for clients. Raises ServerError before the first start."""
        if not self._ports:
            raise ServerError("Kafka has not been started yet")
        return f"127.0.0.1:{self._ports[0]}"

    @property
    def behind_proxy(self) -> tuple[str, int]:
        """Where the proxy is to forward to. Raises ServerError before the first start, or without a proxy."""
        if len(self._ports) < 3:
            raise ServerError("Kafka has no listener for a proxy, or was not started yet")
        return "127.0.0.1", self._ports[2]

    @property
    def running(self) -> bool:
        return self._child is not None and self._child.running

    @property
    def pid(self) -> int:
        """Of the JVM itself. Raises ServerError if it does not run."""
        if self._child is None or not self._child.running:
            raise ServerError("Kafka does not run")
        return self._child.pid

    async def start(self) -> None:
        """Bring the broker up; returns when it answers for its topics.

        Raises ServerError (with the end of the log) and JarError; leaves no process behind then.
        """
        if self.running:
            raise ServerError("Kafka runs already")
        async with exclusive(kafka_folder(), INSTALL_TIMEOUT_MS):
            home = await install(self._progress)
            if not home.trained:
                await train(home)
        if not (self.data_dir / "data" / "meta.properties").exists():
            shutil.rmtree(self.data_dir / "data", ignore_errors=True)  # half formatted
            await self._format(home)
        await self._launch(home, home.use_archive())

    async def _format(self, home: KafkaHome) -> None:
        if self._users:
            properties = self._write_properties()
            await storage_tool_format(home, properties, self.log_path, self._users)
        else:
            home.format(self.data_dir / "data", NODE_ID)

    async def _launch(self, home: KafkaHome, flags: tuple[str, ...]) -> None:
        properties = self._write_properties()
        scratch = self.data_dir / "tmp"  # the codecs unpack their native libraries there
        shutil.rmtree(scratch, ignore_errors=True)
        scratch.mkdir()
        memory = (
            f"-Xmx{self._heap_mib}m",
            f"-Djava.io.tmpdir={scratch}",
            f"-XX:ErrorFile={self.data_dir / 'jvm-crash.log'}",
            # Where there is an authorizer: what it has denied, and to whom.
            "-Dorg.slf4j.simpleLogger.log.kafka.authorizer.logger=info",
        )
        self._child = spawn(
            home.command("kafka.Kafka", properties, flags=(*memory, *self._compiler, *flags)),
            cwd=self.data_dir,
            log=self.log_path,
            environment=clean_environment(),
        )
        try:
            await until_ready(
                "Kafka", self._child, self.log_path, self._ready, self._start_timeout_ms
            )
        except BaseException:
            await self.kill()
            raise

    async def _ready(self) -> bool:
        """A metadata request is answered, the broker is registered, and every partition has its leader."""
        # Asked first because aiokafka logs each refused connection.
        if not await accepts(int(self.bootstrap.rpartition(":")[2])):
            return False
        admin = AIOKafkaAdminClient(
            bootstrap_servers=self.bootstrap, request_timeout_ms=5_000, **self._secured.arguments()
        )
        try:
            await admin.start()
            cluster = await admin.describe_cluster()
            topics = await admin.describe_topics()
        except KafkaError:
            return False  # until_ready bounds this, and shows the broker's own log
        finally:
            await admin.close()
        leaderless = [p for topic in topics for p in topic["partitions"] if p["leader"] < 0]
        return bool(cluster["brokers"]) and not leaderless

    async def stop(self) -> None:
        """End the broker in order (it writes its recovery points); kill it if that takes too long."""
        if self._child is not None:
            await self._child.stop(signal.SIGTERM, self._stop_timeout_ms)
            self._child = None

    async def kill(self) -> None:
        """SIGKILL, as a crash would; returns when the process is gone."""
        if self._child is not None:
            await self._child.stop(signal.SIGKILL, self._stop_timeout_ms)
            self._child = None

    async def restart(self) -> None:
        """Stop in order and start again, on the same port."""
        await self.stop()
        await self.start()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.stop()

    def _choose_ports(self) -> list[int]:
        """Those of the last start, also of an earlier process with the same folder, if they are free."""
        memory = self.data_dir / "ports"
        before = [int(word) for word in memory.read_text().split()] if memory.exists() else []
        ports: list[int] = []
        for number in range(2 if self._proxy_port is None else 3):
            preferred = before[number] if number < len(before) else None
            ports.append(free_port(preferred, taken=ports))
        memory.write_text(" ".join(map(str, ports)) + "\n")
        return ports

    def _write_properties(self) -> Path:
        self.data_dir.mkdir(parents=True, exist_ok=True)
        self._ports = ports = self._choose_ports()
        broker, controller = (f"127.0.0.1:{port}" for port in ports[:2])
        listeners = advertised = f"BROKER://{broker}"
        protocols = self._settings["listener.security.protocol.map"]
        if self._proxy_port is not None:
            listeners += f",PROXY://127.0.0.1:{ports[2]}"
            advertised += f",PROXY://127.0.0.1:{self._proxy_port}"
            protocols = f"{protocols},PROXY:PLAINTEXT"
        settings = self._settings | {
            "listeners": f"{listeners},CONTROLLER://{controller}",
            "advertised.listeners": advertised,
            "listener.security.protocol.map": protocols,
            "controller.quorum.voters": f"{NODE_ID}@{controller}",
            "log.dirs": self.data_dir / "data",
        }
        path = self.data_dir / "server.properties"
        path.write_text("".join(f"{key}={value}\n" for key, value in settings.items()))
        return path


async def train(home: KafkaHome) -> None:
    """Start and stop a broker once, so that later ones start fast. The caller holds the home's lock.

    Leaves the template of an empty data folder and the JVM's archive in `home`; takes about 6 s.
    """
    scratch = home.folder / "training"
    shutil.rmtree(scratch, ignore_errors=True)
    for outdated in home.folder.glob("java-*.aot"):
        outdated.unlink()
    made = scratch / "made.aot"
    broker = EmbeddedKafka(scratch, stop_timeout_ms=120_000)
    try:
        properties = broker._write_properties()
        await storage_tool_format(home, properties, broker.log_path)
        shutil.copyfile(scratch / "data" / "bootstrap.checkpoint", home.bootstrap_checkpoint)
        await broker._launch(home, (f"-XX:AOTCacheOutput={made}",))
        await broker.stop()  # the JVM writes the archive as it ends
        if not made.exists():
            raise ServerError(f"the JVM wrote no start-up archive. See {broker.log_path}")
        made.replace(home.archive)
    finally:
        await broker.kill()
        shutil.rmtree(scratch, ignore_errors=True)
