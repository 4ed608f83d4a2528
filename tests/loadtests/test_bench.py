"""The benchmark's own parts: the gate refuses what is not valid, figures and goals come out as they went in, and a
peer really does the work on a real broker."""

import sys
import xml.etree.ElementTree as ET
from collections import Counter
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest
from aiokafka.admin import NewTopic
from rich.console import Console

from clearing import kafka as clients
from clearing.dev.kafka import EmbeddedKafka
from clearing.dev.setup import read_scheme
from loadtests.bars import Bar, svg
from loadtests.contest import PEERS
from loadtests.figures import ROLES, Figures, Machine, Options, Spread, Stages, Together
from loadtests.gate import Flow, Invalid, gate
from loadtests.goals import goals
from loadtests.meter import Measured
from loadtests.peers.books import Books, minor_units
from loadtests.peers.peer import Peer
from loadtests.peers.streams import LOCK, ROOTS, VARIANTS
from loadtests.peers.work import AssetRule, Round, Work
from loadtests.publish import Order, in_process_of_its_own, wrong
from loadtests.raw import Read
from loadtests.report import encoded, plots, table
from loadtests.session import SCHEME
from loadtests.transactions import Transactions
from loadtests.workloads import WORKLOADS, made, shares, turns

RULES = {"HKD": AssetRule(2, 10**12), "COIN": AssetRule(6, 10**15)}


def flow(**changed: object) -> Flow:
    whole = {
        "entered": 100,
        "logged": 100,
        "cleared": 100,
        "told": 100,
        "planned": {"accepted": 95, "refused": 5},
        "outcomes": {"accepted": 95, "refused": 5, "queued": 0},
        "unconfirmed": 0,
    }
    return msgspec.convert(whole | changed, Flow)


def test_the_gate_lets_through_what_is_in_and_out() -> None:
    gate("uniform", flow())
    gate("uniform", flow(told=None, unconfirmed=None))


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"logged": 99}, "1 rows were not yet in the log"),
        ({"cleared": 101}, "1 rows more were cleared"),
        ({"told": 40}, "60 rows were not yet told"),
        ({"outcomes": {"accepted": 94, "refused": 6}}, "planned were 95 accepted"),
        ({"outcomes": {"accepted": 94, "refused": 5, "queued": 1}}, "1 queued"),
        ({"unconfirmed": 2}, "2 batches wait"),
    ],
)
def test_the_gate_refuses_what_was_lost_or_still_waits(
    changed: dict[str, object], says: str
) -> None:
    with pytest.raises(Invalid, match=says):
        gate("uniform", flow(**changed))


def measured(stage: str, cpu_us: float, payments: int = 1_000_000) -> Measured:
    cpu_s = {stage: cpu_us * payments / 1e6}
    return Measured(
        stage=stage, unit="payments", done=payments, seconds=2.0, cpu_s=cpu_s, took_s=3.0
    )


def stages(name: str, intake_us: float, engine_us: float) -> Stages:
    read = Read(records=1_000_000, size_bytes=2 * 10**8, seconds=1.5, cpu_s=1.0)
    return Stages(
        workload=name,
        says="",
        payments=1_000_000,
        records=1_000_000,
        size_bytes=2 * 10**8,
        log_bytes=26 * 10**6,
        raw=read,
        own_consumer=read,
        stages=[
            measured("intake", intake_us),
            measured("engine", engine_us),
            measured("dispatch", 0.9),
        ],
    )


