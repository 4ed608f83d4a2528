"""Which faults a seed brings: a list of independent entries, so that a failure can be shrunk to its shortest list.

Only what is to happen stands here; tests/simulation/injection.py makes it happen.
"""

import random
from collections.abc import Callable, Mapping, Sequence

import msgspec

from clearing.dev.points import POINTS

FROM_S, UNTIL_S = 0.3, 4.0  # when faults begin
PAST_SESSION_S, PAST_TRANSACTION_S = 3.7, 7.0  # how long is too long, see stage.py
FEWEST, MOST = 2, 7

SERVICES = ("intake", "engine", "dispatch", "sink")
_APIS: Mapping[str, Sequence[str]] = {
    "intake": ("Produce", "Produce", "Fetch", "OffsetCommit", "JoinGroup", "SyncGroup", "ListOffsets"),
    "engine": ("InitProducerId", "AddPartitionsToTxn", "Produce", "EndTxn", "EndTxn", "Fetch", "JoinGroup"),
    "dispatch": ("Produce", "Produce", "Fetch", "OffsetCommit", "OffsetFetch", "ListOffsets"),
    "sink": ("Produce", "Produce", "Fetch", "ListOffsets", "Heartbeat", "FindCoordinator"),
    "banks": ("Produce", "InitProducerId"),
}  # fmt: skip
# What a broker may answer for a while, by api.
_ANSWERS = {
    "Produce": ("NOT_LEADER_FOR_PARTITION", "NOT_ENOUGH_REPLICAS", "UNKNOWN_TOPIC_OR_PARTITION", "UNKNOWN"),
    "AddPartitionsToTxn": ("CONCURRENT_TRANSACTIONS", "COORDINATOR_NOT_AVAILABLE", "NOT_COORDINATOR"),
    "EndTxn": ("NOT_COORDINATOR", "CONCURRENT_TRANSACTIONS", "COORDINATOR_LOAD_IN_PROGRESS"),
    "InitProducerId": ("COORDINATOR_LOAD_IN_PROGRESS", "CONCURRENT_TRANSACTIONS", "NOT_COORDINATOR"),
    "JoinGroup": ("COORDINATOR_LOAD_IN_PROGRESS", "NOT_COORDINATOR"),
    "OffsetCommit": ("REBALANCE_IN_PROGRESS", "NOT_COORDINATOR", "COORDINATOR_NOT_AVAILABLE"),
}  # fmt: skip


class Fault(msgspec.Struct, frozen=True, kw_only=True):
    """at_s: virtual time. target: a process; service: a role. The rest: as `kind` needs it."""

    kind: str
    at_s: float
    target: str = ""
    service: str = ""
    api: str = ""
    point: str = ""
    error: str = ""
    for_s: float = 0.0
    delay_s: float = 0.0
    count: int = 1

    def __str__(self) -> str:
        said = [
            f"{name}={value:.3g}" if isinstance(value, float) else f"{name}={value}"
            for name in ("target", "service", "api", "point", "error", "for_s", "delay_s", "count")
            if (value := getattr(self, name)) not in ("", 0.0, 1)
        ]
        return " ".join([f"{self.at_s:.2f}s", self.kind, *said])


Draw = Callable[[random.Random, float, Sequence[str]], Fault]


def draw_plan(seed: int, processes: Sequence[str], only: Sequence[str] = ()) -> list[Fault]:
    """The faults of a seed, in the order of time. processes: names of those that run.

    only: kinds, if not all; each may say what is not to be drawn: "kill target=engine-1 for_s=2".
    """
    chance = random.Random(f"faults {seed}")
    wanted = [entry.split() for entry in only or KINDS]
    weights = [KINDS[kind][0] for kind, *_ in wanted]
    plan: list[Fault] = []
    for kind, *said in chance.choices(wanted, weights, k=chance.randint(FEWEST, MOST)):
        fault = KINDS[kind][1](chance, chance.uniform(FROM_S, UNTIL_S), processes)
        values = {"kind": kind} | dict(one.split("=") for one in said)
        plan.append(msgspec.convert(msgspec.structs.asdict(fault) | values, Fault, strict=False))
    return sorted(plan, key=lambda fault: fault.at_s)


