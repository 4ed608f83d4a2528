"""The simulated cluster: nodes, topics, who leads and who coordinates; and the world's own hands and eyes on it.

What clients ask it is answered in answers.py. It is never wrong by itself: faults are the network's, or named here.
"""

from collections.abc import Callable
from hashlib import sha256
from random import Random
from typing import Any
from zlib import crc32

from tests.simulation.batches import packed
from tests.simulation.groups import Groups
from tests.simulation.loop import VirtualLoop
from tests.simulation.partitions import Name, Partition, Stored
from tests.simulation.protocol import NOBODY
from tests.simulation.transactions import Transactions

DEFAULT_MAX_BYTES = 16 << 20
GROUP, TRANSACTION = 0, 1  # kinds of coordinators, as FindCoordinator numbers them


class Broker:
    """wall_ms: the cluster's clock, which stamps LogAppendTime. chance: its own source of delays."""

    def __init__(
        self, loop: VirtualLoop, wall_ms: Callable[[], int], chance: Random, nodes: int
    ) -> None:
        self.loop = loop
        self.wall_ms = wall_ms
        self.chance = chance
        self.nodes = dict.fromkeys(range(nodes), True)  # node → is up
        self.topics: dict[str, list[Partition]] = {}
        self.topic_ids: dict[str, bytes] = {}
        self.log_append_time: set[str] = set()
        self.compacted: set[str] = set()
        self.leaders: dict[Name, int] = {}
        self.version = 0  # of what a client is told of nodes, topics and leaders
        self.on_node_stopped: Callable[[int], None] = lambda _: None
        self.groups = Groups(loop.time, self.later)
        self.transactions = Transactions(loop.time, self.later, self._mark, self._marker_delay_s)
        self._coordinators: dict[tuple[int, str], int] = {}
        self._loading: dict[tuple[int, str], float] = {}  # until when

    def later(self, seconds: float, callback: Callable[[], None]) -> Any:
        """In the cluster's own hands, whoever asked."""
        return self.loop.call_in_nobodys_name(seconds, callback)

    def partition(self, name: Name) -> Partition | None:
        topic, number = name
        partitions = self.topics.get(topic, [])
        return partitions[number] if 0 <= number < len(partitions) else None

    # Who leads, who coordinates

    def up(self) -> list[int]:
        return [node for node, is_up in self.nodes.items() if is_up]

    def coordinator(self, kind: int, key: str) -> int:
        """Its node, NOBODY while there is none."""
        node = self._coordinators.get((kind, key))
        if node is None:
            up = self.up()
            if not up:
                return NOBODY
            node = self._coordinators[kind, key] = up[crc32(key.encode()) % len(up)]
        return node

    def loads(self, kind: int, key: str) -> bool:
        """Whether its coordinator has only just taken over."""
        return self.loop.now < self._loading.get((kind, key), 0.0)

    def move_coordinator(self, key: str) -> None:
        """Of a group or a transactional id, to another node if there is one; it takes a moment to load."""
        for kind in (GROUP, TRANSACTION):
            if (kind, key) in self._coordinators:
                self._hand_over(kind, key, 0.05 + self.chance.random())

    def _hand_over(self, kind: int, key: str, pause_s: float) -> None:
        former = self._coordinators[kind, key]
        others = [node for node in self.up() if node != former] or self.up()
        self._coordinators[kind, key] = NOBODY
        if kind == GROUP:
            self.groups.unload(key)

        def load() -> None:
            if self._coordinators.get((kind, key)) == NOBODY and others:
                self._coordinators[kind, key] = self.chance.choice(others)
                self._loading[kind, key] = self.loop.now + self.chance.random() * 0.2

        self.later(pause_s, load)

    def move_leader(self, topic: str, partition: int) -> None:
        former = self.leaders[topic, partition]
        others = [node for node in self.up() if node != former] or [former]
        self.leaders[topic, partition] = self.chance.choice(others)
        self.version += 1

    def stop_node(self, node: int) -> None:
        """Its connections break; what it led and coordinated is elsewhere after an election."""
        if not self.nodes[node]:
            return
        self.nodes[node] = False
        self.version += 1
        self.on_node_stopped(node)
        for name, leader in self.leaders.items():
            if leader == node:
                self.leaders[name] = NOBODY
        for (kind, key), at in list(self._coordinators.items()):
            if at == node:
                self._hand_over(kind, key, 0.2 + self.chance.random())
        self.later(0.2 + self.chance.random(), self._elect)

    def start_node(self, node: int) -> None:
        if not self.nodes[node]:
            self.nodes[node] = True
            self.version += 1
            self._elect()
            for kind, key in [at for at, by in self._coordinators.items() if by == NOBODY]:
                del self._coordinators[kind, key]

    def _elect(self) -> None:
        up = self.up()
        self.version += 1
        for name, leader in self.leaders.items():
            if leader == NOBODY and up:
                self.leaders[name] = self.chance.choice(up)

    # Markers

    def _mark(self, name: Name, producer: int, epoch: int, commit: bool) -> None:
        partition = self.partition(name)
        assert partition is not None, f"{name} was in a transaction"
        partition.mark(producer, epoch, commit=commit)

    def _marker_delay_s(self) -> float:
        return 0.0005 + 0.004 * self.chance.random() ** 3

    # The world's own hands and eyes: no network, no faults

    def create_topic(
        self,
        name: str,
        partitions: int = 1,
        *,
        compacted: bool = False,
        log_append_time: bool = False,
        max_bytes: int = DEFAULT_MAX_BYTES,
    ) -> None:
        """Make a topic, or give one more partitions."""
        there = self.topics.setdefault(name, [])
        self.version += 1
        self.topic_ids.setdefault(name, sha256(f"{name} {self.loop.now}".encode()).digest()[:16])
        if compacted:
            self.compacted.add(name)
        if log_append_time:
            self.log_append_time.add(name)
        while len(there) < partitions:
            number = len(there)
            there.append(
                Partition(
                    log_append_time=name in self.log_append_time,
                    max_bytes=max_bytes,
                    clock_ms=self.wall_ms,
                )
            )
            up = self.up() or list(self.nodes)
            self.leaders[name, number] = up[crc32(f"{name}-{number}".encode()) % len(up)]

    def publish(self, topic: str, partition: int, key: bytes | None, value: bytes | None) -> int:
        """Append one record at once. Its offset."""
        return self.publish_all(topic, partition, [(key, value)])

    def publish_all(
        self, topic: str, partition: int, records: list[tuple[bytes | None, bytes | None]]
    ) -> int:
        """Append records in one batch. The offset of the first."""
        return self.topics[topic][partition].append(packed(records, self.wall_ms())).offset

    def read(self, topic: str, partition: int, start: int = 0) -> list[Stored]:
        """What a read_committed reader may see."""
        where = self.topics[topic][partition]
        return [
            record
            for record in where.records(start)
            if record.fate == "committed" and record.offset < where.stable
        ]

    def read_all(self, topic: str, partition: int) -> list[Stored]:
        """Every record, with its fate."""
        return self.topics[topic][partition].records()

    def digest(self) -> str:
        """Of every byte in every partition, and of all offsets: equal histories have equal ones."""
        digest = sha256()
        for topic, partitions in self.topics.items():
            for number, partition in enumerate(partitions):
                digest.update(f"{topic} {number} {partition.start} {partition.end}".encode())
                partition.digest(digest)
        for identity, group in self.groups.by_id.items():
            digest.update(f"{identity} {group.generation} {group.offsets}".encode())
        for identity, known in self.transactions.by_id.items():
            digest.update(f"{identity} {known.epoch} {known.history}".encode())
        return digest.hexdigest()

    def end(self, topic: str, partition: int) -> int:
        return self.topics[topic][partition].end

    def stable_end(self, topic: str, partition: int) -> int:
        return self.topics[topic][partition].stable

    def committed_offset(self, group: str, topic: str, partition: int) -> int | None:
        return self.groups.group(group).offsets.get((topic, partition), (None, ""))[0]

    def delete_before(self, topic: str, partition: int, offset: int) -> None:
        """Retention (F14)."""
        self.topics[topic][partition].delete_before(offset)

    def truncate(self, topic: str, partition: int, offset: int) -> None:
        """The tail is lost (F14)."""
        self.topics[topic][partition].truncate(offset)
