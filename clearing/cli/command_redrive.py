"""`clearing command redrive`: have a record that could not be read published once more: two people decide."""

from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from clearing.cli.sending import PROPOSABLE, Proposing, send
from clearing.cli.session import Given, Session
from clearing.failures import ExitCode, Failure

if TYPE_CHECKING:
    from clearing.console.redrive import Original


def redrive(
    participant: str,
    offset: int,
    *,
    publish: Annotated[bool, Parameter(negative="")] = False,
    how: Proposing = PROPOSABLE,
    session: Given,
) -> ExitCode:
    """Have bytes that could not be read published once more, unchanged, to their participant's topic.

    Of use where it was our side that could not read them: a version of the format that is known now. A record is
    redriven once at most, and what was redriven never again; what it pays is paid once, for payments have ids.
    The console's page of the rejected shows first what it would come to.

        clearing command redrive BANKBBBB 4711 --netting-set hk --propose
        clearing command approve p-0f3e6a1b2c4d5e6f --by bob
        clearing command redrive BANKBBBB 4711 --netting-set hk --publish

    Parameters
    ----------
    offset
        Of the record in the participant's payments topic, as `rejected` says it.
    publish
        It is decided: do it. The console does that by itself when somebody approves there.
    """
    from clearing.core.commands import Redrive, redrive_id

    if how.netting_set is None:
        raise Failure("say in which netting set", "--netting-set NAME", ExitCode.USAGE)
    source = session.run(_original(session, how.netting_set, participant, offset))
    if source.origin:
        raise Failure(f"it was redriven from {source.origin} itself: once is enough")
    if publish:
        return _publish(session, how.netting_set, participant, source)
    identity = how.signed() | {"id": redrive_id(participant, offset)}
    command = Redrive(**identity, participant=participant, offset=offset, hash=source.hash)
    return send(session, command, how, participant=participant, one=True)


async def _original(
    session: Session, netting_set: str, participant: str, offset: int
) -> "Original":
    from clearing.console.redrive import Gone, original
    from clearing.reading import partitions

    settings = session.settings
    topic = settings.topics.payments(netting_set, participant)
    async with partitions(settings.bootstrap, "clearing-cli") as reader:
        try:
            return await original(reader, topic, offset)
        except Gone as error:
            raise Failure(str(error), code=ExitCode.USAGE) from error


def _publish(session: Session, netting_set: str, participant: str, source: "Original") -> ExitCode:
    """What the journal says is decided, and nothing else."""
    from clearing.core.commands import redrive_id

    identity = redrive_id(participant, source.offset)
    offset = session.run(_published(session, netting_set, identity, source))
    if offset is None:
        raise Failure(
            f"nobody has decided {identity}",
            f"clearing command redrive {participant} {source.offset} --netting-set {netting_set} --propose",
        )
    session.show({"topic": source.topic, "offset": offset}, _told)
    return ExitCode.OK


def _told(said: dict[str, object]) -> str:
    return f"published again as {said['topic']} offset {said['offset']}"


async def _published(
    session: Session, netting_set: str, identity: str, source: "Original"
) -> int | None:
    from clearing import kafka
    from clearing.commanding.places import netting_sets
    from clearing.console.redrive import is_decided, publish
    from clearing.reading import partitions

    settings = session.settings
    (partition,) = (await netting_sets(settings, netting_set)).values()
    async with partitions(settings.bootstrap, "clearing-cli") as reader:
        if not await is_decided(reader, settings.topics.journal, partition, identity):
            return None
    async with kafka.started(kafka.producer(settings.bootstrap, client="clearing-cli")) as producer:
        return await publish(producer, source)
