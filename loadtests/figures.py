"""What a benchmark is asked for and what it gives: options, the machine, the figures. Values only."""

import os
import platform
import statistics
from collections.abc import Iterable
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple

import msgspec
import psutil

from clearing import __version__
from clearing.dev.jars import KAFKA_VERSION
from loadtests.meter import Measured
from loadtests.peers.streams import STREAMS_VERSION
from loadtests.peers.work import Round
from loadtests.raw import Read
from loadtests.transactions import Transactions

ROLES = ("intake", "engine", "dispatch", "sink")


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """payments: of a round of the comparison, and of a workload. bulk_payments: of one with many in a record.

    rounds: of the comparison, after one to warm up. minutes: begin nothing that would take longer. rate: of the
    latency run, payments/s.
    """

    payments: int = 300_000
    bulk_payments: int = 300_000
    rounds: int = 5
    peers: tuple[str, ...] = ()
    workloads: tuple[str, ...] = ()
    seed: int = 1
    minutes: float = 10.0
    rate: float = 2_000.0
    bootstrap: str = ""
    dsn: str = ""


class Machine(msgspec.Struct, frozen=True, kw_only=True):
    """Where it was measured. load: average of the last minute before the start."""

    processor: str
    cores: int
    memory_gib: float
    system: str
    python: str
    load: float
    versions: dict[str, str]


class Spread(NamedTuple):
    """Of some repetitions."""

    low: float
    median: float
    high: float

    @classmethod
    def of(cls, values: Iterable[float]) -> "Spread":
        found = sorted(values)
        return cls(found[0], statistics.median(found), found[-1])


class Together(msgspec.Struct, frozen=True, kw_only=True):
    """One round of ours, everything at work: from the moment its payments can be read.

    seconds: until the last bank is told. settled_s: until the ledger has the last batch; until then cpu_s is
    counted, of each role and of the servers where they are ours. memory_bytes: resident, of all roles.
    """

    workload: str
    payments: int
    seconds: float
    settled_s: float
    cpu_s: dict[str, float]
    memory_bytes: int

    @property
    def ours_s(self) -> float:
        """CPU of all our processes."""
        return sum(self.cpu_s[role] for role in ROLES)

    @property
    def per_cpu_s(self) -> float:
        return self.payments / self.ours_s


class Stages(msgspec.Struct, frozen=True, kw_only=True):
    """A workload, each stage alone over all of it. own_consumer: Kafka's own, None if it is not to be had."""

    workload: str
    says: str
    payments: int
    records: int
    size_bytes: int
    log_bytes: int
    raw: Read
    own_consumer: Read | None
    stages: list[Measured]

    def stage(self, role: str) -> Measured:
        return next(stage for stage in self.stages if stage.stage == role)


class Figures(msgspec.Struct, frozen=True, kw_only=True):
    """What a benchmark that is valid has measured.

    ours, peers: rounds of the comparison, in their order. missing: peer or workload → why there are no figures of
    it. bulk: workload → rounds of ours, all at work. latency_ms: quantile → published until read by the bank.
    """

    machine: Machine
    options: Options
    ours: list[Together]
    peers: dict[str, list[Round]]
    missing: dict[str, str]
    transactions: Transactions
    bulk: dict[str, list[Together]]
    workloads: list[Stages]
    sink: Measured | None
    latency_ms: dict[str, float]
    claims: int
    took_s: float

    def workload(self, name: str) -> Stages | None:
        return next((each for each in self.workloads if each.workload == name), None)

    def rounds(self, workload: str) -> list[Together]:
        """Of ours over a workload, everything at work."""
        return self.ours if workload == "uniform" else self.bulk.get(workload, [])

    def ratio(self, peer: str, workload: str = "") -> Spread | None:
        """Payments per CPU-second of ours over the peer's, round by round; of a bulk workload over the median."""
        theirs = [per_cpu_s(one) for one in self.peers.get(peer, ())]
        ours = [one.per_cpu_s for one in self.rounds(workload or "uniform")]
        if not theirs or not ours:
            return None
        if workload:
            return Spread.of(one / statistics.median(theirs) for one in ours)
        return Spread.of(one / other for one, other in zip(ours, theirs, strict=False))


def per_cpu_s(one: Round) -> float:
    """Payments per CPU-second of a peer."""
    return one.payments / one.cpu_s


def machine(load: float) -> Machine:
    """This machine and what runs on it."""
    packages = ("aiokafka", "faust-streaming", "msgspec", "numpy", "pyarrow", "asyncpg", "uvloop")
    return Machine(
        processor=_processor(),
        cores=os.cpu_count() or 0,
        memory_gib=round(psutil.virtual_memory().total / 2**30, 1),
        system=platform.platform(),
        python=platform.python_version(),
        load=round(load, 2),
        versions={
            "clearing-engine": __version__,
            "kafka": KAFKA_VERSION,
            "kafka-streams": STREAMS_VERSION,
            **{name: version(name) for name in packages},
        },
    )


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
