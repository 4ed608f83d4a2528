"""The views as one process of the installation: Faust's app inside the service runner, until it is cancelled.

Several may run: they share the netting sets. `faust -A clearing.views worker` runs the same app by Faust's own.
"""

import asyncio
import time
from collections.abc import Callable

import structlog
from aiokafka.errors import KafkaConnectionError, UnknownTopicOrPartitionError

from clearing import kafka
from clearing.config import Settings
from clearing.names import VIEW_NAMES, Topics
from clearing.views.faust_app import ViewsApp, build_app
from clearing.views.lag import OpenSampler, open_sampler

STOP_TIMEOUT_S = 10.0
START_PATIENCE_S = 30.0
RETRY_S = 1.0

_log = structlog.get_logger()


async def run(
    settings: Settings,
    ready: Callable[[], None] | None = None,
    *,
    sampler: OpenSampler = open_sampler,
) -> None:
    """Fold until cancelled; ready once the tables are recovered. Raises what the app ended with.

    Raises UnknownTopicOrPartitionError where a topic is missing: Faust would wait for it without a word.
    """
    await require_topics(settings.bootstrap, settings.topics)
    app = build_app(settings, sampler)

    async def started() -> None:
        if ready is not None:
            ready()

    app.on_startup_finished = started
    running = asyncio.create_task(_run(app))
    try:
        await asyncio.shield(running)
    finally:
        try:
            async with asyncio.timeout(STOP_TIMEOUT_S):
                await app.stop()
        except TimeoutError:
            _log.warning("views_stopped_hard", after_s=STOP_TIMEOUT_S)
        await kafka.ended([running])


async def _run(app: ViewsApp) -> None:
    """Start the app and watch it: whichever part of it crashes ends the whole."""
    await app.start()
    await app._crashed.wait()
    raise app.crash_reason or RuntimeError("the views ended without a reason")


async def require_topics(bootstrap: str, topics: Topics) -> None:
    """Raises UnknownTopicOrPartitionError, with the name, if one of those that are read or written is missing.

    Kafka may be starting too, or be the reason why this process was started anew: it is given a while.
    """
    needed = [topics.journal, topics.settlements, topics.rejected, topics.outcomes]
    deadline_s = time.monotonic() + START_PATIENCE_S
    while True:
        try:
            async with kafka.administration(bootstrap, client="clearing-views") as admin:
                existing = set(await admin.list_topics())
            break
        except KafkaConnectionError as error:
            if time.monotonic() >= deadline_s:
                raise
            _log.warning("kafka_unreachable", error=repr(error))
            await asyncio.sleep(RETRY_S)
    for name in [*needed, *map(topics.view, VIEW_NAMES)]:
        if name not in existing:
            raise UnknownTopicOrPartitionError(f"{name} does not exist")
