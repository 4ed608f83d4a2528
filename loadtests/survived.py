"""The report of a long run with faults: values, and the same as Markdown for the documentation."""

from datetime import datetime

import msgspec

from clearing.dev.drill import Drilled
from clearing.dev.screen import latency
from clearing.verify import Report
from loadtests.faults import Incident, Recovered, summary
from loadtests.figures import Machine, machine
from loadtests.storm import Storm


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """payments at rate payments/s; faults: how many, only: of which kinds (none: all); plain: nothing waits, as in
    the load test."""

    payments: int = 1_000_000
    faults: int = 25
    seed: int = 1
    rate: float = 12_000.0
    plain: bool = False
    only: tuple[str, ...] = ()

    @property
    def command(self) -> str:
        """What repeats it."""
        plain = " --plain" if self.plain else ""
        plain += "".join(f' --only "{kind}"' for kind in self.only)
        return (
            f"python -m loadtests.kills --payments {self.payments} --faults {self.faults} "
            f"--seed {self.seed} --rate {self.rate:g}{plain}"
        )


class Claim(msgspec.Struct, frozen=True, kw_only=True):
    """One check of `clearing verify`, and what it was made on."""

    scope: str
    name: str
    rule: str
    compared: str
    holds: bool


class Survived(msgspec.Struct, frozen=True, kw_only=True):
    """What became of it. wrong: "" if everything holds.

    messages: payments and whatever they brought with them, as banks published them. waited: payments that did,
    at_once: those of them that left in pairs or gridlocks. published_s: until everything was published and every
    bank was told; missed: fail-points that nobody came by in time, no faults.
    """

    ok: bool
    wrong: str
    command: str
    started: str
    took_s: float
    verify_s: float
    machine: Machine
    payments: int
    messages: int
    outcomes: dict[str, int]
    faults: int
    by_kind: list[Recovered]
    restarts: dict[str, int]
    missed: list[str]
    transactions: int
    windows_settled: int
    batches: int
    waited: int
    at_once: int
    told_again: int
    latency: str
    claims: list[Claim]
    incidents: list[Incident]


def survived(
    options: Options,
    storm: Storm,
    result: Drilled | None,
    wrong: str,
    started: datetime,
    took_s: float,
) -> Survived:
    """The report; result: None if it never came to a proof."""
    drill, report = storm.drill, result.report if result else None
    progress, told = drill.watch.progress, drill.banks.told
    return Survived(
        ok=result is not None and not wrong,
        wrong=wrong,
        command=options.command,
        started=f"{started:%Y-%m-%d %H:%M} UTC",
        took_s=round(took_s, 1),
        verify_s=round(report.took_ms / 1000, 1) if report else 0.0,
        machine=machine(0.0),
        payments=options.payments,
        messages=drill.published,
        outcomes={name: count for name, count in progress.outcomes.most_common() if count},
        faults=len(storm.incidents),
        by_kind=summary(storm.incidents),
        restarts={name: drill.services[name].restarts for name in drill.services.names},
        missed=storm.missed,
        transactions=sum(map(len, progress.transactions.values())),
        windows_settled=progress.settled,
        batches=len(progress.batches),
        waited=told.waited,
        at_once=sum(len(release.ids) for release in progress.releases.values()),
        told_again=told.doubled,
        latency=latency(drill),
        claims=_claims(report) if report else [],
        incidents=storm.incidents,
    )


def _claims(report: Report) -> list[Claim]:
    return [
        Claim(scope=c.scope, name=c.name, rule=c.rule, compared=c.compared, holds=c.verdict == "ok")
        for c in report.checks
    ]


def markdown(run: Survived) -> str:
    """The report for people."""
    verdict = "Nothing lost, nothing doubled, nothing torn." if run.ok else f"FAILED: {run.wrong}"
    return f"""# {run.payments:,} payments, {run.faults} kills and other faults

**{verdict}**

    {run.command}

{_facts(run)}

## Faults

{_faults(run)}

Again: from the fault until what it hit worked again, which is for a service: ready, and its stage got on; for an
engine: every netting set it served has transactions by another process. Services were started again
{sum(run.restarts.values()):,} times. {len(run.missed)} faults were set up that nobody met in time: not counted.

## What was verified

{_verified(run)}

And what banks had planned before anything was cleared agrees: outcomes, reasons, values by asset, nets by batches
and as told, receipts, finality.
"""


def _facts(run: Survived) -> str:
    at = run.machine
    versions = ", ".join(f"{name} {number}" for name, number in at.versions.items())
    outcomes = ", ".join(f"{name} {count:,}" for name, count in run.outcomes.items())
    lines = [
        f"{run.started}, {run.took_s / 60:.1f} minutes, {run.verify_s / 60:.1f} of them verification",
        f"{at.processor}, {at.cores} cores, {at.memory_gib} GiB, {at.system}, Python {at.python}",
        versions,
        f"{run.messages:,} messages from banks became: {outcomes}",
        f"{run.transactions:,} transactions of engines",
        f"{run.windows_settled:,} windows settled by {run.batches:,} batches, each posted once",
        f"{run.waited:,} payments waited, {run.at_once:,} left in pairs or gridlocks",
        f"{run.told_again:,} status records were told again after a restart, and dropped by their sequence",
        f"published → first answer read by the bank, all faults included: {run.latency}",
    ]
    return "\n".join(f"- {line}" for line in lines)


def _faults(run: Survived) -> str:
    head = [
        "| fault | times | whom | again, median | again, longest | not seen |",
        "| --- | ---: | --- | ---: | ---: | ---: |",
    ]
    rows = [
        f"| {one.kind} | {one.times} | {', '.join(f'{n} × {t}' for n, t in one.whom.items())} | "
        f"{one.p50_s:.1f} s | {one.max_s:.1f} s | {one.unseen or ''} |"
        for one in run.by_kind
    ]
    return "\n".join([*head, *rows])


def _verified(run: Survived) -> str:
    head = ["| where | claim | rule | compared | |", "| --- | --- | --- | --- | --- |"]
    rows = [
        f"| {c.scope} | {c.name} | {c.rule} | {c.compared} | {'holds' if c.holds else 'FAILS'} |"
        for c in run.claims
    ]
    return "\n".join([*head, *rows])
