"""What the doctor holds right and wrong: facts in, verdicts out, and whatever is not right has a fix."""

from collections.abc import Sequence

import pytest

from clearing.cli.doctor import table
from clearing.core.faults import HaltKind
from clearing.doctor import Finding, Verdict, rules
from clearing.doctor.facts import Acl, Broker, Disk, Partition
from clearing.messages import HaltRecord
from clearing.observe import OpenTransaction
from clearing.topics.plan import AddPartitions, Plan
from clearing.views.model import Heartbeat, StageLag, StageStatus

NOW_MS = 1_000_000
GOOD = {
    "transaction.max.timeout.ms": "900000",
    "transaction.state.log.replication.factor": "3",
    "transaction.state.log.min.isr": "2",
    "offsets.topic.replication.factor": "3",
    "unclean.leader.election.enable": "false",
    "auto.create.topics.enable": "false",
}


def verdicts(findings: Finding | Sequence[Finding]) -> str:
    """First letters, in order; whatever is not right says what to do."""
    said = [findings] if isinstance(findings, Finding) else findings
    assert said
    assert all(bool(one.fix) == (one.verdict != Verdict.PASS) for one in said)
    assert all(one.text for one in said)
    return "".join(one.verdict[0] for one in said)


def nodes(count: int) -> list[Broker]:
    return [Broker(number, "host", 9092) for number in range(count)]


def test_brokers() -> None:
    assert verdicts(rules.brokers(nodes(3), 1)) == "p"
    assert verdicts(rules.brokers(nodes(1), 0)) == "w"
    assert verdicts(rules.brokers(nodes(3), -1)) == "f"


@pytest.mark.parametrize(("leader", "in_sync", "verdict"), [(1, 3, "p"), (1, 2, "w"), (-1, 0, "f")])
def test_partitions(leader: int, in_sync: int, verdict: str) -> None:
    found = [Partition("log", 0, 1, 3, 3), Partition("log", 1, leader, 3, in_sync)]
    finding = rules.partitions(found)
    assert verdicts(finding) == verdict
    assert verdict == "p" or "log-1" in finding.text


def test_topics() -> None:
    assert verdicts(rules.topics(Plan())) == "p"
    plan = Plan([AddPartitions("log", 8, 16)], ["log: would lose records"], ["log: a note"])
    assert verdicts(rules.topics(plan)) == "fww"


@pytest.mark.parametrize(
    ("changed", "brokers", "verdict"),
    [
        ({}, 3, "p"),
        ({"transaction.max.timeout.ms": "1000"}, 3, "f"),
        ({"transaction.state.log.replication.factor": "1"}, 3, "f"),
        ({"transaction.state.log.replication.factor": "1"}, 1, "p"),
        ({"offsets.topic.replication.factor": "2"}, 5, "f"),
        ({"transaction.state.log.min.isr": "1"}, 3, "f"),
        ({"transaction.state.log.min.isr": "1"}, 1, "p"),
        ({"unclean.leader.election.enable": "true"}, 3, "f"),
        ({"auto.create.topics.enable": "true"}, 3, "w"),
    ],
)
def test_transaction_settings(changed: dict[str, str], brokers: int, verdict: str) -> None:
    assert verdicts(rules.transaction_settings(GOOD | changed, brokers)) == verdict


def test_settings_that_are_not_told_are_not_taken_for_good() -> None:
    assert "f" in verdicts(rules.transaction_settings({}, 3))


def test_open_transactions() -> None:
    one = OpenTransaction(
        topic="outcomes",
        partition=3,
        offset=17,
        since_ms=0,
        producer_id=9,
        producer_epoch=2,
        transactional_id="somebody",
        state="Ongoing",
    )
    assert verdicts(rules.open_transactions([], "k:9092")) == "p"
    finding = rules.open_transactions([one], "k:9092")
    assert verdicts(finding) == "f"
    assert "somebody" in finding.text
    assert "forceTerminateTransaction" in finding.fix


def rule(principal: str, pattern: str, *, kind: int = 3, operation: int = 4, type_: int = 2) -> Acl:
    return Acl(principal, type_, pattern, kind, operation, 3)


TOPICS = ("p.outcomes", "p.journal")


