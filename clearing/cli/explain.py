"""`clearing explain`: the whole life of one payment, from the record it came with to its finality."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from clearing.cli.session import Given, Progress, Session
from clearing.failures import ExitCode, Failure

if TYPE_CHECKING:
    from uuid import UUID

    from clearing.explain.story import Story


def explain(
    payment: str,
    *,
    netting_set: str | None = None,
    log: Annotated[Path | None, Parameter(name="--log")] = None,
    session: Given,
) -> None:
    """Tell the whole life of a payment: where it came in, why it waits or was refused, its batch, its finality.

    The id is that of a payment, of a leg of a trade, a return, a cancellation, a change of priority or an answer.
    While it waits: what binds, exactly how much would free it, who waits for whom. Each step with its time and its
    place in the log; ENTERED <= IRREVOCABLE <= FINAL.

    Reads the whole log of a netting set once, about a gigabyte for ten million payments, and opens only what holds
    the id; of the outputs what lies between the payment's entry and its finality. Only for a payment that waits
    it rebuilds the state: from the newest snapshot in the folder of snapshots (see `clearing config show`), else
    from the log's first record. Changes nothing. Exit code 1 if nobody knows the id.

        clearing explain 5e0d8a4e-8f0c-4b5e-9d60-2d6f1c3b7a10
        clearing explain 5e0d8a4e-8f0c-4b5e-9d60-2d6f1c3b7a10 --json | jq .waiting.binds
        clearing explain 5e0d8a4e-8f0c-4b5e-9d60-2d6f1c3b7a10 --log hk.log

    Parameters
    ----------
    payment
        The id, a UUID.
    netting_set
        Look in this netting set only. Default: one after the other.
    log
        Look in a log saved by `clearing replay --dump` or `simulate --log-out` instead of Kafka's.
    """
    id_ = _uuid(payment)
    with session.progress("looking") as progress:
        if log is not None:
            story, places = _from_file(log, id_, progress), str(log)
        else:
            story, places = session.run(_from_topics(session, id_, netting_set, progress))
    if story is None:
        raise Failure(
            f"no payment and no instruction has the id {id_}: it is not in the log ({places})",
            "clearing status (has intake come to it?), or ask whoever sent it for the id",
        )
    from clearing.cli.explain_text import told

    session.show(story, told)


def _uuid(text: str) -> "UUID":
    from uuid import UUID

    try:
        return UUID(text)
    except ValueError as error:
        raise Failure(f"{text!r} is no UUID", "clearing explain --help", ExitCode.USAGE) from error


def _from_file(log: Path, payment: "UUID", progress: Progress) -> "Story | None":
    from clearing import logfile
    from clearing.explain.files import story_from_file

    try:
        logfile.netting_set_of(log)
    except ValueError as error:
        raise Failure(str(error), code=ExitCode.USAGE) from error
    return story_from_file(log, payment, progress.tell)


async def _from_topics(
    session: Session, payment: "UUID", netting_set: str | None, progress: Progress
) -> "tuple[Story | None, str]":
    """The story, and where was looked for it."""
    from clearing.commanding.places import netting_sets
    from clearing.engine.snapshots import SnapshotStore
    from clearing.explain.topics import TopicStories, prober
    from clearing.reading import partitions

    settings = session.settings
    where = await netting_sets(settings, netting_set)
    async with (
        partitions(settings.bootstrap, "clearing-explain") as reader,
        prober(settings.bootstrap) as probe,
    ):
        for name, number in sorted(where.items()):
            store = SnapshotStore(settings.snapshot_folder, settings.topic_prefix, name)
            stories = TopicStories(
                reader, probe, settings.topics, name, number, store, progress.tell
            )
            if story := await stories.story(payment):
                return story, name
    return None, ", ".join(sorted(where))
