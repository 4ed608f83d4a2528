"""What is right and what is not: facts in, findings out. Pure; clearing.doctor.checks collects the facts."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from decimal import Decimal

from clearing.doctor.facts import Acl, Broker, Disk, Partition
from clearing.doctor.finding import Finding, failed, passed, warned
from clearing.messages import HaltRecord
from clearing.observe import OpenTransaction, phrases
from clearing.runbooks import retry_command
from clearing.topics.plan import Plan
from clearing.views.model import Heartbeat, StageLag

SKEW_WARN_S, SKEW_FAIL_S = 0.5, 5.0
RETENTION_WARN, RETENTION_FAIL = 0.5, 0.8
DISK_WARN, DISK_FAIL = 0.20, 0.05  # free
TRANSACTION_TIMEOUT_MS = (
    60_000  # what our producers ask for; a broker that allows less refuses them
)
HEARTBEAT_LATE_S = 10.0
_STUCK = ("STALLED", "STOPPED", "REWOUND", "HUNG_TXN")
_SHOWN = 5


def brokers(found: Sequence[Broker], controller: int) -> Finding:
    """Fewer than three cannot lose one."""
    if controller < 0:
        return failed("brokers", "no controller is elected", "start the quorum of controllers")
    names = ", ".join(f"{one.id} at {one.host}:{one.port}" for one in found)
    if len(found) < 3:
        return warned(
            "brokers",
            f"{len(found)} of them ({names}): one that fails takes records or the service with it",
            "run at least three brokers, and `clearing topics plan` for the replication they allow",
        )
    return passed("brokers", f"{len(found)} answer: {names}; the controller is {controller}")


def partitions(found: Iterable[Partition]) -> Finding:
    """Of the installation's topics."""
    all_ = list(found)
    leaderless = [str(one) for one in all_ if one.leader < 0]
    if leaderless:
        return failed(
            "brokers", f"without a leader: {_few(leaderless)}", "start the brokers that hold them"
        )
    behind = [str(one) for one in all_ if one.in_sync < one.replicas]
    if behind:
        text = f"not all replicas are in sync: {_few(behind)}"
        return warned("brokers", text, "look at the brokers that lag: disk, network, down")
    return passed("brokers", f"all {len(all_):,} partitions are led, and all replicas in sync")


def topics(plan: Plan) -> list[Finding]:
    """A difference that would lose data is a failure."""
    findings = [
        failed("topics", text, "clearing topics plan; never by deleting") for text in plan.refusals
    ]
    if plan.changes:
        changes = _few([str(change) for change in plan.changes])
        findings.append(
            warned("topics", f"not as they should be: {changes}", "clearing topics apply")
        )
    findings += [warned("topics", note, "as it says") for note in plan.notes]
    return findings or [passed("topics", "all are as topics.toml wants them")]


def transaction_settings(configs: Mapping[str, str], broker_count: int) -> list[Finding]:
    """configs: of a broker, in force."""
    findings: list[Finding] = []
    longest_ms = int(configs.get("transaction.max.timeout.ms", 0))
    if longest_ms < TRANSACTION_TIMEOUT_MS:
        findings.append(
            failed(
                "transactions",
                f"transaction.max.timeout.ms is {longest_ms:,}: engines, which ask for "
                f"{TRANSACTION_TIMEOUT_MS:,}, are refused",
                f"set transaction.max.timeout.ms={TRANSACTION_TIMEOUT_MS} or more on the brokers",
            )
        )
    wanted = min(3, broker_count)
    for name in ("transaction.state.log.replication.factor", "offsets.topic.replication.factor"):
        if (there := int(configs.get(name, 0))) < wanted:
            text = f"{name} is {there} with {broker_count} brokers: losing one loses transactions"
            findings.append(failed("transactions", text, f"set {name}={wanted}, and reassign"))
    if wanted == 3 and int(configs.get("transaction.state.log.min.isr", 0)) < 2:
        text = "transaction.state.log.min.isr is below 2: a commit may be lost with one broker"
        findings.append(failed("transactions", text, "set transaction.state.log.min.isr=2"))
    if configs.get("unclean.leader.election.enable") == "true":
        text = "unclean leaders may be elected: records that were acknowledged can be lost"
        findings.append(failed("transactions", text, "set unclean.leader.election.enable=false"))
    if configs.get("auto.create.topics.enable") == "true":
        text = "asking for a topic makes it, with the broker's defaults"
        findings.append(warned("transactions", text, "set auto.create.topics.enable=false"))
    return findings or [passed("transactions", "the brokers' settings keep what is committed")]


def open_transactions(found: Sequence[OpenTransaction], bootstrap: str) -> Finding:
    """F8: the oldest is named."""
    if not found:
        return passed("transactions", "none is open for too long")
    first = found[0]
    who = first.transactional_id or f"producer {first.producer_id}"
    text = f"{len(found)} open for too long; {who} holds up {first.topic}-{first.partition} at {first.offset}"
    return failed("transactions", text, f"once it is not at work: {first.ended_by(bootstrap)}")


