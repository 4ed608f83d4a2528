"""Rates and CPU between two points of a stage's work: starting up and running dry are left out.

CPU is what the operating system has charged to the processes, children included; progress comes from the topics.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import NamedTuple

import msgspec
import psutil

FROM, TO = 0.05, 0.95  # the part of the work that is measured
SAMPLE_S = 0.05
STALL_S = 60.0

Progress = Callable[[], Awaitable[int]]
Group = Mapping[str, list[int]]  # name → pids


class Stalled(Exception):
    """A stage has stopped getting on."""


class Measured(msgspec.Struct, frozen=True, kw_only=True):
    """`done` things in `seconds`; CPU seconds by group of processes. took_s: all of it, with start and end."""

    stage: str
    unit: str
    done: int
    seconds: float
    cpu_s: dict[str, float]
    took_s: float

    @property
    def per_s(self) -> float:
        return self.done / self.seconds

    def cpu_us(self, group: str) -> float:
        """CPU microseconds of a group for each thing done."""
        return 1e6 * self.cpu_s[group] / self.done


class _Sample(NamedTuple):
    at_s: float
    done: int
    cpu_s: dict[str, float]


def cpu_seconds(pid: int) -> float:
    """CPU of a process and its children, those included that it has waited for."""
    process = psutil.Process(pid)
    total = 0.0
    for each in (process, *process.children(recursive=True)):
        try:
            times = each.cpu_times()
        except psutil.NoSuchProcess:
            continue  # a child that ended meanwhile: its parent has it
        total += times.user + times.system + times.children_user + times.children_system
    return total


async def measure(
    stage: str, unit: str, total: int, progress: Progress, groups: Callable[[], Group]
) -> Measured:
    """Follow a stage until `total` is done. Raises Stalled when nothing moves for STALL_S."""
    began = time.monotonic()
    samples: list[_Sample] = []
    moved_s, last = began, -1
    while True:
        done = await progress()
        now = time.monotonic()
        cpu = {name: sum(map(cpu_seconds, pids)) for name, pids in groups().items()}
        samples.append(_Sample(now, done, cpu))
        if done >= total:
            break
        if done != last:
            moved_s, last = now, done
        elif now - moved_s > STALL_S:
            raise Stalled(f"{stage} has done {done:,} of {total:,} {unit} and stopped there")
        await asyncio.sleep(SAMPLE_S)
    first = next(sample for sample in samples if sample.done >= FROM * total)
    end = next(sample for sample in samples if sample.done >= TO * total)
    if end.done == first.done:  # done at one blow: the whole of it, start included
        first = samples[0]
    return Measured(
        stage=stage,
        unit=unit,
        done=end.done - first.done,
        seconds=end.at_s - first.at_s,
        cpu_s={name: end.cpu_s[name] - first.cpu_s.get(name, 0.0) for name in end.cpu_s},
        took_s=time.monotonic() - began,
    )
