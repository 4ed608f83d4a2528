"""Puts a simulation's clock, chance, process ids and network where the product and aiokafka look for theirs.

Everything is put back afterwards. Files are real (a folder of the run's); only their fsync is left out.
"""

import asyncio
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
from aiokafka.consumer import fetcher

from clearing import kafka
from tests.simulation.simulation import Simulation

# How often an idle fetcher looks around for no reason. It is told of all that matters.
IDLE_FETCHER_S = 5.0
# How long a broker holds a fetch that finds nothing; shorter costs requests that change nothing.
LONGEST_FETCH_MS = 1_000


def _patches(simulation: Simulation) -> list[tuple[Any, str, Any]]:
    loop = simulation.loop
    chance = simulation.client_random
    return [
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


@contextmanager
def installed(simulation: Simulation) -> Iterator[Simulation]:
    """For as long as the simulation runs. Not for two at once."""
    kafka.tune_client()
    patches = _patches(simulation)
    originals = [(owner, name, getattr(owner, name)) for owner, name, _ in patches]
    defaults = fetcher.Fetcher.__init__.__kwdefaults__
    idle_s = defaults["fetcher_timeout"]
    disabled, collecting = logging.root.manager.disable, gc.isenabled()
    try:
        for owner, name, replacement in patches:
            setattr(owner, name, replacement)
        defaults["fetcher_timeout"] = IDLE_FETCHER_S
        logging.disable(logging.CRITICAL)
        # When garbage is collected must not decide what happens.
        gc.disable()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield simulation
    finally:
        for owner, name, original in originals:
            setattr(owner, name, original)
        defaults["fetcher_timeout"] = idle_s
        logging.disable(disabled)
        if collecting:
            gc.enable()
        asyncio._set_running_loop(None)
