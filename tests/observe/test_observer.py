"""`clearing status` when a part of Kafka, or the ledger, does not answer: it says so, and shows the rest."""

import sys
from collections.abc import AsyncIterator, Iterable, Sequence
from typing import Any, NoReturn, cast

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaTimeoutError
from rich.console import Console

from clearing.cli.status_tables import tables
from clearing.config import Settings
from clearing.kafka import RawRecord
from clearing.observe.observer import Observer
from clearing.observe.report import Lag
from clearing.observe.sampler import Sampler
from clearing.reading import Bounds, Partitions

GROUPS = {"intake": ["clearing-intake"], "engine": [], "dispatch": [], "sink": []}
LAG = Lag(stage="intake", scope="all sources", lag_records=0, lag_seconds=0.0)


class Empty:
    """A cluster in which nothing was ever written."""

    async def topics(self) -> set[str]:
        return set()

    async def bounds(self, partitions: Iterable[TopicPartition]) -> Bounds:
        return dict.fromkeys(partitions, (0, 0))

    async def chunks(self, *_: Any) -> AsyncIterator[Sequence[RawRecord]]:
        for nothing in ():
            yield nothing


async def times_out(*_: Any) -> NoReturn:
    raise KafkaTimeoutError("a broker is slow")


class Blind:
    sample = staticmethod(times_out)


async def test_what_cannot_be_learned_is_said_and_the_rest_is_shown(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def directory(*_: Any) -> dict[str, int]:
        return {"hk": 0}

    async def groups(*_: Any) -> dict[str, list[str]]:
        return GROUPS

    async def lags(*given: Any) -> list[Lag]:
        assert given[-1] == {}, "without the ledger: by the group of its sink"
        return [LAG]

    async def refused(_: str) -> NoReturn:
        raise ConnectionRefusedError("nobody listens")

    observer = sys.modules[Observer.__module__]  # the package has a function of this name
    monkeypatch.setattr(observer, "read_directory", directory)
    monkeypatch.setattr(observer, "service_groups", groups)
    monkeypatch.setattr(observer, "lags", lags)
    monkeypatch.setattr(observer, "ledger_progress", refused)
    monkeypatch.setattr(observer, "services", times_out)
    monkeypatch.setattr(observer, "open_transactions", times_out)
    one = Observer(
        Settings(dsn="postgresql://ledger"),
        cast(Partitions, Empty()),
        cast(AIOKafkaConsumer, None),
        cast(AIOKafkaAdminClient, None),
        cast(Sampler, Blind()),
    )
    report = await one.collect()
    assert (report.netting_sets, report.lags) == ({"hk": 0}, [LAG])
    assert [said.partition(":")[0] for said in report.unknown] == [
        "how far the ledger is, its sink's group is shown",
        "services",
        "transactions",
        "whether cut-offs are made",
    ]
    console = Console(width=120, record=True)
    console.print(tables(report))
    text = console.export_text()
    assert "NOT KNOWN" in text
    assert "a broker is slow" in text
    assert "all sources" in text
    monkeypatch.setattr(observer, "service_groups", times_out)
    again = await one.collect()
    assert (again.lags, again.services) == ([], [])
    assert again.unknown[0].startswith("services, lag: ")
    assert len(again.unknown) == 3  # of this look alone