def role_of(process: str) -> str:
    return process.rpartition("-")[0] or process


def _someone(chance: random.Random, processes: Sequence[str], *roles: str) -> str:
    """One of the processes; the engine, which has most to lose, twice as often."""
    roles = roles or (*SERVICES, "engine")
    role = chance.choice(roles)
    return chance.choice([name for name in processes if role_of(name) == role])


def _down(chance: random.Random, at_s: float, processes: Sequence[str]) -> Fault:
    return Fault(
        kind="", at_s=at_s, target=_someone(chance, processes), for_s=chance.uniform(0.1, 3)
    )


def _point(chance: random.Random, at_s: float, processes: Sequence[str]) -> Fault:
    service = chance.choice((*SERVICES, "engine", "sink"))
    point = chance.choice(POINTS[service])
    down_s, times = chance.uniform(0.1, 2), chance.choice((1, 1, 1, 2))
    return Fault(kind="", at_s=at_s, service=service, point=point, for_s=down_s, count=times)


def _stop(chance: random.Random, at_s: float, processes: Sequence[str]) -> Fault:
    """For a moment, past the session timeout, or past the transaction timeout."""
    for_s = chance.choice((chance.uniform(0.2, 2), PAST_SESSION_S, PAST_TRANSACTION_S))
    return Fault(kind="", at_s=at_s, target=_someone(chance, processes), for_s=for_s)


def _stop_at_point(chance: random.Random, at_s: float, processes: Sequence[str]) -> Fault:
    fault = _point(chance, at_s, processes)
    for_s = chance.choice((0.6, PAST_SESSION_S, PAST_TRANSACTION_S))
    return msgspec.structs.replace(fault, for_s=for_s, count=1)


def _request(chance: random.Random, at_s: float, processes: Sequence[str]) -> Fault:
    return _of_role(chance.choice((*SERVICES, "engine")), chance, at_s, processes)


def _bank_request(chance: random.Random, at_s: float, processes: Sequence[str]) -> Fault:
    """… or one of a bank's, which gives up on none: nobody knows then what it has paid."""
    return _of_role(chance.choice((*SERVICES, "engine", "banks")), chance, at_s, processes)


def _of_role(role: str, chance: random.Random, at_s: float, processes: Sequence[str]) -> Fault:
    api, count = chance.choice(_APIS[role]), chance.choice((1, 1, 2, 3))
    target = _someone(chance, [*processes, "banks"], role)
    return Fault(kind="", at_s=at_s, target=target, api=api, count=count)


def _delayed(chance: random.Random, at_s: float, processes: Sequence[str]) -> Fault:
    fault = _bank_request(chance, at_s, processes)
    return msgspec.structs.replace(fault, delay_s=chance.choice((0.05, 0.4, 2.0, 5.0)))


def _late_end(chance: random.Random, at_s: float, processes: Sequence[str]) -> Fault:
    """An EndTxn that arrives when the next transaction has begun (F4)."""
    target = _someone(chance, processes, "engine")
    delay_s = chance.choice((0.3, 2.0, 4.5, 7.0))
    return Fault(kind="", at_s=at_s, target=target, api="EndTxn", delay_s=delay_s)


def _answered(chance: random.Random, at_s: float, processes: Sequence[str]) -> Fault:
    while True:
        fault = _request(chance, at_s, processes)
        if fault.api in _ANSWERS:
            error = chance.choice(_ANSWERS[fault.api])
            return msgspec.structs.replace(fault, error=error)


