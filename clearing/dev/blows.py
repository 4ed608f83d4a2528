"""When which service is killed in a drill, by chance from a seed; and what a kill met."""

from dataclasses import dataclass

import numpy as np

from clearing.dev.services import ROLES


@dataclass(frozen=True, slots=True)
class Blow:
    """A kill that is planned: one service of `role`, once so many rows are published.

    working: only when that stage has something to do at that moment.
    """

    role: str
    at_rows: int
    which: int = 0
    working: bool = True


@dataclass(slots=True)
class Kill:
    """A kill -9 that happened. outstanding: what the stage had yet to do, rows or batches; again_s: how long
    until the service worked again, 0 as long as it does not."""

    service: str
    pid: int
    published: int
    outstanding: int
    at_s: float
    again_s: float = 0.0


def random_blows(count: int, payments: int, seed: int) -> list[Blow]:
    """Kills of any service at any moment, whatever it does just then."""
    random = np.random.default_rng([seed, count])
    return [
        Blow(ROLES[role], int(payments * part), which, working=False)
        for role, part, which in zip(
            random.integers(0, len(ROLES), count).tolist(),
            np.sort(random.uniform(0.02, 0.98, count)).tolist(),
            random.integers(0, 4, count).tolist(),
            strict=True,
        )
    ]


def one_blow_each(payments: int, seed: int) -> list[Blow]:
    """Every role once while it works, at seeded moments. The sink's is early: it works at cut-offs only."""
    random = np.random.default_rng([seed, len(ROLES)])
    parts = random.uniform(0.1, 0.8, len(ROLES)).tolist()
    return [
        Blow(role, int(payments * (part / 2 if role == "sink" else part)), which=number)
        for number, (role, part) in enumerate(zip(ROLES, parts, strict=True))
    ]
