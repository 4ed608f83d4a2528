"""The whole life of a payment, told the same from a saved log and from the topics."""

from pathlib import Path

import pytest

from clearing.core.commands import (
    Approve,
    Fund,
    Propose,
    ReleaseQueued,
    RequireApproval,
    SetPool,
    SetStatus,
)
from clearing.core.inputs import Decision
from clearing.engine.snapshots import SnapshotStore
from clearing.explain.evidence import log_offset_of
from clearing.explain.files import story_from_file
from clearing.explain.story import Place, Row, Story
from clearing.explain.topics import TopicStories, first_at
from tests.explain.town import A, B, C, D, Lists, Message, Town, trade, uuid


class Tales:
    """Tells stories of a town."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    async def both(self, town: Town, number: int) -> tuple[Story | None, Story | None]:
        """From the town's saved log, and from its topics."""
        saved = story_from_file(town.save(self.folder / "hk.log"), uuid(number))
        return saved, await self.from_topics(town, number)

    async def from_topics(self, town: Town, number: int) -> Story | None:
        store = SnapshotStore(self.folder, "", "hk")
        stories = TopicStories(town.lists, town.lists, town.topics, "hk", 0, store)
        return await stories.story(uuid(number))

    async def __call__(self, town: Town, number: int) -> Story:
        saved, told = await self.both(town, number)
        assert told is not None
        assert saved == told
        return told


@pytest.fixture
def tale(tmp_path: Path) -> Tales:
    return Tales(tmp_path)


def ids(*numbers: int) -> list[str]:
    return [str(uuid(number)) for number in numbers]


def outcomes(rows: list[Row]) -> list[tuple[str, str, str]]:
    """(kind, status, reason) of rows."""
    return [
        (row.kind, row.outcome.status, row.outcome.reason) if row.outcome else (row.kind, "", "")
        for row in rows
    ]


async def test_from_its_record_to_finality(tale: Tales) -> None:  # R2, R23
    town = Town(held="100")
    town.pays(1, A, B, 30)
    town.pays(2, A, C, 1)
    (batch,) = town.close("HKD")
    town.tick()
    town.post(batch)
    story = await tale(town, 1)
    assert (story.status, story.row.source) == ("ACSC", ("payments.hk.ALPHA", 0, 0, -1))
    (release,) = story.releases
    assert (release.how, release.amount, release.window) == ("AT_ONCE", "30", 1)
    (told,) = release.batches
    assert (told.id, told.hash, told.state) == (batch.id, batch.hash, "SETTLED")
    assert [(line.participant, line.net) for line in told.lines] == [(A, "-31"), (B, "30")]
    finality = story.finality
    assert finality.entered == finality.irrevocable == story.row.place
    assert finality.final is not None
    offsets = [record.offset for record in town.records]
    at = finality.entered.log_offset
    assert [told.sent.log_offset, finality.final.log_offset] == [at + 2, offsets[-1]]
    assert finality.entered.time_ms < told.sent.time_ms < finality.final.time_ms
    assert told.answered == finality.final


async def test_accepted_is_not_final_before_its_ledger_has_answered(tale: Tales) -> None:  # R23
    town = Town(held="100")
    town.pays(1, A, B, 30)
    assert (await tale(town, 1)).releases[0].batches == []
    town.close("HKD")
    story = await tale(town, 1)
    assert (story.status, story.finality.final) == ("ACSP", None)
    assert [batch.state for batch in story.releases[0].batches] == ["PENDING_SETTLEMENT"]


@pytest.mark.parametrize(
    ("fields", "reason", "text"),
    [
        ({"asset": "PLAIN"}, "AM04", "not enough liquidity"),
        ({"creditor": "NOBODY"}, "CNOR", "the creditor is not registered"),
        ({"asset": "GOLD"}, "AM03", "the asset is not cleared in this netting set"),
        ({"value_date": "2024-10-03"}, "DT01", "the value date is past, too far ahead or no business day"),
        ({"window": 7}, "TM01", "the window asked for is not open"),
    ],
)  # fmt: skip
async def test_refused_with_its_reason(
    tale: Tales, fields: Message, reason: str, text: str
) -> None:
    town = Town()
    town.send(town.order(1, A, B, 5) | fields)
    story = await tale(town, 1)
    outcome = story.row.outcome
    assert outcome is not None
    assert (story.status, outcome.reason, outcome.text) == ("RJCT", reason, text)
    assert (story.finality.irrevocable, story.releases) == (None, [])


