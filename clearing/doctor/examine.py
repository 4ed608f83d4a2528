"""The examination: every check asks for itself, and one that cannot be made is a finding of its own."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager

from aiokafka.client import AIOKafkaClient
from aiokafka.errors import KafkaConnectionError

from clearing import kafka
from clearing.config import Settings
from clearing.doctor.checks import CHECKS, Given
from clearing.doctor.finding import Finding, failed
from clearing.failures import explain
from clearing.observe.sampler import sampler
from clearing.reading import Partitions
from clearing.security import Refused, why_unreachable

CHECK_TIMEOUT_S = 60.0


async def examine(
    settings: Settings, tell: Callable[[str], None] = lambda _: None
) -> list[Finding]:
    """Findings of all checks, in their order; only the one if a broker refuses us. tell: the name of the check that
    begins. Raises KafkaError if Kafka cannot be reached at all."""
    try:
        async with _given(settings) as given:
            return await _findings(given, tell)
    except KafkaConnectionError as error:
        refused = error if isinstance(error, Refused) else await _refused(settings)
        if refused is None:
            raise
        return [failed("security", refused.message, refused.hint)]


async def _refused(settings: Settings) -> Refused | None:
    """Asked for once more, where clients do not ask themselves: in the clear."""
    return await why_unreachable(AIOKafkaClient(bootstrap_servers=settings.bootstrap))


async def _findings(given: Given, tell: Callable[[str], None]) -> list[Finding]:
    settings = given.settings
    findings: list[Finding] = []
    for name, check in CHECKS.items():
        tell(name)
        try:
            async with asyncio.timeout(CHECK_TIMEOUT_S):
                findings += await check(given)
        except Exception as error:
            why = explain(error, bootstrap=settings.bootstrap, dsn=settings.dsn)
            findings.append(failed(name, f"cannot be looked at: {why.message}", why.hint))
    return findings


@asynccontextmanager
async def _given(settings: Settings) -> AsyncIterator[Given]:
    async with AsyncExitStack() as clients:
        admin = await clients.enter_async_context(kafka.administration(settings.bootstrap))
        consumer = kafka.consumer(
            settings.bootstrap, client="clearing-doctor", fetch_max_wait_ms=10
        )
        reader = Partitions(await clients.enter_async_context(kafka.started(consumer)))
        yield Given(settings, admin, reader, await clients.enter_async_context(sampler(settings)))
