"""What every run on this machine begins with: servers (ours, or the user's), the scheme, its topics and commands,
the ledger; and a way to end. Used by the demo, `clearing dev`, the load tests and the tests.
"""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec

from clearing import kafka
from clearing.config import Settings
from clearing.dev.stack import EmbeddedStack
from clearing.failures import ExitCode, Failure
from clearing.ledgers.schema import migrate
from clearing.scheme.in_force import in_force as in_force  # runs begin when it is
from clearing.scheme.load import load
from clearing.scheme.model import Scheme
from clearing.scheme.parse import parse

Note = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Servers:
    """Kafka and PostgreSQL as settings say; `embedded`: those of them that are ours. `run`: "" if all are, else
    a name that keeps this run apart from whatever else is on the user's servers."""

    settings: Settings
    embedded: EmbeddedStack
    run: str


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


@asynccontextmanager
async def servers(
    folder: Path,
    note: Note,
    bootstrap: str = "",
    dsn: str = "",
    *,
    keep: bool = False,
    probing: bool = False,
    long_lived: bool = False,
) -> AsyncIterator[Servers]:
    """Kafka and PostgreSQL: embedded in `folder`, or the user's where an address is given.

    On a user's Kafka the topics of the run have a prefix of their own and are deleted at the end (but for `keep`);
    in a user's PostgreSQL what the run has posted stays: a ledger forgets nothing. probing: its views send probes.
    long_lived: the embedded Kafka's (see there).
    """
    run = f"run{os.getpid():x}" if bootstrap or dsn else ""
    embedded = EmbeddedStack(
        folder,
        kafka=not bootstrap,
        postgres=not dsn,
        progress=_downloads(note),
        long_lived=long_lived,
    )
    async with embedded:
        settings = Settings(
            bootstrap=bootstrap or embedded.bootstrap,
            dsn=dsn or embedded.dsn,
            topic_prefix=f"{run}." if bootstrap else "",
            snapshots=str(folder / "snapshots"),
        )
        if not probing:  # every message of a load test is one of its own
            settings = msgspec.structs.replace(settings, probe_every_s=0)
        try:
            yield Servers(settings, embedded, run)
        finally:
            if bootstrap and not keep:
                await _delete_topics(settings)


def _downloads(note: Note) -> Callable[[int, int], None]:
    """Says now and then how far the first download is."""
    said = 0

    def progress(there: int, total: int) -> None:
        nonlocal said
        if there - said >= 10 or (there == total and said):
            said = there
            note(f"downloading Kafka, the first time only: {there} of {total} files")

    return progress


async def _delete_topics(settings: Settings) -> None:
    async with kafka.administration(settings.bootstrap) as admin:
        ours = [t for t in await admin.list_topics() if t.startswith(settings.topic_prefix)]
        await admin.delete_topics(ours)


async def prepare(settings: Settings, scheme: Scheme, by: str) -> dict[str, int]:
    """Make what the scheme needs in Kafka and PostgreSQL; the partition of each netting set.

    Raises Failure if something is refused.
    """
    report, _ = await asyncio.gather(load(settings, scheme, by), migrate(settings.dsn))
    if report.refusals:
        raise Failure(f"the scheme is refused: {'; '.join(report.refusals)}")
    return report.partitions


def renamed(scheme: Scheme, run: str) -> Scheme:
    """The scheme with netting sets of the run's own name: a ledger that others use too must not mix them up."""
    if not run:
        return scheme

    def name(netting_set: str) -> str:
        return f"{run}-{netting_set}"

    return replace(
        scheme,
        netting_sets={name(n): replace(s, name=name(n)) for n, s in scheme.netting_sets.items()},
        assets={
            key: replace(asset, netting_set=name(asset.netting_set))
            for key, asset in scheme.assets.items()
        },
        participants={
            key: replace(bank, netting_sets=tuple(map(name, bank.netting_sets)))
            for key, bank in scheme.participants.items()
        },
    )


def stop_on_terminate() -> None:
    """SIGTERM and a closed terminal end the running task like Ctrl-C: it cleans up."""
    task = asyncio.current_task()
    assert task is not None
    for which in (signal.SIGTERM, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(which, task.cancel)
