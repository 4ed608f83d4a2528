"""How each kind of fault of a long run is made: to services, to servers, to the network between them.

Every maker chooses by its own random numbers, puts on record what it does, and returns when it works again.
"""

import asyncio
import time
from collections.abc import Mapping, Sequence
from typing import TypeVar

import asyncpg
from numpy.random import Generator

from clearing.dev.points import POINTS
from clearing.dev.proxy_rules import Api
from clearing.dev.services import ROLES
from loadtests.storm import AGAIN_TIMEOUT_S, Maker, Storm

# Until a fail-point is come by: those of a snapshot once a minute.
HIT_TIMEOUT_S = 90.0
HIT_POLL_S = 0.2
SLEEP_S = (6.5, 9.0)  # the session timeout is 6 s
CUT_S = (0.5, 8.0)
DOWN_S = (0.0, 2.0)
SKIP_MAX = 40
# Only a service that starts comes by there: one is killed for it.
AT_START = ("engine.fencing", "engine.fenced", "engine.recover", "sink.owned")
SELDOM = (*AT_START, "engine.snapshot")

# Clients of the proxy by role. Whose responses are lost: role, client ({} is a netting set), api.
_CLIENTS: Mapping[str, str] = {role: f"clearing-{role}*" for role in ROLES}
_LOST = (
    ("engine", "clearing-engine-{}", Api.ADD_PARTITIONS_TO_TXN),
    ("engine", "clearing-engine-{}", Api.PRODUCE),
    ("engine", "clearing-engine-{}", Api.END_TXN),
    ("intake", "clearing-intake*", Api.PRODUCE),
    ("intake", "clearing-intake*", Api.OFFSET_COMMIT),
    ("dispatch", "clearing-dispatch*", Api.PRODUCE),
    ("sink", "clearing-sink*", Api.PRODUCE),
)


Item = TypeVar("Item")


def _one_of(random: Generator, items: Sequence[Item]) -> Item:
    return items[int(random.integers(0, len(items)))]


# --- services ------------------------------------------------------------------------------------------------


async def kill(storm: Storm, random: Generator) -> None:
    """Any service, whatever it does just then; also one that has only just begun."""
    services = storm.drill.services
    name = _one_of(random, services.names)
    await storm.until(lambda: services[name].child.running, AGAIN_TIMEOUT_S)
    await _kill(storm, name)


async def _kill(storm: Storm, name: str) -> None:
    services = storm.drill.services
    works = storm.restarted(name, services.pid(name))
    incident = storm.happened("kill -9", name, storm.desk(services[name].role))
    services.kill(name)
    await storm.see(incident, works)


async def kill_at_point(storm: Storm, random: Generator) -> None:
    """A service dies as it comes by; where only a start comes by, one that works is killed for it first."""
    points, services = storm.points, storm.drill.services
    point = _one_of(random, POINTS[_one_of(random, ROLES)])
    async with storm.locks[point], asyncio.TaskGroup() as group:
        before = points.hits(point)
        skip = 0 if point.startswith(SELDOM) else int(random.integers(0, SKIP_MAX))
        points.arm(point, f"skip {skip} kill")
        if point.startswith(AT_START):
            group.create_task(_kill(storm, _at_work(storm, point.partition(".")[0], random)))
        await storm.until(lambda: points.hits(point) != before or storm.is_over, HIT_TIMEOUT_S)
        if points.disarm(point):
            storm.missed.append(point)
            return
        (pid,) = points.hits(point) - before
        name = next(name for name in services.names if pid in services[name].pids)
        incident = storm.happened("kill -9 at a fail-point", name, f"at {point}")
        await storm.see(incident, storm.restarted(name, pid))


def _at_work(storm: Storm, role: str, random: Generator) -> str:
    """A service of this role; of engines one that serves a netting set."""
    services, progress = storm.drill.services, storm.drill.watch.progress
    owners = {progress.engine(p) for p in storm.drill.partitions.values()}
    names = services.of(role)
    serving = [name for name in names if services.pid(name) in owners]
    return _one_of(random, serving or names)


async def sleep(storm: Storm, random: Generator) -> None:
    """SIGSTOP for longer than its session lasts: others take over, and it wakes up in the middle of that."""
    services = storm.drill.services
    name = _at_work(storm, _one_of(random, ROLES), random)
    async with storm.locks[name]:
        service = services[name]
        await storm.until(lambda: service.says("ready") is not None, AGAIN_TIMEOUT_S)
        pid = service.child.pid
        taken_over = storm.restarted(name, pid)
        incident = storm.happened("SIGSTOP past the session", name, storm.desk(service.role))
        services.pause(name)
        try:
            await asyncio.sleep(random.uniform(*SLEEP_S))
        finally:
            if service.child.pid == pid and service.child.running:
                services.resume(name)
        awake = storm.gets_on(service.role)
        await storm.see(incident, lambda: taken_over() or awake())


# --- servers -------------------------------------------------------------------------------------------------


