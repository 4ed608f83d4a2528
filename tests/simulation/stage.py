"""One simulated installation: the product's loops as processes, a broker, a ledger, banks; who dies is restarted.

What goes wrong on it comes from tests/simulation/injection.py; tests/simulation/run.py has the order of a run.
"""

import hashlib
import random
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import structlog

from clearing import failpoints, kafka
from clearing.config import Settings
from clearing.core.state import NettingSet
from clearing.dispatch import lane as dispatch_lane
from clearing.dispatch import told as dispatch_told
from clearing.dispatch import worker as dispatch
from clearing.engine import machine, processor, ticker
from clearing.engine import worker as engine
from clearing.intake import directory as intake_directory
from clearing.intake import lane as intake_lane
from clearing.intake import packing as intake_packing
from clearing.intake import worker as intake
from clearing.ledgers import sink, tenure
from tests.simulation import processes
from tests.simulation.install import installed
from tests.simulation.ledger import Server
from tests.simulation.network import Sent
from tests.simulation.onlooker import Onlooker
from tests.simulation.remembered import remembered
from tests.simulation.replacing import replaced
from tests.simulation.simulation import EPOCH_MS, Simulation
from tests.simulation.trace import FAULT, Trace
from tests.simulation.workload import Town, draw_size

RESTART_S = 0.5  # how soon the supervisor starts again what ended by itself
REQUEST_TIMEOUT_MS = 4_000
SESSION_TIMEOUT_MS = 3_000
HEARTBEAT_INTERVAL_MS = 1_400
OPENING_S = 0.1
POSITIONS_INTERVAL_MS = (500, 2_000, 2_000)

_MEMBERSHIP: dict[str, tuple[float, ...]] = {
    "SESSION_TIMEOUT_MS": (SESSION_TIMEOUT_MS,),
    "HEARTBEAT_INTERVAL_MS": (HEARTBEAT_INTERVAL_MS,),
}
# Bounds of the product, small and quick enough for a few dozen payments and half a minute to meet them all.
_SIZES: dict[object, dict[str, tuple[float, ...]]] = {
    kafka: {"REQUEST_TIMEOUT_MS": (REQUEST_TIMEOUT_MS,), "METADATA_AGE_MS": (30_000,)},
    intake_directory: {"WAIT_MS": (5_000,)},
    intake_packing: {"MAX_ROWS": (6, 8192, 8192)},
    intake_lane: {
        "OVERLAP_ROWS": (4, 12),
        "SOURCE_RECORDS": (3, 2048, 2048),
        "MAX_ROWS": (16, 60),
        "WAIT_MS": (1_000,),
    },
    intake: {
        "COMMIT_INTERVAL_S": (0.5, 1.5),
        "METADATA_AGE_MS": (10_000,),
        "RECOGNISE_INTERVAL_S": (4.0,),
        "MEASURE_INTERVAL_S": (20,),
        "WATCH_MS": (5_000,),
        "RETRY_INTERVAL_S": (3,),
        **_MEMBERSHIP,
    },
    processor: {
        "TRANSACTION_TIMEOUT_MS": (6_000,),
        "COMMIT_TIMEOUT_S": (4.0,),
        "RECORDS_PER_CYCLE": (1, 3, 24),
        "SNAPSHOT_EVERY_RECORDS": (3, 6),
    },
    engine: _MEMBERSHIP,
    ticker: {"IDLE_POLL_MS": (2_000,)},
    dispatch: {"COMMIT_INTERVAL_S": (0.4, 1.0), **_MEMBERSHIP},
    dispatch_lane: {"RECORDS_PER_POLL": (2, 32), "POLL_MS": (2_000,)},
    dispatch_told: {"FIRST_STEP_RECORDS": (2, 16)},
    sink: {"POLL_MS": (1_000,), **_MEMBERSHIP},
    tenure: {
        "RECORDS_PER_POLL": (4, 500),
        "POLL_MS": (2_000,),
        "ENTRIES_PER_TRANSACTION": (4, 40, 2_000),
        "CONFIRMATIONS_PER_PAGE": (2, 500),
        "RETRY_S_MAX": (2.0,),
    },
}

# Requests that the trace is silent of.
_EVERYDAY = {"Fetch", "Heartbeat", "Metadata", "ListOffsets"}

_MAINS: dict[str, Callable[[Settings], Awaitable[None]]] = {
    "intake": lambda settings: intake.run(settings),
    "engine": lambda settings: engine.run(settings),
    "dispatch": lambda settings: dispatch.run(settings),
    "sink": lambda settings: sink.run(settings),
}


@dataclass(slots=True)
class Service:
    """process: the one that runs, or the last that did. kept: whether it is started again when it ends."""

    name: str
    main: Callable[[Settings], Awaitable[None]]
    process: processes.Process | None = None
    kept: bool = True
    starts: int = 0


