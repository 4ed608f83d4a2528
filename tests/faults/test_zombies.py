"""Processes that stand still where it hurts most, and two that serve the same netting set: one of them counts.

SIGSTOP at named points, past the session timeout of the group and the ledger's patience with an open transaction,
then SIGCONT, with peers that take over meanwhile (F2); owners that were forced onto one netting set, a rebalance in
mid-transaction, services that come and go (F3).
"""

import asyncio
import os
from pathlib import Path

import msgspec
import pytest

from clearing.dev.drill import Drill
from clearing.dev.points import Points
from clearing.dev.tasks import task_group
from clearing.engine.processor import Fenced, Processor
from clearing.engine.snapshots import SnapshotStore
from tests.faults.conftest import Observe
from tests.faults.harness import drilled, sequences_are_whole, serving, settings_of, sink_of, until

# Three, so that two can stand still at once.
COUNTS = {"intake": 1, "engine": 3, "dispatch": 1, "sink": 3}
LEDGER_POLL_S = 0.1
OFTEN = 4  # on a busy machine the one that was there may be the faster one every time

ZOMBIES = {
    "transact.acknowledged": "engine fenced: its transaction was aborted, nobody ever saw it",
    "engine.recover.replayed": "engine fenced before its first transaction",
    "sink.committing": "the ledger ended the open transaction, another sink posted the batch",
    "sink.posted": "another sink confirmed the batch; the ledger's epoch refused the sleeper",
}
OWNERS = {
    "a second engine on a netting set that another serves": "whoever fenced last wrote, the other"
    " ended; the journal's sequence is whole",
    "an engine joins while another is between acknowledged sends and commit": "one owner before"
    " and after; no window closed twice",
    "an intake, engine, dispatch and sink come, their peers go and come back": "handed over;"
    " nothing lost, doubled or torn",
}


class Owners:
    """Puts the owners of a drill's netting sets to sleep, gives them rivals, has peers come and go."""

    def __init__(self, drill: Drill, points: Points) -> None:
        self.drill = drill
        self.services = drill.services
        self.points = points
        self.done: list[str] = []

    async def engine_sleeps_before_its_commit(self) -> None:
        pid = await self._hit("transact.acknowledged", "skip 3 stop")
        await self._others_clear(await self._served_by(pid), pid)
        self._wake(pid, "engine", "transact.acknowledged")

    async def engine_sleeps_in_recovery(self) -> None:
        dead = await self._hit("transact.committed", "skip 3 kill")
        partitions = await self._served_by(dead)
        pid = await self._hit("engine.recover.replayed", "stop")
        await self._others_clear(partitions, dead)
        self._wake(pid, "engine", "engine.recover.replayed")

    async def sink_sleeps(self, point: str) -> None:
        """Inside its database transaction, or between COMMIT and confirmation."""
        pid = await self._hit(point, "stop")
        owned = [name for name in self.drill.partitions if await self._sink_of(name) == pid]
        assert owned, f"process {pid} owned nothing at {point}"
        async with asyncio.timeout(90):
            for name in owned:
                while await self._sink_of(name) == pid:  # noqa: ASYNC110  PostgreSQL tells nobody
                    await asyncio.sleep(LEDGER_POLL_S)
        progress = self.drill.watch.progress
        settled = progress.settled
        await until(lambda: progress.settled > settled, "windows to settle without it")
        self._wake(pid, "sink", point)

    async def second_owner(self) -> None:
        """An engine of our own on a netting set that another serves, until that one has taken it back."""
        progress, partition = self.drill.watch.progress, self.drill.partitions["east"]
        settings = self.drill.settings
        store = SnapshotStore(settings.snapshot_folder, settings.topic_prefix, "east")
        ours = Processor(settings.bootstrap, settings.topics, "east", partition, store)
        us = os.getpid()
        wrote = len([pid for _, pid in progress.transactions[partition] if pid == us])
        async with asyncio.timeout(90):
            for _ in range(OFTEN):
                with pytest.raises(Fenced):  # maybe before it wrote anything
                    await ours.run()
                if len([pid for _, pid in progress.transactions[partition] if pid == us]) > wrote:
                    break
        await until(lambda: progress.engine(partition) != us, "the first to go on")
        self.done.append("a second engine on a netting set that another serves")

    async def peers_come_and_go(self, role: str) -> None:
        """A peer comes; the one that was there goes, and comes back; the peer goes."""
        old, new = f"{role}-1", f"{role}-9"
        self.services.start(new)
        await self.services.ready(new)
        await self.services.stop(old)
        self.services.start(old)
        await self.services.ready(old)
        await self.services.stop(new)

    async def engine_joins_in_mid_transaction(self) -> None:
        """It comes while another stands between its acknowledged sends and its commit; others hear of it first."""
        pid = await self._hit("transact.acknowledged", "stop")
        stopped = serving(self.services, pid, "engine")
        logs = [self.services[n].log for n in self.services.of("engine") if n != stopped]
        before = {log: log.stat().st_size for log in logs}
        self.services.start("engine-9")
        await until(
            lambda: any(b"is rebalancing" in log.read_bytes()[before[log] :] for log in logs),
            "the group to deal anew",
        )
        self.services.resume(stopped)
        await self.services.ready("engine-9")
        await self.services.stop("engine-1")
        self.services.start("engine-1")
        await self.services.ready("engine-1")
        await self.services.stop("engine-9")
        self.done.append("an engine joins while another is between acknowledged sends and commit")

    async def sleep(self) -> None:
        async with task_group() as group:
            group.create_task(self.engine_sleeps_before_its_commit())
            group.create_task(self.engine_sleeps_in_recovery())
            group.create_task(self.sink_sleeps("sink.committing"))
            group.create_task(self.sink_sleeps("sink.posted"))

    async def come_and_go(self) -> None:
        async with task_group() as group:
            group.create_task(self.second_owner())
            group.create_task(self.engine_joins_in_mid_transaction())
            for role in ("intake", "dispatch", "sink"):
                group.create_task(self.peers_come_and_go(role))
        self.done.append("an intake, engine, dispatch and sink come, their peers go and come back")

    async def _hit(self, point: str, action: str) -> int:
        """Process id of the one that `action` happens to next at this point."""
        self.points.forget(point)
        self.points.arm(point, action)
        await until(lambda: not self.points.armed(point), f"a process to pass {point}")
        (pid,) = self.points.hits(point)
        return pid

    async def _served_by(self, pid: int) -> list[int]:
        """The partitions in which the last transaction is its; it has made some."""
        engine, numbers = self.drill.watch.progress.engine, self.drill.partitions.values()
        await until(
            lambda: any(engine(p) == pid for p in numbers), f"what engine {pid} has cleared"
        )
        return [p for p in numbers if engine(p) == pid]

    async def _others_clear(self, partitions: list[int], pid: int) -> None:
        engine = self.drill.watch.progress.engine
        await until(lambda: all(engine(p) != pid for p in partitions), "another engine to clear")

    async def _sink_of(self, netting_set: str) -> int:
        return await sink_of(self.drill.settings.dsn, netting_set)

    def _wake(self, pid: int, role: str, point: str) -> None:
        name = serving(self.services, pid, role)
        assert self.services.pid(name) == pid
        self.services.resume(name)
        self.done.append(point)


