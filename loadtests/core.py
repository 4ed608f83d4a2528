"""`python -m loadtests.core`: what the engine itself costs, without any broker: limits, queues, offsetting.

Log records in, output records out, through clearing.engine.machine. Every variant gets the same records in turn, so
that a busy machine is busy for all of them alike; the ratios count, not the microseconds.
"""

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Annotated

import msgspec
import numpy as np
from cyclopts import App, Parameter
from rich import box
from rich.console import Console
from rich.table import Table

from clearing.core.commands import (
    Command,
    Fund,
    OpenAccount,
    RegisterAsset,
    RegisterParticipant,
    SetBilateralLimit,
    SetReservation,
    SetShortLimit,
    SetValuation,
)
from clearing.core.inputs import ControlItem, SourceSpan
from clearing.core.offsetting import greatest_set
from clearing.core.registry import AssetSpec, QueuePolicy
from clearing.core.release import Columns
from clearing.engine.machine import Machine
from clearing.failures import ExitCode
from clearing.log import control, payments
from clearing.log.rows import RowBatch

NETTING_SET = "load"
NOW_MS = 1_760_000_000_000
DAY_MS = 86_400_000
ASSETS = ("HKD", "CNH", "USD")
PLENTY, NOTHING = "10000000000.00", "0"
REPEATS = 5

app = App(name="python -m loadtests.core", help_format="markdown")


class Ratio(msgspec.Struct, frozen=True, kw_only=True):
    """CPU µs a payment of each repetition; ratio: of the best ones, to the first variant's best."""

    variant: str
    cpu_us: list[float]
    ratio: float


class Queues(msgspec.Struct, frozen=True, kw_only=True):
    """CPU ms. columns and greatest_set together are a search; arrivals: a record that can free nothing."""

    waiting: int
    participants: int
    columns_ms: float
    greatest_set_ms: float
    first_record_ms: float
    arrivals_ms: list[float]
    arrivals: int


class Figures(msgspec.Struct, frozen=True, kw_only=True):
    features: list[Ratio]
    queues: list[Queues]


@app.default
def core(
    *,
    records: int = 60,
    rows: int = 4_000,
    waiting: int = 10_000,
    seed: int = 1,
    json: Annotated[bool, Parameter(negative="")] = False,
) -> ExitCode:
    """Measure the engine's core: the price of features nobody is held back by, and of long queues.

        python -m loadtests.core
        python -m loadtests.core --waiting 50000

    Parameters
    ----------
    records
        Log records of each variant.
    rows
        Payments in each.
    waiting
        Payments in the queues that are searched.
    seed
        Same seed, same payments.
    json
        Figures for machines.
    """
    figures = Figures(
        features=price_of_features(records, rows, seed),
        queues=[
            price_of_queues(waiting, seed, policy)
            for policy in (QueuePolicy.FIFO, QueuePolicy.BYPASS_FIFO)
        ],
    )
    if json:
        sys.stdout.write(msgspec.json.format(msgspec.json.encode(figures)).decode() + "\n")
    else:
        show(figures)
    return ExitCode.OK


def show(figures: Figures) -> None:
    console = Console()
    features = Table(box=box.SIMPLE, title="features, nothing queued", title_justify="left")
    for name in ("variant", "CPU µs a payment", "of plain"):
        features.add_column(name, justify="left" if name == "variant" else "right")
    for item in figures.features:
        spread = f"{min(item.cpu_us):.3f} - {max(item.cpu_us):.3f}"
        features.add_row(item.variant, spread, f"{item.ratio:.2f}")
    queues = Table(box=box.SIMPLE, title="long queues", title_justify="left")
    for name in (
        "policy",
        "waiting",
        "columns",
        "greatest set",
        "all arrive at once",
        "arrivals that free nothing",
    ):
        queues.add_column(name, justify="left" if name == "policy" else "right")
    for item, policy in zip(figures.queues, ("FIFO", "BYPASS_FIFO"), strict=True):
        queues.add_row(
            policy,
            f"{item.waiting:,} of {item.participants}",
            f"{item.columns_ms:.1f} ms",
            f"{item.greatest_set_ms:.1f} ms",
            f"{item.first_record_ms:.0f} ms",
            f"{max(item.arrivals_ms):.1f} ms for {item.arrivals}",
        )
    console.print(features, queues)


