"""Alerts, their pages and tests, and dashboards belong together; every metric they name exists; promtool agrees."""

import importlib
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import prometheus_client
import pytest
import yaml

from clearing.reports import metrics as reconciled

OPS = Path(__file__).parents[2] / "ops"
PAGES = OPS / "runbooks" / "alerts"
DASHBOARDS = sorted((OPS / "dashboards").glob("*.json"))
WANTED = {
    "WillMissCutoff",
    "Stalled",
    "HungTransaction",
    "NetNotZero",
    "ReconBreak",
    "RetentionRisk",
    "LedgerAckLate",
    "CapNear",
    "Fencing",
    "ProbeLost",
    "Watchdog",
}
PARTS = ("It means.", "Safe meanwhile.", "Look at.", "Do.", "Never.")
_METRIC_MODULES = (
    "clearing.observe.metrics",
    "clearing.engine.metrics",
    "clearing.intake.metrics",
    "clearing.dispatch.metrics",
    "clearing.ledgers.metrics",
    "clearing.halts",
    "clearing.service",
)
_UNBOUNDED = {"bank", "participant", "payment", "batch", "id", "topic", "instance"}


def rules() -> list[dict[str, Any]]:
    groups = yaml.safe_load((OPS / "alerts.yml").read_text("utf-8"))["groups"]
    return [rule for group in groups for rule in group["rules"]]


def metric_names() -> set[str]:
    """Of every series our processes can show."""
    for module in _METRIC_MODULES:
        importlib.import_module(module)
    names: set[str] = set()
    for metric in (*prometheus_client.REGISTRY.collect(), *reconciled.registry.collect()):
        suffixes = {
            "counter": ("_total",),
            "histogram": ("_bucket", "_sum", "_count"),
        }.get(metric.type, ("",))
        names |= {metric.name + suffix for suffix in suffixes}
    return names


def unknown(expression: str) -> set[str]:
    return set(re.findall(r"\bclearing_[a-z_]+", expression)) - metric_names()


def test_there_is_an_alert_for_whatever_an_operator_has_to_hear_of() -> None:
    named = [rule["alert"] for rule in rules()]
    assert len(named) == len(set(named))
    assert set(named) >= WANTED


@pytest.mark.parametrize("rule", rules(), ids=lambda rule: rule["alert"])
def test_an_alert_has_a_page_a_severity_and_metrics_that_exist(rule: dict[str, Any]) -> None:
    name = rule["alert"]
    assert rule["labels"]["severity"] in ("page", "ticket", "none")
    assert rule["annotations"]["summary"]
    assert rule["annotations"]["runbook"] == f"ops/runbooks/alerts/{name}.md"
    text = (PAGES / f"{name}.md").read_text("utf-8")
    assert text.startswith(f"# {name}: ")
    assert [part for part in PARTS if f"**{part}**" not in text] == []
    assert f"| [{name}]({name}.md) |" in (PAGES / "README.md").read_text("utf-8")
    assert unknown(rule["expr"]) == set()


def test_every_page_is_of_an_alert_and_its_links_lead_somewhere() -> None:
    pages = sorted(PAGES.glob("*.md"))
    assert {page.stem for page in pages} == {rule["alert"] for rule in rules()} | {"README"}
    for page in pages:
        for link in re.findall(r"\]\(([^)#]+)\)", page.read_text("utf-8")):
            assert (page.parent / link).exists(), f"{page.name} leads to {link}"


def test_every_alert_is_tested_to_fire_and_not_to_fire() -> None:
    tests = yaml.safe_load((OPS / "alerts_test.yml").read_text("utf-8"))["tests"]
    cases = [case for test in tests for case in test["alert_rule_test"]]
    fires = {case["alertname"] for case in cases if case["exp_alerts"]}
    rests = {case["alertname"] for case in cases if not case["exp_alerts"]}
    assert fires == {rule["alert"] for rule in rules()}
    assert rests == fires - {"Watchdog"}


def test_promtool_agrees() -> None:
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("promtool is not installed (Debian: the package prometheus)")
    for command in (["check", "rules", "alerts.yml"], ["test", "rules", "alerts_test.yml"]):
        done = subprocess.run(
            [promtool, *command], cwd=OPS, capture_output=True, text=True, timeout=120, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("file", DASHBOARDS, ids=lambda file: file.stem)
def test_a_dashboard_shows_metrics_that_exist(file: Path) -> None:
    board = json.loads(file.read_text("utf-8"))
    assert board["uid"] == file.stem
    assert f"[{file.name}]({file.name})" in (OPS / "dashboards" / "README.md").read_text("utf-8")
    expressions = [target["expr"] for panel in board["panels"] for target in panel["targets"]]
    assert len(expressions) >= len(board["panels"]) > 5
    assert [expression for expression in expressions if unknown(expression)] == []
    queries = [one["query"]["query"] for one in board["templating"]["list"] if "definition" in one]
    assert [query for query in queries if unknown(query)] == []
    assert len({panel["id"] for panel in board["panels"]}) == len(board["panels"])
    ends = [(p["gridPos"]["x"] + p["gridPos"]["w"]) for p in board["panels"]]
    assert max(ends) <= 24


def test_there_are_dashboards() -> None:
    assert len(DASHBOARDS) >= 2


def test_labels_are_bounded_and_names_say_their_unit() -> None:
    """Never a payment, a batch or a bank: each would be a series of its own, for ever."""
    metric_names()
    ours = [m for m in prometheus_client.REGISTRY.collect() if m.name.startswith("clearing_")]
    assert len(ours) > 50
    for metric in ours:
        labels = set(getattr(_collector(metric.name), "_labelnames", ()))
        if not metric.name.startswith("clearing_views_"):  # topics of the engine, which are few
            assert not labels & _UNBOUNDED, f"{metric.name} has {labels & _UNBOUNDED}"
        assert not re.search(r"_(ms|us|kb|mb|percent|minutes)$", metric.name), metric.name


def _collector(name: str) -> object:
    found = prometheus_client.REGISTRY._names_to_collectors
    return found.get(name) or found[f"{name}_total"]
