"""Checks payment files and sends what is in them. Behind `clearing publish`."""

import asyncio
from array import array
from collections.abc import Iterator, Sequence
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
from clearing.cli.payment_files import STDIN, Address, BadLine, Checked, checked, read_file
from clearing.cli.session import Session
from clearing.commanding.places import netting_sets, netting_sets_of_assets
from clearing.config import Settings
from clearing.failures import ExitCode, Failure

IN_FLIGHT_RECORDS = 20_000
LINGER_MS = 5
BAD = -1


@dataclass(slots=True)
class Batch:
    """Files that were checked: for each line, in order, the number of its address, BAD where it is not sound.

    places: file and line where an address was first seen. kept: stdin's records, which cannot be read again.
    """

    files: Sequence[Path]
    bad: list[BadLine] = field(default_factory=list[BadLine])
    addresses: dict[Address, int] = field(default_factory=dict[Address, int])
    places: list[str] = field(default_factory=list[str])
    lines: "array[int]" = field(default_factory=lambda: array("i"))
    sound: int = 0
    kept: list[bytes] | None = None

    def add(self, file: Path, chunk: Checked) -> None:
        bad = {one.line for one in chunk.bad}
        self.bad += chunk.bad
        for number, address in zip(chunk.numbers, chunk.addresses, strict=True):
            if number in bad:
                self.lines.append(BAD)
                continue
            place = self.addresses.setdefault(address, len(self.addresses))
            if place == len(self.places):
                self.places.append(f"{file}:{number}")
            self.lines.append(place)
            self.sound += 1
        if self.kept is not None:
            self.kept += chunk.values

    def records(self) -> Iterator[tuple[int, bytes]]:
        """(number of its address, record) of every sound line. Raises Failure if a file was changed meanwhile."""
        values = (value for file in self.files for _, value in read_file(file))
        again = iter(self.kept) if self.kept is not None else values
        for place in self.lines:
            value = next(again, None)
            if value is None:
                raise Failure("a file became shorter while it was published", code=ExitCode.FAILED)
            if place != BAD:
                yield place, value


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
    if STDIN in files:
        batch.kept = []
    with _bar(session, "checking", None) as (progress, task):
        for file in files:
            for chunk in checked(file):
                batch.add(file, chunk)
                progress.advance(task, len(chunk.numbers))
    return batch


async def topics_of(
    settings: Settings, batch: Batch, netting_set: str | None, sender: str | None
) -> list[str]:
    """Topic of each address. Raises Failure, with file and line, where there is none."""
    known = await netting_sets(settings, netting_set)
    only = next(iter(known)) if len(known) == 1 else None
    by_asset = {} if netting_set else await netting_sets_of_assets(settings)
    async with kafka.administration(settings.bootstrap, client="clearing-publish") as admin:
        existing = set(await admin.list_topics())
    topics: list[str] = []
    for (owner, asset), where in zip(batch.addresses, batch.places, strict=True):
        name = netting_set or (by_asset.get(asset) if asset else only)
        if name is None:
            what = (
                f"no netting set clears {asset}" if asset else "names no asset: which netting set?"
            )
            raise Failure(
                f"{where}: {what}",
                "clearing status, or --netting-set NAME to publish it there",
                ExitCode.USAGE,
            )
        topics.append(settings.topics.payments(name, sender or owner))
        if topics[-1] not in existing:
            raise Failure(
                f"{where}: there is no topic {topics[-1]}",
                "clearing scheme load SCHEME (is the participant in it?)",
                ExitCode.USAGE,
            )
    return topics


async def send(
    session: Session, batch: Batch, netting_set: str | None, sender: str | None
) -> dict[str, int]:
    """Publish the sound lines and wait for every acknowledgement; how many went to each topic.

    Every line's topic is found before the first record leaves. Order within a topic is that of the files.
    """
    settings = session.settings
    topics = await topics_of(settings, batch, netting_set, sender)
    counts = dict.fromkeys(topics, 0)
    producer = kafka.producer(settings.bootstrap, client="clearing-publish", linger_ms=LINGER_MS)
    with _bar(session, "publishing", batch.sound) as (progress, task):
        async with kafka.started(producer):
            waiting: list[asyncio.Future[object]] = []
            for place, value in batch.records():
                topic = topics[place]
                waiting.append(await producer.send(topic, value, partition=0))
                counts[topic] += 1
                if len(waiting) >= IN_FLIGHT_RECORDS:
                    await asyncio.gather(*waiting)
                    progress.advance(task, len(waiting))
                    waiting.clear()
            await asyncio.gather(*waiting)
            progress.advance(task, len(waiting))
    return counts
