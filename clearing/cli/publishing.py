"""Checks payment files and sends what is in them. Behind `clearing publish`."""

import asyncio
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)

from clearing import kafka
from clearing.cli.payment_files import BadLine, Line, checked
from clearing.cli.places import netting_sets, netting_sets_of_assets
from clearing.cli.session import Session
from clearing.config import Settings
from clearing.failures import ExitCode, Failure

IN_FLIGHT_RECORDS = 20_000
LINGER_MS = 5


@dataclass(slots=True)
class Batch:
    """Files that were checked. kept: stdin's lines, which cannot be read again."""

    files: Sequence[Path]
    records: int = 0
    sound: int = 0
    bad: list[BadLine] = field(default_factory=list[BadLine])
    kept: list[Line] | None = None

    def lines(self) -> Iterator[Line]:
        """The sound lines, once more."""
        bad = {(one.file, one.line) for one in self.bad}
        for line in self._all():
            if (line.file, line.number) not in bad:
                yield line

    def _all(self) -> Iterable[Line]:
        if self.kept is not None:
            return self.kept
        return (line for file in self.files for lines, _ in checked(file) for line in lines)


@contextmanager
def _bar(session: Session, title: str, total: int | None) -> Iterator[tuple[Progress, TaskID]]:
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=session.notes, transient=True) as progress:
        yield progress, progress.add_task(title, total=total)


def check_files(files: Sequence[Path], session: Session) -> Batch:
    """Look at every line of every file."""
    batch = Batch(files)
    if list(files) == [Path("-")]:
        batch.kept = []
    with _bar(session, "checking", None) as (progress, task):
        for file in files:
            for lines, bad in checked(file):
                batch.records += len(lines)
                batch.bad += bad
                if batch.kept is not None:
                    batch.kept += lines
                progress.advance(task, len(lines))
    batch.sound = batch.records - len({(one.file, one.line) for one in batch.bad})
    return batch


class _Addresses:
    """Topic of each line. Raises Failure, with file and line, where there is none."""

    def __init__(
        self,
        settings: Settings,
        by_asset: dict[str, str],
        existing: set[str],
        netting_set: str | None,
        sender: str | None,
    ) -> None:
        self._topics = settings.topics
        self._by_asset = by_asset
        self._existing = existing
        self._netting_set = netting_set
        self._sender = sender
        self._known: dict[tuple[str, str], str] = {}

    def __getitem__(self, line: Line) -> str:
        key = (line.owner, line.asset)
        if key not in self._known:
            self._known[key] = self._find(line)
        return self._known[key]

    def _find(self, line: Line) -> str:
        where = f"{line.file}:{line.number}"
        netting_set = self._netting_set or self._by_asset.get(line.asset)
        if netting_set is None:
            raise Failure(
                f"{where}: no netting set clears {line.asset}",
                "clearing status, or --netting-set NAME to publish it anyway",
                ExitCode.USAGE,
            )
        topic = self._topics.payments(netting_set, self._sender or line.owner)
        if topic not in self._existing:
            raise Failure(
                f"{where}: there is no topic {topic}",
                "clearing topics apply SCHEME (is the participant in the scheme?)",
                ExitCode.USAGE,
            )
        return topic


async def send(
    session: Session, batch: Batch, netting_set: str | None, sender: str | None
) -> dict[str, int]:
    """Publish the sound lines and wait for every acknowledgement; how many went to each topic.

    Every line's topic is found before the first record leaves. Order within a topic is that of the files.
    """
    settings = session.settings
    if netting_set is not None:
        await netting_sets(settings, netting_set)
    by_asset = {} if netting_set else await netting_sets_of_assets(settings)
    async with kafka.administration(settings.bootstrap, client="clearing-publish") as admin:
        existing = set(await admin.list_topics())
    addresses = _Addresses(settings, by_asset, existing, netting_set, sender)
    for line in batch.lines():
        addresses[line]
    counts: dict[str, int] = {}
    producer = kafka.producer(settings.bootstrap, client="clearing-publish", linger_ms=LINGER_MS)
    with _bar(session, "publishing", batch.sound) as (progress, task):
        async with kafka.started(producer):
            waiting: list[asyncio.Future[object]] = []
            for line in batch.lines():
                topic = addresses[line]
                waiting.append(await producer.send(topic, line.value, partition=0))
                counts[topic] = counts.get(topic, 0) + 1
                if len(waiting) >= IN_FLIGHT_RECORDS:
                    await asyncio.gather(*waiting)
                    progress.advance(task, len(waiting))
                    waiting.clear()
            await asyncio.gather(*waiting)
            progress.advance(task, len(waiting))
    return counts
