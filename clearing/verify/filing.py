"""A report as a document that an auditor can file: JSON, Markdown or HTML, by the file's suffix. Pure.

The JSON is complete and has a schema (report.schema.json beside this file, generated); the others say the same for
people. But for time stamps, durations and how often the ledger was read, the same history gives the same document.
"""

import hashlib
import html
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from clearing.verify.anomalies import ANOMALIES
from clearing.verify.report import Check, Coverage, Flow, Report, Subject, Verdict

FORMAT = "clearing-verification/1"
SCHEMA = Path(__file__).with_name("report.schema.json")


class Claim(msgspec.Struct, frozen=True, kw_only=True):
    """A claim as it is filed: see Check. anomalies: which it would have found."""

    verdict: Verdict
    name: str
    rule: str
    scope: str
    anomalies: list[str]
    compared: str
    differences_count: int
    differences: list[str]
    pending: list[str]


class Filed(msgspec.Struct, frozen=True, kw_only=True):
    """A verification as it is filed. ok: every claim holds, nothing is missing. anomalies: what they mean."""

    format: str
    ok: bool
    subject: Subject | None
    took_ms: int
    batches: int
    claims: list[Claim]
    flows: list[Flow]
    coverage: list[Coverage]
    limits: list[str]
    anomalies: dict[str, str]


def filed(report: Report) -> Filed:
    return Filed(
        format=FORMAT,
        ok=report.ok,
        subject=report.subject,
        took_ms=report.took_ms,
        batches=report.batches,
        claims=[_claim(check) for check in report.checks],
        flows=report.flows,
        coverage=report.coverage,
        limits=report.limits,
        anomalies={anomaly.name: anomaly.means for anomaly in ANOMALIES},
    )


def _claim(check: Check) -> Claim:
    fields = msgspec.structs.asdict(check)
    return Claim(verdict=check.verdict, **fields)


def schema() -> dict[str, Any]:
    """JSON Schema of the report."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema"} | msgspec.json.schema(Filed)


def write(report: Report, path: Path) -> str:
    """Write it in the format its suffix names; SHA-256 of the file. Raises KeyError for another suffix, OSError."""
    data = FORMATS[path.suffix.lower()](filed(report)).encode()
    path.write_bytes(data)
    return hashlib.sha256(data).hexdigest()


class Section(NamedTuple):
    """A heading, what stands below it, and a table if it has columns."""

    title: str
    lines: list[str]
    columns: Sequence[str] = ()
    rows: Sequence[Sequence[str]] = ()


def _sections(report: Filed) -> Iterable[Section]:
    failed = sum(claim.verdict == "FAILED" for claim in report.claims)
    verdict = (
        "Everything holds."
        if report.ok
        else f"{failed} claims do not hold."
        if failed
        else "Nothing is wrong, but not everything is through."
    )
    yield Section(
        "Verdict", [f"{verdict} {len(report.claims)} claims, {report.batches:,} batches."]
    )
    if report.subject is not None:
        about = msgspec.to_builtins(report.subject)
        about["netting_sets"] = ", ".join(about["netting_sets"])
        about["versions"] = ", ".join(f"{name} {of}" for name, of in about["versions"].items())
        rows = [(name.replace("_", " "), str(value)) for name, value in about.items()]
        yield Section("Installation", [], ("", ""), rows)
    yield Section(
        "Claims",
        [],
        ("verdict", "claim", "rule", "where", "would have found", "compared"),
        [
            (c.verdict, c.name, c.rule, c.scope, ", ".join(c.anomalies), c.compared)
            for c in report.claims
        ],
    )
    said = [
        f"{claim.name}: {line}"
        for claim in report.claims
        for line in (*claim.differences, *claim.pending)
    ]
    yield Section("Differences", said or ["None."])
    yield Section("Not checked", report.limits or ["Nothing was left out."])
    yield Section(
        "What entered, and what it is now",
        ["Counts by what each message is now; values are in the report's JSON."],
        ("netting set", "asset", "entered", "became"),
        [
            (flow.netting_set, flow.asset or flow.what, f"{flow.entered:,}", _became(flow))
            for flow in report.flows
        ],
    )
    yield Section(
        "What was read",
        [
            (
                "SHA-256 of three SHA-256 digests one after the other: of the records' heads (offset, time stamp, "
                "lengths of key and value, 64 bits big-endian each, -1 for none), of all keys, of all values."
            )
        ],
        ("topic", "partition", "offsets", "records", "bytes", "SHA-256"),
        [
            (
                one.topic,
                str(one.partition),
                f"{one.first_offset}-{one.end_offset - 1}",
                f"{one.records:,}",
                f"{one.bytes:,}",
                one.sha256,
            )
            for one in report.coverage
        ],
    )
    yield Section("Anomalies", [], ("name", "what it would be"), [*report.anomalies.items()])


_BECAME = (
    "accepted",
    "queued",
    "cancelled",
    "expired",
    "dropped",
    "defaulted",
    "link_refused",
    "recast",
    "refused",
    "rejected",
    "repeated",
    "done",
    "requested",
)


def _became(flow: Flow) -> str:
    counts = {name: getattr(flow, name) for name in _BECAME}
    return ", ".join(
        f"{count:,} {name.replace('_', ' ')}" for name, count in counts.items() if count
    )


def _json(report: Filed) -> str:
    return msgspec.json.format(msgspec.json.encode(report), indent=2).decode() + "\n"


def _markdown(report: Filed) -> str:
    def cell(text: str) -> str:
        return " ".join(text.split()).replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;")

    parts = ["# Verification of a clearing installation\n"]
    for section in _sections(report):
        parts.append(f"## {section.title}\n")
        parts += [f"* {cell(line)}" for line in section.lines]
        if section.columns:
            parts.append("")
            parts.append("| " + " | ".join(section.columns) + " |")
            parts.append("|" + " --- |" * len(section.columns))
            parts += ["| " + " | ".join(map(cell, row)) + " |" for row in section.rows]
        parts.append("")
    return "\n".join(parts)


_STYLE = (
    "body{font:14px/1.5 system-ui,sans-serif;margin:2rem;max-width:80rem}table{border-collapse:collapse}"
    "td,th{border-bottom:1px solid #ccc;padding:.3rem .6rem;text-align:left;vertical-align:top}"
    "td{overflow-wrap:anywhere}.FAILED{color:#b00;font-weight:bold}.ok{color:#070}.behind{color:#a60}"
)


def _html(report: Filed) -> str:
    parts = [
        '<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><title>Verification</title>',
        f"<style>{_STYLE}</style></head><body><h1>Verification of a clearing installation</h1>",
    ]
    for section in _sections(report):
        parts.append(f"<h2>{html.escape(section.title)}</h2>")
        parts += [f"<p>{html.escape(line)}</p>" for line in section.lines]
        if section.columns:
            heads = "".join(f"<th>{html.escape(name)}</th>" for name in section.columns)
            parts.append(f"<table><tr>{heads}</tr>")
            parts += [f"<tr>{''.join(map(_cell, row))}</tr>" for row in section.rows]
            parts.append("</table>")
    parts.append("</body></html>")
    return "\n".join(parts) + "\n"


def _cell(text: str) -> str:
    verdict = f' class="{text}"' if text in ("ok", "behind", "FAILED") else ""
    return f"<td{verdict}>{html.escape(text)}</td>"


FORMATS: dict[str, Callable[[Filed], str]] = {
    ".json": _json,
    ".md": _markdown,
    ".html": _html,
}
