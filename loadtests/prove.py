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


async def prove_in_process_of_its_own(settings: Settings) -> Report:
    """Verify by a child process. Raises RuntimeError if it fails, TimeoutError if it takes too long."""
    return await run_module("loadtests.prove", settings, Report, PROVE_TIMEOUT_S)


if __name__ == "__main__":
    quiet()
    settings = msgspec.json.decode(sys.argv[1], type=Settings)
    print(msgspec.json.encode(uvloop.run(prove(settings))).decode())