async def test_what_could_not_be_read_and_came_again(tale: Tales) -> None:  # R28
    """An id is not taken by what is unreadable, nor by somebody else's message; a repeat has no effect."""
    town = Town(held="9")
    order = town.order(1, A, B, 5)
    town.send(order | {"amount": "5e0"})
    town.send(order, owner=C)
    town.send(order)
    town.send(order)
    town.send(order | {"amount": "6"})
    story = await tale(town, 1)
    assert (story.status, story.row.amount, story.row.source[2]) == ("ACSP", "5", 1)
    assert outcomes(story.again) == [
        ("unreadable", "RJCT", "AM12"),
        ("payment", "RJCT", "XSND"),
        ("payment", "ACSP", ""),
        ("payment", "RJCT", "AM05"),
    ]
    unreadable, _, repeat, _ = (row.outcome for row in story.again)
    assert unreadable is not None
    assert repeat is not None
    assert (repeat.repeat, repeat.window) == (True, 0)
    assert "amount" in unreadable.detail


async def test_a_record_that_was_read_twice_is_told_once(tale: Tales) -> None:
    town = Town(held="9")
    town.pays(1, A, B, 5)
    town.append(town.records[-1].key or b"", town.records[-1].value or b"")
    story = await tale(town, 1)
    assert (story.row.log_offset, story.again) == (town.records[-2].offset, [])


async def test_nobody_knows_it(tale: Tales) -> None:
    town = Town()
    town.pays(1, A, B, 5)
    assert await tale.both(town, 2) == (None, None)


async def test_in_the_log_but_not_come_to(tale: Tales) -> None:
    town = Town(held="9")
    town.pays(1, A, B, 5)
    town.pays(2, A, B, 1)
    town.lag(1)
    story = await tale.from_topics(town, 2)
    assert story is not None
    assert (story.status, story.row.outcome, story.releases) == ("RCVD", None, [])
    assert story.read_to == story.row.log_offset
    first = await tale.from_topics(town, 1)
    assert first is not None
    assert (first.status, first.read_to) == ("ACSP", story.read_to)


# --- queues --------------------------------------------------------------------------------------------------


async def test_released_alone(tale: Tales) -> None:  # R14
    town = Town()
    town.pays(1, A, B, 5)
    town.do(Fund(id="f", by="op", participant=A, asset="HKD", amount="5"))
    story = await tale(town, 1)
    (release,) = story.releases
    assert (release.how, release.together_with, release.at.log_offset) == (
        "SINGLE",
        [],
        town.records[-1].offset,
    )
    assert story.finality.irrevocable == release.at
    assert (story.row.outcome and story.row.outcome.status) == "PDNG"


async def test_released_with_others(tale: Tales) -> None:  # R14, R15
    """A circle of three as one set, two pairs in one log record each by itself."""
    town = Town()
    for number, (debtor, creditor) in enumerate([(A, B), (B, C), (C, A)], start=1):
        town.pays(number, debtor, creditor, 5)
    town.pay(A, _json(town.order(4, A, B, 5)))
    town.pay(C, _json(town.order(5, C, D, 5)))
    town.flush()
    town.pay(B, _json(town.order(6, B, A, 5)))
    town.pay(D, _json(town.order(7, D, C, 5)))
    town.flush()
    first, pair = await tale(town, 1), await tale(town, 5)
    assert [(r.how, r.together_with) for r in first.releases] == [("MULTILATERAL", ids(2, 3))]
    assert [(r.how, r.together_with) for r in pair.releases] == [("BILATERAL", ids(7))]


def _json(message: Message) -> bytes:
    import msgspec

    return msgspec.json.encode(message)


@pytest.mark.parametrize("four_eyes", [False, True])
async def test_released_by_an_operator(tale: Tales, four_eyes: bool) -> None:  # R15, R33
    town = Town()
    for number, (debtor, creditor, amount) in enumerate(
        [(A, D, 20), (A, C, 7), (C, A, 7)], start=1
    ):
        town.pays(number, debtor, creditor, amount, asset="BYP")
    release = ReleaseQueued(id="r", by="ann", payments=ids(2, 3))
    if four_eyes:
        town.do(RequireApproval(id="four", by="op", required=True))
        town.do(Propose(id="p", by="ann", command=release))
        hashed = town.machine.state.proposals["p"].hash
        town.do(Approve(id="ok", by="bob", proposal="p", hash=hashed))
    else:
        town.do(release)
    story = await tale(town, 2)
    (told,) = story.releases
    assert (told.how, told.by, told.together_with) == ("OPERATOR", "ann", ids(3))


