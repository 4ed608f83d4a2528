"""How long a warm standby takes to serve what another engine served until it stood still.

The owner is stopped (SIGSTOP), so that the group finds it gone by its session timeout, as it finds a host that is
lost; then it goes on, finds itself fenced and becomes the standby of the next round.
"""

import asyncio
import time
import urllib.request
from datetime import datetime

from clearing.dev.services import Service, Services
from clearing.dev.watch import Watch

PEER = "engine-2"
TIMEOUT_S = 300.0
POLL_S, WARM_POLL_S = 0.002, 0.5

# (part, the log line of the new owner it ends with).
PARTS = (
    ("the group notices", "assigned"),
    ("fencing, journal", "recovering"),
    ("the copy", "warm"),
    ("replay", "serving"),
)
SERVES = "fenced to serving"


async def take_over(
    services: Services, watch: Watch, partition: int, netting_set: str
) -> dict[str, float]:
    """Seconds of each part of one takeover, and from the beginning of its fencing until it serves."""
    async with asyncio.timeout(TIMEOUT_S):
        owner, other = _pair(services, watch, partition)
        while not await asyncio.to_thread(_is_warm, other, netting_set):
            await asyncio.sleep(WARM_POLL_S)
            owner, other = _pair(services, watch, partition)  # the group may still be dealing
        stopped_s = time.time()
        services.pause(owner.name)
        try:
            while watch.progress.engine(partition) == services.pid(owner.name):  # noqa: ASYNC110
                await asyncio.sleep(POLL_S)
            output_s = time.time()
        finally:
            services.resume(owner.name)
    return _parts(other, netting_set, stopped_s, output_s)


def _pair(services: Services, watch: Watch, partition: int) -> tuple[Service, Service]:
    """Who serves it, and who does not."""
    owns = watch.progress.engine(partition)
    owner, other = sorted(services.of("engine"), key=lambda name: services.pid(name) != owns)
    return services[owner], services[other]


def _is_warm(service: Service, netting_set: str) -> bool:
    """Whether it says that it has a copy."""
    started = service.says("starting")
    if started is None:
        return False
    url = f"http://127.0.0.1:{started['metrics_port']}/metrics"
    with urllib.request.urlopen(url, timeout=10) as answer:
        text = answer.read().decode()
    return f'clearing_engine_standby_offset{{netting_set="{netting_set}"}}' in text


def _parts(
    service: Service, netting_set: str, stopped_s: float, output_s: float
) -> dict[str, float]:
    seconds, at_s = dict[str, float](), stopped_s
    serves = 0.0
    for part, event in PARTS:
        said = [
            line
            for line in service.said(event)
            if line.get("netting_set", netting_set) == netting_set and _at_s(line) > stopped_s
        ]
        end_s = _at_s(said[0]) if said else at_s
        seconds[part], at_s = end_s - at_s, end_s
        if event == "serving":
            serves = float(str(said[0]["recovery_s"]))
    return seconds | {
        "first output": output_s - at_s,
        SERVES: serves,
        "in all": output_s - stopped_s,
    }


def _at_s(line: dict[str, object]) -> float:
    return datetime.fromisoformat(str(line["timestamp"])).timestamp()
