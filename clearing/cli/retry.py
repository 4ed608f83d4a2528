"""`clearing retry`: let a netting set that has halted try again, once what stopped it is repaired."""

import getpass
import time
from typing import Annotated

from cyclopts import Parameter

from clearing.cli.session import Given, Session
from clearing.failures import Failure


def retry(
    netting_set: str,
    *,
    service: str | None = None,
    by: Annotated[str | None, Parameter(name="--by")] = None,
    session: Given,
) -> None:
    """Let what has halted try again: it goes on from where it stood, and skips nothing.

    `clearing status` says what has halted and why. What is not repaired halts again at once, and is counted. A
    restart of the process has the same effect, but for the kind foreign_writer, which waits for this command.

        clearing retry hk
        clearing retry hk --service sink-postgres --by jane

    Parameters
    ----------
    service
        Only this one: engine, dispatch, intake, sink-LEDGER. Default: all that have halted.
    by
        Who asks for it. Default: your user name.
    """
    told = session.run(_retry(session, netting_set, service, by or getpass.getuser()))
    if session.json:
        session.show(told)
    for one in told:
        session.note(f"{one} of {netting_set} tries again: clearing status --watch")


async def _retry(session: Session, name: str, service: str | None, by: str) -> list[str]:
    import msgspec

    from clearing.commanding.places import netting_sets
    from clearing.halts import WRITE_TIMEOUT_S, HaltTopic
    from clearing.looking import Looks

    settings = session.settings
    number = (await netting_sets(settings, name))[name]
    looks = Looks(settings.bootstrap, "clearing-retry")
    topic = HaltTopic(settings, looks)
    try:
        standing = await topic.read(number, WRITE_TIMEOUT_S)
        now_ms = time.time_ns() // 1_000_000
        asked = {
            key: msgspec.structs.replace(record, state="RETRY", retried_by=by, at_ms=now_ms)
            for key, record in standing.items()
            if record.state == "HALTED" and service in (None, record.service)
        }
        if not asked:
            raise Failure(f"nothing of {name} has halted", "clearing status")
        await topic.write(number, asked)
    finally:
        await looks.close()
    return sorted(record.service for record in asked.values())
