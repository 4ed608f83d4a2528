"""The verification from beginning to end: read, check, report. What is compared is in the modules beside it."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime

import msgspec
from aiokafka import TopicPartition

from clearing.config import Settings
from clearing.core.commands import Confirmation
from clearing.core.outputs import SettlementBatch
from clearing.failures import ExitCode, Failure
from clearing.names import Topics
from clearing.observe.lag import wait_until_drained
from clearing.reading import Reader, partitions
from clearing.scheme.directory import read_directory
from clearing.verify.accounting import check_outcomes, check_rejected
from clearing.verify.batches import check_chain, check_funding, check_zero_sums
from clearing.verify.collect import Collector, Logged, Note, Said, silent, told_from
from clearing.verify.commands import check_four_eyes
from clearing.verify.coverage import Audited
from clearing.verify.facts import Facts
from clearing.verify.flows import check_flows, flows
from clearing.verify.ids import check_ids
from clearing.verify.instructions import check_instructions
from clearing.verify.ledger import BooksToRead, LedgerComparison, PostgresBooks
from clearing.verify.limits import check_limits
from clearing.verify.links import check_links, joint_windows
from clearing.verify.outputs import check_outputs, check_writer
from clearing.verify.positions import check_positions, standings_of
from clearing.verify.reached import until_reached
from clearing.verify.report import Check, Findings, Flow, Report
from clearing.verify.rereads import Rereads
from clearing.verify.settled import check_members
from clearing.verify.shortfalls import check_shortfalls
from clearing.verify.sources import SourceComparison, check_sources
from clearing.verify.standing import check_standing
from clearing.verify.statuses import StatusTally, check_order, check_statuses
from clearing.verify.subject import LIMITS, describe, limits_of
from clearing.verify.sums import Values, add_values
from clearing.verify.tables import Bank, Names
from clearing.verify.told import Told, to_be_told
from clearing.verify.waiting import check_resolutions
from clearing.verify.watch import LedgerWatch
from clearing.verify.windows import check_windows

RETRY_INTERVAL_S = 1.0
PATIENCE_S = 5.0  # with an engine that is at work
CLIENT = "clearing-verify"


class Scope(msgspec.Struct, frozen=True, kw_only=True):
    """What to verify, and how gently. netting_sets: by name, empty for all; max_mib_per_s: read from Kafka, 0 for
    as fast as it goes."""

    netting_sets: tuple[str, ...] = ()
    max_mib_per_s: float = 0.0


EVERYTHING = Scope()


async def verify(
    settings: Settings,
    *,
    wait_s: float = 0.0,
    note: Callable[[str], None] = silent,
    scope: Scope = EVERYTHING,
) -> Report:
    """Verify every netting set of the installation, the ledger too if settings.dsn is given.

    wait_s: how long to wait at most until everything that has entered is through; whatever is not by then is
    reported as "behind". note: told how far it is. Raises KafkaError, asyncpg's errors, Failure.
    """
    deadline = time.monotonic() + wait_s
    if wait_s:
        note("waiting until everything is through")
        await wait_until_drained(settings, timeout_s=wait_s)
    while True:
        report = await _verify_once(settings, note, scope)
        if report.ok or report.failed or time.monotonic() > deadline:
            return report
        note("not everything is through yet, trying again")
        await asyncio.sleep(RETRY_INTERVAL_S)


async def _verify_once(settings: Settings, note: Note, scope: Scope) -> Report:
    began_at = datetime.now(UTC)
    directory = await read_directory(settings.bootstrap, settings.topics)
    if not directory:
        raise Failure("there is no netting set yet", "clearing scheme load SCHEME")
    if unknown := [name for name in scope.netting_sets if name not in directory]:
        raise Failure(
            f"there is no netting set {unknown[0]}, only {', '.join(sorted(directory))}",
            code=ExitCode.USAGE,
        )
    chosen = {n: p for n, p in directory.items() if n in (scope.netting_sets or directory)}

    async def books(netting_set: str) -> BooksToRead:
        return PostgresBooks(settings.dsn, netting_set)

    async with AsyncExitStack() as stack:
        readers = [
            await stack.enter_async_context(
                partitions(settings.bootstrap, CLIENT, uncommitted=uncommitted)
            )
            for uncommitted in (False, False, True)
        ]
        watch: LedgerWatch | None = None
        async with AsyncExitStack() as watching:
            if settings.dsn:
                watch = await watching.enter_async_context(LedgerWatch(settings.dsn))
            report = await verify_topics(
                Audited(readers[0], scope.max_mib_per_s),
                settings.topics,
                chosen,
                books if settings.dsn else None,
                note,
                Rereads(readers[1], readers[2]),
                PATIENCE_S,
            )
    subject = await describe(settings, sorted(chosen), began_at)
    return msgspec.structs.replace(
        report,
        checks=[*report.checks, *([watch.check()] if watch is not None else [])],
        limits=[*limits_of(settings, sorted(directory), sorted(chosen)), *LIMITS],
        subject=subject,
    )


async def verify_topics(
    reader: Reader,
    topics: Topics,
    directory: dict[str, int],
    books: Callable[[str], Awaitable[BooksToRead]] | None = None,
    note: Note = silent,
    rereads: Rereads | None = None,
    patience_s: float = 0.0,
) -> Report:
    """Verify what a reader gives. directory: netting set -> partition; books: reads the ledger, if there is one;
    rereads: further readers of the same, if there are any; patience_s: how long the engine may take to get to where
    the log ends when its netting set's turn comes."""
    began = time.monotonic()
    audited = reader if isinstance(reader, Audited) else Audited(reader)

    def tell(text: str) -> None:
        if note is not silent:
            note(text + audited.progress())

    checks: list[Check] = []
    found_flows: list[Flow] = []
    answers: list[Confirmation] = []
    told = _ToldBanks()
    batches = 0
    names = await audited.topics()
    await _expect(audited, topics, directory, names)
    told.floors = await told_from(audited, topics, names)
    for netting_set, partition in sorted(directory.items()):
        collector = Collector(audited, topics, netting_set, partition, tell)
        await collector.mark(names)
        if patience_s:
            await until_reached(audited.reader, topics, partition, patience_s)
        one = await _verify_netting_set(collector, told.floors, told.finals)
        checks += one.checks
        found_flows += one.flows
        told.take(netting_set, one)
        answers += [answer for _, answer in one.facts.answers.confirmations]
        batches += len(one.facts.batches)
        if books is not None:
            tell(f"{netting_set}: reading the ledger")
            checks += await _check_ledger(await books(netting_set), one.facts)
        del one, collector  # before the next one: each may be as large as memory allows
    checks += await _check_statuses(audited, topics, told, tell)
    checks.append(audited.check_order(_stamped(topics, names)))
    if rereads is not None:
        checks += await _read_again(rereads, audited, topics, directory, answers, told, tell)
    return Report(
        checks=checks,
        flows=found_flows,
        batches=batches,
        took_ms=round((time.monotonic() - began) * 1000),
        coverage=audited.coverage(),
    )


