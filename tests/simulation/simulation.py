"""One simulated world: loop, cluster, network and processes, all of one seed.

Needs `installed(simulation)` around it (tests/simulation/install.py), which puts its clock, its chance and its
network where the product and the Kafka client look for theirs.
"""

from collections.abc import Awaitable, Callable
from random import Random
from typing import Any

from tests.simulation.answers import Answers
from tests.simulation.broker import Broker
from tests.simulation.loop import VirtualLoop
from tests.simulation.network import Network
from tests.simulation.processes import Process, current

EPOCH_MS = 1_773_057_600_000  # Monday 2026-03-09 12:00 UTC
EPOCH_S = EPOCH_MS / 1000
FIRST_PID = 100

Note = Callable[[str, str], None]  # who, what


class Simulation:
    """random: for fault plans. nodes: of the cluster. note: told what clients ask of the cluster, for traces."""

    def __init__(self, seed: int, note: Note | None = None, *, nodes: int = 3) -> None:
        self.seed = seed
        self.random = Random(f"faults {seed}")
        self.client_random = Random(f"clients {seed}")
        self.loop = VirtualLoop(Random(f"threads {seed}").random)
        self.broker = Broker(self.loop, self.wall_ms, Random(f"broker {seed}"), nodes)
        self.network = Network(self.loop, Answers(self.broker), Random(f"network {seed}"))
        self.processes: dict[str, Process] = {}
        self._next_pid = FIRST_PID
        if note is not None:
            self.network.watch = lambda sent: note(sent.process, sent.words())

    @property
    def now_s(self) -> float:
        return self.loop.now

    def wall_ms(self) -> int:
        """The cluster's clock, which nothing skews."""
        return int((EPOCH_S + self.loop.now) * 1000)

    def time(self) -> float:
        """time.time() of whoever asks."""
        process = current()
        skew_s = process.skew_s if process is not None else 0.0
        return EPOCH_S + self.loop.now + skew_s

    def pid(self) -> int:
        process = current()
        return process.pid if process is not None else 1

    def start(self, name: str, main: Callable[[], Awaitable[Any]]) -> Process:
        """Start a process; one of this name that lives is an error of the caller's."""
        former = self.processes.get(name)
        assert former is None or not former.alive, f"{former} is still there"
        self._next_pid += 1
        process = Process(self.loop, name, self._next_pid, main)
        process.on_death(lambda: self.network.died(process))
        self.processes[name] = process
        return process

    def call_at(self, when_s: float, callback: Callable[[], None]) -> None:
        """In the world's name: a step of a plan."""
        self.loop.call_in_nobodys_name(max(0.0, when_s - self.loop.now), callback)

    def run(self, for_s: float) -> None:
        self.loop.run_for(for_s)

    def run_until(self, condition: Callable[[], bool], within_s: float) -> bool:
        """Whether it came to hold. Looked at whenever time passes."""
        return self.loop.run_for(within_s, condition)

    def close(self, *, collect: bool = True) -> None:
        """End everything without a sound; collect: free what lies in cycles, too."""
        for process in self.processes.values():
            if process.alive:
                process.alive, process.blocked = False, True
        self.loop.bury(collect=collect)
