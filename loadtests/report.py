"""The figures of a load test as a table for people."""

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from loadtests.figures import Figures
from loadtests.meter import Measured

SURE_S = 1.0  # a stage that took less is too short for its figures to be exact
SERVERS = ("kafka", "postgres")


def table(figures: Figures) -> RenderableType:
    """Each stage: how fast, what it costs, and how that compares with reading the same topics raw."""
    raw, payments = figures.raw, figures.published.rows
    raw_per_s, raw_cpu = payments / raw.took_s, 1e6 * raw.cpu_s / payments
    rows = Table(box=box.SIMPLE, title=_title(figures), title_justify="left")
    for name in ("stage", "payments/s", "CPU µs each", "of raw read", "Kafka µs", "PostgreSQL µs"):
        rows.add_column(name, justify="left" if name == "stage" else "right")
    published = figures.published
    rows.add_row(
        "publish (plain producer)",
        f"{published.rows / published.took_s:,.0f}",
        f"{1e6 * published.cpu_s / published.rows:.2f}",
    )
    rows.add_row(
        "raw read of the same topics",
        f"{raw_per_s:,.0f}",
        f"{raw_cpu:.2f}",
        "1.00",
        "" if raw.kafka_cpu_s is None else f"{1e6 * raw.kafka_cpu_s / payments:.2f}",
    )
    for stage in figures.stages:
        if stage.stage == "together":
            continue
        role = stage.stage.split()[0]
        each = stage.cpu_us(role)
        of_payments = stage.unit == "payments"
        rows.add_row(
            stage.stage if of_payments else f"{stage.stage} ({stage.unit})",
            f"{'~' if stage.seconds < SURE_S else ''}{stage.per_s:,.0f}",
            f"{each:.2f}",
            f"{each / raw_cpu:.2f}" if of_payments else "",
            *_servers(stage),
        )
    together = next(stage for stage in figures.stages if stage.stage == "together")
    rows.add_section()
    rows.add_row("all together", f"{together.per_s:,.0f}", "", "", *_servers(together))
    for role in ("intake", "engine", "dispatch", "sink"):
        each = together.cpu_us(role)
        rows.add_row(f"  {role}", "", f"{each:.2f}", f"{each / raw_cpu:.2f}")
    late = ", ".join(f"{name} {value:,.0f} ms" for name, value in figures.latency_ms.items())
    return Group(
        rows,
        Text(f"published → status readable at {figures.options.rate:,.0f} payments/s: {late}"),
        Text("~: done in less than a second, take more payments to be sure", "dim"),
        Text(f"the log takes {figures.log_bytes_per_payment:.1f} bytes a payment"),
        Text(f"proved by {figures.claims} claims, and by what the banks had planned", "green"),
        Text(_where(figures), "dim"),
    )


def _title(figures: Figures) -> str:
    options = figures.options
    size = figures.raw.size_bytes / figures.raw.records
    return (
        f"{options.payments:,} payments, seed {options.seed}, {size:.0f} bytes a record, "
        f"{figures.published.rows / figures.published.records:.1f} payments a record"
    )


def _servers(stage: Measured) -> list[str]:
    """CPU of our servers for each thing done; empty where the servers are the user's."""
    return [f"{stage.cpu_us(name):.2f}" if name in stage.cpu_s else "" for name in SERVERS]


def _where(figures: Figures) -> str:
    at = figures.machine
    versions = ", ".join(f"{name} {number}" for name, number in at.versions.items())
    return (
        f"{at.processor}, {at.cores} cores, {at.memory_gib} GiB, {at.system}, Python {at.python}, "
        f"load before {at.load}; {versions}"
    )
