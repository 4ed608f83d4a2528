"""What the published commands have made of the netting sets: who is where, what is proposed (R33).

By the engine's own rules (clearing.scheme.standing), folded anew each time: commands are few.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import msgspec

from clearing import kafka
from clearing.commanding.places import netting_sets
from clearing.config import Settings
from clearing.core.approvals import content_hash
from clearing.core.commands import Proposable
from clearing.scheme.directory import read_values
from clearing.scheme.standing import Published

_SHOWN = 8  # items of a list


@dataclass(frozen=True)
class OpenProposal:
    """hash: what an approval is bound to. partition: of its netting set."""

    netting_set: str
    partition: int
    proposal: str
    by: str
    hash: str
    command: Proposable


async def homes_of(settings: Settings, participant: str) -> dict[str, int]:
    """The netting sets it is registered in, or all where it is nowhere: to be told so. Raises Failure."""
    directory = await netting_sets(settings)
    published = await _published(settings, directory)
    return {n: p for n, p in directory.items() if participant in published[n].participants} or (
        directory
    )


async def open_proposals(settings: Settings, wanted: str | None = None) -> list[OpenProposal]:
    """Of one netting set or all of them, oldest first. Raises Failure if there is no such netting set."""
    directory = await netting_sets(settings, wanted)
    published = await _published(settings, directory)
    return [
        OpenProposal(name, partition, each.id, each.by, content_hash(each.command), each.command)
        for name, partition in directory.items()
        for each in published[name].proposals.values()
    ]


async def _published(settings: Settings, directory: dict[str, int]) -> dict[str, Published]:
    found = {name: Published(name) for name in directory}
    async with kafka.started(
        kafka.consumer(settings.bootstrap, client="clearing-commands")
    ) as reader:
        for name, partition in directory.items():
            for value in await read_values(reader, settings.topics.commands, partition):
                found[name].apply_record(value)
    return found


def chosen(
    proposals: list[OpenProposal], proposal: str, digest: str | None
) -> list[OpenProposal] | str:
    """The proposal that is meant, in each netting set where it is open; or why none can be approved.

    digest: the hash that whoever approves has been told; None: not said.
    """
    found = [each for each in proposals if each.proposal == proposal]
    if not found:
        return f"there is no open proposal {proposal}"
    if len({each.hash for each in found}) > 1:
        names = ", ".join(each.netting_set for each in found)
        return f"{proposal} is not the same in {names}: say in which netting set"
    if digest is not None and digest != found[0].hash:
        return f"the hash of {proposal} is {found[0].hash}, not the one that was given"
    return found


def described(command: Proposable) -> str:
    """All that a command says, on one line: "set_cap: participant BANKB, asset HKD, net_debit_cap 100.00, …"."""
    fields = msgspec.to_builtins(command)
    kind = fields.pop("type")
    said = {name: value for name, value in fields.items() if name not in ("id", "by")}
    text = f"{kind}: {', '.join(_words('', said))}"
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)


def _words(prefix: str, fields: dict[str, object]) -> Iterator[str]:
    for name, value in fields.items():
        match value:
            case dict():
                yield from _words(f"{prefix}{name}.", value)
            case list() if len(value) > _SHOWN:
                yield f"{prefix}{name} {value[0]} … {value[-1]} ({len(value)} in all, see --json)"
            case None | "":
                yield f"{prefix}{name} none"
            case bool():
                yield f"{prefix}{name} {str(value).lower()}"
            case _:
                yield f"{prefix}{name} {value}"
