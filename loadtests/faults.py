"""Which faults a long run meets, planned by chance from a seed; and what became of each. Values only."""

from collections.abc import Collection, Iterable, Mapping

import msgspec
import numpy as np

# How often, of a thousand. Those that stop everything for long are few: the run is to be of faults, not of waiting.
SHARES: Mapping[str, int] = {
    "kill -9": 360,
    "kill -9 at a fail-point": 310,
    "SIGSTOP past the session": 80,
    "connections reset": 70,
    "network cut": 40,
    "response lost": 26,
    "EndTxn late": 20,
    "PostgreSQL sessions terminated": 50,
    "PostgreSQL kill -9": 24,
    "broker kill -9": 10,
    "broker restarted": 10,
}
FROM, TO = 0.01, 0.98  # of the payments: before and after that services come up and run dry


class Planned(msgspec.Struct, frozen=True):
    """A fault to come, once so many rows are published. chance: seeds whatever is left open here."""

    kind: str
    at_rows: int
    chance: int


class Incident(msgspec.Struct, kw_only=True):
    """A fault that happened. whom: the service, server or clients; met: what was going on there.

    at_s, published: when, since the run began. again_s: from there until what it hit worked again, None: that was
    not seen.
    """

    kind: str
    at_s: float
    published: int
    whom: str
    met: str
    again_s: float | None = None


class Recovered(msgspec.Struct, frozen=True, kw_only=True):
    """All faults of one kind. p50_s, max_s: until it worked again; unseen: those of which that is not known."""

    kind: str
    times: int
    whom: dict[str, int]
    p50_s: float
    max_s: float
    unseen: int


def plan(faults: int, payments: int, seed: int, only: Collection[str] = ()) -> list[Planned]:
    """`faults` at random moments: of all kinds at least one as soon as there are as many, or `only` of some."""
    random = np.random.default_rng([seed, faults])
    shares = {kind: share for kind, share in SHARES.items() if not only or kind in only}
    counts = {
        kind: max(1, faults * share // sum(shares.values())) for kind, share in shares.items()
    }
    kinds = [kind for kind, count in counts.items() for _ in range(count)]
    kinds += [next(iter(shares))] * (faults - len(kinds))
    random.shuffle(kinds)
    kinds = kinds[:faults]
    moments = np.sort(random.uniform(FROM * payments, TO * payments, faults)).astype(int).tolist()
    chances = random.integers(0, 1 << 32, faults).tolist()
    return [Planned(*each) for each in zip(kinds, moments, chances, strict=True)]


def summary(incidents: Iterable[Incident]) -> list[Recovered]:
    """By kind, in the order of SHARES."""
    of_kind: dict[str, list[Incident]] = {kind: [] for kind in SHARES}
    for incident in incidents:
        of_kind[incident.kind].append(incident)
    return [_recovered(kind, found) for kind, found in of_kind.items() if found]


def _recovered(kind: str, found: list[Incident]) -> Recovered:
    seen = [incident.again_s for incident in found if incident.again_s is not None]
    whom: dict[str, int] = {}
    for incident in found:
        name = incident.whom.rpartition("-")[0] or incident.whom
        whom[name] = whom.get(name, 0) + 1
    return Recovered(
        kind=kind,
        times=len(found),
        whom=dict(sorted(whom.items())),
        p50_s=round(float(np.median(seen)), 2) if seen else 0.0,
        max_s=round(max(seen, default=0.0), 2),
        unseen=len(found) - len(seen),
    )
