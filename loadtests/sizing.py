"""`python -m loadtests.sizing`: brokers, partitions, cores, memory, storage of a large installation, from figures.

Assumptions and measured figures stand in sizing.json, each with where it comes from; nothing is measured here.
sizing_page.md is the text around the results: `python -m loadtests.sizing > ops/sizing.md`.
"""

import math
import sys
import tomllib
from pathlib import Path
from typing import Annotated

import msgspec
from cyclopts import App, Parameter

from clearing.failures import ExitCode

INPUTS = Path(__file__).with_name("sizing.json")
PAGE = Path(__file__).with_name("sizing_page.md")
TOPICS = Path(__file__).parents[1] / "topics" / "topics.toml"
NETTING_SETS = (1, 4, 16, 64)
ZONES = 3
DAYS_PER_MONTH = 30
DAY_S = 86_400
FOLLOWER = 0.5  # CPU of a follower's replica, as a share of the leader's: assumed, not measured
TOPICS_PER_SET = 9  # partitions that each netting set has in topics that are not a participant's
SNAPSHOT_BYTES_PER_S = 400e6  # one core's checksum and a disk's writing, together: assumed

app = App(name="python -m loadtests.sizing", help_format="markdown")


class Load(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be carried. remembered_days: today and the retention. busy_at_most: share of a core at the peak.

    kept_online_days: of topics without an end: older segments go to cheaper storage. window_s: between cut-offs.
    """

    payments_per_month: int
    peak_per_s: int
    participants: int
    remembered_days: int
    kept_online_days: int
    replicas: int
    busy_at_most: float
    broker_cores: int
    broker_disk_tb: float
    window_s: int


class Measured(msgspec.Struct, frozen=True, kw_only=True):
    value: float
    of: str
    by: str


class Inputs(msgspec.Struct, frozen=True, kw_only=True):
    load: Load
    measured: dict[str, Measured]

    def __getitem__(self, name: str) -> float:
        return self.measured[name].value


class Cores(msgspec.Struct, frozen=True, kw_only=True):
    """CPU at the peak, in cores that are fully busy."""

    intake: float
    engine: float
    dispatch: float
    sink: float
    brokers: float

    @property
    def ours(self) -> float:
        return self.intake + self.engine + self.dispatch + self.sink


class Kept(msgspec.Struct, frozen=True, kw_only=True):
    """A topic's share of the disks, all replicas. days: of which it is kept there."""

    topic: str
    bytes_per_payment: float
    days: int
    tb: float


class Set(msgspec.Struct, frozen=True, kw_only=True):
    """One of so many netting sets, the payments spread evenly over them."""

    netting_sets: int
    remembered: float
    engine_share: float
    memory_gb: float
    memory_most_gb: float
    snapshot_gb: float
    snapshot_s: float
    restart_s: float
    partitions: int


def cores(inputs: Inputs) -> Cores:
    load = inputs.load
    entries_per_s = 2 * load.participants / load.window_s
    return Cores(
        intake=load.peak_per_s * inputs["intake_us"] / 1e6,
        engine=load.peak_per_s * inputs["engine_us"] / 1e6,
        dispatch=load.peak_per_s * inputs["dispatch_us"] / 1e6,
        sink=entries_per_s * inputs["sink_us"] / 1e6,
        brokers=load.peak_per_s * inputs["broker_us"] / 1e6 * (1 + FOLLOWER * (load.replicas - 1)),
    )


def storage(inputs: Inputs) -> list[Kept]:
    """Of the topics that grow with payments."""
    document = tomllib.loads(TOPICS.read_text())["topics"]
    sizes = {
        "payments": inputs["payment_bytes"],
        "log": inputs["log_bytes"],
        "outcomes": inputs["outcome_bytes"],
        "status": inputs["status_bytes"],
    }
    load = inputs.load
    kept: list[Kept] = []
    for topic, size in sizes.items():
        retention = document[topic]["retention_days"]
        days = load.kept_online_days if retention == "unlimited" else int(retention)
        payments = load.payments_per_month / DAYS_PER_MONTH * days
        tb = payments * size * load.replicas / 1e12
        kept.append(Kept(topic=topic, bytes_per_payment=size, days=days, tb=tb))
    return kept


def brokers(inputs: Inputs) -> tuple[int, int, int]:
    """By CPU, by disk, and how many to have: the larger, one more to lose, the same in every zone."""
    load = inputs.load
    by_cpu = math.ceil(cores(inputs).brokers / load.busy_at_most / load.broker_cores)
    disk_tb = sum(kept.tb for kept in storage(inputs)) / 0.7  # three tenths free
    by_disk = math.ceil(disk_tb / load.broker_disk_tb)
    needed = max(by_cpu, by_disk, load.replicas) + 1
    return by_cpu, by_disk, math.ceil(needed / ZONES) * ZONES


def netting_sets(inputs: Inputs, number: int) -> Set:
    load = inputs.load
    remembered = load.payments_per_month / DAYS_PER_MONTH * load.remembered_days / number
    snapshot_bytes = remembered * inputs["snapshot_bytes"]
    return Set(
        netting_sets=number,
        remembered=remembered,
        engine_share=cores(inputs).engine / number,
        memory_gb=remembered * inputs["id_bytes"] / 1e9,
        memory_most_gb=remembered * inputs["id_bytes_most"] / 1e9,
        snapshot_gb=snapshot_bytes / 1e9,
        snapshot_s=snapshot_bytes / SNAPSHOT_BYTES_PER_S,
        restart_s=remembered * inputs["load_us"] / 1e6,
        partitions=number * (load.participants + TOPICS_PER_SET) + load.participants,
    )


def network_gbit_s(inputs: Inputs) -> float:
    """Into the brokers at the peak: what is written, once from its writer and once more to each other replica."""
    size = sum(kept.bytes_per_payment for kept in storage(inputs))
    return inputs.load.peak_per_s * size * inputs.load.replicas * 8 / 1e9


def table(head: list[str], rows: list[list[str]]) -> str:
    lines = [f"| {' | '.join(head)} |", "| --- |" + " ---: |" * (len(head) - 1)]
    return "\n".join([*lines, *(f"| {' | '.join(row)} |" for row in rows)])


def markdown(inputs: Inputs) -> str:
    """The whole of ops/sizing.md."""
    load, kept = inputs.load, storage(inputs)
    by_cpu, by_disk, number = brokers(inputs)
    work, whole = cores(inputs).ours, netting_sets(inputs, 1)
    # With a zone lost the others carry all of it.
    needed = math.ceil(work / load.busy_at_most * ZONES / (ZONES - 1))
    return PAGE.read_text().format(
        billions=f"{load.payments_per_month / 1e9:g}",
        average=f"{load.payments_per_month / DAYS_PER_MONTH / DAY_S:,.0f}",
        peak=f"{load.peak_per_s:,}",
        participants=load.participants,
        brokers=number,
        broker_cores=load.broker_cores,
        broker_disk=f"{load.broker_disk_tb:g}",
        zones=ZONES,
        by_cpu=by_cpu,
        by_disk=by_disk,
        work=f"{work:.2f}",
        busy=f"{load.busy_at_most:.0%}",
        cores=needed,
        storage=f"{sum(k.tb for k in kept):,.0f}",
        most=f"{1 / inputs['engine_us']:.1f}",
        days=load.remembered_days,
        remembered=f"{whole.remembered / 1e9:.1f}",
        memory=f"{whole.memory_gb:,.0f}",
        restart=f"{whole.restart_s:,.0f}",
        network=f"{network_gbit_s(inputs):.1f}",
        bulk=f"{inputs['decode_bulk_us']:g}",
        intake=f"{inputs['intake_us']:g}",
        online=load.kept_online_days,
        log_year=f"{inputs['log_bytes'] * load.payments_per_month * 12 / 1e12:,.0f}",
        follower=f"{FOLLOWER:.0%}",
        snapshot_rate=f"{SNAPSHOT_BYTES_PER_S / 1e6:g}",
        cpu_table=_cpu_table(inputs),
        storage_table=table(
            ["topic", "bytes a payment", "days", "TB, all replicas"],
            [[k.topic, f"{k.bytes_per_payment:g}", str(k.days), f"{k.tb:,.1f}"] for k in kept],
        ),
        sets_table=_sets_table(inputs),
        figures_table=table(
            ["by", "value", "of"],
            [[m.by, f"{m.value:g}", m.of] for m in inputs.measured.values()],
        ),
    )


def _cpu_table(inputs: Inputs) -> str:
    at_peak, busy = cores(inputs), inputs.load.busy_at_most
    stages = {
        "intake": at_peak.intake,
        "engine": at_peak.engine,
        "dispatch": at_peak.dispatch,
        f"ledger sink (a cut-off every {inputs.load.window_s} s)": at_peak.sink,
        "brokers, all replicas": at_peak.brokers,
    }
    return table(
        ["stage", "cores of work", f"cores, {busy:.0%} busy"],
        [[name, f"{value:.4f}", f"{value / busy:.3f}"] for name, value in stages.items()],
    )


def _sets_table(inputs: Inputs) -> str:
    return table(
        [
            "netting sets",
            "remembered, million",
            "engine, cores",
            "memory, GB",
            "while growing",
            "snapshot, GB",
            "written in, s",
            "loaded in, s",
            "partitions in all",
        ],
        [
            [
                str(s.netting_sets),
                f"{s.remembered / 1e6:,.0f}",
                f"{s.engine_share:.4f}",
                f"{s.memory_gb:,.1f}",
                f"{s.memory_most_gb:,.1f}",
                f"{s.snapshot_gb:,.1f}",
                f"{s.snapshot_s:,.0f}",
                f"{s.restart_s:,.1f}",
                f"{s.partitions:,}",
            ]
            for s in (netting_sets(inputs, number) for number in NETTING_SETS)
        ],
    )


@app.default
def sizing(
    *, inputs: Path = INPUTS, json: Annotated[bool, Parameter(negative="")] = False
) -> ExitCode:
    """Print what an installation needs.

        python -m loadtests.sizing
        python -m loadtests.sizing --inputs mine.json

    Parameters
    ----------
    inputs
        Load and measured figures, as in loadtests/sizing.json.
    json
        The results for machines.
    """
    read = msgspec.json.decode(inputs.read_bytes(), type=Inputs)
    if json:
        by_cpu, by_disk, number = brokers(read)
        found = {
            "cores": cores(read),
            "brokers": {"by_cpu": by_cpu, "by_disk": by_disk, "number": number},
            "storage": storage(read),
            "netting_sets": [netting_sets(read, n) for n in NETTING_SETS],
        }
        print(msgspec.json.format(msgspec.json.encode(found)).decode())
    else:
        print(markdown(read), end="")
    return ExitCode.OK


if __name__ == "__main__":
    sys.exit(app(result_action="return_value"))