@pytest.mark.parametrize(
    ("end", "status", "reason"),
    [
        ("cancel", "CANC", "CUST"),
        ("expire", "RJCT", "TM01"),
        ("cut-off", "RJCT", "AB03"),
        ("default", "RJCT", "AC06"),
    ],
)
async def test_it_waited_and_ended(tale: Tales, end: str, status: str, reason: str) -> None:
    """R12, R17, R24."""
    town = Town()
    fields = {"expires_at": "2024-10-04T12:00:10Z"} if end == "expire" else {}
    order = town.pays(1, A, B, 5, asset="HARD", **fields)
    match end:
        case "cancel":
            town.cancel(2, order)
        case "expire":
            town.pass_time(town.now_ms + 11_000)
            town.tick()
        case "cut-off":
            town.close("HARD")
        case _:
            town.do(SetStatus(id="d", by="op", participant=A, status="DEFAULTED"))
    story = await tale(town, 1)
    assert story.ended is not None
    assert (story.status, story.ended.outcome.reason) == (status, reason)
    assert story.finality.irrevocable is None
    if end == "expire":
        assert story.ended.at.time_ms >= town.records[0].time_ms + 10_000
    else:
        assert story.ended.at.log_offset == town.records[-1].offset
    assert outcomes(story.about) == ([("cancel", "CNCL", "")] if end == "cancel" else [])


async def test_a_deadlock_at_a_cutoff_is_part_of_its_story(tale: Tales) -> None:  # R16
    town = Town()
    town.pays(1, A, B, 5)
    town.pays(2, B, C, 9)
    town.close("HKD")
    (told,) = (await tale(town, 1)).deadlocks
    assert (told.lacks, told.limit, told.waits_for) == ("5", "LIQUIDITY", [])
    assert told.at.log_offset == town.records[-1].offset


# --- links ---------------------------------------------------------------------------------------------------


async def test_a_leg_waits_for_the_others(tale: Tales) -> None:  # R19
    town = Town(held="50")
    legs = trade(90, town.order(1, A, B, 5, asset="BOND"), town.order(2, B, A, 40))
    town.send(legs[1])
    saved, story = await tale.both(town, 2)
    assert saved is not None
    assert story is not None
    assert story.waiting is not None
    assert (story.status, story.waiting.position, story.waiting.missing_legs) == ("PDNG", 0, [0])
    assert [bound.limit for bound in story.waiting.binds] == ["LINK"]
    assert [(leg.leg, leg.status, bool(leg.row)) for leg in story.legs] == [
        (0, "", False),
        (1, "PDNG", True),
    ]
    declared = story.legs[0].declared
    assert declared is not None
    assert (declared.asset, declared.debtor, declared.creditor, declared.amount) == (
        "BOND",
        A,
        B,
        "5",
    )
    assert saved.legs[0].declared is None  # the message is not in a log


async def test_both_legs_are_final_together(tale: Tales) -> None:  # R19, R20
    town = Town(held="50")
    legs = trade(90, town.order(1, A, B, 5, asset="BOND"), town.order(2, B, A, 40))
    town.send(legs[1])
    town.send(legs[0])
    for batch in town.close():
        town.post(batch)
    first, last = await tale(town, 2), await tale(town, 1)
    assert [(r.how, r.together_with) for r in first.releases] == [("LINK", ids(1))]
    assert [(r.how, r.together_with) for r in last.releases] == [("LINK", ids(2))]
    assert first.finality.irrevocable == last.finality.irrevocable == last.row.place
    assert first.finality.final == last.finality.final != None  # noqa: E711
    assert [(leg.leg, leg.status) for leg in last.legs] == [(0, "ACSC"), (1, "ACSC")]
    (bond,), (cash,) = (story.releases[0].batches for story in (last, first))
    assert (bond.linked, cash.linked) == ([cash.id], [bond.id])
    assert [(line.participant, line.counterparty, line.net) for line in bond.lines] == [
        (A, B, "-5"),
        (B, A, "5"),
    ]


