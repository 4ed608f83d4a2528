"""Kafka and PostgreSQL together, started and stopped at the same time.

async with EmbeddedStack(folder) as stack:
    ...  # stack.bootstrap, stack.dsn
"""

import asyncio
from pathlib import Path
from types import TracebackType
from typing import Self

from clearing.dev.jars import Progress
from clearing.dev.kafka import EmbeddedKafka
from clearing.dev.postgres import EmbeddedPostgres
from clearing.dev.process import ServerError


class EmbeddedStack:
    """The servers that were asked for, in `data_dir`/kafka and `data_dir`/postgres.

    Leave out the one that the user brings. If one does not start, the other does not stay.
    """

    def __init__(
        self,
        data_dir: Path,
        *,
        kafka: bool = True,
        postgres: bool = True,
        progress: Progress | None = None,
        long_lived: bool = False,
    ) -> None:
        self.kafka = (
            EmbeddedKafka(data_dir / "kafka", progress=progress, long_lived=long_lived)
            if kafka
            else None
        )
        self.postgres = EmbeddedPostgres(data_dir / "postgres") if postgres else None
        self._servers = [server for server in (self.kafka, self.postgres) if server is not None]

    @property
    def bootstrap(self) -> str:
        """Of the embedded Kafka. Raises ServerError if there is none."""
        if self.kafka is None:
            raise ServerError("this stack has no Kafka")
        return self.kafka.bootstrap

    @property
    def dsn(self) -> str:
        """Of the embedded PostgreSQL. Raises ServerError if there is none."""
        if self.postgres is None:
            raise ServerError("this stack has no PostgreSQL")
        return self.postgres.dsn

    async def start(self) -> None:
        """Start them; raises the first error that one of them met, when none of them runs any more."""
        try:
            async with asyncio.TaskGroup() as starting:
                for server in self._servers:
                    starting.create_task(server.start())
        except BaseException as error:
            await self.stop()
            if isinstance(error, BaseExceptionGroup):
                raise error.exceptions[0] from None
            raise

    async def stop(self) -> None:
        """Stop those that run, in order."""
        async with asyncio.TaskGroup() as stopping:
            for server in self._servers:
                stopping.create_task(server.stop())

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.stop()
