"""What to do about a halt: by its kind the next command to run, and a page of ops/runbooks/. Values only.

A test holds kinds, pages and commands together.
"""

from clearing.core.faults import HaltKind

FOLDER = "ops/runbooks"

_REPLAY = "clearing replay --netting-set {netting_set}"  # where the log stops, and why
_VERIFY = "clearing verify"  # what topics and ledger say against one another
_TOPICS = "clearing topics plan"  # what the cluster keeps, against what it should keep

# By kind: the command that tells most about it. What an engine halts at stands in its log: replay meets it again.
_COMMANDS: dict[HaltKind, str] = {
    HaltKind.GAP: _REPLAY,
    HaltKind.LOG_LOST: _TOPICS,
    HaltKind.CHAIN: _VERIFY,
    HaltKind.INVARIANT: _VERIFY,
    HaltKind.UNREADABLE: _VERIFY,
    HaltKind.FOREIGN_WRITER: _VERIFY,
    HaltKind.LEDGER_CONFLICT: _VERIFY,
    HaltKind.REFUSED: _TOPICS,
    HaltKind.SOURCE: _TOPICS,
    HaltKind.BUG: _VERIFY,
}
_OF_THE_ENGINE = (HaltKind.CHAIN, HaltKind.INVARIANT, HaltKind.UNREADABLE, HaltKind.BUG)


def next_command(kind: HaltKind, service: str, netting_set: str) -> str:
    """The command to run next; it changes nothing. service: engine, dispatch, intake, sink-<ledger>."""
    command = _REPLAY if service == "engine" and kind in _OF_THE_ENGINE else _COMMANDS[kind]
    return command.format(netting_set=netting_set)


def retry_command(netting_set: str) -> str:
    """The command that lets it try again, once it is repaired."""
    return f"clearing retry {netting_set}"


def runbook(kind: HaltKind) -> str:
    """The page about a kind, below the top of the project."""
    return f"{FOLDER}/{kind.value}.md"
