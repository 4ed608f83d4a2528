"""Made-up values of every topic that `clearing top` shows, among them what a hostile sender would write."""

from typing import Any

import msgspec
from msgspec.structs import replace

from clearing.config import Settings
from clearing.console.board import Board
from clearing.console.scene import Scene, live_scene
from clearing.core.faults import HaltKind
from clearing.core.outputs import Position, Rejected
from clearing.messages import DirectoryEntry, HaltRecord
from clearing.views.model import (
    LAG_KEY,
    ActivityView,
    AuditView,
    BankShare,
    BatchView,
    Heartbeat,
    LagSample,
    LedgerFinality,
    Outlook,
    Probe,
    RejectView,
    Served,
    StageLag,
    WindowView,
)

NOW_MS = 1_795_365_000_000
TOPICS = Settings().topics
SENTENCE = (
    "HKD window 1,412 closes in 4 min 10 s; the backlog (HKD 1.2 bn) drains in 38 s: on time."
)
HOSTILE = "\x1b]0;owned\x07\x1b[2J[bold red]x[/] [@click=app.quit]y[/]\nnext\u202eline [/nope]"

WINDOW = WindowView(
    netting_set="hk",
    asset="HKD",
    window=1412,
    state="OPEN",
    version=1,
    opened_at_ms=NOW_MS - 600_000,
    closed_at_ms=None,
    cutoff_ms=NOW_MS + 250_000,
    payments=None,
    gross=None,
    batch="",
    sequence=None,
    hash="",
    settled_at_ms=None,
    offset=1,
)
BATCH = BatchView(
    netting_set="hk",
    sequence=86,
    id="b-1411",
    kind="net",
    asset="HKD",
    ledger="hkma",
    window=1411,
    version=1,
    part=1,
    parts=1,
    closed_at_ms=NOW_MS - 600_000,
    payments=812,
    gross="99000000.00",
    entries=8,
    linked=[],
    previous="ab" * 32,
    hash="cd" * 32,
    topic="settlements",
    partition=0,
    offset=172,
)
ENTRY = AuditView(
    netting_set="hk",
    number=1,
    time_ms=NOW_MS - 60_000,
    log_offset=4700,
    kind="command",
    id="c-1",
    by="bob",
    command="set_status",
    status="REFUSED",
    reason="it is suspended already",
    content_hash="",
    previous="",
    hash="ef" * 32,
    offset=1,
)
PROPOSED = (
    '{"type":"set_cap","id":"c-2","by":"alice","participant":"BAMBHKHH","asset":"HKD",'
    '"net_debit_cap":"5000000.00"}'
)
POSITION = Position(
    netting_set="hk",
    participant="AURAHKHH",
    asset="HKD",
    prefunded="100.00",
    net_debit_cap="900.00",
    position="-450.00",
    reserved="0.00",
    headroom="550.00",
    queued="0.00",
    queued_payments=0,
    window=1412,
    log_offset=4711,
    time_ms=NOW_MS - 200,
)
OUTLOOK = Outlook(
    netting_set="hk",
    asset="HKD",
    window=1412,
    cutoff_ms=NOW_MS + 250_000,
    cutoff_in_s=250.0,
    backlog={"HKD": "1200000000.00"},
    backlog_records=4711,
    top_banks=[BankShare(bank="AURAHKHH", share=0.5)],
    drain_s=38.0,
    verdict="ON_TIME",
    sentence=SENTENCE,
)
BEAT = Heartbeat(
    service="engine",
    instance="a",
    host="node-1",
    pid=17,
    version="0.1.0",
    started_at_ms=NOW_MS - 7_500_000,
    at_ms=NOW_MS - 900,
    state="ready",
    netting_sets={"hk": Served(epoch=3, owned_since_ms=NOW_MS - 60_000, next_offset=4711)},
)
HALT = HaltRecord(
    netting_set="hk",
    service="sink-hkma",
    kind=HaltKind.BUG,
    reason="batch 87 does not sum to zero",
    topic="settlements.hkma",
    partition=0,
    offset=86,
    next_command="clearing explain batch 87",
    runbook="ops/runbooks/bug.md",
    times=2,
    first_at_ms=NOW_MS - 120_000,
    at_ms=NOW_MS - 60_000,
    owner="node-2:99",
)


def stage(name: str, **said: Any) -> StageLag:
    return StageLag(
        **{
            "stage": name,
            "group": f"clearing-{name}",
            "netting_set": "hk",
            "topic": "log",
            "partition": 0,
            "records": 12,
            "seconds": 0.4,
            "money": {"HKD": "1200.00"},
            "velocity_per_s": 830.0,
            "drain_s": 0.1,
            "status": "OK",
        }
        | said
    )


