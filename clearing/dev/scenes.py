"""The demo's story, scene by scene: a gridlock that resolves, a delivery versus payment, a suspension, a default.
Trouble comes meanwhile (clearing.dev.trouble).

Written for the scheme in demo.toml. The banks of the ring, the seller and the buyer pay each other in the workload
too; the bank that fails does not, so that it is known to the cent what it owes. Each scene says what happens, and
fails if it does not.
"""

from collections.abc import Callable
from itertools import pairwise

from clearing.dev.drill import Drill
from clearing.dev.news import deadlock_text, money, release_text, shortfall_text
from clearing.dev.progress import Release
from clearing.dev.records import Fields, link_of
from clearing.dev.stage import OPERATOR, SECOND, Stage
from clearing.dev.tasks import task_group
from clearing.dev.trouble import trouble

BEGINS_AT = 50  # when one row in so many is published

CASH, BONDS, EURO = "HKD", "GB29", "EUR"
RING = ("BAMBHKHH", "CORAHKHHXXX", "EMBRSGSG", "DAWNMOMX")
RING_AMOUNT = "1000000000.00"  # more than all banks together have
SELLER, BUYER = "FJORNOKK", "GARNDEFF"
BONDS_SOLD, PRICE = "2000", "1971000.00"
FAILING = "INDGHKHH"
OWED, LACKING, COLLATERAL, POOL = "30000000.00", "20000000.00", "10000000.00", "10000000.00"


async def play(drill: Drill, say: Callable[[str], None]) -> list[str]:
    """All scenes, one after the other; what they came to. Raises DrillFailed where one goes another way."""
    stage = Stage(drill, say)
    first = drill.payments // BEGINS_AT
    await stage.until(lambda: drill.published >= first, "payments to flow")
    async with task_group() as group:  # what they hold up is not what the gridlock is about
        group.create_task(trouble(stage))
        group.create_task(gridlock(stage))
    await delivery(stage)
    await suspension(stage)
    await default(stage)
    return stage.said


async def gridlock(stage: Stage) -> None:
    """R13-R16: each bank of a ring waits for the one before it; then all of them leave at once."""
    drill, progress = stage.drill, stage.drill.watch.progress
    everything = max(
        line.beyond
        for stream in drill.banks.streams
        for line in stream.lines
        if line.asset.spec.id == CASH
    )
    assert stage.units(CASH, RING_AMOUNT) >= everything, "somebody could pay alone"
    ring = [
        stage.payment(debtor, creditor, CASH, RING_AMOUNT)
        for debtor, creditor in pairwise([*RING, RING[0]])
    ]
    offset = 0
    for payment in ring[:-1]:
        await stage.send(payment)
    for payment in ring[:-1]:
        offset = max(offset, await stage.waits(payment))
        stage.say(
            f"queue: {payment.debtor} is to pay {payment.creditor} {money(payment.amount)} {CASH} and has not got "
            "it: it waits (PDNG), and so does what it sends after it"
        )
    deadlocks = [event for event in progress.deadlocks if event.asset == CASH]

    def told() -> bool:
        deadlocks[:] = [e for e in progress.deadlocks if e.asset == CASH and e.log_offset > offset]
        return bool(deadlocks)

    await stage.until(told, f"a cut-off of {CASH}")
    stage.keep(f"deadlock: {deadlock_text(deadlocks[0])}")
    await stage.send(ring[-1])
    stage.say(f"the ring closes: {ring[-1].debtor} is to pay {ring[-1].creditor} as much")
    offsets = {(await stage.accepted(payment))[0] for payment in ring}
    stage.check(len(offsets) == 1, "the ring left in one step", sorted(offsets))
    release = await _released(stage, (stage.netting_set(CASH), offsets.pop(), "MULTILATERAL"))
    stage.check({one.id for one in ring} <= release.ids, "the ring left as one", len(release.ids))
    stage.keep(release_text(release, drill.banks.scales))


async def _released(stage: Stage, place: tuple[str, int, str]) -> Release:
    releases = stage.drill.watch.progress.releases
    await stage.until(lambda: place in releases and releases[place].is_whole, "the ring to leave")
    return releases[place]


