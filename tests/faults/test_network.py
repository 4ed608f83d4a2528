"""Networks that break, crawl or swallow, between each service and its servers; and servers that go away.

Real broker and PostgreSQL behind proxies, the services as processes, seeded banks; one fault after the other
(F5, F11; R28-R31). The broker's disk is a small one where we may mount it.
"""

import asyncio
import contextlib
import subprocess
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import msgspec
import psutil
import pytest

from clearing.dev.drill import Drill
from clearing.dev.kafka import EmbeddedKafka
from clearing.dev.proxy import KafkaProxy, TcpProxy
from clearing.dev.tasks import task_group
from clearing.observe import collect
from tests.faults.conftest import Observe
from tests.faults.harness import drilled, sequences_are_whole, soon, until
from tests.faults.impatient import impatient
from tests.faults.proxied import COUNTS, PATIENCE_S, both_settings, broker_behind_proxy, log_of

ROLES = ("intake", "engine", "dispatch", "sink")
DISK_MIB = 512
# However long it lasts: what a service holds back is bounded, the rest waits in Kafka.
MEMORY_GROWTH_MAX_BYTES = 96 << 20
BEHIND = {"intake": 200, "engine": 200, "dispatch": 200, "sink": 1}  # rows; batches

Fault = Callable[[TcpProxy, str], Awaitable[object]]
FAULTS: dict[str, Fault] = {
    "cut": lambda proxy, client: proxy.cut(client),
    "crawls at 1 byte/s": lambda proxy, client: proxy.throttle(1, client),
    "half-open": lambda proxy, client: proxy.half_open(client),
}


class Trouble:
    """What is done to the network of one role after the other, and what must come of it."""

    def __init__(
        self, drill: Drill, proxy: KafkaProxy, ledger: TcpProxy, observed: Observe
    ) -> None:
        self.drill = drill
        self.proxy = proxy
        self.ledger = ledger
        self.observed = observed

    async def bad_networks(self, number: int, *, thoroughly: bool) -> None:
        """Each role has another fault; in the long form each has had all of them in the end (F11)."""

        async def one(role: str, place: int, proxy: TcpProxy, client: str, server: str) -> None:
            fault = list(FAULTS)[(place + number) % len(FAULTS)]
            where = f"between {role} and {server}"
            await self.fall_behind_and_catch_up(role, fault, proxy, client, where)

        await one("intake", 0, self.proxy, "clearing-intake*", "Kafka")
        await one("engine", 1, self.proxy, "clearing-engine*", "Kafka")
        if thoroughly:
            await one("sink", 2, self.proxy, "clearing-sink*", "Kafka")
        async with task_group() as group:
            group.create_task(one("dispatch", 2, self.proxy, "clearing-dispatch*", "Kafka"))
            group.create_task(one("sink", 0, self.ledger, "*", "PostgreSQL"))

    async def fall_behind_and_catch_up(
        self, role: str, fault: str, proxy: TcpProxy, client: str, where: str
    ) -> None:
        """F11: the stage falls behind, says so, and catches up once the network has healed."""
        outstanding = self.drill.outstanding
        since = len(log_of(self.drill, f"{role}-1"))
        await FAULTS[fault](proxy, client)
        await until(lambda: outstanding(role) > BEHIND[role], f"{role} to fall behind", PATIENCE_S)

        async def is_told() -> bool:
            report = await collect(self.drill.settings)
            return any(lag.lag_records for lag in report.lags if lag.stage == role)

        await soon(is_told, f"the lag of {role} to be told")
        await proxy.heal()
        await self.catches_up(role)
        said = log_of(self.drill, f"{role}-1")[since:]
        assert (
            '"level": "error"' in said or '"level": "warning"' in said or fault.startswith("crawl")
        )
        seen = "stage falls behind, status shows its lag, catches up when healed"
        self.observed("F11", f"{where}: {fault}", 1, seen)

    async def catches_up(self, role: str) -> None:
        """Down to what is on its way at any moment."""
        await until(
            lambda: self.drill.outstanding(role) <= BEHIND[role], f"{role} to catch up", PATIENCE_S
        )

    async def resets(self) -> None:
        """F11: every connection of everybody reset, again and again: nobody falls behind by much."""
        for _ in range(3):
            assert await self.proxy.reset() > 0
            await self.ledger.reset()
            await asyncio.sleep(0.3)
        for role in ROLES:
            await self.catches_up(role)
        self.observed("F11", "all connections of all services reset", 3, "new ones; goes on")

    async def broker_goes_away(
        self, kafka: EmbeddedKafka, what: str, goes: Callable[[], Awaitable[None]]
    ) -> None:
        """F5: everything waits, within bounds, and goes on by itself when the broker is back."""
        services, told = self.drill.services, self.drill.banks.told
        before = {name: services.pid(name) for name in services.names}
        held = {name: _memory_bytes(pid) for name, pid in before.items()}
        rows = told.rows
        await goes()
        growth = {name: _memory_bytes(pid) - held[name] for name, pid in before.items()}
        assert max(growth.values()) < MEMORY_GROWTH_MAX_BYTES, growth
        if not kafka.running:
            await kafka.start()
        await until(
            lambda: told.rows > rows + BEHIND["dispatch"], "banks to be told again", PATIENCE_S
        )
        assert {name: services.pid(name) for name in services.names} == before, "none had to die"
        seen = "all services wait, bounded, and go on by themselves"
        self.observed("F5", what, 1, seen)

    async def disk_full(self, kafka: EmbeddedKafka) -> None:
        """The broker ends itself, as Kafka does when its only disk fails."""
        filler = kafka.data_dir / "filler"
        with filler.open("wb", buffering=0) as file:
            for size in (1 << 20, 1 << 12):
                with contextlib.suppress(OSError):  # no space left, which is what is wanted
                    while file.write(bytes(size)) == size:
                        pass
        await until(lambda: not kafka.running, "the broker to end for want of space", PATIENCE_S)
        await asyncio.sleep(1)
        filler.unlink()


