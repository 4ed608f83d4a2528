"""Which copies of live state a command looks at: of one netting set, of an asset's, of all, or of a saved log."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from clearing.cli.session import Session
from clearing.commanding.places import netting_set_of
from clearing.failures import ExitCode, Failure

if TYPE_CHECKING:
    from clearing.live import Follower, Live


def live_states(
    session: Session, netting_set: str | None, log: Path | None, *, asset: str = ""
) -> "list[Live]":
    """Each as it stands now. asset: only the netting set that clears it. Raises Failure, Halt."""
    with session.progress("reading") as progress:
        if log is not None:
            return [saved_state(log, netting_set, asset, progress.tell)]
        return session.run(_from_topics(session, netting_set, asset, progress.tell))


def saved_state(
    log: Path, netting_set: str | None, asset: str, tell: Callable[[str], None]
) -> "Live":
    """Of a saved log after its last record."""
    from clearing.live import from_file

    try:
        live = from_file(log, tell)
    except ValueError as error:
        raise Failure(str(error), code=ExitCode.USAGE) from error
    name = live.machine.netting_set
    if netting_set not in (None, name):
        raise Failure(f"{log} is of netting set {name}", code=ExitCode.USAGE)
    if asset and asset not in live.state.asset_index:
        raise Failure(f"netting set {name} does not clear {asset!r}", code=ExitCode.USAGE)
    return live


async def _from_topics(
    session: Session, netting_set: str | None, asset: str, tell: Callable[[str], None]
) -> "list[Live]":
    async with followers(session, netting_set, asset, tell) as found:
        return [await one.refresh() for one in found]


@asynccontextmanager
async def followers(
    session: Session, netting_set: str | None, asset: str, tell: Callable[[str], None]
) -> "AsyncIterator[list[Follower]]":
    """One for each netting set that is meant, in the order of their names; they share a consumer."""
    from clearing.engine.snapshots import SnapshotStore
    from clearing.live import Follower
    from clearing.reading import partitions

    settings = session.settings
    where = await netting_set_of(settings, netting_set, asset)
    async with partitions(settings.bootstrap, "clearing-live") as reader:
        yield [
            Follower(
                reader,
                settings.topics,
                name,
                number,
                SnapshotStore(settings.snapshot_folder, settings.topic_prefix, name),
                tell,
            )
            for name, number in sorted(where.items())
        ]