def _cut(chance: random.Random, at_s: float, processes: Sequence[str]) -> Fault:
    for_s = chance.choice((chance.uniform(0.3, 2), PAST_SESSION_S, PAST_TRANSACTION_S))
    return Fault(kind="", at_s=at_s, target=_someone(chance, processes), for_s=for_s)


def _clock(chance: random.Random, at_s: float, processes: Sequence[str]) -> Fault:
    """A day ahead or behind, or some seconds; set back after a while (F12)."""
    delay_s = chance.choice((86_400.0, -86_400.0, 5.0, -5.0, 0.7))
    target, for_s = _someone(chance, processes), chance.uniform(1, 5)
    return Fault(kind="", at_s=at_s, target=target, delay_s=delay_s, for_s=for_s)


def _for_a_while(most_s: float) -> Draw:
    return lambda chance, at_s, _: Fault(kind="", at_s=at_s, for_s=chance.uniform(0.2, most_s))


def _node(chance: random.Random, at_s: float, _: Sequence[str]) -> Fault:
    for_s = chance.uniform(0.5, 3)
    return Fault(kind="", at_s=at_s, count=chance.choice((1, 2, 3)), for_s=for_s)


def _of_service(chance: random.Random, at_s: float, processes: Sequence[str]) -> Fault:
    service = chance.choice(("intake", "engine", "engine", "sink", "dispatch"))
    return Fault(kind="", at_s=at_s, service=service, count=chance.choice((1, 2, 3)))


def _ledger(chance: random.Random, at_s: float, _: Sequence[str]) -> Fault:
    """count: how many statements or commits pass unharmed before."""
    return Fault(kind="", at_s=at_s, count=chance.choice((0, 0, 1, 2, 5)))


def _slow(chance: random.Random, at_s: float, _: Sequence[str]) -> Fault:
    return Fault(kind="", at_s=at_s, count=chance.choice((0, 2)), delay_s=chance.choice((1.0, 6.0)))


def _commits(chance: random.Random, at_s: float, _: Sequence[str]) -> Fault:
    return Fault(kind="", at_s=at_s, count=chance.choice((1, 1, 2, 4)))


def _at(chance: random.Random, at_s: float, _: Sequence[str]) -> Fault:
    return Fault(kind="", at_s=at_s)


# Kind → how often it is drawn against the others, and how.
KINDS: Mapping[str, tuple[float, Draw]] = {
    "kill": (2, _down),
    "kill_at_point": (4, _point),
    "freeze": (1.5, _stop),
    "freeze_at_point": (2, _stop_at_point),
    "request_lost": (1, _request),
    "response_lost": (1.5, _request),
    "request_duplicated": (1, _bank_request),
    "request_delayed": (1, _delayed),
    "response_delayed": (1, _delayed),
    "connection_reset": (1, _bank_request),
    "connection_reset_after": (1, _bank_request),
    "broker_error": (1.5, _answered),
    "end_delayed": (2, _late_end),
    "cut_off": (1, _cut),
    "node_down": (0.7, _node),
    "coordinator_moved": (1, _of_service),
    "leader_moved": (1, _at),
    "markers_lost": (0.7, _for_a_while(2)),
    "markers_torn": (0.7, _for_a_while(2)),
    "clock": (1, _clock),
    "snapshot_flipped": (0.7, _for_a_while(2)),
    "snapshot_truncated": (0.7, _for_a_while(2)),
    "snapshot_removed": (0.7, _for_a_while(2)),
    "snapshot_foreign": (0.7, _for_a_while(2)),
    "second_engine": (1.2, _at),
    "second_sink": (1.2, _at),
    "rebalance_storm": (1, _of_service),
    "ledger_down": (0.7, _for_a_while(3)),
    "ledger_failover": (0.7, _commits),
    "session_dies": (1, _ledger),
    "commit_lost": (1, _ledger),
    "reply_lost": (1, _ledger),
    "ledger_deadlock": (0.5, _ledger),
    "ledger_serialization": (0.5, _ledger),
    "ledger_slow": (0.5, _slow),
}
