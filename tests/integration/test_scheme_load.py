"""Loading a scheme into a real broker: once, again, at once, changed, refused, after a loader that stalled."""

import asyncio
from datetime import date
from importlib import resources

import msgspec
import pytest
from aiokafka import TopicPartition
from aiokafka.errors import ProducerFenced, UnknownError, UnknownTopicOrPartitionError

from clearing import kafka
from clearing.config import Settings
from clearing.core.commands import Command, ControlMessage, Fund, OpenAccount, SetCap
from clearing.core.outputs import CommandEvent, Event
from clearing.engine.machine import Machine
from clearing.intake import worker as intake
from clearing.log.records import EVENT_KEY, decode_event
from clearing.names import Topics
from clearing.scheme.changes import to_commands
from clearing.scheme.directory import (
    Registrar,
    as_registrar,
    publish_directory,
    read_directory,
    read_values,
)
from clearing.scheme.load import load, preview
from clearing.scheme.model import Scheme
from clearing.scheme.parse import parse
from clearing.topics.cluster import apply_plan

TODAY = date(2026, 11, 23)
DEMO = (resources.files("clearing.dev") / "demo.toml").read_text("utf-8")


def scheme_of(text: str) -> Scheme:
    scheme = parse(text)
    assert isinstance(scheme, Scheme), scheme
    return scheme


def small(netting_set: str, cap: str = "100") -> str:
    return f"""
name = "small"
[netting_sets.{netting_set}]
[assets.X-{netting_set}]
netting_set = "{netting_set}"
issuer = "I"
ledger = "postgres"
scale = 2
kind = "cash"
accounts = {{ prefunded = "50", net_debit_cap = "{cap}" }}
[participants.BANKA]
[participants.BANKB]
"""


@pytest.fixture
def settings(bootstrap: str, topic_prefix: str) -> Settings:
    return Settings(bootstrap=bootstrap, topic_prefix=topic_prefix)


async def commands_of(settings: Settings, partition: int) -> list[Command]:
    """Every command published for a netting set, as intake reads them."""
    async with kafka.started(kafka.consumer(settings.bootstrap)) as reader:
        values = await read_values(reader, settings.topics.commands, partition)
    found = [msgspec.json.decode(value or b"", type=ControlMessage) for value in values]
    assert all(isinstance(command, Command) for command in found)
    return [command for command in found if isinstance(command, Command)]


async def test_loading_publishes_what_the_engine_needs_and_loading_again_nothing(
    settings: Settings,
) -> None:
    scheme = scheme_of(DEMO)
    first = await load(settings, scheme, "ops", today=TODAY)
    assert (first.refusals, first.partitions) == ([], {"hk": 0, "eu": 1})
    assert await read_directory(settings.bootstrap, settings.topics) == {"hk": 0, "eu": 1}
    for netting_set, partition in first.partitions.items():
        published = await commands_of(settings, partition)
        assert published == to_commands(scheme, netting_set, "ops", TODAY)
    again = await load(settings, scheme, "somebody.else", today=TODAY)
    assert (again.refusals, again.commands, again.topics.changes) == ([], 0, [])
    assert again.partitions == first.partitions
    assert len(await commands_of(settings, 0)) == len(first.changes[0].changes)


async def test_who_asked_has_a_plain_name(settings: Settings) -> None:
    """Intake refuses commands of anybody else: better now than then."""
    with pytest.raises(ValueError, match="without spaces"):
        await load(settings, scheme_of(small("hk")), "Jane Doe", today=TODAY)


async def test_many_who_load_the_same_scheme_at_once_publish_it_once(settings: Settings) -> None:
    scheme = scheme_of(small("hk"))
    reports = await asyncio.gather(
        *(load(settings, scheme, f"ops-{n}", today=TODAY) for n in range(3))
    )
    assert [report.refusals for report in reports] == [[], [], []]
    published = await commands_of(settings, 0)
    assert sum(report.commands for report in reports) == len(published)
    ids = [command.id for command in published]
    assert ids == [command.id for command in to_commands(scheme, "hk", "ops-0", TODAY)]


