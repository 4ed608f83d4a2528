"""Names on the wire: topics, transactional ids, groups, and the alphabet of identifiers.

Payments topics carry their owner: payments.<netting set>.<participant>, one partition each, so that order and
gaps can be checked per source and the sender is known by where a record came from.
"""

import re
import typing
from dataclasses import dataclass
from typing import Literal

PARTICIPANT = re.compile(
    r"[A-Z0-9][A-Z0-9_-]{1,34}", re.ASCII
)  # a BIC fits; no dot: it separates topic names
ASSET = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,34}", re.ASCII)
NETTING_SET = re.compile(r"[a-z0-9][a-z0-9-]{0,31}", re.ASCII)
PROBE = "PROBE"  # who sends probes; registered nowhere (ops/adr/0019-probe.md)
FUNDING_ACCOUNT = "$FUNDING"  # counter account of prefunding; no participant can have this name

ViewName = Literal["windows", "batches", "activity", "rejects", "audit", "lag"]
VIEW_NAMES: tuple[ViewName, ...] = typing.get_args(ViewName)


@dataclass(frozen=True, slots=True)
class Topics:
    """Topic names of one installation. `prefix` separates installations that share a cluster."""

    prefix: str = ""

    @property
    def log(self) -> str:
        return f"{self.prefix}log"

    @property
    def outcomes(self) -> str:
        return f"{self.prefix}outcomes"

    @property
    def settlements(self) -> str:
        return f"{self.prefix}settlements"

    @property
    def positions(self) -> str:
        return f"{self.prefix}positions"

    @property
    def windows(self) -> str:
        """Compacted by netting set and asset: the open window and its cut-off."""
        return f"{self.prefix}windows"

    @property
    def rejected(self) -> str:
        return f"{self.prefix}rejected"

    @property
    def journal(self) -> str:
        return f"{self.prefix}journal"

    @property
    def halts(self) -> str:
        """Compacted by service: what has stopped and waits for a person. Nothing of money depends on it."""
        return f"{self.prefix}halts"

    @property
    def heartbeats(self) -> str:
        """Compacted by process: which services live. Nothing of money depends on it."""
        return f"{self.prefix}heartbeats"

    def view(self, name: ViewName) -> str:
        """What clearing.views writes: views.windows, …; rebuilt at will."""
        return f"{self.prefix}views.{name}"

    @property
    def commands(self) -> str:
        return f"{self.prefix}commands"

    @property
    def confirmations(self) -> str:
        return f"{self.prefix}confirmations"

    @property
    def netting_sets(self) -> str:
        """Compacted directory: netting set -> partition number in all partitioned topics."""
        return f"{self.prefix}netting-sets"

    def payments(self, netting_set: str, participant: str) -> str:
        return f"{self.prefix}payments.{netting_set}.{participant}"

    def status(self, participant: str) -> str:
        return f"{self.prefix}status.{participant}"

    @property
    def payments_pattern(self) -> str:
        """Regular expression of every payments topic, for pattern subscription."""
        return rf"^{re.escape(self.prefix)}payments\.[^.]+\.[^.]+$"

    def contains(self, topic: str) -> bool:
        """Whether a topic of the cluster is one of this installation's."""
        shared = {self.log, self.outcomes, self.settlements, self.positions, self.windows}
        shared |= {self.rejected, self.journal, self.halts, self.commands, self.confirmations}
        shared |= {self.netting_sets, self.heartbeats, *map(self.view, VIEW_NAMES)}
        if topic in shared or self.parse_payments(topic) is not None:
            return True
        name = topic.removeprefix(f"{self.prefix}status.")
        return name != topic and PARTICIPANT.fullmatch(name) is not None

    def parse_payments(self, topic: str) -> tuple[str, str] | None:
        """(netting set, participant) of a payments topic, None if it is none."""
        name = topic.removeprefix(self.prefix)
        parts = name.split(".")
        if not topic.startswith(self.prefix) or len(parts) != 3 or parts[0] != "payments":
            return None
        return parts[1], parts[2]

    def transactional_id(self, netting_set: str) -> str:
        return f"{self.prefix}clearing-{netting_set}"

    def group(self, role: str) -> str:
        """Consumer group of a service: clearing-intake, clearing-engine, …"""
        return f"{self.prefix}clearing-{role}"


def owner_of(topic: str) -> str:
    """Participant that owns a payments topic: its last name (any prefix)."""
    return topic.rpartition(".")[2]