@pytest.mark.parametrize(
    ("rule_set", "verdict"),
    [
        (None, "w"),
        ([], "p"),
        ([rule("User:engine", "p.outcomes"), rule("User:engine", "p.journal")], "p"),
        ([rule("User:engine", "p.", kind=4)], "p"),
        ([rule("User:engine", "p.", kind=4), rule("User:bank", "payments.", kind=4)], "p"),
        ([rule("User:engine", "p.", kind=4), rule("User:other", "*")], "w"),
        ([rule("User:engine", "p.", kind=4), rule("User:other", "p.", kind=4, operation=3)], "p"),
        ([rule("User:*", "p.journal", operation=2)], "f"),
        ([rule("User:*", "p.journal", type_=3)], "p"),
        ([rule("User:*", "p.journal")._replace(permission=2)], "p"),
    ],
)
def test_acls(rule_set: list[Acl] | None, verdict: str) -> None:
    assert verdicts(rules.acls(rule_set, TOPICS)) == verdict


@pytest.mark.parametrize(
    ("skew_ms", "verdict"), [(None, "w"), (-3.0, "p"), (800.0, "w"), (-9_000.0, "f")]
)
def test_clocks(skew_ms: float | None, verdict: str) -> None:
    assert verdicts(rules.clocks(skew_ms)) == verdict


def stage(status: StageStatus = "OK", used: float | None = None, records: int = 7) -> StageLag:
    return StageLag(
        stage="engine",
        group="clearing-engine",
        netting_set="hk",
        topic="log",
        partition=0,
        records=records,
        seconds=3.0,
        retention_used=used,
        status=status,
        culprit="somebody" if status == "HUNG_TXN" else "",
    )


@pytest.mark.parametrize(
    ("lags", "verdict"),
    [
        ([], "p"),
        ([stage(), stage("SLOW")], "p"),
        ([stage(used=0.6)], "w"),
        ([stage(used=0.9)], "f"),
        ([stage("STALLED")], "f"),
        ([stage("STOPPED", records=0)], "p"),
        ([stage("HUNG_TXN", 0.9)], "ff"),
        ([stage("STOPPED")] * 20, "fffff"),
    ],
)
def test_lag(lags: list[StageLag], verdict: str) -> None:
    assert verdicts(rules.lag(lags)) == verdict


def test_the_culprit_is_named() -> None:
    assert "somebody" in rules.lag([stage("HUNG_TXN")])[0].text


def test_disks() -> None:
    found = [Disk("a", 100 << 30, free << 30) for free in (50, 10, 1)]
    assert verdicts(rules.disks(found)) == "pwf"
    assert verdicts(rules.disks([])) == "w"  # nobody says is not: there is room


def beat(
    service: str, version: str = "1.0", *, age_ms: int = 1_000, ready: bool = True
) -> Heartbeat:
    return Heartbeat(
        service=service,
        instance="",
        host="h",
        pid=1,
        version=version,
        started_at_ms=0,
        at_ms=NOW_MS - age_ms,
        state="ready" if ready else "starting",
    )


ALL = [beat(service) for service in ("intake", "engine", "dispatch", "views")]


def test_services() -> None:
    assert verdicts(rules.services(ALL, [], NOW_MS)) == "p"
    assert verdicts(rules.services(ALL[:3], [], NOW_MS)) == "w"
    assert verdicts(rules.services(ALL[1:], [], NOW_MS)) == "f"
    assert verdicts(rules.services([beat("engine", age_ms=60_000), *ALL[2:]], [], NOW_MS)) == "ff"
    halt = HaltRecord(
        netting_set="hk",
        service="engine",
        kind=HaltKind.GAP,
        reason="a gap",
        topic="log",
        partition=0,
        offset=9,
        times=1,
        first_at_ms=1,
        at_ms=1,
        owner="h",
        next_command="clearing replay",
        runbook="ops/runbooks/gap.md",
        state="HALTED",
    )
    (found,) = rules.services(ALL, [halt], NOW_MS)
    assert found.verdict == Verdict.FAIL
    assert "clearing retry hk" in found.fix
    assert "ops/runbooks/gap.md" in found.fix


def test_versions() -> None:
    assert verdicts(rules.versions("1.0", ALL)) == "p"
    assert verdicts(rules.versions("1.0", [*ALL, beat("engine", "0.9")])) == "w"
    assert verdicts(rules.versions("1.1", ALL)) == "w"
    assert verdicts(rules.versions("1.1", [])) == "p"


def test_the_table_steers_no_terminal() -> None:
    from io import StringIO

    from rich.console import Console

    console = Console(file=StringIO(), width=100)
    console.print(
        table([rules.clocks(None)[0], Finding(check="x", verdict=Verdict.FAIL, text="a\x1bb")])
    )
    assert isinstance(console.file, StringIO)
    text = console.file.getvalue()
    assert "\x1b" not in text
    assert "→ clearing views" in text
