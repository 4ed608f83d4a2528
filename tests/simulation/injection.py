"""Makes the faults of a plan happen on a stage, counts those that did, ends all of them when they are to stop."""

from collections.abc import Callable
from functools import partial
from zlib import crc32

from clearing.config import Settings
from clearing.engine.processor import Fenced, Processor
from clearing.engine.snapshots import SnapshotStore
from clearing.ledgers.ledger import Source
from clearing.ledgers.postgres import open_ledger
from clearing.ledgers.tenure import Tenure
from tests.simulation.damage import damage
from tests.simulation.faults import Fault, role_of
from tests.simulation.ledger import Arm
from tests.simulation.network import Rule
from tests.simulation.partitions import Name
from tests.simulation.processes import Process
from tests.simulation.stage import Stage

STORM_S = 0.7
MARKERS_S = 0.05  # within which all markers of a transaction are written

_RULES = {
    "request_lost": "lose_request",
    "response_lost": "lose_response",
    "request_duplicated": "duplicate",
    "request_delayed": "delay_request",
    "response_delayed": "delay_response",
    "connection_reset": "break_before",
    "connection_reset_after": "break_after",
    "broker_error": "error",
    "end_delayed": "delay_request",
}
_AT_LEDGER = (
    "session_dies",
    "commit_lost",
    "reply_lost",
    "ledger_deadlock",
    "ledger_serialization",
    "ledger_slow",
)
_AT_POINTS = ("kill_at_point", "freeze_at_point")


