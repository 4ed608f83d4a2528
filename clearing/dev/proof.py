"""What banks planned, held against what became of it: in the topics, in the banks' inboxes, in the verification.

The verification proves that everything that entered was cleared rightly; only here is known what was to enter.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Mapping
from decimal import Decimal

from clearing.config import Settings
from clearing.core.batches import nets
from clearing.core.money import show
from clearing.dev.banks import Told
from clearing.dev.watch import Progress
from clearing.dev.workload import Tally
from clearing.verify import Report, verify

PROOF_TIMEOUT_S = 60.0
RETRY_S = 0.5

_OUTCOMES = ("accepted", "refused", "rejected", "repeated")


async def prove(settings: Settings, note: Callable[[str], None] | None = None) -> Report:
    """The verification, again for as long as it says that something is still on its way; at most a minute.

    note: told what is still on its way.
    """
    deadline = time.monotonic() + PROOF_TIMEOUT_S
    while True:
        report = await verify(settings)
        if report.ok or report.failed or time.monotonic() > deadline:
            return report
        if note is not None:
            note(next(check.pending[0] for check in report.checks if check.pending))
        await asyncio.sleep(RETRY_S)


def differences(
    plan: Tally,
    report: Report,
    progress: Progress,
    scales: Mapping[str, int],
    told: Told | None = None,
) -> list[str]:
    """Everything that is not as planned, one sentence each; empty if all is. told: if banks were listened to."""
    found: list[str] = []

    def compare(what: str, planned: object, is_: object) -> None:
        if planned != is_:
            found.append(f"{what}: planned {planned}, got {is_}")

    for outcome in _OUTCOMES:
        planned = plan.outcomes[outcome]
        compare(f"payments {outcome}, by the outcomes", planned, progress.outcomes[outcome])
        verified = sum(getattr(flow, outcome) for flow in report.flows)
        compare(f"payments {outcome}, by the verification", planned, verified)
    compare("payments entered", plan.rows, sum(flow.entered for flow in report.flows))
    for asset, units in plan.accepted.items():
        value = sum(Decimal(flow.accepted_value) for flow in report.flows if flow.asset == asset)
        compare(f"value accepted in {asset}", Decimal(show(units, scales[asset])), value)
    settled: Counter[tuple[str, str]] = Counter()
    for batch in progress.batches.values():
        if batch.kind == "net":
            for participant, net in nets(batch).items():
                settled[participant, batch.asset] += net
    planned_nets = _without_zeros(plan.nets)
    compare("net of each bank and asset, by the batches", planned_nets, _without_zeros(settled))
    if told is not None:
        compare("payments told as accepted", plan.outcomes["accepted"], told.accepted)
        compare("payments told as received", plan.outcomes["accepted"], told.receipts)
        compare("payments told as repeated", plan.outcomes["repeated"], told.repeated)
        compare("reasons told", +plan.reasons, +told.reasons)
        compare("net of each bank and asset, as told", planned_nets, _without_zeros(told.nets))
    return found


def _without_zeros(sums: Counter[tuple[str, str]]) -> dict[tuple[str, str], int]:
    return {key: units for key, units in sorted(sums.items()) if units}
