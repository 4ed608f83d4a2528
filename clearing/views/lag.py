"""Once a second: how far everybody is behind, into `views.lag`. By one process of those that share the views.

What is measured, and how it is judged, is clearing.observe's; here is only when, and where it goes.
"""

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any, Protocol

import faust
import structlog
from faust.types import TP
from mode import Service

from clearing.config import Settings
from clearing.core.outputs import Position
from clearing.messages_views import LAG_KEY, LagSample, encode
from clearing.observe.metrics import tell
from clearing.observe.sampler import sampler
from clearing.views import metrics

INTERVAL_S = 1.0
AGAIN_S = 2.0

_log = structlog.get_logger()


class Sampler(Protocol):
    """Of clearing.observe.sampler. positions: those it has read for the last sample."""

    positions: list[Position]

    async def sample(self) -> LagSample: ...


OpenSampler = Callable[[Settings], AbstractAsyncContextManager[Sampler]]


def open_sampler(settings: Settings) -> AbstractAsyncContextManager[Sampler]:
    """The installation's own, with the probe."""
    return sampler(settings, probing=True)


class LagTimer(Service):
    """Samples while this process owns the first partition of the journal, which somebody always does."""

    def __init__(
        self, app: faust.App, settings: Settings, sampler: OpenSampler, **options: Any
    ) -> None:
        super().__init__(**options)
        self._app = app
        self._settings = settings
        self._sampler = sampler
        self._journal = TP(settings.topics.journal, 0)
        self._topic = app.topic(settings.topics.view("lag"))

    def _is_ours(self) -> bool:
        return self._journal in self._app.consumer.assignment()

    @Service.task
    async def _sample_regularly(self) -> None:
        """Until stopped; clients are built anew after an error, which is no reason for the views to end."""
        while not self.should_stop:
            if not self._is_ours():
                await self.sleep(AGAIN_S)
                continue
            try:
                await self._sample_while_ours()
            except Exception as error:
                metrics.sample_errors.inc()
                _log.warning("lag_not_sampled", error=repr(error), again_in_s=AGAIN_S)
                await self.sleep(AGAIN_S)

    async def _sample_while_ours(self) -> None:
        loop = asyncio.get_running_loop()
        async with self._sampler(self._settings) as sampler:
            due_s = loop.time()
            while not self.should_stop and self._is_ours():
                sample = await sampler.sample()
                tell(sample, sampler.positions)
                await self._topic.send(
                    key=LAG_KEY,
                    value=encode(sample),
                    partition=0,
                    key_serializer="raw",
                    value_serializer="raw",
                )
                due_s = max(due_s + INTERVAL_S, loop.time())
                await self.sleep(due_s - loop.time())