def _memory_bytes(pid: int) -> int:
    return int(psutil.Process(pid).memory_info().rss)


@contextmanager
def small_disk(folder: Path) -> Iterator[bool]:
    """A file system of its own in `folder`; False where we may not mount one."""
    folder.mkdir(parents=True)
    mount = ["mount", "-t", "tmpfs", "-o", f"size={DISK_MIB}m", "tmpfs", str(folder)]
    try:
        mounted = subprocess.run(mount, check=False, capture_output=True).returncode == 0
    except FileNotFoundError:
        mounted = False
    try:
        yield mounted
    finally:
        if mounted:
            subprocess.run(["umount", "--lazy", str(folder)], check=True)


@pytest.mark.thorough
async def test_networks_and_brokers_that_fail(
    fresh_dsn: str, tmp_path: Path, rounds: int, observed: Observe
) -> None:  # F5 F11 R28 R29 R30
    address = urlsplit(fresh_dsn)
    assert address.hostname is not None
    assert address.port is not None
    with small_disk(tmp_path / "kafka") as is_small:
        async with (
            TcpProxy((address.hostname, address.port)) as ledger,
            broker_behind_proxy(tmp_path) as (kafka, proxy),
        ):
            straight, behind = both_settings(kafka, proxy, fresh_dsn, tmp_path)
            through = fresh_dsn.replace(f":{address.port}/", f":{ledger.port}/")
            behind = msgspec.structs.replace(behind, dsn=through)

            async def dies() -> None:
                await kafka.kill()
                await asyncio.sleep(2)

            async def trouble(drill: Drill) -> None:
                one = Trouble(drill, proxy, ledger, observed)
                await until(lambda: drill.watch.progress.settled > 0, "work to begin", PATIENCE_S)
                for number in range(rounds):
                    await one.bad_networks(number, thoroughly=rounds > 1)
                    await one.resets()
                    await one.broker_goes_away(kafka, "broker killed -9", dies)
                    if rounds > 1:
                        what = "broker restarted, and with it every coordinator"
                        await one.broker_goes_away(kafka, what, kafka.restart)
                    if is_small:
                        await one.broker_goes_away(
                            kafka, "broker's disk full", lambda: one.disk_full(kafka)
                        )
                    else:
                        why = "not run here: only root may mount a disk small enough to fill"
                        observed("F5", "broker's disk full", 0, why)
                drill.banks.finish()

            result = await drilled(
                straight,
                tmp_path,
                COUNTS,
                payments=200_000 * rounds,
                rows_per_s=300,
                seed=29,
                during=trouble,
                command=impatient,
                proxied=behind,
            )
        assert result.ok, str(result)
        assert sequences_are_whole(result.drill)