def price_of_features(records: int, rows: int, seed: int) -> list[Ratio]:
    """The same payments through machines with ever more features, none of which holds anything back."""
    banks = [f"BANK{i:04d}" for i in range(50)]
    variants: dict[str, list[Command]] = {
        "plain": opening(banks, QueuePolicy.NONE, PLENTY),
        "queues, reservations, bilateral limits": opening(banks, QueuePolicy.FIFO, PLENTY)
        + limits(banks),
        "and the multi-asset value check": opening(banks, QueuePolicy.FIFO, PLENTY)
        + limits(banks)
        + values(banks),
    }
    values_of = list(packed(banks, records, rows, np.random.default_rng(seed)))
    spent: dict[str, list[float]] = {name: [] for name in variants}
    for _ in range(REPEATS):
        machines = {name: started(commands) for name, commands in variants.items()}
        cpu_s = dict.fromkeys(variants, 0.0)
        for i, value in enumerate(values_of):
            for name, machine in machines.items():
                cpu_s[name] += cpu(machine.apply, payments.KEY, value, i + 1, NOW_MS + i)
        for name, machine in machines.items():
            assert not machine.state.waiting, f"{name}: something waits"
            spent[name].append(1e6 * cpu_s[name] / (records * rows))
    best = min(spent["plain"])
    return [
        Ratio(variant=name, cpu_us=each, ratio=min(each) / best) for name, each in spent.items()
    ]


def price_of_queues(waiting: int, seed: int, policy: QueuePolicy) -> Queues:
    """Nobody has liquidity, so that everything waits; amounts are Pareto's, as payments' are."""
    banks = [f"BANK{i:04d}" for i in range(200)]
    machine = started(opening(banks, policy, NOTHING))
    arrivals = 5
    sizes = [waiting, *[arrivals] * 10]
    values_of = packed(banks, len(sizes), sizes, np.random.default_rng(seed))
    spent = [
        1e3 * cpu(machine.apply, payments.KEY, value, i + 1, NOW_MS + i)
        for i, value in enumerate(values_of)
    ]
    columns = Columns(machine.state)
    return Queues(
        waiting=len(machine.state.waiting),
        participants=len(banks),
        columns_ms=1e3 * min(cpu(Columns, machine.state) for _ in range(REPEATS)),
        greatest_set_ms=1e3
        * min(cpu(greatest_set, columns.room, columns.queue) for _ in range(REPEATS)),
        first_record_ms=spent[0],
        arrivals_ms=spent[1:],
        arrivals=arrivals,
    )


def cpu(work: Callable[..., object], *given: object) -> float:
    """CPU seconds of this process."""
    began = time.process_time()
    work(*given)
    return time.process_time() - began


def started(commands: list[Command]) -> Machine:
    """A machine that has applied the commands."""
    items = [ControlItem(source=0, offset=i, message=item) for i, item in enumerate(commands)]  # pyright: ignore[reportArgumentType]
    machine = Machine(NETTING_SET, seed=1)
    machine.apply(
        control.KEY,
        control.pack(items, [SourceSpan("commands", 0, 0, len(items))]),
        0,
        NOW_MS,
    )
    return machine


def opening(
    banks: list[str], policy: QueuePolicy, cap: str, assets: Sequence[str] = ASSETS
) -> list[Command]:
    """Every bank has an account in every asset."""
    return [
        *(
            RegisterAsset(
                id=f"asset-{name}",
                by="load",
                asset=AssetSpec(
                    id=name, code=name, issuer="issuer", ledger="load", scale=2, queue=policy
                ),
            )
            for name in assets
        ),
        *(RegisterParticipant(id=f"bank-{bank}", by="load", participant=bank) for bank in banks),
        *(
            OpenAccount(
                id=f"open-{bank}-{name}",
                by="load",
                participant=bank,
                asset=name,
                net_debit_cap=cap,
            )
            for bank in banks
            for name in assets
        ),
    ]