def _stamped(topics: Topics, names: set[str]) -> list[str]:
    """Topics whose records carry the broker's time."""
    sources = [name for name in names if topics.parse_payments(name)]
    return [*sources, topics.commands, topics.confirmations, topics.log]


OUTPUTS = ("journal", "outcomes", "settlements", "windows", "positions", "rejected")


async def _expect(
    audited: Audited, topics: Topics, directory: dict[str, int], names: set[str]
) -> None:
    """Let it know what is to be read, for the progress."""
    logs = [TopicPartition(topics.log, partition) for partition in directory.values()]
    others = [
        TopicPartition(getattr(topics, name), partition)
        for name in (*OUTPUTS, "commands", "confirmations")
        for partition in directory.values()
    ]
    for name in names:
        parsed = topics.parse_payments(name)
        if (parsed and parsed[0] in directory) or name.startswith(topics.status("")):
            others.append(TopicPartition(name, 0))
    audited.expect(await audited.bounds([*logs, *others]), logs)


async def _read_again(
    rereads: Rereads,
    audited: Audited,
    topics: Topics,
    directory: dict[str, int],
    answers: list[Confirmation],
    told: "_ToldBanks",
    tell: Note,
) -> list[Check]:
    """The log and the outputs again, but for what may be compacted between two looks."""
    first = dict(audited.read)
    for name in ("log", "journal", "outcomes", "settlements", "rejected"):
        for partition in sorted(directory.values()):
            at = TopicPartition(getattr(topics, name), partition)
            tell(f"reading {at.topic} again")
            if at in first:
                await rereads.compare(
                    at, first[at], settlements=name == "settlements", transactional=name != "log"
                )
    hashes = {name.rpartition("|")[2] for name in told.finals.names}
    return [rereads.check_again(), rereads.check_aborted(answers, hashes)]


