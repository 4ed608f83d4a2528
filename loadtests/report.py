"""The figures of a benchmark for people: tables, plots, and everything as JSON."""

from collections.abc import Iterable, Sequence
from pathlib import Path

import msgspec
from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from loadtests.bars import Bar, number, svg
from loadtests.figures import ROLES, Figures, Spread, Stages, Together
from loadtests.goals import Goal, goals
from loadtests.peers.work import Round

SURE_S = 1.0  # a stage that took less is too short for its figures to be exact
STAGES = ("intake", "engine", "dispatch")


def table(figures: Figures) -> RenderableType:
    """Everything, for a terminal."""
    late = ", ".join(f"{name} {value:,.0f} ms" for name, value in figures.latency_ms.items())
    limit = figures.transactions
    return Group(
        _comparison(figures),
        _workloads(figures),
        Text(
            f"the broker does {limit.transactions / limit.seconds:,.0f} empty transactions/s, "
            "one after the other"
        ),
        *_sink(figures),
        Text(f"published → status readable at {figures.options.rate:,.0f} payments/s: {late}"),
        Text(),
        _goals(goals(figures)),
        *(Text(f"no figures of {name}: {why}", "yellow") for name, why in figures.missing.items()),
        Text("~: done in less than a second, take more payments to be sure", "dim"),
        Text(
            f"valid: in = out in every round, ours and theirs; ours proved by {figures.claims} claims "
            "and by what the banks had planned",
            "green",
        ),
        Text(f"{figures.took_s / 60:.1f} minutes on {_where(figures)}", "dim"),
    )


def _table(title: str, *columns: str) -> Table:
    made = Table(box=box.SIMPLE, title=title, title_justify="left")
    for place, name in enumerate(columns):
        made.add_column(name, justify="right" if place else "left")
    return made


def _comparison(figures: Figures) -> Table:
    options = figures.options
    rows = _table(
        f"one payment a record, seed {options.seed}, rounds of {options.payments:,}, "
        f"{len(figures.ours)} of them: median (lowest to highest)",
        *("", "payments/s", "CPU µs each", "Kafka's µs", "ours per CPU-s", "MiB"),
    )
    _ours(rows, "clearing, all together", figures.ours)
    rows.add_section()
    for name, found in figures.peers.items():
        rows.add_row(
            name,
            _shown(one.payments / one.seconds for one in found),
            _shown(1e6 * one.cpu_s / one.payments for one in found),
            _kafka(1e6 * one.kafka_cpu_s / one.payments for one in found),
            _ratio(figures.ratio(name)),
            f"{max(one.memory_bytes for one in found) >> 20:,}",
        )
    for name, rounds in figures.bulk.items():
        rows.add_section()
        _ours(rows, f"clearing, {name}", rounds)
        for peer in ("streams-memory",):
            rows.add_row(f"  against {peer}", "", "", "", _ratio(figures.ratio(peer, name)))
    return rows


def _ours(rows: Table, name: str, rounds: Sequence[Together]) -> None:
    if not rounds:
        return
    rows.add_row(
        name,
        _shown(one.payments / one.seconds for one in rounds),
        _shown(1e6 * one.ours_s / one.payments for one in rounds),
        _kafka(1e6 * one.cpu_s.get("kafka", 0.0) / one.payments for one in rounds),
        "",
        f"{max(one.memory_bytes for one in rounds) >> 20:,}",
    )
    for role in ROLES:
        rows.add_row(
            f"  {role}", "", _shown(1e6 * one.cpu_s[role] / one.payments for one in rounds)
        )


def _workloads(figures: Figures) -> Table:
    rows = _table(
        "each stage alone: payments/s, and CPU µs each",
        *("workload", *STAGES, "read raw", "Kafka's consumer", "bytes in", "in the log"),
    )
    for at in figures.workloads:
        own = at.own_consumer
        rows.add_row(
            at.workload,
            *(_stage(at, role) for role in STAGES),
            f"{at.payments / at.raw.seconds:,.0f}\n{1e6 * at.raw.cpu_s / at.payments:.2f}",
            f"{at.payments / own.seconds:,.0f}\n{1e6 * own.cpu_s / at.payments:.2f}"
            if own
            else "–",
            f"{at.size_bytes / at.payments:.0f}",
            f"{at.log_bytes / at.payments:.1f}",
        )
    return rows