def limits(banks: list[str]) -> list[Command]:
    """A reservation on every account, and for everybody a bilateral limit against two others in every asset."""
    found: list[Command] = []
    for i, bank in enumerate(banks):
        for name in ASSETS:
            found.append(
                SetReservation(
                    id=f"reserve-{bank}-{name}",
                    by="load",
                    participant=bank,
                    asset=name,
                    reserved="100.00",
                )
            )
            found += [
                SetBilateralLimit(
                    id=f"limit-{bank}-{name}-{step}",
                    by="load",
                    participant=bank,
                    counterparty=banks[(i + step) % len(banks)],
                    asset=name,
                    limit="100000000.00",
                )
                for step in (1, 2)
            ]
    return found


def values(banks: list[str]) -> list[Command]:
    """Every asset counts in the value check, and everybody is under it."""
    return [
        *(
            SetValuation(id=f"value-{name}", by="load", asset=name, price="1.5", haircut_bp=500)
            for name in ASSETS
        ),
        *(
            SetShortLimit(id=f"short-{bank}", by="load", participant=bank, limit="100000000000")
            for bank in banks
        ),
        *(
            Fund(
                id=f"fund-{bank}-{name}",
                by="load",
                participant=bank,
                asset=name,
                amount="1000000000.00",
            )
            for bank in banks
            for name in ASSETS
        ),
    ]


def packed(
    banks: list[str],
    records: int,
    rows: int | list[int],
    rng: np.random.Generator,
    assets: Sequence[str] = ASSETS,
) -> Iterator[bytes]:
    """Log records as intake packs them: random payments, by debtor, of Pareto distributed amounts."""
    for batch, spans in batches(banks, records, rows, rng, assets):
        yield payments.pack(batch, spans)


def batches(
    banks: list[str],
    records: int,
    rows: int | list[int],
    rng: np.random.Generator,
    assets: Sequence[str] = ASSETS,
) -> Iterator[tuple[RowBatch, list[SourceSpan]]]:
    """The same before they are packed: the rows of each log record and where they come from."""
    sent = np.zeros(len(banks), np.int64)
    names = np.array(banks)
    for record in range(records):
        n = rows if isinstance(rows, int) else rows[record]
        debtor = np.sort(rng.integers(0, len(banks), n))
        creditor = (debtor + rng.integers(1, len(banks), n)) % len(banks)
        count = np.bincount(debtor, minlength=len(banks))
        first = np.cumsum(count) - count
        active = np.flatnonzero(count)
        place = np.searchsorted(active, debtor)
        offset = sent[debtor] + np.arange(n) - first[debtor]
        spans = [
            SourceSpan(f"payments.load.{banks[b]}", 0, int(sent[b]), int(sent[b] + count[b]))
            for b in active.tolist()
        ]
        sent += count
        amount = (rng.pareto(1.2, n) * 10_000 + 1).astype(np.int64).clip(1, 10**8)
        batch = RowBatch(
            id=np.frombuffer(rng.bytes(16 * n), np.uint8).reshape(n, 16),
            debtor=names[debtor].tolist(),
            creditor=names[creditor].tolist(),
            asset=np.array(assets)[rng.integers(0, len(assets), n)].tolist(),
            amount=amount,
            decimals=np.full(n, 2, np.uint8),
            value_date=np.full(n, NOW_MS // DAY_MS, np.int32),
            priority=np.zeros(n, np.uint8),
            kind=np.ones(n, np.uint8),
            end_to_end_id=[f"E{i}" for i in range(n)],
            chain_reference=None,
            expires_at_ms=np.zeros(n, np.int64),
            window=np.zeros(n, np.int32),
            source=place.astype(np.int32),
            source_offset=offset,
            item=np.full(n, -1, np.int32),
            reject=np.zeros(n, np.uint8),
        )
        yield batch, spans


if __name__ == "__main__":
    app()