async def test_a_part_is_delivered_and_the_rest_later(tale: Tales) -> None:  # R22
    town = Town(held="30")
    legs = trade(90, town.order(1, A, B, 4, asset="BOND"), town.order(2, B, A, 40), partial=True)
    for leg in legs:
        town.send(leg)
    for batch in town.close():
        town.post(batch)
    story = await tale(town, 2)
    (part,) = story.releases
    assert (story.status, part.how, part.amount, part.remaining) == ("PDNG", "PARTIAL", "30", "10")
    assert part.together_with == ids(1)
    assert part.final is not None
    assert (story.finality.irrevocable, story.finality.final) == (None, None)
    assert story.waiting is not None
    assert story.waiting.remaining == "10"
    town.do(Fund(id="f", by="op", participant=B, asset="HKD", amount="10"))
    for batch in town.close():
        town.post(batch)
    whole = await tale(town, 2)
    assert [(r.how, r.amount, r.window) for r in whole.releases] == [
        ("PARTIAL", "30", 1),
        ("LINK", "10", 2),
    ]
    assert (whole.status, whole.finality.final) == ("ACSC", whole.releases[1].final)


async def test_a_link_that_is_refused(tale: Tales) -> None:  # R20, R21
    """HARD and HKD are no pair: the last leg says so, the one that waited has ended with it."""
    town = Town(held="50")
    legs = trade(90, town.order(1, A, B, 5, asset="HARD"), town.order(2, B, A, 40))
    for leg in legs:
        town.send(leg)
    first, last = await tale(town, 1), await tale(town, 2)
    assert first.ended is not None
    assert (first.status, first.ended.outcome.code) == ("RJCT", "LINK_PAIR")
    assert (last.status, last.row.outcome and last.row.outcome.code) == ("RJCT", "LINK_PAIR")
    assert [(leg.leg, leg.status) for leg in first.legs] == [(0, "RJCT"), (1, "RJCT")]
    assert first.legs[1].row == last.row


async def test_a_rest_that_is_cancelled(tale: Tales) -> None:  # R12, R22
    """What was delivered stands and is final; of the payment as a whole nothing is."""
    town = Town(held="30")
    legs = trade(90, town.order(1, A, B, 4, asset="BOND"), town.order(2, B, A, 40), partial=True)
    for leg in legs:
        town.send(leg)
    for batch in town.close():
        town.post(batch)
    town.cancel(3, legs[1])
    story = await tale(town, 2)
    assert (story.status, story.ended and story.ended.outcome.reason) == ("CANC", "CUST")
    (part,) = story.releases
    assert part.final is not None
    assert (story.finality.irrevocable, story.finality.final) == (None, None)


# --- settlement ----------------------------------------------------------------------------------------------


async def test_a_line_of_its_pair_where_pairs_are_netted(tale: Tales) -> None:  # R6
    town = Town(held="50")
    for number, (debtor, creditor) in enumerate([(A, B), (A, C), (B, A)], start=1):
        town.pays(number, debtor, creditor, number, asset="PAIR")
    town.close("PAIR")
    (batch,) = (await tale(town, 3)).releases[0].batches
    assert {(line.participant, line.counterparty, line.net) for line in batch.lines} == {
        (A, B, "2"),
        (B, A, "-2"),
    }


async def test_taken_out_of_its_window_again(tale: Tales) -> None:  # R25
    town = Town(held="50")
    town.pays(1, A, B, 30, asset="HARD")
    town.pays(2, B, C, 5, asset="HARD")
    (batch,) = town.close("HARD")
    town.refuse(batch, **{A: "30"})
    town.post(town.batches[-1])
    taken, stays = await tale(town, 1), await tale(town, 2)
    (release,) = taken.releases
    assert (taken.status, release.final, taken.finality.irrevocable) == ("RJCT", None, None)
    assert release.taken_out == Place(town.records[-2].offset, town.records[-2].time_ms)
    assert [(b.version, b.state, b.reason) for b in release.batches] == [(1, "ABORTED", "no money")]
    assert [(b.version, b.state) for b in stays.releases[0].batches] == [
        (1, "ABORTED"),
        (2, "SETTLED"),
    ]
    assert stays.status == "ACSC"


async def test_a_shortfall_that_others_bear_keeps_it(tale: Tales) -> None:  # R25
    town = Town(held="50")
    town.do(SetPool(id="pool", by="op", asset="HKD", amount="100"))
    town.pays(1, A, B, 30)
    (batch,) = town.close("HKD")
    town.refuse(batch, **{A: "30"})
    town.post(town.batches[-1])
    story = await tale(town, 1)
    assert [(b.version, b.state, b.lines[0].net) for b in story.releases[0].batches] == [
        (1, "ABORTED", "-30"),
        (2, "SETTLED", "0"),
    ]
    assert story.status == "ACSC"


# --- returns, requests, answers ------------------------------------------------------------------------------


def give_back(town: Town, number: int, original: Message, amount: int) -> Message:
    fields = {"type": "return", "original": original, "reason": "AC04"}
    order = town.order(number, original["creditor"], original["debtor"], amount)
    return town.send(order | fields)


