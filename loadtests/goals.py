"""What is to be reached, as ratios within one run; printed as met or not met, never adjusted."""

import msgspec

from loadtests.figures import Figures, Spread, Stages

PEER_GOALS = (
    ("streams-memory", 4.0, "Kafka Streams, in memory"),
    ("streams-rocksdb", 6.0, "Kafka Streams, RocksDB"),
    ("streams-hash", 3.0, "Kafka Streams, hash store by hand"),
)
BULK_GOAL = 15.0
READING_GOAL = 0.5
ENGINE_GOAL = 1_000_000.0
PATH_GOAL = 700_000.0
FORMS = (("uniform", "one payment a record"), ("bulk", "bulk JSON"), ("arrow", "bulk columns"))


class Goal(msgspec.Struct, frozen=True, kw_only=True):
    """at_least: what is needed of `measured` (None: there is no figure), in `unit`."""

    says: str
    at_least: float
    measured: float | None
    unit: str

    @property
    def met(self) -> bool:
        return self.measured is not None and self.measured >= self.at_least


def goals(figures: Figures) -> list[Goal]:
    """All of them, in the order of the issue; medians of the rounds."""
    found = [
        _times(figures, peer, least, f"payments per CPU-second, against {says}")
        for peer, least, says in PEER_GOALS
    ]
    found += [
        _times(
            figures, "streams-memory", BULK_GOAL, f"{says}, against Kafka Streams in memory", name
        )
        for name, says in FORMS[1:]
    ]
    for name, says in FORMS:
        at = figures.workload(name)
        found.append(
            Goal(
                says=f"intake reads, against Kafka's own consumer, {says}",
                at_least=READING_GOAL,
                measured=_reading(at),
                unit="×",
            )
        )
    for name, says in FORMS:
        found.append(
            Goal(
                says=f"engine, {says}",
                at_least=ENGINE_GOAL,
                measured=_per_cpu_s(figures, name, "engine"),
                unit="payments per CPU-second",
            )
        )
    for name, says in FORMS[1:]:
        found.append(
            Goal(
                says=f"intake and engine, {says}",
                at_least=PATH_GOAL,
                measured=_per_cpu_s(figures, name, "intake", "engine"),
                unit="payments per CPU-second",
            )
        )
    return found


def _times(figures: Figures, peer: str, least: float, says: str, workload: str = "") -> Goal:
    ratio = figures.ratio(peer, workload)
    return Goal(says=says, at_least=least, measured=ratio.median if ratio else None, unit="×")


def _reading(at: Stages | None) -> float | None:
    """Payments/s of intake over those of Kafka's own consumer."""
    if at is None or at.own_consumer is None:
        return None
    return at.stage("intake").per_s / (at.payments / at.own_consumer.seconds)


def _per_cpu_s(figures: Figures, workload: str, *roles: str) -> float | None:
    """Payments for a CPU-second of these stages, with everything at work."""
    rounds = figures.rounds(workload)
    if not rounds:
        return None
    each = (one.payments / sum(one.cpu_s[role] for role in roles) for one in rounds)
    return Spread.of(each).median