class Injection:
    """The faults of one run. over: they have stopped."""

    def __init__(self, stage: Stage, plan: list[Fault]) -> None:
        self.over = False
        self._stage = stage
        self._rules: list[tuple[Fault, Rule]] = []
        self._points: list[tuple[Fault, int]] = []  # and how many times it has yet to happen
        self._extra = 0
        stage.reached = self._reached
        for fault in plan:
            stage.simulation.call_at(fault.at_s, partial(self._inject, fault))

    def stop(self) -> None:
        """No more faults: everything that is broken is mended."""
        stage = self._stage
        self.over = True
        self._points.clear()
        stage.server.arms.clear()
        stage.server.down_until_s = 0.0
        for fault, rule in self._rules:
            if rule.hits:
                stage.hits[fault.kind] += 1
            if rule in stage.simulation.network.rules:
                stage.simulation.network.rules.remove(rule)
        for node in stage.simulation.broker.nodes:
            stage.simulation.broker.start_node(node)
        for name, service in list(stage.services.items()):
            stage.simulation.network.heal(name)
            process = service.process
            if process is not None:
                process.skew_s = 0.0
                process.thaw()
            if service.kept:
                stage.start(name)
            elif name != "banks" and process is not None:
                process.kill()
        stage.trace.fault("world", "faults have stopped")

    def _inject(self, fault: Fault) -> None:
        if self.over:
            return
        stage = self._stage
        if fault.kind in _RULES:
            self._add_rule(fault)
        elif fault.kind in _AT_POINTS:
            stage.trace.note("world", f"armed: {fault}")
            self._points.append((fault, fault.count))
        elif fault.kind in _AT_LEDGER:
            stage.trace.note("world", f"armed: {fault}")
            stage.server.arms.append(
                Arm(fault.kind, partial(self._hit, fault), fault.count, fault.delay_s)
            )
        elif _ACTS[fault.kind](self, fault):
            self._hit(fault)

    def _hit(self, fault: Fault, who: str = "") -> None:
        self._stage.hits[fault.kind] += 1
        self._stage.trace.fault(who or fault.target or fault.service or "world", str(fault))

    def _process(self, name: str) -> Process | None:
        process = self._stage.services[name].process
        return process if process is not None and process.alive else None

    def _add_rule(self, fault: Fault) -> None:
        rule = Rule(
            process=fault.target,
            api=fault.api,
            action=_RULES[fault.kind],
            delay_s=fault.delay_s,
            count=fault.count,
            error=fault.error,
        )
        self._stage.trace.fault(fault.target, str(fault))
        self._rules.append((fault, rule))
        self._stage.simulation.network.rules.append(rule)

    def _reached(self, process: Process, point: str) -> None:
        """A process passes a fail-point."""
        for place, (fault, left) in enumerate(self._points):
            if fault.point != point or fault.service != role_of(process.name):
                continue
            if left == 1:
                del self._points[place]
            else:
                self._points[place] = (fault, left - 1)
            self._hit(fault, process.name)
            if fault.kind == "kill_at_point":
                self._stage.kill(process.name, fault.for_s)
            else:
                self._freeze(process, fault.for_s)
            return

    def _freeze(self, process: Process, for_s: float) -> None:
        process.freeze()
        self._stage.later(for_s, process.thaw)

    # --- each kind -------------------------------------------------------------------------------------------

    def _kill(self, fault: Fault) -> bool:
        return self._stage.kill(fault.target, fault.for_s)

    def _stop(self, fault: Fault) -> bool:
        process = self._process(fault.target)
        if process is not None:
            self._freeze(process, fault.for_s)
        return process is not None

    def _cut(self, fault: Fault) -> bool:
        network = self._stage.simulation.network
        network.cut(fault.target)
        self._stage.later(fault.for_s, partial(network.heal, fault.target))
        return True

    def _node(self, fault: Fault) -> bool:
        broker = self._stage.simulation.broker
        node = list(broker.nodes)[fault.count % len(broker.nodes)]
        broker.stop_node(node)
        self._stage.later(fault.for_s, partial(broker.start_node, node))
        return True

    def _coordinator(self, fault: Fault) -> bool:
        topics, broker = self._stage.town.topics, self._stage.simulation.broker
        if fault.service == "engine" and fault.count > 1:
            for name in self._stage.town.directory:
                broker.move_coordinator(topics.transactional_id(name))
            return True
        role = "sink-postgres" if fault.service == "sink" else fault.service
        broker.move_coordinator(topics.group(role))
        return True

    def _leader(self, fault: Fault) -> bool:
        topics, broker = self._stage.town.topics, self._stage.simulation.broker
        for topic in (topics.log, topics.journal, topics.settlements):
            broker.move_leader(topic, 0)
        return True

    def _lose_markers(self, fault: Fault) -> bool:
        """The next transaction ends for its coordinator, not for its partitions: a broker was stopped (F8).

        Torn: not for some of them.
        """
        transactions = self._stage.simulation.broker.transactions
        write, lost = transactions._mark, None

        def lose(partition: Name, producer: int, epoch: int, commit: bool) -> None:
            nonlocal lost
            if lost is None and not self.over:
                lost = producer, epoch, self._stage.simulation.now_s
                self._hit(fault)
                dead = [p for name in self._of("engine") if (p := self._process(name)) is not None]
                self._kill_all("engine", fault.for_s)
                for engine in dead:
                    self._stage.simulation.network.lose_sent(engine)
            kept = fault.kind == "markers_torn" and crc32(f"{fault.at_s} {partition}".encode()) % 2
            if kept or lost is None or lost[:2] != (producer, epoch) or self._is_past(lost[2]):
                write(partition, producer, epoch, commit)

        transactions._mark = lose
        return False

    def _is_past(self, at_s: float) -> bool:
        return self._stage.simulation.now_s > at_s + MARKERS_S

    def _kill_all(self, role: str, down_s: float) -> None:
        for name in self._of(role):
            self._stage.kill(name, down_s)

    def _of(self, role: str) -> list[str]:
        return [name for name in self._stage.services if role_of(name) == role]

    def _clock(self, fault: Fault) -> bool:
        process = self._process(fault.target)
        if process is None:
            return False
        process.skew_s += fault.delay_s
        self._stage.later(fault.for_s, lambda: setattr(process, "skew_s", 0.0))
        return True

    def _snapshots(self, fault: Fault) -> bool:
        """All engines are down, and the newest snapshots are not what they were."""
        files = sorted((self._stage.folder / "snapshots").glob("*/*.snapshot"))
        if files:
            self._kill_all("engine", fault.for_s)
        newest = {file.parent: file for file in files}
        for file in newest.values():
            damage(fault.kind, file, int(fault.for_s * 1e6))
        return bool(files)

    def _second_engine(self, fault: Fault) -> bool:
        """Somebody serves a netting set without being asked to, until he is fenced (F3)."""
        stage = self._stage
        name, partition = next(iter(stage.town.directory.items()))

        async def serve(settings: Settings) -> None:
            store = SnapshotStore(settings.snapshot_folder, settings.topic_prefix, name)
            rival = Processor(settings.bootstrap, settings.topics, name, partition, store)
            try:
                await rival.run()
            except Fenced:
                stage.trace.note("engine", "the rival is fenced")

        self._start_extra("engine", serve)
        return True

    def _second_sink(self, fault: Fault) -> bool:
        stage = self._stage
        name, partition = next(iter(stage.town.directory.items()))

        async def post(settings: Settings) -> None:
            source = Source(name, settings.topics.settlements, partition)
            ended = await Tenure(settings, source, "postgres", "rival", open_ledger).run()
            stage.trace.note("sink", f"the rival is {ended.value}")

        self._start_extra("sink", post)
        return True

    def _storm(self, fault: Fault) -> bool:
        """Members come and go."""
        main = self._stage.services[f"{fault.service}-1"].main
        for number in range(fault.count):
            self._stage.later(number * STORM_S, partial(self._visit, fault.service, main))
        return True

    def _visit(self, role: str, main: Callable[..., object]) -> None:
        if not self.over:
            name = self._start_extra(role, main)
            self._stage.later(STORM_S / 2, partial(self._stage.kill, name, 0.0))

    def _start_extra(self, role: str, main: Callable[..., object]) -> str:
        self._extra += 1
        name = f"{role}-x{self._extra}"
        self._stage.add(name, main)  # type: ignore[arg-type]
        return name

    def _ledger_down(self, fault: Fault) -> bool:
        self._stage.server.crash(fault.for_s)
        return True

    def _fail_over(self, fault: Fault) -> bool:
        return self._stage.server.fail_over(fault.count) > 0


_ACTS: dict[str, Callable[[Injection, Fault], bool]] = {
    "kill": Injection._kill,
    "freeze": Injection._stop,
    "cut_off": Injection._cut,
    "node_down": Injection._node,
    "coordinator_moved": Injection._coordinator,
    "leader_moved": Injection._leader,
    "markers_lost": Injection._lose_markers,
    "markers_torn": Injection._lose_markers,
    "clock": Injection._clock,
    "snapshot_flipped": Injection._snapshots,
    "snapshot_truncated": Injection._snapshots,
    "snapshot_removed": Injection._snapshots,
    "snapshot_foreign": Injection._snapshots,
    "second_engine": Injection._second_engine,
    "second_sink": Injection._second_sink,
    "rebalance_storm": Injection._storm,
    "ledger_down": Injection._ledger_down,
    "ledger_failover": Injection._fail_over,
}