async def test_returns_of_it_and_the_original_of_a_return(tale: Tales) -> None:  # R5
    town = Town(held="50")
    original = town.pays(1, A, B, 30)
    give_back(town, 2, original, 10)
    give_back(town, 3, original, 25)
    give_back(town, 4, original, 5)
    story, back = await tale(town, 1), await tale(town, 4)
    assert outcomes(story.about) == [
        ("return", "ACSP", ""),
        ("return", "RJCT", "AM09"),
        ("return", "ACSP", ""),
    ]
    assert (story.returned, back.returned) == ("15", "")
    assert back.original is not None
    assert (back.original.id, back.original.amount, back.row.reference) == (*ids(1), "30", *ids(1))
    assert back.row.given_reason == "AC04"


async def test_a_request_and_its_answer(tale: Tales) -> None:  # R23
    """The payment's story has both; that of the request too; the answer's names the request."""
    town = Town(held="50")
    original = town.pays(1, A, B, 30)
    town.cancel(2, original)
    answer = {
        "type": "answer",
        "id": str(uuid(3)),
        "debtor": B,
        "creditor": A,
        "request": str(uuid(2)),
        "decision": Decision.DECLINED.name,
        "reason": "LEGL",
    }
    town.send(answer)
    story, request, said = [await tale(town, number) for number in (1, 2, 3)]
    assert outcomes(story.about) == [("cancel", "PDCR", ""), ("answer", "CNCL", "")]
    assert (story.about[1].decision, story.about[1].given_reason) == ("DECLINED", "LEGL")
    assert (request.status, request.row.kind) == ("PDCR", "cancel")
    assert request.original is not None
    assert request.original.id == story.id
    assert [row.id for row in request.about] == ids(3)
    assert said.original is not None
    assert said.original.id == request.id


async def test_a_change_of_priority(tale: Tales) -> None:  # R12
    town = Town()
    for number in (1, 2):
        town.pays(number, A, B, number)
    town.send(
        {
            "type": "priority",
            "id": str(uuid(3)),
            "debtor": A,
            "payment": str(uuid(2)),
            "priority": "URGT",
        }
    )
    story = await tale(town, 2)
    assert [(row.kind, row.priority) for row in story.about] == [("priority", "URGT")]
    assert story.waiting is not None
    assert (story.waiting.position, story.waiting.queued) == (1, 2)


async def test_no_more_is_read_than_it_takes(tale: Tales, monkeypatch: pytest.MonkeyPatch) -> None:
    """Outputs from the payment's place to its finality, the state only while it waits."""
    from clearing.explain import topics as module

    monkeypatch.setattr(module, "FEW_RECORDS", 8)
    town = Town(held="1000")
    for number in range(100):
        town.pays(number, A, B, 1)
    town.post(*town.close("HKD"))
    for number in range(100, 300):
        town.pays(number, A, B, 1)
    town.lists.chunk_records = 1
    whole = {
        name: len(town.lists.partitions[at]) for at in town.lists.partitions for name in [at.topic]
    }
    story = await tale(town, 50)
    assert story.status == "ACSC"
    read = town.lists.read
    assert read["log"] == whole["log"]
    assert read["outcomes"] < 40
    assert read["settlements"] < 40
    assert read["journal"] < whole["journal"] / 2


@pytest.mark.parametrize("few", [0, 1, 7, 1_000])
async def test_first_at_finds_the_first_place(monkeypatch: pytest.MonkeyPatch, few: int) -> None:
    """Whatever lies between: holes of markers, several records of a place, records without one."""
    from aiokafka import TopicPartition

    from clearing.explain import topics as module

    monkeypatch.setattr(module, "FEW_RECORDS", few)
    lists = Lists()
    for at in (3, 3, 4, 7, 7, 7, 9, 20, 21):
        lists.add("t", None, b'{"log_offset":%d}' % at, 0)
        lists.add("t", None, b"{}", 0)
        lists.marker("t")
    partition = TopicPartition("t", 0)
    records = lists.partitions[partition]
    for start in range(23):
        found = await first_at(lists, partition, start, log_offset_of)
        left = [r.value for r in records if r.offset < found]
        assert all((log_offset_of(value or b"") or 0) < start for value in left)
        if few == 0:
            wanted = [r.offset for r in records if (log_offset_of(r.value or b"") or 0) >= start]
            assert found <= min(wanted, default=found)
            between = [r for r in records if found <= r.offset < min(wanted, default=found)]
            assert all(log_offset_of(r.value or b"") is None for r in between)
