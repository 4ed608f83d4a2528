"""The banks' plan against what came out: agreement is silent, and every single deviation is named."""

from collections import Counter
from collections.abc import Callable

import msgspec
import pytest

from clearing.core.outputs import Entry, SettlementBatch
from clearing.dev.blows import one_blow_each, random_blows
from clearing.dev.progress import Progress
from clearing.dev.proof import differences
from clearing.dev.services import ROLES
from clearing.dev.tally import OUTCOMES, Tally
from clearing.dev.told import Told
from clearing.verify import Check, Flow, Report
from clearing.verify.states import STATES

A, B = "ALPHHKHH", "BETAHKHH"


def batch(net: str = "5.00") -> SettlementBatch:
    entries = [
        Entry(A, f"-{net}", net, "0.00", 2, 0),
        Entry(B, net, "0.00", net, 0, 2),
    ]
    return SettlementBatch(
        id="b1",
        kind="net",
        netting_set="hk",
        sequence=1,
        asset="HKD",
        code="HKD",
        issuer="X",
        ledger="pg",
        scale=2,
        window=1,
        version=1,
        opened_at_ms=0,
        closed_at_ms=1,
        payments=2,
        gross=net,
        entries=entries,
        log_first=0,
        log_last=0,
        members_root="",
        previous="",
        hash="",
    )


class Run:
    """Two payments of A to B accepted, one refused, one repeated, and everything told."""

    def __init__(self) -> None:
        nets = Counter({(A, "HKD"): -500, (B, "HKD"): 500})
        outcomes = Counter(accepted=2, refused=1, repeated=1)
        self.plan = Tally(4, 4, outcomes, Counter(CNOR=1), Counter(HKD=500), nets)
        self.progress = Progress(outcomes=Counter(outcomes))
        self.settle(batch())
        self.told = Told(
            rows=4, accepted=2, repeated=1, receipts=2, reasons=Counter(CNOR=1), nets=Counter(nets)
        )
        self.flow: dict[str, int] = {
            "accepted": 2,
            "refused": 1,
            "rejected": 0,
            "repeated": 1,
            "entered": 4,
        }
        self.value = "5.00"

    def settle(self, *batches: SettlementBatch) -> None:
        """These batches and no others."""
        self.progress = Progress(outcomes=self.progress.outcomes)
        for each in batches:
            self.progress.add_batch(each)

    def differences(self, probes: int = 0) -> list[str]:
        flow = Flow(
            netting_set="hk",
            asset="HKD",
            entered=0,
            entered_value="8.00",
            accepted_value=self.value,
            refused_value="1.00",
            repeated_value="2.00",
        )
        flow = msgspec.structs.replace(flow, **self.flow)
        probed = Flow(
            netting_set="hk",
            asset="",
            what="probes",
            entered=probes,
            refused=1,
            repeated=probes - 1,
        )
        flows = [flow, probed] if probes else [flow]
        report = Report(checks=[], flows=flows, batches=1, took_ms=1)
        return differences(self.plan, report, self.progress, {"HKD": 2}, self.told)


def test_as_planned_says_nothing() -> None:
    assert Run().differences() == []


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (lambda run: run.progress.outcomes.update(accepted=1), "accepted, by the outcomes"),
        (lambda run: run.flow.update(rejected=1), "rejected, by the verification"),
        (lambda run: run.flow.update(entered=5), "messages entered"),
        (lambda run: setattr(run, "value", "5.01"), "value accepted in HKD"),
        (lambda run: run.settle(batch("5.01")), "by the batches"),
        (lambda run: run.settle(), "by the batches"),
        (lambda run: setattr(run.told, "accepted", 3), "told as accepted"),
        (lambda run: setattr(run.told, "receipts", 1), "told as received"),
        (lambda run: setattr(run.told, "repeated", 0), "told as repeated"),
        (lambda run: run.told.reasons.update(AM04=1), "reasons told"),
        (lambda run: run.told.waiting.add(("payments.hk.A", 0, 7, -1)), "wait for a last word"),
        (lambda run: run.told.instructions.update(CNCL=1), "instructions told as done"),
        (lambda run: run.told.instructions.update(PDCR=1), "instructions told as requested"),
        (lambda run: run.progress.outcomes.update(queued=1), "queued, by the outcomes"),
        (lambda run: run.flow.update(cancelled=1), "cancelled, by the verification"),
        (lambda run: run.progress.confirm("b1", "short"), "by the batches"),
        (lambda run: run.told.nets.update({(A, "HKD"): 1}), "as told"),
    ],
)
def test_every_deviation_is_named(change: Callable[[Run], object], named: str) -> None:
    run = Run()
    change(run)
    (difference,) = run.differences()
    assert named in difference


def test_probes_are_none_of_the_banks_messages() -> None:
    assert Run().differences(probes=3) == []


def test_nothing_at_all_is_not_as_planned() -> None:
    run = Run()
    run.progress, run.told = Progress(), Told()
    assert len(run.differences()) >= 6


def test_the_plan_and_the_verification_name_the_same_outcomes() -> None:  # R30
    assert set(OUTCOMES) == set(STATES)
    assert set(OUTCOMES) < set(Flow.__struct_fields__)


def test_what_the_scheme_itself_pays_is_told_to_nobody() -> None:  # R25
    run = Run()
    run.plan.nets.update({("$POOL", "HKD"): -700, (B, "HKD"): 700})
    bears = [Entry(B, "7.00", "0.00", "7.00", 0, 0), Entry("$POOL", "-7.00", "7.00", "0.00", 0, 0)]
    run.progress.add_batch(msgspec.structs.replace(batch(), id="b2", entries=bears))
    run.told.nets[B, "HKD"] += 700
    assert run.differences() == []


def test_a_report_is_ok_only_if_something_was_checked() -> None:
    check = Check(name="n", rule="R1", scope="hk", compared="2 things")
    assert not Report(checks=[], flows=[], batches=0, took_ms=0).ok
    assert Report(checks=[check], flows=[], batches=0, took_ms=0).ok


def test_blows_are_seeded_and_meet_everybody() -> None:
    assert one_blow_each(1_000, 1) == one_blow_each(1_000, 1) != one_blow_each(1_000, 2)
    for seed in range(20):
        blows = one_blow_each(1_000, seed)
        assert sorted(blow.role for blow in blows) == sorted(ROLES)
        assert all(0 < blow.at_rows < 900 and blow.working for blow in blows)
        assert all(blow.at_rows <= 400 for blow in blows if blow.role == "sink")
    assert random_blows(20, 1_000, 1) == random_blows(20, 1_000, 1) != random_blows(20, 1_000, 2)
    assert len({blow.role for blow in random_blows(20, 1_000, 1)}) > 1
