"""topics.toml as values, and the topics it means for an installation of so many brokers, netting sets, members.

The file stands in topics/ of a checkout and travels inside the installed package.
"""

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Literal

import msgspec

from clearing.names import Topics

DAY_MS = 86_400_000


class TopicSpec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One entry of topics.toml; the file says what each field means."""

    name: str
    partitions: Literal["netting sets", "one"]
    retention_days: int | Literal["unlimited"]
    keep: bool = False
    compacted: bool = False
    timestamps: Literal["log append", "create"]
    codec: Literal["producer", "uncompressed"]
    max_message_bytes: int
    written_by: list[str]
    read_by: list[str]
    keys: str
    values: list[str]
    description: str

    @property
    def from_outside(self) -> bool:
        """Whether others than our own services write it: then the broker unpacks what they compress."""
        return self.codec == "uncompressed"


class Role(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One entry of the list of roles; clearing.topics.rights reads its rights."""

    description: str
    rights: list[str]


class Contract(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    netting_set_partitions: int
    roles: dict[str, Role]
    topics: dict[str, TopicSpec]


@dataclass(frozen=True, slots=True)
class Wanted:
    """A topic as it should be: `kind` is its entry in topics.toml."""

    name: str
    kind: str
    spec: TopicSpec
    partitions: int
    replication: int
    configs: dict[str, str]


def contract_folder() -> Path:
    """Where topics.toml, schemas/ and samples/ are: in the package, or beside it in a checkout."""
    packaged = Path(str(resources.files("clearing.topics"))) / "contract"
    return packaged if packaged.is_dir() else Path(__file__).parents[2] / "topics"


def read_contract(file: Path | None = None) -> Contract:
    """The contract in `file`, by default the one that came with the software."""
    text = (file or contract_folder() / "topics.toml").read_text("utf-8")
    return msgspec.convert(tomllib.loads(text), Contract)


def wanted_topics(
    contract: Contract,
    topics: Topics,
    members: Mapping[str, Sequence[str]],
    netting_sets: int,
    brokers: int,
) -> list[Wanted]:
    """Every topic of an installation.

    members: participants of each netting set; netting_sets: how many numbers the directory has given away or
    is about to: each needs a partition.
    """
    numbers = max(contract.netting_set_partitions, netting_sets)
    replication = min(3, brokers)
    insync = {"min.insync.replicas": str(max(1, replication - 1))}
    return [
        Wanted(
            name=name,
            kind=kind,
            spec=spec,
            partitions=numbers if spec.partitions == "netting sets" else 1,
            replication=replication,
            configs=kafka_configs(spec) | insync,
        )
        for kind, spec in contract.topics.items()
        for name in _names(spec, topics, members)
    ]


def _names(spec: TopicSpec, topics: Topics, members: Mapping[str, Sequence[str]]) -> list[str]:
    """{netting_set} and {participant} filled in, each name once."""
    names = {
        topics.prefix + spec.name.format(netting_set=netting_set, participant=participant)
        for netting_set, participants in members.items()
        for participant in participants
    }
    return sorted(names) if "{" in spec.name else [topics.prefix + spec.name]


_LONG_MAX = (1 << 63) - 1


def kafka_configs(spec: TopicSpec) -> dict[str, str]:
    """Kafka's topic configs of an entry, all but those that depend on the cluster."""
    days = spec.retention_days
    configs = {
        "cleanup.policy": "compact" if spec.compacted else "delete",
        "compression.type": spec.codec,
        "max.message.bytes": str(spec.max_message_bytes),
        "message.timestamp.type": (
            "LogAppendTime" if spec.timestamps == "log append" else "CreateTime"
        ),
        "retention.bytes": "-1",
        "retention.ms": "-1" if days == "unlimited" else str(days * DAY_MS),
        "unclean.leader.election.enable": "false",
    }
    if (
        spec.timestamps == "create"
    ):  # no writer is refused because its clock is ahead of the broker's (F12)
        configs["message.timestamp.after.max.ms"] = str(_LONG_MAX)
    if spec.compacted:  # small, so that a reader who starts has little to read
        configs["min.cleanable.dirty.ratio"] = "0.1"
        configs["segment.bytes"] = str(16 << 20)
        configs["segment.ms"] = "3600000"
    return configs