@dataclass(slots=True)
class _ToldBanks:
    """What banks are to be told, over all netting sets. goals: by netting set, up to where it is verified."""

    wanted: dict[Bank, Told] = field(default_factory=dict[Bank, Told])
    goals: dict[str, int] = field(default_factory=dict[str, int])
    floors: dict[Bank, int] = field(default_factory=dict[Bank, int])
    finals: Names = field(default_factory=Names)

    def take(self, netting_set: str, one: "_Verified") -> None:
        self.wanted |= {(netting_set, bank): told for bank, told in one.told.items()}
        self.goals[netting_set] = one.facts.said.goal


@dataclass(slots=True)
class _Verified:
    """Checks of one netting set, and what is needed of it for the ledger and the banks."""

    facts: Facts
    told: dict[str, Told]
    checks: list[Check]
    flows: list[Flow]


async def _verify_netting_set(
    collector: Collector, floors: dict[Bank, int], finals: Names
) -> _Verified:
    said = await collector.read_outputs()
    logged = await collector.read_log(said)
    facts = Facts.lay_out(logged.table, said)
    payments, control = await collector.compare_sources(facts.table, facts.rows)
    found_flows = flows(facts, *_values(payments))
    checks = [
        check_sources(facts.netting_set, facts.table.gaps, [*payments, *control]),
        _check_arrived(logged, said),
        said.journal.check(facts.netting_set),
        *check_rows(facts, found_flows, len(payments)),
        *check_rules(facts),
        check_writer(facts.netting_set, said.digests, logged.made, logged.fault),
        check_outputs(
            facts.netting_set,
            said.digests,
            logged.made,
            logged.compared,
            [*said.unreadable, *logged.differences],
            logged.fault,
        ),
    ]
    return _Verified(facts, to_be_told(facts, floors, finals), checks, found_flows)


def check_rows(facts: Facts, found_flows: list[Flow], sources: int) -> list[Check]:
    """What became of what entered."""
    return [
        check_outcomes(facts),
        check_resolutions(facts),
        check_flows(facts.netting_set, found_flows, sources),
        check_ids(facts),
        check_rejected(facts),
    ]


def check_rules(facts: Facts) -> list[Check]:
    """What the rules ask of what was accepted, and of the batches that settle it."""
    said, name, batches = facts.said, facts.netting_set, facts.batches
    joint = joint_windows(facts.table, facts.rows, facts.members)
    return [
        check_zero_sums(name, batches),
        check_members(facts),
        check_funding(name, batches, facts.commands, facts.scales),
        check_chain(name, batches),
        check_windows(facts, joint),
        check_positions(facts, said.positions, standings_of(facts)),
        check_limits(facts),
        check_links(facts),
        check_standing(facts),
        check_instructions(facts),
        check_shortfalls(facts),
        check_four_eyes(name, facts.commands, said.proposals, facts.problems.commands),
    ]


def _check_arrived(logged: Logged, said: Said) -> Check:
    """The engine has processed the log up to where it was when the verification began (R30)."""
    found = Findings()
    if logged.pending:
        found.wait_for(f"{logged.pending:,} log records are not processed yet")
    return found.check(
        "the engine has processed the log",
        "R30",
        logged.table.netting_set,
        f"{logged.table.records:,} log records in {len(said.transactions):,} transactions; "
        f"{logged.table.already_read:,} rows read twice were dropped",
    )


def _values(payments: list[SourceComparison]) -> tuple[Values, Values]:
    """What could be read and what could not, over all sources."""
    readable: Values = {}
    unread: Values = {}
    for source in payments:
        add_values(readable, source.readable)
        add_values(unread, source.unread)
    return readable, unread


async def _check_ledger(books: BooksToRead, facts: Facts) -> list[Check]:
    said = facts.said
    batches = [(at, one) for at, one in said.settlements if isinstance(one, SettlementBatch)]
    answers = [answer for _, answer in facts.answers.confirmations]
    comparison = LedgerComparison(
        facts.netting_set, batches, said.windows, answers, said.settlements_end
    )
    await books.into(comparison)
    return comparison.checks()


async def _check_statuses(
    reader: Reader, topics: Topics, told: _ToldBanks, note: Note
) -> list[Check]:
    names = await reader.topics()
    tallies: list[StatusTally] = []
    unread: list[str] = []
    for participant in sorted({bank for _, bank in told.wanted}):
        name = topics.status(participant)
        if name not in names:
            unread.append(participant)
            continue
        tally = StatusTally(participant, told.goals, told.finals, told.floors)
        async for records in reader.chunks(TopicPartition(name, 0)):
            tally.feed([record.value or b"" for record in records])
            note(f"comparing statuses of {participant}, {tally.records:,} records")
        tally.forget()
        tallies.append(tally)
    return [
        check_order(tallies),
        check_statuses(told.wanted, tallies, unread, told.finals),
    ]
