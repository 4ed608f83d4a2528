"""The verification from beginning to end: read, check, report. What is compared is in the modules beside it."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from aiokafka import TopicPartition

from clearing.config import Settings
from clearing.failures import Failure
from clearing.names import Topics
from clearing.observe.lag import wait_until_drained
from clearing.reading import Reader, partitions
from clearing.scheme.directory import read_directory
from clearing.verify.accounting import check_outcomes, check_rejected
from clearing.verify.batches import check_chain, check_funding, check_zero_sums
from clearing.verify.collect import Collector, Logged, Note, Said, silent, told_from
from clearing.verify.commands import check_four_eyes
from clearing.verify.facts import Facts
from clearing.verify.flows import check_flows, flows
from clearing.verify.ids import check_ids
from clearing.verify.instructions import check_instructions
from clearing.verify.ledger import LedgerBooks, check_balances, check_postings, connect, read_books
from clearing.verify.limits import check_limits
from clearing.verify.links import check_links, joint_windows
from clearing.verify.outputs import check_outputs
from clearing.verify.positions import check_positions, standings_of
from clearing.verify.report import Check, Findings, Flow, Report
from clearing.verify.settled import check_members
from clearing.verify.shortfalls import check_shortfalls
from clearing.verify.sources import SourceComparison, check_sources
from clearing.verify.standing import check_standing
from clearing.verify.statuses import StatusTally, check_statuses
from clearing.verify.sums import Values, add_values
from clearing.verify.tables import Bank, Names
from clearing.verify.told import Told, to_be_told
from clearing.verify.waiting import check_resolutions
from clearing.verify.windows import check_windows

RETRY_INTERVAL_S = 1.0
# Engines tick an idle log: what came a moment before it was marked is to have been processed.
GRACE_S = 0.5


async def verify(
    settings: Settings, *, wait_s: float = 0.0, note: Callable[[str], None] = silent
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
        report = await _verify_once(settings, note)
        if report.ok or report.failed or time.monotonic() > deadline:
            return report
        note("not everything is through yet, trying again")
        await asyncio.sleep(RETRY_INTERVAL_S)


async def _verify_once(settings: Settings, note: Note) -> Report:
    directory = await read_directory(settings.bootstrap, settings.topics)
    if not directory:
        raise Failure("there is no netting set yet", "clearing scheme load SCHEME")

    async def books(netting_set: str) -> LedgerBooks:
        connection = await connect(settings.dsn)
        try:
            return await read_books(connection, netting_set)
        finally:
            await connection.close()

    async with partitions(settings.bootstrap, "clearing-verify") as reader:
        return await verify_topics(
            reader, settings.topics, directory, books if settings.dsn else None, note, GRACE_S
        )


async def verify_topics(
    reader: Reader,
    topics: Topics,
    directory: dict[str, int],
    books: Callable[[str], Awaitable[LedgerBooks]] | None = None,
    note: Note = silent,
    grace_s: float = 0.0,
) -> Report:
    """Verify what a reader gives. directory: netting set -> partition; books: reads the ledger, if there is one;
    grace_s: for engines to process what is in the log."""
    began = time.monotonic()
    checks: list[Check] = []
    found_flows: list[Flow] = []
    wanted: dict[Bank, Told] = {}
    finals = Names()
    goals: dict[str, int] = {}
    batches = 0
    names = await reader.topics()
    floors = await told_from(reader, topics, names)
    for netting_set, partition in sorted(directory.items()):
        collector = Collector(reader, topics, netting_set, partition, note)
        await collector.mark(names)
        await asyncio.sleep(grace_s)
        one = await _verify_netting_set(collector, floors, finals)
        checks += one.checks
        found_flows += one.flows
        wanted |= {(netting_set, bank): told for bank, told in one.told.items()}
        goals[netting_set] = one.facts.said.goal
        batches += len(one.facts.batches)
        if books is not None:
            note(f"{netting_set}: reading the ledger")
            checks += _check_ledger(await books(netting_set), one.facts)
    checks.append(await _check_statuses(reader, topics, wanted, goals, floors, finals, note))
    return Report(
        checks=checks,
        flows=found_flows,
        batches=batches,
        took_ms=round((time.monotonic() - began) * 1000),
    )


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
        *check_rows(facts, found_flows, len(payments)),
        *check_rules(facts),
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


def _check_ledger(books: LedgerBooks, facts: Facts) -> list[Check]:
    said, name = facts.said, facts.netting_set
    answers = [answer for _, answer in facts.answers.confirmations]
    return [
        check_postings(name, books, facts.batches, said.windows, answers, said.settlements_end),
        check_balances(name, books),
    ]


async def _check_statuses(
    reader: Reader,
    topics: Topics,
    wanted: dict[Bank, Told],
    goals: dict[str, int],
    floors: dict[Bank, int],
    finals: Names,
    note: Note,
) -> Check:
    names = await reader.topics()
    tallies: list[StatusTally] = []
    unread: list[str] = []
    for participant in sorted({bank for _, bank in wanted}):
        name = topics.status(participant)
        if name not in names:
            unread.append(participant)
            continue
        tally = StatusTally(participant, goals, finals, floors)
        async for records in reader.chunks(TopicPartition(name, 0)):
            tally.feed([record.value or b"" for record in records])
            note(f"comparing statuses of {participant}, {tally.records:,} records")
        tallies.append(tally)
    return check_statuses(wanted, tallies, unread, finals)