def acls(found: Sequence[Acl] | None, engine_topics: Collection[str]) -> list[Finding]:
    """found: None where the brokers have no authorizer. engine_topics: those that only the engine may write."""
    if found is None:
        text = "the brokers let anybody who reaches them read and write every topic"
        fix = "configure an authorizer; `clearing topics acls SCHEME` says the rules it needs"
        return [warned("acls", text, fix)]
    wide = sorted(
        {one.principal for one in found if one.allows_write and one.covers_any(engine_topics)}
    )
    every = [name for name in wide if name == "User:*"]
    if every:
        text = "everybody may write the engine's topics"
        return [failed("acls", text, "take write on them from User:*")]
    if len(wide) > 1:
        text = f"more than one principal may write what only the engine writes: {_few(wide)}"
        return [warned("acls", text, "one principal for engines, and no other with write there")]
    return [passed("acls", f"{len(found)} rules; the engine's topics are not open to others")]


def clocks(skew_ms: float | None) -> list[Finding]:
    """skew_ms: the clock of the views' host less the broker's, None: not known."""
    if skew_ms is None:
        text = "how far clocks are apart is not known: no probe has come back lately"
        return [warned("clocks", text, "clearing views, with probe_every_s above 0")]
    skew_s = abs(skew_ms) / 1000
    text = f"views and broker are {phrases.duration(skew_s)} apart"
    if skew_s >= SKEW_WARN_S:
        say = failed if skew_s >= SKEW_FAIL_S else warned
        return [
            say(
                "clocks",
                f"{text}: ages and countdowns are wrong by that",
                "run chrony or ntpd on all hosts",
            )
        ]
    return [passed("clocks", text)]


def lag(stages: Sequence[StageLag]) -> list[Finding]:
    """How far readers are behind what is about to be deleted, and who does not get on."""
    findings: list[Finding] = []
    for one in stages:
        used = one.retention_used or 0.0
        if used >= RETENTION_WARN:
            where = f"{one.stage} has used up {used:.0%} of the retention of {one.topic}-{one.partition}"
            say = failed if used >= RETENTION_FAIL else warned
            findings.append(
                say(
                    "lag", f"{where}: the rest is deleted unread", "start it, or raise retention.ms"
                )
            )
        if one.status in _STUCK and one.records:
            culprit = f", held back by {one.culprit}" if one.culprit else ""
            where = f"{one.stage} of {one.netting_set} ({one.topic}-{one.partition})"
            text = f"{where} is {one.status}: {one.records:,} records wait{culprit}"
            findings.append(failed("lag", text, "clearing status; ops/runbooks/alerts/Stalled.md"))
    if findings:
        return findings[:_SHOWN]
    oldest = max((one.seconds for one in stages if one.seconds is not None), default=0.0)
    return [
        passed(
            "lag", f"nobody is stuck; the oldest unread record is {phrases.duration(oldest)} old"
        )
    ]


def disks(found: Iterable[Disk]) -> list[Finding]:
    """Each by itself."""
    findings: list[Finding] = []
    for disk in found:
        share = disk.free_bytes / disk.total_bytes if disk.total_bytes else 0.0
        text = (
            f"{disk.where}: {phrases.short(Decimal(disk.free_bytes >> 30))} GiB free, {share:.0%}"
        )
        if share >= DISK_WARN:
            findings.append(passed("disk", text))
        else:
            say = failed if share < DISK_FAIL else warned
            findings.append(
                say("disk", text, "add room; the log and the journal are kept for ever")
            )
    return findings or [
        warned("disk", "nobody says how full the disks are", "ask the brokers' hosts")
    ]


def services(beats: Sequence[Heartbeat], halts: Sequence[HaltRecord], now_ms: int) -> list[Finding]:
    """What has halted, and which service nobody runs. now_ms: of this host's clock."""
    findings = [
        failed(
            "services",
            f"{one.service} of {one.netting_set} has halted: {one.reason}",
            f"{one.next_command}; then {retry_command(one.netting_set)}; see {one.runbook}",
        )
        for one in halts
    ]
    alive = [one for one in beats if now_ms - one.at_ms <= HEARTBEAT_LATE_S * 1000]
    working = {one.service for one in alive if one.state == "ready"}
    for service in ("intake", "engine", "dispatch", "views"):
        if service not in working:
            say = warned if service == "views" else failed
            findings.append(
                say("services", f"no {service} says that it is ready", f"clearing {service}")
            )
    return findings or [
        passed("services", f"{len(alive)} processes live, {_few(sorted(working))} are ready")
    ]


def versions(ours: str, beats: Iterable[Heartbeat]) -> Finding:
    """Two versions of the engine never decide one window (ops/adr/0016-one-version-per-window.md)."""
    found: dict[str, set[str]] = {}
    for one in beats:
        if one.state != "stopping":
            found.setdefault(one.version, set()).add(one.service)
    if len(found) > 1:
        who = "; ".join(
            f"{version}: {', '.join(sorted(names))}" for version, names in sorted(found.items())
        )
        return warned(
            "versions", f"several are at work: {who}", "finish the upgrade, service by service"
        )
    if found and ours not in found:
        return warned(
            "versions", f"this is {ours}, the services are {next(iter(found))}", "use the same one"
        )
    return passed("versions", f"all are {ours}")


def _few(names: Sequence[str]) -> str:
    more = len(names) - _SHOWN
    return ", ".join(names[:_SHOWN]) + (f" and {more:,} more" if more > 0 else "")
