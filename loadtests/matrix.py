"""The fault matrix as a document: for each fault what was injected how often, and what was observed.

From the observations that tests/faults write with --observations. Which faults there are, and which of them cannot
be run here, is listed in this file; what was seen is never.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path

import msgspec

FAULTS: Mapping[str, str] = {
    "F1": "kill -9 of every service at every commit point",
    "F2": "SIGSTOP past the timeouts, then SIGCONT",
    "F3": "two owners of one partition, rebalances",
    "F4": "transactional responses lost, EndTxn late",
    "F5": "broker killed, restarted, disk full",
    "F6": "Kafka refuses in mid-transaction",
    "F7": "the broker times a transaction out",
    "F8": "a hanging transaction",
    "F9": "PostgreSQL killed around COMMIT, conflicts, failover",
    "F10": "fsync error, disk full under PostgreSQL",
    "F11": "network cut, slow, reset, half-open",
    "F12": "clocks a day off, backwards",
    "F13": "snapshot changed, cut off, missing",
    "F14": "log tail lost, retention, gap in a source",
    "F15": "duplicates, re-reads, overlapping batches",
    "F16": "a chain that reorganises, drops, lies",
    "F17": "two versions of the engine together",
    "F18": "one bank floods the others",
}
# Why a fault has no row, or what is missing in those it has.
NOT_HERE: Mapping[str, str] = {
    "F10": "an fsync that fails needs a disk that does: no such device can be made where these tests run",
    "F16": "there is no ledger on a chain yet: nothing of the kind can happen to the ledgers there are",
}
REQUIRED = [fault for fault in FAULTS if fault not in NOT_HERE]

Rows = dict[tuple[str, str, str], int]  # fault, injected, observed → times


class Observation(msgspec.Struct, frozen=True):
    """One line of the observations. times: how often it was injected in `test`."""

    fault: str
    injected: str
    times: int
    observed: str
    test: str = ""


class Incomplete(Exception):
    """Faults that had to be injected were not; the message names them."""


def read(file: Path) -> list[Observation]:
    """All observations of a run. Raises msgspec.MsgspecError for a line that is none."""
    lines = file.read_bytes().splitlines()
    return [msgspec.json.decode(line, type=Observation) for line in lines if line]


def rows(observations: Iterable[Observation]) -> Rows:
    """Times by what was injected and seen, in the order of FAULTS. Raises Incomplete."""
    found: Rows = {}
    for one in observations:
        if one.fault not in FAULTS:
            raise Incomplete(
                f"{one.test} has observed {one.fault!r}, which is no fault of the list"
            )
        if one.times < 1:
            raise Incomplete(f"{one.test} has injected nothing: {one.fault}, {one.injected}")
        place = one.fault, one.injected, one.observed
        found[place] = found.get(place, 0) + one.times
    seen = {fault for fault, _, _ in found}
    if missing := [fault for fault in REQUIRED if fault not in seen]:
        raise Incomplete(f"nothing was injected of {', '.join(missing)}")
    order = list(FAULTS)
    return dict(sorted(found.items(), key=lambda row: (order.index(row[0][0]), row[0][1:])))


def markdown(found: Rows, command: str) -> str:
    """The document. command: what repeats it."""
    lines = [
        f"| {fault} | {FAULTS[fault]} | {_cell(injected)} | {times:,} | {_cell(observed)} |"
        for (fault, injected, observed), times in found.items()
    ]
    lines += [
        f"| {fault} | {FAULTS[fault]} | not injected: {why} | | |"
        for fault, why in NOT_HERE.items()
        if not any(seen == fault for seen, _, _ in found)
    ]
    lines.sort(key=lambda line: list(FAULTS).index(line.split(" ", 2)[1]))
    table = "\n".join(lines)
    return f"""# Faults on real processes: what was injected, and what was observed

Written by a run, never by hand. To repeat it:

    {command}

Each row was seen on real Kafka, real PostgreSQL and the services as a user starts them, and ended with everything
accounted for: `clearing verify` and the plan that banks had made beforehand agreed, unless the row says that a
netting set halted.

| fault | | injected | times | observed |
| --- | --- | --- | ---: | --- |
{table}

{sum(found.values()):,} faults in {len(found)} rows.
"""


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
