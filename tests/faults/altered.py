"""Run by fault tests: a service that is not quite the others. `python altered.py <what> <role>`.

what: JSON, service name → a list of changes of this process before it starts:
  "clock": its wall clock jumps between today, yesterday and tomorrow; what it produces is stamped by that clock.
  "newer": it is another version of the engine, which refuses some payments that this version accepts.
  "apart": its consumer group is one of its own.
"""

import json
import os
import runpy
import sys
import time
from typing import Any

DAY_S = 86_400
JUMP_EVERY_S = 0.7
NEWER_VERSION = "0.2.0"


def clock() -> None:
    from aiokafka import AIOKafkaProducer

    real, real_ns, started = time.time, time.time_ns, time.monotonic()

    def shift_s() -> int:
        return (0, DAY_S, -DAY_S)[int((time.monotonic() - started) / JUMP_EVERY_S) % 3]

    time.time = lambda: real() + shift_s()
    time.time_ns = lambda: real_ns() + shift_s() * 1_000_000_000
    send = AIOKafkaProducer.send

    async def stamped(self: AIOKafkaProducer, *args: Any, **options: Any) -> Any:
        return await send(self, *args, **({"timestamp_ms": int(time.time() * 1000)} | options))

    AIOKafkaProducer.send = stamped


def newer() -> None:
    import clearing

    clearing.__version__ = NEWER_VERSION
    from clearing.core import payments
    from clearing.core.reasons import Code

    before = payments.check

    def check(state: Any, rows: Any, sides: Any, codes: Any) -> Any:
        units = before(state, rows, sides, codes)
        chosen = codes[::5]
        chosen[chosen == 0] = Code.CREDITOR_NO_ACCOUNT
        return units

    payments.check = check


def apart() -> None:
    from clearing.names import Topics

    before = Topics.group
    Topics.group = lambda self, role: f"{before(self, role)}-apart"


CHANGES = {"clock": clock, "newer": newer, "apart": apart}

if __name__ == "__main__":
    what, *arguments = sys.argv[1:]
    for change in json.loads(what).get(os.environ["CLEARING_INSTANCE"], []):
        CHANGES[change]()
    sys.argv = ["clearing", *arguments]
    runpy.run_module("clearing", run_name="__main__", alter_sys=True)
