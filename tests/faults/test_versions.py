"""An engine of another version takes over: a window is decided by one version, or nobody goes on (F17).

In this process, on the real broker: versions here are numbers, and a refusal that only one of them knows.
"""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from uuid import uuid4

import pytest

from clearing import __version__
from clearing.core import payments as clearing_payments
from clearing.core.commands import CloseWindow
from clearing.core.faults import Halt, HaltKind
from clearing.core.state import DAY_MS
from clearing.engine import processor, recovery
from clearing.engine.processor import Fenced, Processor
from clearing.engine.snapshots import SnapshotStore
from clearing.log import control, payments
from clearing.log.records import TRANSACTION_KEY, Transaction, decode_transaction
from clearing.names import Topics
from tests.faults.altered import NEWER_VERSION, newer
from tests.faults.conftest import Observe
from tests.faults.harness import soon
from tests.integration.engine_log import (
    control_value,
    create_topics,
    opening,
    payments_value,
    read_topic,
    write_log,
)

ROWS = 20


@pytest.fixture
async def topics(bootstrap: str, topic_prefix: str) -> Topics:
    names = Topics(topic_prefix)
    await create_topics(bootstrap, names)
    return names


def paid(start: int) -> tuple[bytes, bytes]:
    """A log record of payments from source offset `start` on."""
    today = int(time.time() * 1000) // DAY_MS
    return payments.KEY, payments_value([uuid4() for _ in range(ROWS)], today, start)


@asynccontextmanager
async def engine(bootstrap: str, topics: Topics, folder: Path) -> AsyncIterator[asyncio.Task[None]]:
    store = SnapshotStore(folder, topics.prefix, "hk")
    task = asyncio.create_task(Processor(bootstrap, topics, "hk", 0, store, 0.0).run())
    try:
        yield task
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError, Fenced, Halt):
            await task


async def journal(bootstrap: str, topics: Topics) -> list[Transaction]:
    found = await read_topic(bootstrap, topics.journal)
    return [
        decode_transaction(value or b"") for _, key, value, _ in found if key == TRANSACTION_KEY
    ]


async def until_applied(bootstrap: str, topics: Topics, snapshot: bool = False) -> None:
    """The whole log, and where asked a snapshot that the journal names after it."""

    async def applied() -> bool:
        log = await read_topic(bootstrap, topics.log)
        made = await journal(bootstrap, topics)
        if not made or made[-1].next_offset <= log[-1][0]:
            return False
        if snapshot and not (made[-1].snapshot and int(made[-1].snapshot[:20]) >= log[-1][0]):
            await write_log(bootstrap, topics, [(control.KEY, control.TICK)])
            return False
        return True

    await soon(applied, "the engine to apply the log")


def becomes(monkeypatch: pytest.MonkeyPatch, version: str, differs: bool) -> None:
    """From here on engines started in this process are of that version."""
    for module in (processor, recovery):
        monkeypatch.setattr(module, "__version__", version)
    if differs:
        before = clearing_payments.check
        monkeypatch.setattr("clearing.__version__", version)
        monkeypatch.setattr(clearing_payments, "check", before)  # put back at the end
        newer()


@pytest.mark.parametrize("snapshot", [True, False], ids=["snapshot", "no snapshot"])
async def test_who_decides_differently_leaves_a_window_alone(
    bootstrap: str,
    topics: Topics,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    observed: Observe,
    snapshot: bool,
) -> None:  # F17 R29
    await write_log(bootstrap, topics, [(control.KEY, control_value(opening())), paid(0)])
    async with engine(bootstrap, topics, tmp_path / "older"):
        await until_applied(bootstrap, topics, snapshot)
    folder = tmp_path / ("older" if snapshot else "newer")

    with monkeypatch.context() as other:
        becomes(other, NEWER_VERSION, differs=True)
        async with engine(bootstrap, topics, folder) as task:
            with pytest.raises(Halt) as halted:
                await asyncio.wait_for(asyncio.shield(task), 30)
    assert halted.value.kind is HaltKind.CHAIN
    assert f"version {__version__} of the engine wrote it" in str(halted.value)
    assert f"this is version {NEWER_VERSION}" in str(halted.value)

    await write_log(bootstrap, topics, [paid(ROWS)])
    async with engine(bootstrap, topics, folder):
        await until_applied(bootstrap, topics)
    assert {each.engine for each in await journal(bootstrap, topics)} == {__version__}
    how = "a snapshot behind which nothing differs" if snapshot else "no snapshot"
    observed(
        "F17", f"a version that decides differently takes over, {how}", 1, "halted, both named"
    )


async def test_who_decides_the_same_goes_on_and_so_does_who_finds_no_open_window(
    bootstrap: str,
    topics: Topics,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    observed: Observe,
) -> None:  # F17 R4
    await write_log(bootstrap, topics, [(control.KEY, control_value(opening())), paid(0)])
    async with engine(bootstrap, topics, tmp_path):
        await until_applied(bootstrap, topics, snapshot=True)

    becomes(monkeypatch, "0.1.1", differs=False)
    commands = len(opening())
    closed = control_value([CloseWindow(id="c", by="op")], start=commands)
    await write_log(bootstrap, topics, [paid(ROWS), (control.KEY, closed)])
    async with engine(bootstrap, topics, tmp_path):
        await until_applied(bootstrap, topics, snapshot=True)

    becomes(monkeypatch, NEWER_VERSION, differs=True)
    await write_log(bootstrap, topics, [paid(2 * ROWS)])
    async with engine(bootstrap, topics, tmp_path):
        await until_applied(bootstrap, topics)
    assert [*dict.fromkeys(each.engine for each in await journal(bootstrap, topics))] == [
        __version__,
        "0.1.1",
        NEWER_VERSION,
    ]
    observed(
        "F17",
        "a version that decides the same takes over an open window",
        1,
        "replayed all of it, went on",
    )
    observed("F17", "a version that decides differently takes over between windows", 1, "went on")