def figures(**changed: object) -> Figures:
    def ours(workload: str, us: float) -> Together:
        each = us / 4 * 200_000 / 1e6
        cpu_s = dict.fromkeys(ROLES, each) | {"kafka": 1.0}
        return Together(
            workload=workload,
            payments=200_000,
            seconds=1.0,
            settled_s=2.0,
            cpu_s=cpu_s,
            memory_bytes=10**9,
        )

    def theirs(us: float) -> Round:
        cpu_s = us * 100_000 / 1e6
        return Round(
            payments=100_000, seconds=2.0, cpu_s=cpu_s, kafka_cpu_s=0.5, memory_bytes=10**8
        )

    whole = Figures(
        machine=Machine(
            processor="a & b",
            cores=2,
            memory_gib=8.0,
            system="s",
            python="3",
            load=0.1,
            versions={"kafka": "4"},
        ),
        options=Options(),
        ours=[ours("uniform", us) for us in (4.0, 5.0, 6.0)],
        peers={"streams-memory": [theirs(us) for us in (20.0, 20.0, 18.0)]},
        missing={"streams-rocksdb": "no network"},
        transactions=Transactions(transactions=300, seconds=3.0, cpu_s=1.0),
        bulk={"bulk": [ours("bulk", 1.0)]},
        workloads=[stages("uniform", 3.0, 0.6), stages("bulk", 0.5, 0.5)],
        sink=measured("sink", 30.0),
        latency_ms={"p50": 9.0},
        claims=20,
        took_s=500.0,
    )
    return msgspec.structs.replace(whole, **changed)


def test_a_ratio_is_taken_round_by_round_and_of_bulk_against_the_median() -> None:
    assert figures().ratio("streams-memory") == pytest.approx(Spread(3.0, 4.0, 5.0))
    assert figures().ratio("streams-memory", "bulk") == pytest.approx(Spread(20.0, 20.0, 20.0))
    assert figures().ratio("streams-hash") is None


def test_goals_are_met_by_figures_only() -> None:
    found = {goal.says: goal for goal in goals(figures())}
    met = [says for says, goal in found.items() if goal.met]
    assert met == [
        "payments per CPU-second, against Kafka Streams, in memory",
        "bulk JSON, against Kafka Streams in memory",
        "intake reads, against Kafka's own consumer, one payment a record",
        "intake reads, against Kafka's own consumer, bulk JSON",
        "engine, bulk JSON",
        "intake and engine, bulk JSON",
    ]
    assert found["intake and engine, bulk JSON"].measured == pytest.approx(2_000_000)
    assert found["engine, one payment a record"].measured == pytest.approx(800_000)
    assert found["engine, bulk columns"].measured is None


def test_the_report_says_what_is_missing_and_holds_everything() -> None:
    console = Console(width=140, record=True, file=Path("/dev/null").open("w"))  # noqa: SIM115
    console.print(table(figures()))
    text = console.export_text()
    for part in ("4.00 × (3.00–5.00)", "no figures of streams-rocksdb: no network", "not met"):
        assert part in text
    decoded = msgspec.json.decode(encoded(figures()))
    assert decoded["per_cpu_second_against"] == {"streams-memory": pytest.approx([3, 4, 5])}
    assert len(decoded["figures"]["ours"]) == 3
    for plot in plots(figures()).values():
        ET.fromstring(plot)  # also with an & in the processor's name


def test_a_bar_shows_median_lowest_and_highest() -> None:
    drawn = svg("t", "µs", [Bar("a", Spread(1.0, 2.0, 4.0), ours=True)])
    assert 'width="230.0"' in drawn
    assert "M305.0" in drawn
    assert "H650.0" in drawn


@pytest.mark.parametrize("name", WORKLOADS)
def test_the_same_seed_gives_the_same_payments_and_a_plan(name: str) -> None:
    workload, scheme = WORKLOADS[name], read_scheme(SCHEME)
    if workload.mix.bulk:  # thousands in a record take seconds to make
        workload = replace(workload, mix=workload.mix._replace(bulk_items=20), chunk=20)

    def drawn(seed: int) -> tuple[list[bytes], Counter[str]]:
        ours = made(workload, scheme, workload.netting_set, 100_000, seed)
        values = [value for _, records in turns(workload, ours, 800) for value in records]
        outcomes: Counter[str] = Counter()
        for stream in ours:
            outcomes.update(stream.tally.outcomes)
        assert sum(stream.tally.records for stream in ours) == len(values)
        return values, outcomes

    values, outcomes = drawn(1)
    assert (values, outcomes) == drawn(1)
    assert values != drawn(2)[0]
    other = {"refused": {"refused", "rejected", "repeated"}, "queued": {"cancelled", "done"}}
    assert outcomes.keys() - {"accepted"} == other.get(name, set())


