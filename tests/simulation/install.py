"""Puts a simulation's clock, chance, process ids and network where the product and aiokafka look for theirs.

Everything is put back afterwards. Files are real (a folder of the run's); only their fsync is left out.
"""

import asyncio
import functools
import gc
import logging
import os
import random
import secrets
import socket
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import aiokafka.client
import aiokafka.util
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, conn
from aiokafka.cluster import ClusterMetadata
from aiokafka.consumer import fetcher
from aiokafka.producer import message_accumulator, sender
from aiokafka.protocol.struct import Struct
from prometheus_client import Counter, Gauge, Histogram
from prometheus_client.metrics import MetricWrapperBase

from clearing import kafka
from tests.simulation.layouts import learning
from tests.simulation.simulation import Simulation
from tests.simulation.waiting import wait

# How often an idle fetcher looks around for no reason. It is told of all that matters.
IDLE_FETCHER_MS = 30_000


def _patches(simulation: Simulation) -> list[tuple[Any, str, Any]]:
    loop = simulation.loop
    chance = simulation.client_random
    append = message_accumulator.BatchBuilder.append
    actions = fetcher.Fetcher._get_actions_per_node
    fill = Struct.__init__

    def stamped(self: Any, *, timestamp: int | None, **rest: Any) -> Any:
        """The compiled builder asks the machine for the time."""
        now_ms = int(simulation.time() * 1000)
        return append(self, timestamp=now_ms if timestamp is None else timestamp, **rest)

    def looking(self: Any, assignment: Any) -> Any:
        """A fetcher looks for what to do: the nodes that hold a fetch of its are told what it wants now."""
        found = actions(self, assignment)
        for node in self._in_flight:
            connection = self._client._conns.get((node, 0))
            if connection is not None:
                connection.wants(_wanted(self, assignment, node))
        return found

    def filled(self: Any, *values: Any, **named: Any) -> None:
        """aiokafka's own goes through the fields one by one."""
        if len(values) == len(self.SCHEMA.names):
            self.__dict__.update(zip(self.SCHEMA.names, values, strict=True))
        else:
            fill(self, *values, **named)

    ask = asyncio.get_running_loop

    def running() -> Any:
        """asyncio's own asks the kernel which process this is, each time: a twentieth of a run."""
        return loop if loop.running else ask()

    def unheard(*_: object) -> None:
        pass

    compressors = {**AIOKafkaProducer._COMPRESSORS, "zstd": (lambda: True, 0)}
    return [
        # What costs much and is not looked at here: metrics, clients' debug logs, what compresses records of bytes.
        (MetricWrapperBase, "labels", functools.cache(MetricWrapperBase.labels)),
        (Counter, "inc", unheard),
        (Gauge, "set", unheard),
        (Histogram, "observe", unheard),
        (AIOKafkaProducer, "_COMPRESSORS", compressors),
        (message_accumulator.BatchBuilder, "append", stamped),
        (fetcher.Fetcher, "_get_actions_per_node", looking),
        (Struct, "__init__", filled),
        (ClusterMetadata, "update_metadata", learning()),
        (logging.Logger, "debug", unheard),
        (aiokafka.util, "get_running_loop", running),
        (asyncio, "get_running_loop", running),
        (asyncio.events, "get_running_loop", running),
        (asyncio, "wait", wait),
        (time, "time", simulation.time),
        (time, "time_ns", lambda: int(simulation.time() * 1e9)),
        (time, "monotonic", loop.time),
        (time, "perf_counter", loop.time),
        (os, "getpid", simulation.pid),
        (os, "fsync", lambda _: None),
        (secrets, "randbits", chance.getrandbits),
        (socket, "gethostname", lambda: "simulated"),
        (random, "choice", chance.choice),
        (random, "shuffle", chance.shuffle),
        (random, "random", chance.random),
        (aiokafka.client, "create_conn", simulation.network.connect),
    ]


def _wanted(consumer: Any, assignment: Any, node: int) -> dict[tuple[str, int], int]:
    """What the fetcher would fetch from a node if it had no fetch there."""
    leader_of = consumer._client.cluster.leader_for_partition
    wanted: dict[tuple[str, int], int] = {}
    for partition in assignment.tps:
        state = assignment.state_value(partition)
        if state.paused or partition in consumer._records or leader_of(partition) != node:
            continue
        wanted[partition] = state.position if state.has_valid_position else -1
    return wanted


@functools.cache
def _keep_what_is_there() -> None:
    """What was imported until now is never garbage: collecting after a run need not look at it."""
    gc.collect()
    gc.freeze()


@contextmanager
def _tasks_unlisted() -> Iterator[None]:
    """No task is entered in asyncio's list of all tasks, which nothing here reads: the loop has its own."""
    listed = vars(asyncio.tasks).get("_all_tasks")  # 3.11; later versions do it for less
    if listed is None:
        yield
        return
    listed.add = id  # a call that does nothing
    try:
        yield
    finally:
        del listed.add


@contextmanager
def installed(simulation: Simulation) -> Iterator[Simulation]:
    """For as long as the simulation runs. Not for two at once."""
    tuned = [
        (fetcher, "PartitionRecords"),
        (fetcher.FetchResult, "getall"),
        (sender, "BACKOFF_OVERRIDE"),
        (conn.AIOKafkaConnection, "send"),
    ]
    untuned = [(owner, name, getattr(owner, name)) for owner, name in tuned]
    _keep_what_is_there()
    patches = _patches(simulation)
    originals = [(owner, name, getattr(owner, name)) for owner, name, _ in patches] + untuned
    defaults = AIOKafkaConsumer.__init__.__kwdefaults__
    assert defaults is not None
    idle_ms = defaults["consumer_timeout_ms"]
    disabled, collecting = logging.root.manager.disable, gc.isenabled()
    try:
        kafka.tune_client()
        for owner, name, replacement in patches:
            setattr(owner, name, replacement)
        defaults["consumer_timeout_ms"] = IDLE_FETCHER_MS
        logging.disable(logging.CRITICAL)
        # When garbage is collected must not decide what happens.
        gc.disable()
        with warnings.catch_warnings(), _tasks_unlisted():
            warnings.simplefilter("ignore")
            yield simulation
    finally:
        for owner, name, original in originals:
            setattr(owner, name, original)
        defaults["consumer_timeout_ms"] = idle_ms
        logging.disable(disabled)
        if collecting:
            gc.enable()