async def delivery(stage: Stage) -> None:
    """R19, R20: the first leg waits for the second; both are accepted in one step and final in one step."""
    bonds = stage.payment(SELLER, BUYER, BONDS, BONDS_SOLD)
    price = stage.payment(BUYER, SELLER, CASH, PRICE)
    link = link_of(stage.new_id(), bonds, price)
    what = f"{money(BONDS_SOLD)} {BONDS} against {money(PRICE)} {CASH}"
    await stage.send(bonds, link)
    await stage.waits(bonds)
    stage.say(f"DvP: {SELLER} sells {BUYER} {what}; its leg waits for the other one")
    await stage.send(price, link)
    (one, delivered), (other, paid) = await stage.accepted(bonds), await stage.accepted(price)
    stage.check(one == other, "both legs are accepted in one step", (one, other))
    netting_set = stage.netting_set(CASH)
    windows = (netting_set, BONDS, delivered.window), (netting_set, CASH, paid.window)
    settled = stage.drill.watch.progress.settled_at
    await stage.until(lambda: settled.keys() >= set(windows), "both legs to be final")
    steps = {settled[window] for window in windows}
    stage.check(len(steps) == 1, "both legs are final in one step", steps)
    stage.keep(f"DvP: {what}: both legs accepted at log offset {one}, both final at {steps.pop()}")


async def suspension(stage: Stage) -> None:
    """R32, R33: one person suspends, two let it back in."""
    netting_set = stage.netting_set(EURO)

    def to_pay() -> Fields:
        return stage.payment(FAILING, BUYER, EURO, "250000.00")

    event = await stage.set_status(netting_set, FAILING, "SUSPENDED")
    stage.check(event.status == "DONE", f"{FAILING} is suspended", event)
    refused = to_pay()
    await stage.send(refused)
    await stage.ended(refused, "refused", "AC06")
    stage.say(f"{FAILING} is suspended in {netting_set}: what it sends is refused (AC06)")
    event = await stage.set_status(netting_set, FAILING, "ACTIVE")
    stage.check(event.status == "REFUSED", "it takes two to resume", event)
    await stage.approved(netting_set, FAILING, "ACTIVE")
    again = to_pay()
    await stage.send(again)
    await stage.accepted(again)
    stage.keep(
        f"suspension: {FAILING} in {netting_set}; to resume it took two: {OPERATOR} was refused, {SECOND} approved"
    )


async def default(stage: Stage) -> None:
    """R24, R25: a bank owes more than it has at the ledger; the waterfall pays, its queue is cancelled."""
    netting_set, progress = stage.netting_set(CASH), stage.drill.watch.progress
    owed = stage.payment(FAILING, "AURAHKHH", CASH, OWED)
    await stage.send(owed)
    _, status = await stage.accepted(owed)
    queued = stage.payment(FAILING, "BAMBHKHH", CASH, "100000000.00")
    await stage.send(queued)
    await stage.waits(queued)
    stage.say(
        f"{FAILING} pays {money(OWED)} {CASH} within its cap; another {money(queued.amount)} waits"
    )
    await stage.until(lambda: bool(progress.shortfalls), "its ledger to refuse the window")
    event = progress.shortfalls[0]
    paid = (event.participant, event.window, event.shortfall, event.collateral, event.pool)
    planned = FAILING, status.window, LACKING, COLLATERAL, POOL
    stage.check(paid == planned and not event.survivors, "collateral and pool pay", event)
    plan = stage.drill.banks.planned.nets
    plan[FAILING, CASH] += stage.units(CASH, LACKING)
    plan["$COLLATERAL", CASH] -= stage.units(CASH, COLLATERAL)
    plan["$POOL", CASH] -= stage.units(CASH, POOL)
    stage.keep(f"waterfall: {shortfall_text(event)}")
    done = await stage.set_status(netting_set, FAILING, "DEFAULTED")
    stage.check(done.status == "DONE", f"{FAILING} is in default", done)
    await stage.ended(queued, "defaulted", "AC06")
    late = stage.payment("AURAHKHH", FAILING, CASH, "1.00")
    await stage.send(late)
    await stage.ended(late, "refused", "AC06")
    window = netting_set, CASH, status.window
    await stage.until(lambda: window in progress.settled_at, "the window to be final")
    stage.keep(
        f"default: {FAILING}'s queue is cancelled, payments to it are refused (AC06); what was accepted stands, "
        f"window {status.window} of {CASH} is final in version {event.version}"
    )