class Stage:
    """errors: what ended processes, by themselves. hits: how often each kind of fault has happened."""

    def __init__(self, seed: int, folder: Path, tell: Callable[[str], None] | None = None) -> None:
        self.seed = seed
        self.folder = folder
        self.chance = random.Random(f"stage {seed}")
        self.trace = Trace(lambda: self.simulation.now_s, folder, tell)
        self.simulation = Simulation(seed, nodes=self.chance.choice((1, 2, 3)))
        self.server = Server(self.simulation, seed, self.trace.note)
        self.town = Town.build(self.simulation, draw_size(self.chance), seed)
        if tell is not None:
            self.simulation.network.watch = self._watch
        self.onlooker = Onlooker(self.town)
        self.services: dict[str, Service] = {}
        self.errors: list[tuple[str, BaseException | None]] = []
        self.hits: Counter[str] = Counter()
        self._read: object = None  # goes when the stage goes
        self._made = -1  # transactions, when it was last asked whether it is quiet
        self.reached: Callable[[processes.Process, str], None] = lambda *_: None
        for role, main in _MAINS.items():
            for number in range(1, self.chance.choice((1, 1, 1, 1, 2)) + 1):
                name = f"{role}-{number}"
                self.services[name] = Service(name, main)

    @contextmanager
    def sized(self) -> Iterator[None]:
        """The product's bounds are small, for as long as the block lasts."""
        places: list[tuple[object, str, object]] = [
            (module, name, self.chance.choice(choices))
            for module, bounds in _SIZES.items()
            for name, choices in bounds.items()
        ]
        interval_ms = self.chance.choice(POSITIONS_INTERVAL_MS)
        state = partial(NettingSet, positions_interval_ms=interval_ms)
        with replaced([*places, (machine, "NettingSet", state)]), remembered() as self._read:
            yield

    @contextmanager
    def built(self) -> Iterator[None]:
        """Everything that is replaced is, for as long as the block lasts."""
        with ExitStack() as stack:
            stack.enter_context(installed(self.simulation))
            stack.enter_context(self.server.installed())
            points = [(failpoints, "_folder", self.folder), (failpoints, "_reached", self._reached)]
            stack.enter_context(replaced(points))
            stack.callback(structlog.reset_defaults)
            self.trace.configure_logs()
            yield

    def _watch(self, sent: Sent) -> None:
        """Requests that a reader of the trace wants to see."""
        if sent.fault or sent.api not in _EVERYDAY:
            mark = FAULT if sent.fault else " "
            self.trace.show(sent.process, f"{sent.api} to node {sent.node} {sent.fault}", mark)

    def _reached(self, _: Path, point: str) -> None:
        process = processes.current()
        if process is not None and process.alive:
            self.reached(process, point)

    def settings(self, instance: str) -> Settings:
        return Settings(
            bootstrap="simulated:9092",
            dsn="postgresql://simulated/ledger",
            snapshots=str(self.folder / "snapshots"),
            instance=instance,
            standby=bool(self.seed % 2),
        )

    def begin(self) -> None:
        """Start all services, and the banks."""
        for name in self.services:
            self.start(name)
        banks = Service("banks", self.town.run, kept=False)
        self.services["banks"] = banks
        self._open_banks()

    def _open_banks(self) -> None:
        """They pay once the engine has answered all commands that open them."""
        self.onlooker.look()
        if len(self.town.watch.progress.commands) < self.town.commands:
            self.later(OPENING_S, self._open_banks)
        else:
            self.start("banks")

    def add(self, name: str, main: Callable[[Settings], Awaitable[None]]) -> None:
        """Start one more process, that nobody starts again."""
        self.services[name] = Service(name, main, kept=False)
        self.start(name)

    def start(self, name: str) -> None:
        service = self.services[name]
        if service.process is not None and service.process.alive:
            return
        service.starts += 1
        process = self.simulation.start(name, partial(service.main, self.settings(name)))
        service.process = process
        self.trace.note(name, f"starts as process {process.pid}")
        process.on_death(partial(self._on_death, service, process))

    def _on_death(self, service: Service, process: processes.Process) -> None:
        if process.ended:
            self.trace.note(service.name, f"ends by itself: {process.error!r}")
            if process.error is not None or service.kept:
                self.errors.append((service.name, process.error))
            if service.kept:
                self.later(RESTART_S, partial(self.start, service.name))

    def kill(self, name: str, down_s: float) -> bool:
        """kill -9 now, start again after a while. False if there was nobody to be killed."""
        service = self.services[name]
        process = service.process
        if process is None or not process.alive:
            return False
        if service.kept:
            self.later(down_s, partial(self.start, name))
        process.kill()  # raises Killed if it is the one that runs
        return True

    def later(self, delay_s: float, act: Callable[[], object]) -> None:
        def call() -> None:
            act()

        self.simulation.call_at(self.simulation.now_s + delay_s, call)

    def until(self, condition: Callable[[], bool], within_s: float, every_s: float) -> bool:
        """Run until it holds; looked at only every so often: it costs more than a step of the loop."""
        end_s = self.simulation.now_s + within_s
        while not condition():
            if self.simulation.now_s >= end_s:
                return False
            self.simulation.run(every_s)
        return True

    def is_quiet(self) -> bool:
        """Whether the engine has committed nothing since it was asked last."""
        self.onlooker.look()
        made = sum(map(len, self.town.watch.progress.transactions.values()))
        before, self._made = self._made, made
        return made == before

    def unmarked(self) -> int:
        """Batches of which the ledger does not know yet that they are confirmed."""
        books = self.server.books
        held = sum(len(shelf.batches) for shelf in books.shelves.values())
        return held - len(books.confirmed)

    @staticmethod
    def seconds_of(timestamp_ms: int) -> float:
        """Virtual seconds of a broker's time stamp."""
        return (timestamp_ms - EPOCH_MS) / 1000

    def hash(self) -> str:
        """Of everything that happened: all records there ever were, and everything that was said."""
        parts = f"{self.simulation.broker.digest()} {self.trace.hash} {self.simulation.now_s:.6f}"
        return hashlib.sha256(parts.encode()).hexdigest()
