"""`python -m loadtests.prove '<Settings as JSON>'`: the verification as a process of its own, its report as JSON.

Over millions of payments it computes for seconds on end: too long for an event loop that others need.
"""

import sys

import msgspec
import uvloop

from clearing.config import Settings
from clearing.dev.proof import prove
from clearing.verify import Report
from loadtests.console import quiet
from loadtests.publish import run_module

PROVE_TIMEOUT_S = 3_600.0
TRIES = 3  # as long as all that is wrong is that something has only just come in


async def prove_in_process_of_its_own(settings: Settings) -> Report:
    """Verify by a child process. Raises RuntimeError if it fails, TimeoutError if it takes too long."""
    return await run_module("loadtests.prove", settings, Report, PROVE_TIMEOUT_S)


async def _prove(settings: Settings) -> Report:
    report = await prove(settings)
    for _ in range(1, TRIES):
        if report.ok or report.failed:
            break
        report = await prove(settings)
    return report


if __name__ == "__main__":
    quiet()
    settings = msgspec.json.decode(sys.argv[1], type=Settings)
    print(msgspec.json.encode(uvloop.run(_prove(settings))).decode())