def test_patterns_of_who_pays() -> None:
    rows = shares(WORKLOADS["hot"], 10_000, 16)
    assert rows[0] / sum(rows) == pytest.approx(0.7, abs=0.01)
    assert {count % 500 for count in shares(WORKLOADS["bulk"], 10_000, 16)} == {0}
    scheme = read_scheme(SCHEME)
    last = made(WORKLOADS["core"], scheme, "load", 10_000, 1)[-1]
    creditors = Counter(last.lines[0].creditors)
    core = sum(creditors[bank] for bank in scheme.members["load"][:4])
    assert core / creditors.total() == pytest.approx(0.75, abs=0.02)


def payment(number: int, **changed: str) -> bytes:
    whole = {"id": f"id-{number:04}", "debtor": "A", "creditor": "B", "asset": "HKD"}
    return msgspec.json.encode(whole | {"amount": "12.50"} | changed)


def test_a_peers_books_accept_refuse_and_settle() -> None:
    books = Books(["A", "B"], RULES, {}, {})
    assert books.clear(payment(9000)).status == "ACSP"
    reasons = [books.clear(value).reason for value in wrong(payment(9000))]
    assert reasons == ["AM05", "FF01", "RC01", "AM03", "AM12", "AM12", "AG01", "AM04"]
    batch = books.close()
    assert batch is not None
    assert [(net.participant, net.net) for net in batch.positions] == [("A", -1250), ("B", 1250)]
    assert books.close() is None


@pytest.mark.parametrize(
    ("amount", "units"),
    [("1", 100), ("1.5", 150), ("0.01", 1), ("1.234", -1), ("1.", -1), ("-1", -1), ("1e3", -1)],
)
def test_a_peers_amounts(amount: str, units: int) -> None:
    assert minor_units(amount, 2) == units


def test_every_peer_of_kafka_streams_is_locked_by_checksum() -> None:
    locked = LOCK.read_text()
    assert all(f" {root}\n" in locked for root in ROOTS)
    assert {f"streams-{variant}" for variant in VARIANTS} < PEERS.keys()


async def test_a_peer_does_the_work_and_one_that_does_not_is_refused(
    kafka: EmbeddedKafka, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    order = Order(
        bootstrap=kafka.bootstrap,
        prefix="bench.",
        run="",
        scheme=str(SCHEME),
        workload="uniform",
        payments=400,
        payments_in_all=10_000,
        seed=7,
        topic="bench.peers",
    )
    banks = read_scheme(SCHEME).members["load"]
    work = Work(bootstrap=kafka.bootstrap, name="bench.peer", banks=list(banks), assets=RULES)
    command = [sys.executable, "-m", "loadtests.peers.plain", msgspec.json.encode(work).decode()]
    peer = Peer("plain", work, command, tmp_path)
    async with clients.administration(kafka.bootstrap) as admin:
        await admin.create_topics([NewTopic(order.topic, 1, 1)])
        try:
            source = (await in_process_of_its_own(order, 120)).source(order.topic)
            assert (source.records, source.accepted) == (408, 400)
            found = await peer.round(source)
            assert (found.payments, found.cpu_s > 0) == (408, True)
            more = msgspec.structs.replace(source, accepted=401)
            monkeypatch.setattr("loadtests.peers.peer.READABLE_TIMEOUT_S", 0.0)
            with pytest.raises(Invalid, match="accepted: 401 in"):
                await peer.round(more)
        finally:
            await peer.close()
            await admin.delete_topics([order.topic])