def sample(at_ms: int = NOW_MS - 800, *outlooks: Outlook) -> LagSample:
    return LagSample(
        at_ms=at_ms,
        clock_skew_ms=1.0,
        stages=[
            stage(
                "intake", records=None, seconds=None, money={}, velocity_per_s=None, drain_s=None
            ),
            stage("engine"),
            stage("dispatch", status="HUNG_TXN", culprit="producer 9 of clearing-engine-hk"),
        ],
        outlooks=list(outlooks) or [OUTLOOK],
        probe=Probe(sent_at_ms=NOW_MS - 900, seen_at_ms=NOW_MS - 855, round_trip_ms=45.0),
    )


def reject(offset: int, detail: str) -> RejectView:
    said = Rejected(
        netting_set="hk",
        log_offset=4000 + offset,
        row=0,
        topic="payments.AURAHKHH",
        partition=0,
        offset=1000 + offset,
        item=-1,
        reason="FF01",
        text="Invalid file format",
        detail=detail,
        hash="ab" * 32,
        id="",
        time_ms=NOW_MS - 30_000,
    )
    return RejectView(netting_set="hk", partition=0, offset=offset, rejected=said)


class Town:
    """A board that values are put on; `scene` as of now. stale: Kafka does not answer."""

    def __init__(self) -> None:
        self.board = Board(TOPICS)
        self.now_ms = NOW_MS
        self.stale = False
        self.is_reading = False
        self._number = 0
        self.put(TOPICS.netting_sets, DirectoryEntry(netting_set="hk", partition=0))

    def put(self, topic: str, value: msgspec.Struct, key: bytes = b"") -> None:
        self._number += 1
        place = key or b"%d" % self._number
        self.board.take(topic, "here", place, msgspec.json.encode(value), self.now_ms)

    def scene(self) -> Scene:
        names = list(self.board.directory)
        board, now_ms = self.board, self.now_ms
        return live_scene(board, names, now_ms, stale=self.stale, missing=(), statuses={})


def busy() -> Town:
    """Something of everything, and nothing of it hostile."""
    town = Town()
    town.put(TOPICS.view("windows"), WINDOW, b"1412")
    ended = replace(
        WINDOW,
        window=1411,
        state="SETTLED",
        cutoff_ms=None,
        closed_at_ms=NOW_MS - 600_000,
        settled_at_ms=NOW_MS - 590_000,
        payments=812,
        gross="99000000.00",
        batch="b-1411",
        finality={
            "hkma": LedgerFinality(state="FINAL", at_ms=NOW_MS - 590_000),
            "chain": LedgerFinality(state="POSTED", at_ms=NOW_MS - 580_000, batches=2, posted=1),
        },
    )
    town.put(TOPICS.view("windows"), ended, b"1411")
    for number, (name, position, queued) in enumerate(
        [("AURAHKHH", "-450.00", 0), ("BAMBHKHH", "-850.00", 3), ("CEDRHKHH", "-1200.00", 0)]
    ):
        row = replace(POSITION, participant=name, position=position, log_offset=4711 + number)
        row = replace(row, headroom=f"{1000 + float(position):.2f}")
        row = replace(row, queued="250.00" if queued else "0.00", queued_payments=queued)
        town.put(TOPICS.positions, row, name.encode())
    nothing = replace(POSITION, participant="DUSKHKHH", prefunded="0.00", net_debit_cap="0.00")
    town.put(TOPICS.positions, replace(nothing, position="-1.00"), b"D")
    town.put(
        TOPICS.view("activity"),
        ActivityView(
            netting_set="hk",
            minute_ms=NOW_MS - 60_000,
            accepted=48_211,
            queued=4,
            refused=12,
            by_reason={"AM04": 9, "AC04": 3},
            log_offset_first=1,
            log_offset_last=4710,
            offset=9,
        ),
    )
    town.put(TOPICS.view("rejects"), reject(1, "unexpected end of JSON"))
    town.put(TOPICS.heartbeats, BEAT)
    town.put(TOPICS.heartbeats, replace(BEAT, service="views", netting_sets={}, instance=""))
    town.put(TOPICS.heartbeats, replace(BEAT, service="sink", at_ms=NOW_MS - 45_000))
    town.put(TOPICS.view("lag"), sample(), LAG_KEY)
    town.put(TOPICS.view("batches"), BATCH, b"86")
    final = replace(BATCH, sequence=85, state="FINAL", answered_ms=BATCH.closed_at_ms + 182)
    town.put(TOPICS.view("batches"), final, b"85")
    town.put(TOPICS.view("audit"), ENTRY, b"1")
    proposed = replace(ENTRY, number=2, kind="proposal", id="p-1", command=PROPOSED, by="alice")
    town.put(TOPICS.view("audit"), replace(proposed, status="PROPOSED", reason=""), b"2")
    return town
