"""From a scheme file to an installation that is ready for its services: topics, directory, commands, ledger."""

import asyncio
from pathlib import Path

from clearing.config import Settings
from clearing.failures import ExitCode, Failure
from clearing.ledgers.schema import migrate
from clearing.scheme.load import load
from clearing.scheme.model import Scheme
from clearing.scheme.parse import parse


def read_scheme(file: Path) -> Scheme:
    """The scheme in `file`. Raises Failure with what is wrong with it."""
    scheme = parse(file.read_bytes())
    if isinstance(scheme, Scheme):
        return scheme
    raise Failure(
        f"{file}: {len(scheme)} problems, the first: {scheme[0]}",
        f"clearing scheme check {file}",
        ExitCode.USAGE,
    )


async def prepare(settings: Settings, scheme: Scheme, by: str) -> dict[str, int]:
    """Make what the scheme needs in Kafka and PostgreSQL; the partition of each netting set.

    Raises Failure if something is refused.
    """
    report, _ = await asyncio.gather(load(settings, scheme, by), migrate(settings.dsn))
    if report.refusals:
        raise Failure(f"the scheme is refused: {'; '.join(report.refusals)}")
    return report.partitions