async def test_of_two_owners_one_counts(
    bootstrap: str,
    fresh_dsn: str,
    topic_prefix: str,
    tmp_path: Path,
    rounds: int,
    observed: Observe,
) -> None:  # F2 F3 R15 R17 R30 R31
    settings = settings_of(bootstrap, fresh_dsn, topic_prefix, tmp_path, snapshot_every_s=2)
    settings = msgspec.structs.replace(settings, standby=True)
    points = Points(tmp_path / "points")
    done: list[str] = []
    restarts = 0

    async def meanwhile(drill: Drill) -> None:
        nonlocal restarts
        owners = Owners(drill, points)
        await until(lambda: drill.watch.progress.settled > 0, "windows to settle")
        for _ in range(rounds):
            before = {name: drill.services[name].restarts for name in drill.services.names}
            await owners.sleep()
            restarts += sum(drill.services[name].restarts - n for name, n in before.items())
            await owners.come_and_go()
        done.extend(owners.done)
        drill.banks.finish()

    result = await drilled(
        settings,
        tmp_path,
        COUNTS,
        payments=60_000 * rounds,
        rows_per_s=300,
        seed=5,
        during=meanwhile,
        command=points.command,
    )
    assert result.ok, str(result)
    assert sequences_are_whole(result.drill)
    assert restarts == rounds, "somebody ended who was not killed"
    engines = [result.drill.services[name] for name in result.drill.services.of("engine")]
    assert any(warm["next_offset"] for engine in engines for warm in engine.said("warm"))
    for never in ("warm_copy_off_the_chain", "standby_cannot_follow"):
        assert [said for engine in engines for said in engine.said(never)] == []
    for point, said in ZOMBIES.items():
        assert done.count(point) == rounds
        observed("F2", f"SIGSTOP at {point}, SIGCONT once others have its work", rounds, said)
    for what, said in OWNERS.items():
        assert done.count(what) == rounds
        observed("F3", what, rounds, said)
