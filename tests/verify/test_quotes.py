"""Verification: what messages say of other ones is in the log as they say it (R5, R12, R19, R23, R30)."""

import hashlib
import json
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from tests.verify.forge import SOURCES, encode, failed, said
from tests.verify.world import World, played

Example = Callable[[str], World]


def change_message(world: World, owner: str, kind: str, change: Callable[[Any], None]) -> None:
    """Change the first message of a type in a bank's topic."""
    topic = world.topics.payments(world.netting_set, owner)
    for place, record in enumerate(world.records(topic)):
        message = msgspec.json.decode(record.value or b"")
        if message["type"] == kind:
            change(message)
            world.replace(topic, place, value=encode(message))
            return
    raise AssertionError(f"no {kind} of {owner}")


def set_field(*path: str, to: object) -> Callable[[Any], None]:
    def change(message: Any) -> None:
        for name in path[:-1]:
            message = message[name]
        message[path[-1]] = to

    return change


OTHER = "00000000-0000-4000-8000-0000000000aa"


@pytest.mark.parametrize(
    ("name", "owner", "kind", "change", "what"),
    [
        ("queue", "ALPHA", "cancel", set_field("original", "id", to=OTHER), "reference"),
        ("queue", "ALPHA", "cancel", set_field("original", "amount", to="8"), "amount"),
        ("queue", "ALPHA", "cancel", set_field("original", "priority", to="HIGH"), "reference"),
        ("queue", "ALPHA", "cancel", set_field("reason", to="AC04"), "content"),
        ("queue", "ALPHA", "priority", set_field("priority", to="URGT"), "content"),
        ("queue", "ALPHA", "priority", set_field("payment", to=OTHER), "reference"),
        ("return-and-recall", "BRAVO", "answer", set_field("decision", to="DECLINED"), "reference"),
        ("return-and-recall", "BRAVO", "answer", set_field("request", to=OTHER), "reference"),
        ("return-and-recall", "BRAVO", "answer", set_field("creditor", to="BRAVO"), "creditor"),
        (
            "return-and-recall",
            "BRAVO",
            "return",
            set_field("original", "amount", to="99"),
            "reference",
        ),
        ("return-and-recall", "BRAVO", "return", set_field("reason", to="AC04"), "content"),
        ("return-and-recall", "BRAVO", "return", set_field("amount", to="59"), "amount"),
        ("dvp", "ALPHA", "payment", set_field("link", "id", to=OTHER), "link"),
        ("dvp", "ALPHA", "payment", set_field("link", "partial", to=True), "link"),
        ("pvp", "BRAVO", "payment", lambda message: message.pop("link"), "link"),
    ],
)
async def test_a_row_that_says_something_else_of_another_one(
    example: Example,
    name: str,
    owner: str,
    kind: str,
    change: Callable[[Any], None],
    what: str,
) -> None:  # R30
    world = example(name)
    change_message(world, owner, kind, change)
    assert f"another {what} than the order" in said(await world.verify(), SOURCES)


async def test_a_payment_that_is_passed_off_as_a_transfer(example: Example) -> None:  # R30
    world = example("queue")

    def change(message: Any) -> None:
        message |= {"type": "token_transfer", "chain_reference": "eip155:1:0x0:0"}

    change_message(world, "ALPHA", "payment", change)
    assert "another kind than the order" in said(await world.verify(), SOURCES)


# A link as a receipt tells it.

SCHEME = """
name = "Told"
[netting_sets.main]
[assets.HKD]
netting_set = "main"
issuer = "HKMA"
ledger = "postgres"
kind = "cash"
scale = 2
accounts = { prefunded = "100" }
[participants.ALPHA]
[participants.BRAVO]
"""


def identity(number: int) -> str:
    return f"00000000-0000-4000-8000-{number:012d}"


def leg(number: int, debtor: str, creditor: str, link: dict[str, Any]) -> dict[str, Any]:
    terms = {"asset": "HKD", "amount": str(number), "value_date": "2026-01-05"}
    parties = {"debtor": debtor, "creditor": creditor, "end_to_end_id": f"L{number}"}
    return {"type": "payment", "id": identity(number), "link": link} | terms | parties


def told(*, terms: str = "") -> World:
    """A return of a leg, which quotes it without knowing more of the other leg than its receipt said."""
    legs = [
        {"debtor": "ALPHA", "creditor": "BRAVO", "asset": "HKD", "amount": "1"},
        {"debtor": "BRAVO", "creditor": "ALPHA", "asset": "HKD", "amount": "2"},
    ]
    link = {"id": identity(77), "legs": legs}
    one, other = leg(1, "ALPHA", "BRAVO", link), leg(2, "BRAVO", "ALPHA", link)
    canonical = sorted([x["asset"], x["debtor"], x["creditor"], x["amount"]] for x in legs)
    digest = hashlib.sha256(msgspec.json.encode([canonical, False])).hexdigest()[:32]
    as_told = {"id": identity(77), "legs": 2, "leg": 0, "terms": terms or digest}
    back = leg(3, "BRAVO", "ALPHA", {}) | {
        "type": "return",
        "amount": "1",
        "original": one | {"link": as_told},
        "reason": "AC04",
    }
    del back["link"]
    lines = [one, other, {"at": "2026-01-05T12:00:01Z"}, back]
    return played(SCHEME, [json.dumps(line).encode() for line in lines])


async def test_a_link_may_be_quoted_as_it_was_told() -> None:  # R5, R19
    world = told()
    report = await world.verify()
    assert [(c.name, c.differences, c.pending) for c in report.checks if c.verdict != "ok"] == []
    assert [flow.accepted for flow in report.flows] == [3]


async def test_a_link_quoted_as_it_was_not() -> None:  # R5, R19
    """The engine refuses it, and verification sees the same content in it."""
    world = told(terms="0" * 32)
    report = await world.verify()
    assert not failed(report)
    assert [(flow.accepted, flow.refused) for flow in report.flows] == [(2, 1)]
