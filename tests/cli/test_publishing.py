"""Where `clearing publish` sends each line, found before the first one leaves."""

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace

import pytest

from clearing.cli import publishing
from clearing.cli.payment_files import Address
from clearing.cli.publishing import Batch, topics_of
from clearing.config import Settings
from clearing.failures import ExitCode, Failure

HKD, GOLD, NO_ASSET = Address("ALPHA", "HKD"), Address("ALPHA", "GOLD"), Address("BRAVO", "")


async def topics(
    patched: pytest.MonkeyPatch,
    *addresses: Address,
    sets: tuple[str, ...] = ("hk",),
    wanted: str | None = None,
    sender: str | None = None,
) -> list[str]:
    """In a cluster with these netting sets, of which the first clears HKD, and topics of ALPHA and BRAVO."""

    async def netting_sets(_: Settings, name: str | None = None) -> dict[str, int]:
        return {one: number for number, one in enumerate(sets) if name in (None, one)}

    async def of_assets(_: Settings) -> dict[str, str]:
        return {"HKD": sets[0]}

    async def list_topics() -> list[str]:
        return [f"payments.{one}.{bank}" for one in sets for bank in ("ALPHA", "BRAVO")]

    @asynccontextmanager
    async def administration(*_: object, **__: object) -> AsyncIterator[object]:
        yield SimpleNamespace(list_topics=list_topics)

    patched.setattr(publishing, "netting_sets", netting_sets)
    patched.setattr(publishing, "netting_sets_of_assets", of_assets)
    patched.setattr(publishing.kafka, "administration", administration)
    places = [f"day.jsonl:{number}" for number, _ in enumerate(addresses, start=1)]
    batch = Batch(
        [Path("day.jsonl")], addresses={a: n for n, a in enumerate(addresses)}, places=places
    )
    return await topics_of(Settings(), batch, wanted, sender)


async def test_an_asset_says_where(monkeypatch: pytest.MonkeyPatch) -> None:
    assert await topics(monkeypatch, HKD, sets=("hk", "uk")) == ["payments.hk.ALPHA"]
    assert await topics(monkeypatch, HKD, sets=("hk", "uk"), wanted="uk") == ["payments.uk.ALPHA"]
    assert await topics(monkeypatch, HKD, sender="BRAVO") == ["payments.hk.BRAVO"]


async def test_what_names_no_asset_goes_to_the_only_netting_set(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Changes of priority and answers: where there are several sets, somebody has to say which."""
    assert await topics(monkeypatch, HKD, NO_ASSET) == ["payments.hk.ALPHA", "payments.hk.BRAVO"]
    several = ("hk", "uk")
    assert await topics(monkeypatch, NO_ASSET, sets=several, wanted="uk") == ["payments.uk.BRAVO"]
    with pytest.raises(Failure, match="names no asset") as failed:
        await topics(monkeypatch, HKD, NO_ASSET, sets=several)
    assert str(failed.value).startswith("day.jsonl:2: ")
    assert failed.value.code == ExitCode.USAGE


@pytest.mark.parametrize(
    ("address", "sender", "message"),
    [
        (GOLD, None, "day.jsonl:1: no netting set clears GOLD"),
        (HKD, "NOBODY", "day.jsonl:1: there is no topic payments.hk.NOBODY"),
    ],
)
async def test_what_can_go_nowhere_is_said_with_its_line(
    monkeypatch: pytest.MonkeyPatch, address: Address, sender: str | None, message: str
) -> None:
    with pytest.raises(Failure, match=re.escape(message)) as failed:
        await topics(monkeypatch, address, sender=sender)
    assert failed.value.code == ExitCode.USAGE
