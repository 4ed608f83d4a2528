"""Loading a scheme: topics for its members, numbers for its netting sets, commands for what differs.

Reads what was published before and publishes the difference in one transaction, all of it or nothing, so that
it may be run again at any time, and twice at once.
"""

import re
from dataclasses import dataclass, field
from datetime import UTC, date, datetime

import msgspec
import structlog
from aiokafka.errors import UnknownTopicOrPartitionError

from clearing import kafka
from clearing.config import Settings
from clearing.names import Topics
from clearing.scheme.changes import Changes, find_changes
from clearing.scheme.directory import (
    Registrar,
    as_registrar,
    assign,
    new_entries,
    read_directory,
    read_values,
)
from clearing.scheme.model import Scheme
from clearing.scheme.standing import Published
from clearing.topics.cluster import apply_plan, plan_cluster
from clearing.topics.plan import Plan

_log = structlog.get_logger()
_BY = re.compile(r"[!-~]{1,64}", re.ASCII)


@dataclass(slots=True)
class LoadReport:
    """What was done, or with a preview what would be. With refusals nothing was published."""

    topics: Plan
    partitions: dict[str, int] = field(default_factory=dict[str, int])
    changes: list[Changes] = field(default_factory=list[Changes])

    @property
    def refusals(self) -> list[str]:
        """Why nothing was published; empty where all is well."""
        of_sets = [f"{c.netting_set}: {reason}" for c in self.changes for reason in c.refusals]
        return self.topics.refusals + of_sets

    @property
    def commands(self) -> int:
        return sum(len(changes.changes) for changes in self.changes)


async def load(
    settings: Settings, scheme: Scheme, by: str, *, today: date | None = None
) -> LoadReport:
    """Make topics, directory and commands what the scheme says. `by`: who asked; today: the UTC date.

    Returns a report with refusals, and nothing published, where data would be lost or a command refused.
    Raises KafkaError or TimeoutError where Kafka cannot be reached or does not follow, ValueError where `by` is
    not 1-64 printable ASCII characters without spaces: intake would refuse such commands.
    """
    if not _BY.fullmatch(by):
        raise ValueError(f"{by!r} is not 1-64 printable ASCII characters without spaces")
    today = today or datetime.now(UTC).date()
    numbers = assign(await _known_directory(settings), scheme.netting_sets)
    applied = await _apply(settings, scheme, len(numbers))
    if applied.refusals:
        return LoadReport(applied)

    async def publish(registrar: Registrar) -> LoadReport:
        directory = await registrar.read_directory()
        numbers = assign(directory, scheme.netting_sets)
        # Somebody may have taken numbers since: then there may be partitions missing.
        more = await _apply(settings, scheme, len(numbers))
        applied.changes.extend(more.changes)
        report = LoadReport(applied, {name: numbers[name] for name in scheme.netting_sets})
        records = new_entries(settings.topics, directory, numbers)
        for netting_set, number in report.partitions.items():
            values = await registrar.read(settings.topics.commands, number)
            changes = _changes(scheme, netting_set, values, by, today)
            report.changes.append(changes)
            records += _command_records(settings.topics, number, changes)
        if not report.refusals:
            await registrar.publish(records)
            _log.info("scheme_loaded", scheme=scheme.name, commands=report.commands)
        return report

    return await as_registrar(settings.bootstrap, settings.topics, publish)


async def preview(
    settings: Settings, scheme: Scheme, by: str, *, today: date | None = None
) -> LoadReport:
    """What `load` would do; changes nothing."""
    today = today or datetime.now(UTC).date()
    topics, directory = settings.topics, await _known_directory(settings)
    numbers = assign(directory, scheme.netting_sets)
    planned = await plan_cluster(
        settings.bootstrap, topics, scheme.members, netting_sets=len(numbers)
    )
    report = LoadReport(planned, {name: numbers[name] for name in scheme.netting_sets})
    async with kafka.started(kafka.consumer(settings.bootstrap)) as reader:
        for netting_set, number in report.partitions.items():
            known = netting_set in directory
            values = await read_values(reader, topics.commands, number) if known else []
            report.changes.append(_changes(scheme, netting_set, values, by, today))
    return report


async def _known_directory(settings: Settings) -> dict[str, int]:
    """The directory, empty where no scheme was ever loaded."""
    try:
        return await read_directory(settings.bootstrap, settings.topics)
    except UnknownTopicOrPartitionError:
        return {}


async def _apply(settings: Settings, scheme: Scheme, netting_sets: int) -> Plan:
    return await apply_plan(
        settings.bootstrap, settings.topics, scheme.members, netting_sets=netting_sets
    )


def _changes(
    scheme: Scheme, netting_set: str, values: list[bytes | None], by: str, today: date
) -> Changes:
    published = Published(netting_set)
    for value in values:
        published.apply_record(value)
    return find_changes(scheme, published, by, today)


def _command_records(topics: Topics, number: int, changes: Changes) -> list[kafka.TopicRecord]:
    key = changes.netting_set.encode()
    return [
        kafka.TopicRecord(topics.commands, number, key, msgspec.json.encode(command))
        for command in changes.commands
    ]
