"""An engine for operators' commands, in place of Kafka: the core's own rules, intake's own door."""

import msgspec
import pytest

from clearing.commanding import asking, places, published
from clearing.core.commands import (
    Command,
    OpenAccount,
    RegisterAsset,
    RegisterParticipant,
)
from clearing.core.control import apply_command
from clearing.core.outputs import CommandEvent, Outputs
from clearing.core.registry import AssetSpec
from clearing.core.state import NettingSet
from clearing.failures import ExitCode, Failure
from clearing.intake import control
from clearing.scheme.standing import Published

DIRECTORY = {"hk": 0, "eu": 1}
ASSETS = {"HKD": "hk", "EUR": "eu"}
MEMBERS = {"hk": ("ALPHA", "BRAVO", "BOTH"), "eu": ("BOTH", "CARLA")}


class Operators:
    """Two netting sets. asked: (netting sets, command) of everything that was published by a command line."""

    def __init__(self) -> None:
        self.states = {name: NettingSet(name) for name in DIRECTORY}
        self.values: dict[str, list[bytes]] = {name: [] for name in DIRECTORY}
        self.asked: list[tuple[list[str], Command]] = []
        self.folds = 0
        for asset, home in ASSETS.items():
            spec = AssetSpec(id=asset, code=asset, issuer="I", ledger="postgres", scale=2)
            self.apply(home, RegisterAsset(id=f"asset-{asset}", by="scheme", asset=spec))
            for name in MEMBERS[home]:
                self.apply(home, RegisterParticipant(id=f"p-{name}", by="scheme", participant=name))
                self.apply(
                    home,
                    OpenAccount(id=f"a-{name}", by="scheme", participant=name, asset=asset),
                )

    def apply(self, netting_set: str, command: Command) -> list[CommandEvent]:
        """What the engine answers, to it and to what it approves."""
        value = msgspec.json.encode(command)
        item = control.read(0, 0, value)
        assert item.message == command, f"intake refuses it: {item.reject}"
        self.values[netting_set].append(value)
        out = Outputs()
        apply_command(self.states[netting_set], command, len(self.values[netting_set]), out)
        return [event for event in out.events if isinstance(event, CommandEvent)]

    @property
    def last(self) -> Command:
        return self.asked[-1][1]

    def install(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Stand in for what asks Kafka."""

        async def ask(
            settings: object,
            command: Command,
            where: dict[str, int],
            timeout_s: float,
            approved: str = "",
        ) -> list[CommandEvent]:
            self.asked.append((sorted(where), command))
            return [event for name in sorted(where) for event in self.apply(name, command)]

        async def netting_sets(settings: object, wanted: str | None = None) -> dict[str, int]:
            if wanted is not None and wanted not in DIRECTORY:
                raise Failure(f"there is no netting set {wanted!r}", code=ExitCode.USAGE)
            return {n: p for n, p in DIRECTORY.items() if wanted in (None, n)}

        async def by_asset(settings: object) -> dict[str, str]:
            return ASSETS

        async def fold(settings: object, directory: dict[str, int]) -> dict[str, Published]:
            self.folds += 1
            found = {name: Published(name) for name in directory}
            for name, each in found.items():
                for value in self.values[name]:
                    each.apply_record(value)
            return found

        monkeypatch.setattr(asking, "ask", ask)
        monkeypatch.setattr(places, "netting_sets", netting_sets)
        monkeypatch.setattr(published, "netting_sets", netting_sets)
        monkeypatch.setattr(places, "netting_sets_of_assets", by_asset)
        monkeypatch.setattr(published, "_published", fold)