async def test_two_schemes_loaded_at_once_never_share_a_partition(settings: Settings) -> None:
    names = ["one", "two", "three"]
    schemes = [scheme_of(small(name)) for name in names]
    reports = await asyncio.gather(
        *(load(settings, scheme, "ops", today=TODAY) for scheme in schemes)
    )
    directory = await read_directory(settings.bootstrap, settings.topics)
    assert sorted(directory.values()) == [0, 1, 2]
    for name, report in zip(names, reports, strict=True):
        assert report.partitions == {name: directory[name]}
        published = await commands_of(settings, directory[name])
        assert published == to_commands(scheme_of(small(name)), name, "ops", TODAY)


async def test_an_edited_file_publishes_what_was_edited(settings: Settings) -> None:
    await load(settings, scheme_of(small("hk")), "ops", today=TODAY)
    opened = len(await commands_of(settings, 0))
    for cap in ("200", "100", "200"):  # back and forth: each time it must count
        report = await load(settings, scheme_of(small("hk", cap)), "ops", today=TODAY)
        assert report.commands == 2
    added = small("hk", "200") + "[participants.BANKC]\naccounts.X-hk = { prefunded = '60' }\n"
    await load(settings, scheme_of(added), "ops", today=TODAY)
    less = added.replace("'60'", "'40'")
    await load(settings, scheme_of(less), "ops", today=TODAY)
    after = (await commands_of(settings, 0))[opened:]
    assert [c.net_debit_cap for c in after if isinstance(c, SetCap)] == ["200.00"] * 2 + [
        "100.00"
    ] * 2 + ["200.00"] * 2
    assert len({command.id for command in after}) == len(after)
    [account] = [c for c in after if isinstance(c, OpenAccount)]
    assert (account.participant, account.prefunded) == ("BANKC", "60.00")
    [withdrawn] = [c for c in after if isinstance(c, Fund)]
    assert (withdrawn.participant, withdrawn.amount) == ("BANKC", "-20.00")


async def test_what_is_loaded_reaches_the_engine_through_intake(settings: Settings) -> None:
    """Loaded, edited, loaded: over the markers of both transactions, and the log has no gap (F14)."""
    await load(settings, scheme_of(small("hk")), "ops", today=TODAY)
    serving = asyncio.create_task(intake.run(settings))
    try:
        machine = await applied(settings, 5)
        await load(settings, scheme_of(small("hk", "200")), "ops", today=TODAY)
        machine = await applied(settings, 7)
    finally:
        serving.cancel()
        await asyncio.gather(serving, return_exceptions=True)
    accounts = machine.state.accounts
    for bank in ("BANKA", "BANKB"):
        account = machine.state.flat(bank, "X-hk")
        assert account is not None
        assert accounts.cap.reshape(-1)[account] == 200_00
        assert accounts.prefunded.reshape(-1)[account] == 50_00


async def applied(settings: Settings, commands: int) -> Machine:
    """The machine after the log, once that many commands were applied, all of them done."""
    partition = TopicPartition(settings.topics.log, 0)
    async with asyncio.timeout(60), kafka.started(kafka.consumer(settings.bootstrap)) as reader:
        reader.assign([partition])
        while True:
            machine, events = Machine("hk"), list[Event]()
            async for record in kafka.read_to_end(reader, partition):
                made = machine.apply(record.key, record.value, record.offset, record.timestamp)
                events += [decode_event(r.value) for r in made if r.key == EVENT_KEY]
            verdicts = [event.status for event in events if isinstance(event, CommandEvent)]
            if len(verdicts) >= commands:
                assert verdicts == ["DONE"] * commands
                return machine
            await asyncio.sleep(0.05)