async def terminate_sessions(storm: Storm, random: Generator) -> None:
    """As a failover or an administrator does it: some of all sessions at the ledger end, in whatever they do."""
    async with storm.locks["postgres"]:
        connection = await asyncpg.connect(storm.drill.settings.dsn)
        try:
            others = "pid <> pg_backend_pid() AND datname = current_database()"
            whom = await connection.fetchval(
                f"SELECT count(*) FROM pg_stat_activity WHERE {others} AND usename IS NOT NULL"
            )
            incident = storm.happened(
                "PostgreSQL sessions terminated", "PostgreSQL", f"{whom} sessions"
            )
            works = storm.gets_on("sink")
            await connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                f"WHERE {others} AND usename IS NOT NULL"
            )
        finally:
            await connection.close()
        await storm.see(incident, works)


async def kill_postgres(storm: Storm, random: Generator) -> None:
    async with storm.locks["postgres"]:
        incident = storm.happened("PostgreSQL kill -9", "PostgreSQL", storm.desk("sink"))
        await storm.postgres.kill()
        await asyncio.sleep(random.uniform(*DOWN_S))
        works = storm.gets_on("sink")
        await storm.postgres.start()
        await storm.see(incident, works)


async def kill_broker(storm: Storm, random: Generator) -> None:
    async with storm.locks["broker"]:
        incident = storm.happened("broker kill -9", "broker", storm.desk("engine"))
        await storm.kafka.kill()
        await asyncio.sleep(random.uniform(*DOWN_S))
        works = storm.gets_on("intake", "engine", "dispatch")
        await _start_broker(storm)
        await storm.see(incident, works)


async def _start_broker(storm: Storm) -> None:
    await storm.kafka.start()
    await storm.proxy.forward_to(storm.kafka.behind_proxy)


async def restart_broker(storm: Storm, random: Generator) -> None:
    async with storm.locks["broker"]:
        incident = storm.happened("broker restarted", "broker", storm.desk("engine"))
        await storm.kafka.stop()
        await asyncio.sleep(random.uniform(*DOWN_S))
        works = storm.gets_on("intake", "engine", "dispatch")
        await _start_broker(storm)
        await storm.see(incident, works)


# --- the network between services and broker --------------------------------------------------------------------


async def reset(storm: Storm, random: Generator) -> None:
    """All connections of one kind of client end with a RST, once."""
    role = _one_of(random, ROLES)
    works = storm.gets_on(role)
    incident = storm.happened("connections reset", f"{role}s", storm.desk(role))
    count = await storm.proxy.reset(_CLIENTS[role])
    incident.met = f"{count} connections, {incident.met}"
    await storm.see(incident, works)


async def cut(storm: Storm, random: Generator) -> None:
    """One kind of client, or everybody, is cut off from the broker for a while."""
    role = _one_of(random, (*ROLES, ""))
    seconds = random.uniform(*CUT_S)
    async with storm.locks["network"]:
        whom = f"{role}s" if role else "all services"
        incident = storm.happened("network cut", whom, f"for {seconds:.1f} s")
        await storm.proxy.cut(_CLIENTS.get(role, "*"))
        try:
            await asyncio.sleep(seconds)
        finally:
            works = storm.gets_on(*([role] if role else ROLES))
            await storm.proxy.heal()
        await storm.see(incident, works)


async def lose_response(storm: Storm, random: Generator) -> None:
    """The broker has done what it was asked for, and its client never hears of it."""
    role, client, api = _one_of(random, _LOST)
    netting_set, partition = _one_of(random, list(storm.drill.partitions.items()))
    async with storm.locks["network"]:
        rule = await storm.proxy.drop_response(api, client.format(netting_set))
        try:
            if not await _met(storm, rule):
                storm.missed.append(f"{api.name} of {client}")
                return
        finally:
            await storm.proxy.remove(rule)
        incident = storm.happened("response lost", f"{role}s", f"response to {api.name}")
        # What the lost response belongs to may be seen yet; the next one says that it works.
        works = storm.transacts(partition, 2) if role == "engine" else storm.gets_on(role)
        await storm.see(incident, works)


async def _met(storm: Storm, rule: int) -> bool:
    """Wait until the proxy has done to somebody what it was told to do."""
    deadline = time.monotonic() + HIT_TIMEOUT_S
    while not await storm.proxy.hits(rule):
        if storm.is_over or time.monotonic() > deadline:
            return False
        await asyncio.sleep(HIT_POLL_S)
    return True


async def delay_end(storm: Storm, random: Generator) -> None:
    """An EndTxn is held back until its engine has given up, fenced itself and committed other transactions."""
    netting_set, partition = _one_of(random, list(storm.drill.partitions.items()))
    async with storm.locks["network"]:
        rule = await storm.proxy.delay_request(Api.END_TXN, f"clearing-engine-{netting_set}")
        try:
            if not await _met(storm, rule):
                storm.missed.append(f"END_TXN of {netting_set}")
                return
            incident = storm.happened("EndTxn late", "engines", f"of {netting_set}")
            await storm.see(incident, storm.transacts(partition, 2))
        finally:
            await storm.proxy.remove(rule)


MAKERS: Mapping[str, Maker] = {
    "kill -9": kill,
    "kill -9 at a fail-point": kill_at_point,
    "SIGSTOP past the session": sleep,
    "connections reset": reset,
    "network cut": cut,
    "response lost": lose_response,
    "EndTxn late": delay_end,
    "PostgreSQL sessions terminated": terminate_sessions,
    "PostgreSQL kill -9": kill_postgres,
    "broker kill -9": kill_broker,
    "broker restarted": restart_broker,
}
