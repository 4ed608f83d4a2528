"""Every kind of break is found and explained in one sentence; what is right is not."""

import dataclasses
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from aiokafka import TopicPartition

from clearing.core.outputs import SettlementBatch, WindowEvent
from clearing.log.records import EVENT_KEY, decode_event, decode_settlement
from clearing.reports import Reconciled
from clearing.reports.metrics import write
from clearing.reports.run import reconcile_topics
from tests.verify.conftest import EXAMPLES
from tests.verify.world import ListReader, World

NAMES = sorted(folder.name for folder in EXAMPLES.iterdir() if folder.is_dir())
HOUR_MS = 3_600_000


async def reconciled(
    world: World,
    *,
    ledger: bool = True,
    after_ms: int = 2 * HOUR_MS,
    since_ms: int | None = None,
) -> Reconciled:
    """after_ms: how long after the last record."""
    last = world.records(world.topics.log)[-1].timestamp
    return await reconcile_topics(
        ListReader(world),
        world.topics,
        world.netting_set,
        0,
        (lambda _: world.books) if ledger else None,
        grace_ms=60_000,
        now_ms=last + after_ms,
        tell=lambda _: None,
        since_ms=since_ms,
    )


def texts(found: Reconciled) -> list[tuple[str, str, str]]:
    return [(one.kind, one.where, one.text) for one in found.breaks]


def batches(world: World) -> list[tuple[int, SettlementBatch]]:
    """Batches of windows with their places in the topic."""
    settlements = enumerate(world.records(world.topics.settlements))
    decoded = [(n, decode_settlement(record.value or b"")) for n, record in settlements]
    return [(n, b) for n, b in decoded if isinstance(b, SettlementBatch) and b.kind == "net"]


def window_events(world: World) -> list[tuple[int, WindowEvent]]:
    """With their places in the journal."""
    events = [
        (n, decode_event(record.value or b""))
        for n, record in enumerate(world.records(world.topics.journal))
        if record.key == EVENT_KEY
    ]
    return [(n, event) for n, event in events if isinstance(event, WindowEvent)]


def drop_events(world: World, what: Callable[[object], bool]) -> None:
    journal = TopicPartition(world.topics.journal, 0)
    world.partitions[journal] = [
        record
        for record in world.partitions[journal]
        if record.key != EVENT_KEY or not what(decode_event(record.value or b""))
    ]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("ledger", [True, False])
async def test_an_example_agrees(
    example: Callable[[str], World], name: str, *, ledger: bool
) -> None:
    found = await reconciled(example(name), ledger=ledger)
    assert texts(found) == []
    assert found.ok
    assert found.batches > 0
    assert "agree" in found.sentence


async def test_a_day_agrees_with_counts(world: World) -> None:
    found = await reconciled(world)
    assert found.ok, texts(found)
    assert found.sentence.startswith("hk: journal, settlements and ledger agree: ")
    assert found.postings == found.batches == len(world.books.postings)
    assert found.entries == len(world.books.running)
    assert f"{found.batches:,} batches" in found.sentence


async def test_since_any_moment_of_the_day_the_books_agree(world: World) -> None:
    """Whatever lies before is not read of the journal, and is no break; the ledger is compared all the same."""
    moments = sorted({event.time_ms for _, event in window_events(world)})
    assert len(moments) > 2
    for since_ms in (*moments, moments[-1] + 1):
        for ledger in (True, False):
            found = await reconciled(world, ledger=ledger, since_ms=since_ms)
            assert texts(found) == [], since_ms
            assert "journal since 2026-01-05" in found.sentence
    _, old = batches(world)[0]
    posting = next(one for one in world.books.postings if one.id == old.id)
    number, line = next(iter(posting.entries.items()))
    posting.entries[number] = line._replace(units=line.units + 1)
    [(kind, where, _)] = texts(await reconciled(world, since_ms=moments[-1] + 1))
    assert (kind, where) == ("differs", "ledger")


async def test_since_then_a_batch_without_an_event_is_a_break(world: World) -> None:
    """What lies before is left out, and nothing else is."""
    _, last = batches(world)[-1]
    drop_events(world, lambda event: isinstance(event, WindowEvent) and event.batch == last.id)
    found = await reconciled(world, since_ms=last.closed_at_ms)
    assert ("missing", "journal") in {(kind, where) for kind, where, _ in texts(found)}
    assert texts(await reconciled(world, since_ms=last.closed_at_ms + 1)) == []


async def test_what_was_found_becomes_metrics(world: World, tmp_path: Path) -> None:
    file = tmp_path / "clearing.prom"
    write([await reconciled(world)], 1_700_000_000.0, file)
    assert 'clearing_reconcile_breaks{kind="missing",netting_set="hk"} 0.0' in file.read_text()
    world.books.postings.pop(2)
    write([await reconciled(world)], 1_700_000_060.0, file)
    text = file.read_text()
    assert 'clearing_reconcile_breaks{kind="missing",netting_set="hk"} 1.0' in text
    assert 'clearing_reconcile_timestamp_seconds{netting_set="hk"} 1.70000006e+09' in text
    assert [each.name for each in tmp_path.iterdir()] == [file.name]


async def test_missing_in_the_ledger(world: World) -> None:
    lost = world.books.postings.pop(2)
    found = await reconciled(world)
    [(kind, where, text)] = texts(found)
    assert (kind, where) == ("missing", "ledger")
    assert text.startswith(f"batch {lost.sequence:,} (")
    assert "is missing in the ledger, which has gone beyond it" in text
    assert not found.ok


