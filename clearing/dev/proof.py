"""What banks planned, held against what became of it: in the topics, in the banks' inboxes, in the verification.

The verification proves that everything that entered was cleared rightly; only here is known what was to enter.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Mapping
from decimal import Decimal

from clearing.config import Settings
from clearing.core.money import show
from clearing.dev.progress import Progress
from clearing.dev.tally import OUTCOMES, Tally
from clearing.dev.told import Told
from clearing.verify import Report, verify

PROOF_TIMEOUT_S = 60.0
RETRY_S = 0.5


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
    flows = [flow for flow in report.flows if flow.what != "probes"]  # which no bank has planned
    found: list[str] = []

    def compare(what: str, planned: object, is_: object) -> None:
        if planned != is_:
            found.append(f"{what}: planned {planned}, got {is_}")

    for outcome in OUTCOMES:
        planned = plan.outcomes[outcome]
        compare(f"messages {outcome}, by the outcomes", planned, progress.outcomes[outcome])
        verified = sum(getattr(flow, outcome) for flow in flows)
        compare(f"messages {outcome}, by the verification", planned, verified)
    compare("messages entered", plan.rows, sum(flow.entered for flow in flows))
    for asset, units in plan.accepted.items():
        value = sum(Decimal(flow.accepted_value) for flow in flows if flow.asset == asset)
        compare(f"value accepted in {asset}", Decimal(show(units, scales[asset])), value)
    planned_nets = _without_zeros(plan.nets)
    by_batches = _without_zeros(progress.nets())
    compare("net of each bank and asset, by the batches", planned_nets, by_batches)
    if told is not None:
        compare("payments told as accepted", plan.outcomes["accepted"], told.accepted)
        compare("payments told as received", plan.outcomes["accepted"], told.receipts)
        compare("payments told as repeated", plan.outcomes["repeated"], told.repeated)
        told_of = {"done": told.instructions["CNCL"], "requested": told.instructions["PDCR"]}
        for outcome, count in told_of.items():
            compare(f"instructions told as {outcome}", plan.outcomes[outcome], count)
        compare("reasons told", +plan.reasons, +told.reasons)
        compare("payments that wait for a last word", 0, len(told.waiting))
        of_banks = {k: units for k, units in planned_nets.items() if not k[0].startswith("$")}
        compare("net of each bank and asset, as told", of_banks, _without_zeros(told.nets))
    return found


def _without_zeros(sums: Counter[tuple[str, str]]) -> dict[tuple[str, str], int]:
    return {key: units for key, units in sorted(sums.items()) if units}
