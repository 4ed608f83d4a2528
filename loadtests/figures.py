"""What a load test is asked for and what it gives: options, the machine, the figures. Values only."""

import os
import platform
from importlib.metadata import version
from pathlib import Path

import msgspec
import psutil

from clearing import __version__
from clearing.dev.jars import KAFKA_VERSION
from loadtests.meter import Measured
from loadtests.publish import Published
from loadtests.raw import Read


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """payments: backlog of the stages alone, and again for all together. rate: of the latency run, payments/s."""

    payments: int = 1_000_000
    seed: int = 1
    odd: float = 0.0
    bulk: float = 0.0
    intakes: int = 1
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


class Figures(msgspec.Struct, frozen=True, kw_only=True):
    """What a proved load test has measured. latency_ms: quantile → published until read by the bank."""

    machine: Machine
    options: Options
    published: Published
    raw: Read
    stages: list[Measured]
    latency_ms: dict[str, float]
    log_bytes_per_payment: float
    claims: int


def machine(load: float) -> Machine:
    """This machine and what runs on it."""
    packages = ("aiokafka", "msgspec", "numpy", "pyarrow", "asyncpg", "uvloop")
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
