"""The `clearing` command with short time-outs, for services as child processes of fault tests.

A lost response is noticed after these, and nothing else of the path changes. Not to be imported by the product.
"""

import os
import sys
from pathlib import Path

REQUEST_TIMEOUT_S = 4.0
COMMIT_TIMEOUT_S = 2.0
TRANSACTION_TIMEOUT_S = 4.0
LEDGER_TIMEOUT_S = 3.0
STRETCH_MAX = 6.0


def impatient(role: str) -> list[str]:
    """Program and arguments of a service, for clearing.dev.services."""
    return [sys.executable, str(Path(__file__)), role]


def stretch() -> float:
    """How much longer everything takes on this machine just now: on one with much else to do, what is only slow
    is not to be taken for lost."""
    return min(STRETCH_MAX, max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1)))


def main() -> None:
    from clearing import kafka
    from clearing.cli import main as clearing
    from clearing.engine import processor
    from clearing.ledgers import connection

    by = stretch()
    kafka.REQUEST_TIMEOUT_MS = int(REQUEST_TIMEOUT_S * by * 1000)
    processor.COMMIT_TIMEOUT_S = COMMIT_TIMEOUT_S * by
    processor.TRANSACTION_TIMEOUT_MS = int(TRANSACTION_TIMEOUT_S * by * 1000)
    processor.CLOSE_TIMEOUT_S = 0.2
    connection.CONNECT_TIMEOUT_S = connection.COMMAND_TIMEOUT_S = LEDGER_TIMEOUT_S * by
    clearing()


if __name__ == "__main__":
    main()
