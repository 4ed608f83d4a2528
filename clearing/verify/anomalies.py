"""Which claim answers which anomaly: those of Jepsen's workloads for Kafka and for banks, in our words.

Names as in jepsen.tests.kafka (`lost-write`, `G1a` …) and jepsen.tests.bank (`bank`); what is ours alone begins
with "X-". A test forges each of them and sees the claim fail (tests/verify/test_anomalies.py).
"""

from typing import NamedTuple


class Anomaly(NamedTuple):
    """What it is called, and what it would be here."""

    name: str
    means: str


ANOMALIES: tuple[Anomaly, ...] = (
    Anomaly("lost-write", "a bank's record, or an output, that was acknowledged and is not there"),
    Anomaly("unseen", "a record that is there and that nobody has processed"),
    Anomaly("duplicate", "a payment, a batch or a status that counts twice"),
    Anomaly(
        "inconsistent-offsets",
        "one offset with two contents: for two readers, or for log and topic",
    ),
    Anomaly("G0", "outputs of two engines mixed: two owners wrote at once"),
    Anomaly("G1a", "something was used that a transaction took back"),
    Anomaly("G1b", "a part of a transaction without the rest of it"),
    Anomaly(
        "G1c",
        "a cycle: a batch that depends on what came only after it, an answer before its question",
    ),
    Anomaly("precommitted-read", "something was said or used before it was committed"),
    Anomaly("poll-skip", "a reader passed over records between two polls"),
    Anomaly("nonmonotonic-poll", "a reader went back and took something again"),
    Anomaly("int-poll-skip", "records were passed over within one transaction"),
    Anomaly("int-nonmonotonic-poll", "records were taken out of order within one transaction"),
    Anomaly(
        "nonmonotonic-send", "a writer's records stand in another order than they were written in"
    ),
    Anomaly("int-send-skip", "a hole in what one transaction wrote"),
    Anomaly("int-nonmonotonic-send", "what one transaction wrote stands in another order"),
    Anomaly("bank", "money that appears or vanishes: a total that is not what it was"),
    Anomaly("X-foreign-writer", "a record in our topics that the engine did not write"),
    Anomaly(
        "X-wrong-value", "a record with another amount, party or reason than follows from the log"
    ),
    Anomaly("X-rule", "something that a rule of clearing forbids, in the right place and order"),
)

# By the name of a claim. The replay finds nearly all of it as well: named are the claims that find it without one.
ANSWERS: dict[str, tuple[str, ...]] = {
    "every record of the sources is in the log once": (
        "lost-write",
        "unseen",
        "duplicate",
        "inconsistent-offsets",
        "poll-skip",
        "nonmonotonic-poll",
        "X-wrong-value",
    ),
    "the engine has processed the log": ("unseen",),
    "every row of the log has one outcome": ("lost-write", "duplicate", "int-poll-skip"),
    "what waits ends once": ("duplicate", "X-rule"),
    "what entered is one thing each": ("lost-write", "duplicate", "bank"),
    "no id counts twice": ("duplicate",),
    "what could not be read is kept": ("lost-write", "X-foreign-writer"),
    "every batch sums to zero": ("bank",),
    "batches are the sum of their payments": ("lost-write", "duplicate", "X-wrong-value"),
    "funding is what was commanded": ("lost-write", "bank"),
    "batches are chained": ("lost-write", "nonmonotonic-send", "int-send-skip", "X-foreign-writer"),
    "windows settle once, on their ledger's word": ("duplicate", "precommitted-read", "G1c"),
    "positions are what is unsettled": ("lost-write", "X-wrong-value"),
    "nothing was accepted beyond its limits": ("X-rule",),
    "linked legs are accepted together": ("G1b", "X-rule"),
    "nothing is accepted of who may not pay": ("X-rule",),
    "returns and recalls fit their originals": ("G1c", "X-rule"),
    "shortfalls are borne exactly": ("bank", "X-rule"),
    "two people stand behind what needs them": ("X-rule",),
    "the journal has no holes": (
        "G0",
        "G1b",
        "nonmonotonic-send",
        "int-send-skip",
        "int-nonmonotonic-send",
    ),
    "replay gives the same bytes": (
        "lost-write",
        "duplicate",
        "nonmonotonic-send",
        "int-nonmonotonic-send",
        "int-nonmonotonic-poll",
        "X-foreign-writer",
        "X-wrong-value",
    ),
    "only the engine wrote its outputs": ("X-foreign-writer", "duplicate", "G0"),
    "offsets never go back": ("nonmonotonic-poll", "inconsistent-offsets"),
    "a second reading gives the same": ("inconsistent-offsets", "poll-skip", "lost-write"),
    "nothing aborted was used": ("G1a",),
    "the ledger equals the batches": ("lost-write", "duplicate", "G1a", "X-wrong-value"),
    "what ledgers confirmed, they have": ("precommitted-read", "lost-write"),
    "balances are the sum of their entries": ("bank",),
    "the ledger sums to zero at every read": ("bank", "nonmonotonic-poll"),
    "status topics are in order": ("duplicate", "nonmonotonic-send", "int-send-skip", "G1b"),
    "banks were told the truth": ("lost-write", "duplicate", "X-wrong-value"),
}