async def test_an_amount_differs_in_the_ledger(world: World) -> None:  # R2
    posting = next(one for one in world.books.postings if one.kind == "net")
    number, line = next(iter(posting.entries.items()))
    posting.entries[number] = line._replace(units=line.units + 1)
    [(kind, where, text)] = texts(await reconciled(world))
    assert (kind, where) == ("differs", "ledger")
    assert f"of {line.participant} in line {number}, the ledger has" in text


async def test_posted_twice(world: World) -> None:  # R2
    world.books.postings.append(world.books.postings[-1])
    [(kind, where, text)] = texts(await reconciled(world))
    assert (kind, where) == ("doubled", "ledger")
    assert "is in the ledger 2 times" in text


async def test_two_versions_of_a_window_are_posted(example: Callable[[str], World]) -> None:  # R2
    world = example("recast")
    for posting in world.books.postings:
        posting.status, posting.reason = "POSTED", ""
    found = await reconciled(world)
    assert ("doubled", "ledger") in {(kind, where) for kind, where, _ in texts(found)}


async def test_in_the_topic_twice(world: World) -> None:
    place, batch = batches(world)[0]
    world.add(
        world.topics.settlements, None, world.records(world.topics.settlements)[place].value, 0
    )
    [(kind, where, text)] = texts(await reconciled(world))
    assert (kind, where) == ("doubled", "settlements")
    assert f"batch {batch.sequence:,} (window {batch.window:,} of {batch.asset})" in text


async def test_missing_in_settlements(world: World) -> None:
    place, batch = batches(world)[0]
    del world.records(world.topics.settlements)[place]
    [(kind, where, text)] = texts(await reconciled(world))
    assert (kind, where) == ("missing", "settlements")
    assert batch.id in text
    assert "the journal has sent it" in text


async def test_the_ledger_has_what_nobody_sent(world: World) -> None:
    world.books.postings[0].id = "f" * 32
    found = texts(await reconciled(world))
    assert {(kind, where) for kind, where, _ in found} == {
        ("missing", "settlements"),
        ("missing", "ledger"),
    }
    assert any("the ledger has it, and nobody sent it" in text for *_, text in found)


async def test_what_the_ledger_did_since_is_left_for_next_time(world: World) -> None:
    """It goes on while we read: what stands behind the settlements that were read is not missing in them."""
    end = world.ends[TopicPartition(world.topics.settlements, 0)]
    world.books.postings.append(
        dataclasses.replace(world.books.postings[-1], id="f" * 32, source_offset=end)
    )
    assert texts(await reconciled(world)) == []
    world.books.postings[-1].source_offset = end - 1
    assert [kind for kind, *_ in texts(await reconciled(world))] == ["missing"]


async def test_missing_in_the_journal(world: World) -> None:
    _, batch = batches(world)[0]
    drop_events(
        world,
        lambda e: (
            (getattr(e, "batch", ""), getattr(e, "state", "")) == (batch.id, "PENDING_SETTLEMENT")
        ),
    )
    [(kind, where, text)] = texts(await reconciled(world))
    assert (kind, where) == ("missing", "journal")
    assert "is missing in the journal" in text


async def test_the_journal_tells_another_net(world: World) -> None:
    place, event = next((n, e) for n, e in window_events(world) if e.entries)
    entry = msgspec.structs.replace(event.entries[0], net="0.01")
    other = msgspec.structs.replace(event, entries=[entry, *event.entries[1:]])
    world.replace(world.topics.journal, place, value=msgspec.json.encode(other))
    [(kind, where, text)] = texts(await reconciled(world))
    assert (kind, where) == ("differs", "journal")
    assert f"tells {entry.participant} a net of 0.01, its batches say" in text


@pytest.mark.parametrize(
    ("after_ms", "says"),
    [(10_000, None), (2 * HOUR_MS, "the journal has no answer: not confirmed for 2 h")],
)
async def test_not_confirmed_yet(world: World, after_ms: int, says: str | None) -> None:
    """Posted by the ledger, and its confirmation is not in: under way, until it is older than the grace."""
    _, batch = batches(world)[-1]
    drop_events(
        world,
        lambda e: (
            getattr(e, "batch", "") == batch.id and getattr(e, "state", "") != "PENDING_SETTLEMENT"
        ),
    )
    found = await reconciled(world, after_ms=after_ms)
    if says is None:
        assert found.ok
        assert found.under_way == 1
        assert "1 under way" in found.sentence
        return
    [(kind, where, text)] = texts(found)
    assert (kind, where) == ("not_confirmed", "ledger")
    assert says in text
    assert found.breaks[0].age_ms is not None
    assert found.breaks[0].age_ms >= after_ms


async def test_refused_by_the_ledger(world: World) -> None:
    """The journal says FAILED, nothing has come in its place: somebody has to look."""
    _, batch = batches(world)[-1]
    place, event = next(
        (n, e) for n, e in window_events(world) if (e.batch, e.state) == (batch.id, "SETTLED")
    )
    failed = msgspec.structs.replace(event, state="FAILED", reason="no funds")
    world.replace(world.topics.journal, place, value=msgspec.json.encode(failed))
    posting = next(one for one in world.books.postings if one.id == batch.id)
    posting.status, posting.reason, posting.entries = "REFUSED", "no funds", {}
    [(kind, where, text)] = texts(await reconciled(world))
    assert (kind, where) == ("refused", "ledger")
    assert text.endswith("was refused by the ledger: no funds")


async def test_a_refusal_that_was_made_good_is_explained(example: Callable[[str], World]) -> None:
    found = await reconciled(example("recast"))  # R25
    assert found.ok
    assert found.explained == [
        "batch 1 (window 1 of HKD) was refused by the ledger (ALPHA lacks 50.00): settled as version 2"
    ]
