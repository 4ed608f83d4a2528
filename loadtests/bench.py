"""The whole benchmark, in an order that puts first what matters most: the comparison, then bulk, then stages alone.

What there is no time for is left out, and said.
"""

import asyncio
import os
import time

from clearing.dev.banks import Banks
from clearing.dev.setup import stop_on_terminate
from clearing.dev.workload import PLAIN, streams
from loadtests.contest import SERVICES, USUAL, Field, compare, field_of, together
from loadtests.figures import Figures, Options, Stages, Together, machine
from loadtests.meter import Measured
from loadtests.publish import run_module
from loadtests.session import READY_TIMEOUT_MS, Note, Session, chosen, session
from loadtests.stages import sink, stages
from loadtests.transactions import Transactions, Trying
from loadtests.workloads import WORKLOADS

BULK = ("bulk", "arrow")
BULK_ROUNDS = 3
LATENCY_S = 10.0
TRANSACTIONS_S = 3.0
TRANSACTIONS_TIMEOUT_S = 120.0
# Parts of the whole time by which the comparison, bulk and the workloads have to be through: the proof over
# everything that was published comes last, and is never left out.
COMPARED, BULKED, STAGED = 0.42, 0.52, 0.62


async def run(options: Options, note: Note) -> Figures:
    """The benchmark, on servers of its own or the user's. Raises Invalid, Stalled, TimeoutError."""
    stop_on_terminate()
    began, load = time.monotonic(), os.getloadavg()[0]
    limit_s = 60 * options.minutes
    async with session(options, note, payments_in_all(options)) as at_work:
        others = await field_of(at_work, options.peers or USUAL)
        try:
            transactions = await empty_transactions(at_work)
            at_work.services.start(*SERVICES)
            await at_work.services.ready(timeout_ms=READY_TIMEOUT_MS)
            ours, peers = await compare(at_work, others, began + COMPARED * limit_s)
            bulk = await bulks(at_work, began + BULKED * limit_s)
            latency_ms = await latency(at_work)
            await at_work.settle()
            await at_work.services.stop(*SERVICES)
            workloads, measured = await alone(at_work, others, began + STAGED * limit_s)
        finally:
            await others.close()
        # They stay up until it is proved: dispatch tells of finality after the last window has settled.
        at_work.services.start(*SERVICES)
        await at_work.settle()
        claims = await at_work.prove()
        return Figures(
            machine=machine(load),
            options=options,
            ours=ours,
            peers=peers,
            missing=others.missing,
            transactions=transactions,
            bulk=bulk,
            workloads=workloads,
            sink=measured,
            latency_ms=latency_ms,
            claims=claims,
            took_s=time.monotonic() - began,
        )


def payments_in_all(options: Options) -> int:
    """A bound on what is ever published: by it the banks know how large a payment may be."""
    contest = (options.rounds + 2) * options.payments
    of_bulks = (len(BULK) * (BULK_ROUNDS + 1)) * options.bulk_payments
    of_stages = len(WORKLOADS) * max(options.payments, options.bulk_payments)
    return 2 * (contest + of_bulks + of_stages + int(options.rate * LATENCY_S))


async def empty_transactions(at_work: Session) -> Transactions:
    """The transaction limit, in a process of its own."""
    at_work.note("empty transactions")
    settings = at_work.made.settings
    trying = Trying(
        bootstrap=settings.bootstrap,
        topic=settings.topics.positions,
        name=f"{settings.topic_prefix}loadtest-empty",
        seconds=TRANSACTIONS_S,
    )
    return await run_module("loadtests.transactions", trying, Transactions, TRANSACTIONS_TIMEOUT_S)


async def bulks(at_work: Session, until_s: float) -> dict[str, list[Together]]:
    """Everything of ours together over each form of bulk: a round to warm up, and one to measure at least."""
    found: dict[str, list[Together]] = {}
    for workload in chosen(at_work.options.workloads):
        if workload.name not in BULK:
            continue
        for number in range(min(at_work.options.rounds, BULK_ROUNDS) + 1):
            if number > 1 and time.monotonic() > until_s:
                break
            at_work.note(f"{workload.name}, together, {workload.says}: round {number}")
            made = await together(at_work, workload.name, at_work.options.bulk_payments)
            if number:
                found.setdefault(workload.name, []).append(made)
    return found


async def alone(
    at_work: Session, others: Field, until_s: float
) -> tuple[list[Stages], Measured | None]:
    """Every workload, stage by stage; what there is no time for goes to `others.missing`."""
    found: list[Stages] = []
    longest_s = 0.0
    for workload in sorted(chosen(at_work.options.workloads), key=lambda one: one.name not in BULK):
        began = time.monotonic()
        if found and began + longest_s > until_s:
            others.missing[workload.name] = "there was no time for it; see --minutes"
            continue
        many = workload.name in BULK
        payments = at_work.options.bulk_payments if many else at_work.options.payments
        found.append(await stages(at_work, workload, payments, others.reader))
        longest_s = max(longest_s, time.monotonic() - began)
    found.sort(key=lambda one: list(WORKLOADS).index(one.workload))
    return found, await sink(at_work) if found else None


async def latency(at_work: Session) -> dict[str, float]:
    """Quantiles of published until readable by the bank, at a modest rate."""
    options = at_work.options
    rows = int(options.rate * LATENCY_S)
    at_work.note(f"latency at {options.rate:,.0f} payments/s for {LATENCY_S:.0f} s")
    order = at_work.order("uniform", rows)
    netting_set = at_work.netting_set(WORKLOADS["uniform"])
    made = [
        stream
        for stream in streams(
            at_work.scheme, payments=order.payments_in_all, seed=order.seed, mix=PLAIN
        )
        if stream.netting_set == netting_set
    ]
    settings = at_work.made.settings
    banks = Banks(settings.bootstrap, settings.topics, made, at_work.scales)
    started = asyncio.Event()
    follower = asyncio.create_task(banks.follow(started))
    try:
        await started.wait()
        await banks.publish(rows, options.rate)
        await at_work.until("banks to be told", lambda: banks.told.rows >= rows)
    finally:
        follower.cancel()
        await asyncio.wait([follower])
    at_work.plan.add(banks.plan())
    times = sorted(banks.told.latencies_s)
    return {
        name: 1000 * times[int(part * (len(times) - 1))]
        for name, part in (("p50", 0.5), ("p99", 0.99), ("p99.9", 0.999), ("max", 1.0))
    }