def _stage(at: Stages, role: str) -> str:
    stage = at.stage(role)
    sure = "~" if stage.seconds < SURE_S else ""
    return f"{sure}{stage.per_s:,.0f}\n{stage.cpu_us(role):.2f}"


def _sink(figures: Figures) -> list[Text]:
    if figures.sink is None:
        return []
    stage = figures.sink
    return [Text(f"sink: {stage.per_s:,.0f} entries/s, {stage.cpu_us('sink'):.1f} µs of CPU each")]


def _goals(found: Iterable[Goal]) -> Table:
    rows = _table("goals", "", "needed", "measured", "")
    for goal in found:
        measured = "–" if goal.measured is None else f"{number(goal.measured)} {goal.unit}"
        said = Text("met", "green") if goal.met else Text("not met", "red")
        rows.add_row(goal.says, f"≥ {number(goal.at_least)} {goal.unit}", measured, said)
    return rows


def _shown(values: Iterable[float]) -> str:
    spread = Spread.of(values)
    return f"{number(spread.median)} ({number(spread.low)}–{number(spread.high)})"


def _kafka(values: Iterable[float]) -> str:
    spread = Spread.of(values)
    return number(spread.median) if spread.high else "–"


def _ratio(spread: Spread | None) -> str:
    if spread is None:
        return "–"
    return f"{spread.median:.2f} × ({spread.low:.2f}–{spread.high:.2f})"


def _where(figures: Figures) -> str:
    at = figures.machine
    versions = ", ".join(f"{name} {number}" for name, number in at.versions.items())
    return (
        f"{at.processor}, {at.cores} cores, {at.memory_gib} GiB, {at.system}, Python {at.python}, "
        f"load before {at.load}; {versions}"
    )


def encoded(figures: Figures) -> bytes:
    """Figures, goals and ratios as JSON."""
    named = {peer: figures.ratio(peer) for peer in figures.peers}
    reached = [msgspec.structs.asdict(goal) | {"met": goal.met} for goal in goals(figures)]
    whole = {"goals": reached, "per_cpu_second_against": named, "figures": figures}
    return msgspec.json.format(msgspec.json.encode(whole)) + b"\n"


def write(figures: Figures, folder: Path) -> list[Path]:
    """bench.json and the plots, in `folder`; what was written."""
    folder.mkdir(parents=True, exist_ok=True)
    files = {"bench.json": encoded(figures).decode()}
    files |= {f"{name}.svg": plot for name, plot in plots(figures).items()}
    for name, text in files.items():
        (folder / name).write_text(text)
    return [folder / name for name in files]


def plots(figures: Figures) -> dict[str, str]:
    """Name → SVG: CPU and rate of all that take part, and CPU of each stage by workload."""
    note = f"{figures.machine.processor}, {figures.machine.cores} cores; {len(figures.ours)} rounds"

    def compared(ours: Iterable[float], theirs: dict[str, list[float]]) -> list[Bar]:
        others = [Bar(name, Spread.of(values)) for name, values in theirs.items()]
        return [Bar("clearing", Spread.of(ours), ours=True), *others]

    def each(found: Sequence[Round]) -> list[float]:
        return [1e6 * one.cpu_s / one.payments for one in found]

    cpu = compared(
        (1e6 / one.per_cpu_s for one in figures.ours),
        {name: each(found) for name, found in figures.peers.items()},
    )
    rate = compared(
        (one.payments / one.seconds for one in figures.ours),
        {
            name: [one.payments / one.seconds for one in found]
            for name, found in figures.peers.items()
        },
    )
    stages = [
        Bar(
            f"{at.workload}, {role}",
            Spread.of([at.stage(role).cpu_us(role)]),
            ours=role == "engine",
        )
        for at in figures.workloads
        for role in STAGES
    ]
    title = "one payment a record"
    return {
        "cpu": svg(f"CPU of a payment, {title}", "µs, all processes together", cpu, note),
        "rate": svg(f"Throughput, {title}", "payments a second", rate, note),
        "stages": svg("CPU of a payment, stage by stage", "µs, each alone", stages, note),
    }