async def test_what_the_engine_would_refuse_is_not_published(settings: Settings) -> None:
    await load(settings, scheme_of(small("hk")), "ops", today=TODAY)
    before = await commands_of(settings, 0)
    changed = small("hk", "300").replace("scale = 2", "scale = 3")
    report = await load(settings, scheme_of(changed), "ops", today=TODAY)
    assert report.refusals == [
        "hk: asset X-hk: scale 2 → 3: code, issuer, ledger and scale of a registered asset cannot change"
    ]
    assert await commands_of(settings, 0) == before


async def test_a_preview_tells_all_and_changes_nothing(settings: Settings) -> None:
    scheme = scheme_of(small("hk"))
    told = await preview(settings, scheme, "ops", today=TODAY)
    async with kafka.administration(settings.bootstrap) as admin:
        assert not [
            name for name in await admin.list_topics() if name.startswith(settings.topic_prefix)
        ]
    with pytest.raises(UnknownTopicOrPartitionError, match="load a scheme first"):
        await read_directory(settings.bootstrap, settings.topics)
    done = await load(settings, scheme, "ops", today=TODAY)
    assert [str(c) for c in told.topics.changes] == [str(c) for c in done.topics.changes]
    assert [c.commands for c in told.changes] == [c.commands for c in done.changes]
    edited = scheme_of(small("hk", "1"))
    assert (await preview(settings, edited, "ops", today=TODAY)).commands == 2
    assert len(await commands_of(settings, 0)) == done.commands


async def test_a_loader_that_stalls_is_fenced_and_leaves_nothing(
    settings: Settings, bootstrap: str
) -> None:
    """F2: it wakes up after somebody else has loaded; what it had begun is never seen."""
    topics = settings.topics
    await apply_plan(bootstrap, topics, {}, netting_sets=1)
    zombie = kafka.producer(bootstrap, transactional_id=f"{topics.prefix}clearing.registrar")
    async with kafka.started(zombie):
        await zombie.begin_transaction()
        await zombie.send_and_wait(topics.netting_sets, b"not seen", key=b"hk", partition=0)
        assert await publish_directory(bootstrap, topics, ["hk"]) == {"hk": 0}
        with pytest.raises(ProducerFenced):
            await zombie.commit_transaction()
    assert await read_directory(bootstrap, topics) == {"hk": 0}


async def test_a_fenced_registrar_starts_again_and_sees_what_the_other_did(
    settings: Settings, bootstrap: str
) -> None:
    topics, seen = settings.topics, list[dict[str, int]]()
    await apply_plan(bootstrap, topics, {}, netting_sets=1)

    async def slow(registrar: Registrar) -> None:
        seen.append(await registrar.read_directory())
        if len(seen) == 1:  # somebody else comes in between reading and writing
            await publish_directory(bootstrap, topics, ["eu"])
        await registrar.publish([kafka.TopicRecord(topics.rejected, 0, b"k", b"v")])

    await as_registrar(bootstrap, topics, slow)
    assert seen == [{}, {"eu": 0}]
    assert await committed(bootstrap, topics) == [b"v"]


@pytest.mark.parametrize("doubt", [UnknownError, TimeoutError, ProducerFenced])
async def test_a_registrar_in_doubt_starts_again(
    settings: Settings, bootstrap: str, doubt: type[Exception]
) -> None:
    """A commit that meets a fencing is answered UNKNOWN by Kafka 4.3: whether it happened, reading tells."""
    topics, seen = settings.topics, list[dict[str, int]]()
    await apply_plan(bootstrap, topics, {}, netting_sets=1)

    async def answered_badly(registrar: Registrar) -> None:
        seen.append(await registrar.read_directory())
        if len(seen) == 1:
            await publish_directory(bootstrap, topics, ["eu"])
            raise doubt

    await as_registrar(bootstrap, topics, answered_badly)
    assert seen == [{}, {"eu": 0}]


async def committed(bootstrap: str, topics: Topics) -> list[bytes | None]:
    async with kafka.started(kafka.consumer(bootstrap)) as reader:
        return await read_values(reader, topics.rejected, 0)
