"""The story of a payment from a saved log: its engine's outputs are made again by the core. No Kafka."""

from pathlib import Path
from uuid import UUID

from clearing import logfile
from clearing.engine.machine import Machine
from clearing.explain.evidence import Evidence
from clearing.explain.rows import Search
from clearing.explain.story import Story
from clearing.explain.telling import followed, tell
from clearing.live import Live, Tell, silent

_TELL_EVERY_RECORDS = 1_000


def story_from_file(path: Path, payment: UUID, note: Tell = silent) -> Story | None:
    """None: no row of the log has this id. Raises ValueError if the file is no log."""
    netting_set = logfile.netting_set_of(path)
    search, end, goal = Search(payment), 1 << 62, 0
    while end:
        for record in logfile.read(path):
            if record.offset >= end:
                break
            search.take(*record)
            goal = max(goal, record.offset + 1)
        end = search.another_pass()
    if not search.own():
        return None  # nothing has to be made again
    live = Live(Machine(netting_set))
    evidence = Evidence(search.rows.values(), followed(search), goal)
    for number, record in enumerate(logfile.read(path), start=1):
        for output in live.apply(*record):
            if output.topic == "outcomes":
                evidence.take_outcome(output.key, output.value)
            elif output.topic == "settlements":
                evidence.take_settlement(output.value)
            elif output.topic == "journal":
                evidence.take_event(output.key, output.value)
        if number % _TELL_EVERY_RECORDS == 0:
            note(f"{number:,} log records")
    return tell(netting_set, search, evidence, live.state)
