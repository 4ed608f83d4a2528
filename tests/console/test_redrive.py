"""Redrive: tried by today's intake, decided by two people, published byte for byte, once (R33, R28)."""

from typing import Any
from uuid import UUID

import msgspec
import pytest
from aiokafka import TopicPartition

from clearing.console import routes_redrive
from clearing.console.redrive import ORIGIN_HEADER, Gone, Original, is_decided, original, redriven
from clearing.core.commands import Redrive
from clearing.core.outputs import Rejected
from clearing.intake.exact import record_hash
from clearing.live import Live
from clearing.messages_views import RejectView, encode, reject_key
from tests.console.stage import Browser, Stage
from tests.explain.town import A, B, Town, uuid

TOPIC = f"payments.hk.{A}"


class Sent:
    """What would have gone to Kafka."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, stage: Stage) -> None:
        self.sources: list[Original] = []
        self.fails = False
        self.stage = stage

        async def publish(producer: object, source: Original) -> int:
            if self.fails:
                raise TimeoutError("no answer")
            self.sources.append(source)
            stage.town.pay(A, source.value)
            stage.town.flush()
            stage.sync()
            return len(stage.town.lists.partitions[TopicPartition(TOPIC, 0)]) - 1

        class Started:
            async def __aenter__(self) -> None: ...
            async def __aexit__(self, *error: object) -> None: ...

        monkeypatch.setattr(routes_redrive, "publish", publish)
        monkeypatch.setattr(routes_redrive.kafka, "started", lambda _: Started())
        monkeypatch.setattr(routes_redrive.kafka, "producer", lambda *_: None)


def rejected_once(stage: Stage, message: dict[str, Any]) -> int:
    """As if an older intake had not known this format; its place in `rejected`.

    A record that no row of the log is about: the bytes are in the bank's topic, and were rejected there.
    """
    value = msgspec.json.encode(message)
    topic = TopicPartition(TOPIC, 0)
    offset = stage.town.lists.ends.get(topic, 0) + 100
    stage.town.lists.ends[topic] = offset
    stage.town.lists.add(TOPIC, None, value, stage.town.now_ms)
    row = Rejected(
        netting_set="hk",
        log_offset=1,
        row=0,
        topic=TOPIC,
        partition=0,
        offset=offset,
        item=-1,
        reason="XVER",
        text="not known yet",
        detail="",
        hash=record_hash(value),
        id="",
        time_ms=stage.town.now_ms,
    )
    view = RejectView(netting_set="hk", partition=0, offset=77, rejected=row)
    name = stage.settings.topics.view("rejects")
    stage.board.take(name, "", reject_key("hk", 77), encode(view), stage.town.now_ms)
    return offset


async def previewed(browser: Browser, *offsets: int) -> dict[str, Any]:
    body = {"netting_set": "hk", "offsets": list(offsets)}
    return await browser.posted("/api/rejected/preview", body)


async def test_what_is_still_unreadable_is_told(alice: Browser) -> None:
    found = await previewed(alice, 0)
    assert (found["readable"], found["still_unreadable"]) == (0, 1)
    (one,) = found["previews"]
    assert one["text"] == '{"type": "payment"'
    (row,) = one["rows"]
    assert (row["readable"], row["reason"], one["accounts"]) == (False, "XSYN", [])


async def test_a_redrive_from_its_preview_to_the_payment(
    stage: Stage, alice: Browser, bob: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent = Sent(monkeypatch, stage)
    offset = rejected_once(stage, stage.town.order(90, A, B, 1, asset="PLAIN"))
    stage.town.do(_funded())
    (one,) = (await previewed(alice, 77))["previews"]
    (row,) = one["rows"]
    assert (row["outcome"], row["status"], row["amount"]) == ("ACCEPTED", "ACSP", "1")
    changes = {each["participant"]: each["after"]["position"] for each in one["accounts"]}
    assert changes == {A: "-1", B: "1"}
    body = {"netting_set": "hk", "command": one["command"], "hash": one["hash"]}
    proposed = await alice.posted("/api/actions", body)
    assert (proposed["status"], sent.sources) == ("PROPOSED", [])
    (listed,) = (await alice.data("/api/rejected", reason="XVER"))["rejected"]
    assert (listed["redrivable"], listed["redrive"]["state"]) == (False, "PROPOSED")
    path = f"/api/proposals/hk/{proposed['proposal']}/approve"
    assert (await alice.post(path, {"hash": one["hash"]})).status_code == 403
    done = await bob.posted(path, {"hash": one["hash"]})
    assert done["effect"]["status"] == "DONE"
    assert done["effect"]["note"].startswith(f"published again as {TOPIC} offset ")
    (source,) = sent.sources
    assert (source.place, source.value) == (
        f"{TOPIC}@{offset}",
        msgspec.json.encode(stage.town.order(90, A, B, 1, asset="PLAIN")),
    )
    story = (await alice.data(f"/api/payments/{uuid(90)}"))["story"]
    assert story["status"] == "ACSP"
    # Once: neither by a preview nor by the command.
    (again,) = (await previewed(alice, 77))["previews"]
    assert (again["redrivable"], again["why_not"][:23]) == (False, "it was redriven before:")
    refused = await alice.posted("/api/actions", body)
    assert (refused["status"], "was used before" in refused["reason"]) == ("REFUSED", True)
    assert len(sent.sources) == 1


def _funded() -> Any:
    from clearing.core.commands import SetCap

    return SetCap(id="plain-cap", by="op", participant=A, asset="PLAIN", net_debit_cap="9")


async def test_what_could_not_be_published_is_published_later(
    stage: Stage, alice: Browser, bob: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent = Sent(monkeypatch, stage)
    sent.fails = True
    offset = rejected_once(stage, stage.town.order(91, A, B, 1, asset="PLAIN"))
    (one,) = (await previewed(alice, 77))["previews"]
    later = {"netting_set": "hk", "participant": A, "offset": offset}
    later["hash"] = one["command"]["hash"]
    assert (await alice.post("/api/rejected/publish", later)).status_code == 409
    body = {"netting_set": "hk", "command": one["command"], "hash": one["hash"]}
    proposal = (await alice.posted("/api/actions", body))["proposal"]
    done = await bob.posted(f"/api/proposals/hk/{proposal}/approve", {"hash": one["hash"]})
    assert done["effect"]["status"] == "DONE"
    assert done["effect"]["note"].startswith("not published: no answer; to try again: clearing ")
    sent.fails = False
    note = (await alice.posted("/api/rejected/publish", later))["note"]
    assert note.startswith("published again")
    assert len(sent.sources) == 1


async def test_what_was_redriven_is_not_redriven_again(stage: Stage, alice: Browser) -> None:
    """A loop: what is still unreadable is rejected anew, with its origin."""
    rejected_once(stage, stage.town.order(92, A, B, 1))
    records: list[Any] = stage.town.lists.partitions[TopicPartition(TOPIC, 0)]
    last, origin = records[-1], [(ORIGIN_HEADER, f"{TOPIC}@5".encode())]
    records[-1] = WithHeaders(last.offset, last.timestamp, last.key, last.value, origin)
    (one,) = (await previewed(alice, 77))["previews"]
    assert (one["redrivable"], one["command"]) == (False, None)
    assert one["why_not"] == f"it was redriven from {TOPIC}@5 itself: once is enough"


class WithHeaders(msgspec.Struct):
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: list[tuple[str, bytes]]


async def test_bytes_that_are_gone_or_are_others(stage: Stage, alice: Browser) -> None:
    offset = rejected_once(stage, stage.town.order(93, A, B, 1))
    with pytest.raises(Gone, match="holds other bytes"):
        await original(stage.town.lists, TOPIC, offset, "0" * 32)
    with pytest.raises(Gone, match="is not kept any more"):
        await original(stage.town.lists, TOPIC, offset + 1)
    with pytest.raises(Gone, match="does not exist"):
        await original(stage.town.lists, "payments.hk.NOBODY", 0)
    del stage.town.lists.partitions[TopicPartition(TOPIC, 0)][-1]
    (one,) = (await previewed(alice, 77))["previews"]
    assert (one["redrivable"], "no record at offset" in one["why_not"]) == (False, True)
    assert (
        await alice.post("/api/rejected/preview", {"netting_set": "hk", "offsets": [5]})
    ).status_code == 404


async def test_what_an_operator_wrote_is_not_redriven(stage: Stage, alice: Browser) -> None:
    stage.town.command(b'{"type": "fly"}')
    stage.town.flush()
    stage.sync()
    rows = (await alice.data("/api/rejected", text="commands"))["rejected"]
    assert [(row["participant"], row["redrivable"]) for row in rows] == [(None, False)]


def test_an_id_that_is_known_moves_no_money_again(town: Town) -> None:  # R28
    """The trial remembers what the engine does: a repeat is one there, too."""
    value = msgspec.json.encode(town.order(0, A, B, 1))
    found = redriven(Live(town.machine), TOPIC, value)
    (row,) = found.rows
    assert (UUID(row.id), row.outcome, found.accounts) == (uuid(0), "ACCEPTED", [])
    other = redriven(Live(town.machine), TOPIC, msgspec.json.encode(town.order(0, A, B, 2)))
    assert (other.rows[0].outcome, other.accounts) == ("DUPLICATE_ID", [])


async def test_only_what_the_journal_says_was_done_is_decided(town: Town) -> None:
    command = Redrive(id=f"redrive:{A}:5", by="op", participant=A, offset=5, hash="0" * 32)
    town.do(msgspec.structs.replace(command, participant="NOBODY", id="redrive:NOBODY:5"))
    assert not await is_decided(town.lists, "journal", 0, "redrive:NOBODY:5")
    assert not await is_decided(town.lists, "journal", 0, command.id)
    town.do(command)
    assert await is_decided(town.lists, "journal", 0, command.id)
