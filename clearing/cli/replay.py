"""`clearing replay`: the log from its first record through the engine's core, held against the journal."""

from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from clearing.cli.session import Given, Progress, Session
from clearing.failures import ExitCode, Failure

if TYPE_CHECKING:
    from collections.abc import Sequence

    from clearing.log.records import OutputRecord
    from clearing.logfile import LogFileRecord
    from clearing.replay import Replay


def replay(
    *,
    netting_set: str | None = None,
    log_file: Annotated[Path | None, Parameter(name="--log-file")] = None,
    dump: Path | None = None,
    outputs: Path | None = None,
    session: Given,
) -> ExitCode:
    """Run the log from its first record and compare the chain of outputs with every transaction of the journal.

    Changes nothing. Exit code 0 if all agree, 1 if the log gives other outputs than were written, 4 if the log
    cannot be replayed: then it says at which offset and why.

        clearing replay
        clearing replay --netting-set hk --dump hk.log
        clearing replay --log-file hk.log --outputs hk.outputs

    Parameters
    ----------
    netting_set
        Only this netting set. Default: all.
    log_file
        Replay a log that was saved instead of Kafka's; there is no journal to compare with then.
    dump
        Save the log to this file, for `simulate --log` or `replay --log-file`.
    outputs
        Save every output record, a JSON line each.
    """
    if log_file is not None:
        replays = [_from_file(log_file, outputs)]
    else:
        with session.progress("replaying") as progress:
            replays = session.run(_from_kafka(session, netting_set, dump, outputs, progress))
    for one in replays:
        _show(session, one)
    return ExitCode.FAILED if any(one.differences for one in replays) else ExitCode.OK


def _from_file(log_file: Path, outputs: Path | None) -> "Replay":
    from clearing import logfile
    from clearing.cli.output_file import OutputFile
    from clearing.replay import Replay

    try:
        one = Replay(logfile.netting_set_of(log_file), [])
    except ValueError as error:
        raise Failure(str(error), code=ExitCode.USAGE) from error
    with ExitStack() as files:
        out = files.enter_context(OutputFile(outputs)) if outputs else None
        for record in logfile.read(log_file):
            made = _apply(one, record, str(log_file), 0)
            if out:
                out.observe(record, made)
    return one


def _apply(
    one: "Replay", record: "LogFileRecord", topic: str, partition: int
) -> "Sequence[OutputRecord]":
    """What a log record causes. Raises Halt with its place, whatever goes wrong."""
    from clearing.halts import as_halt

    try:
        return one.apply(*record)
    except Exception as error:
        raise as_halt(error).at(topic, partition, record.offset) from error


async def _from_kafka(
    session: Session,
    netting_set: str | None,
    dump: Path | None,
    outputs: Path | None,
    progress: Progress,
) -> "list[Replay]":
    from clearing.commanding.places import netting_sets
    from clearing.reading import partitions

    settings = session.settings
    where = await netting_sets(settings, netting_set)
    if (dump or outputs) and len(where) > 1:
        raise Failure(
            f"--dump and --outputs are of one netting set: {', '.join(sorted(where))}",
            f"--netting-set {min(where)}",
            ExitCode.USAGE,
        )
    async with partitions(settings.bootstrap, "clearing-replay") as reader:
        return [
            await _replay_one(session, reader, name, number, dump, outputs, progress)
            for name, number in sorted(where.items())
        ]


async def _replay_one(
    session: Session,
    reader: object,
    name: str,
    number: int,
    dump: Path | None,
    outputs: Path | None,
    progress: Progress,
) -> "Replay":
    from aiokafka import TopicPartition

    from clearing.cli.output_file import OutputFile
    from clearing.log.records import TRANSACTION_KEY, decode_transaction
    from clearing.logfile import LogFileRecord, LogFileWriter
    from clearing.reading import Partitions
    from clearing.replay import Replay

    assert isinstance(reader, Partitions)
    topics = session.settings.topics
    log = TopicPartition(topics.log, number)
    transactions = [
        decode_transaction(record.value or b"")
        async for records in reader.chunks(TopicPartition(topics.journal, number))
        for record in records
        if record.key == TRANSACTION_KEY
    ]
    first, end = (await reader.bounds([log]))[log]
    if first > 0:
        raise Failure(
            f"the log of {name} begins at offset {first}: its first records are lost (F14)",
            code=ExitCode.HALTED,
        )
    one = Replay(name, transactions)
    with ExitStack() as files:
        writer = files.enter_context(LogFileWriter(dump, name)) if dump else None
        out = files.enter_context(OutputFile(outputs)) if outputs else None
        async for records in reader.chunks(log, first, end):
            for record in records:
                saved = LogFileRecord(record.key, record.value, record.offset, record.timestamp)
                if writer:
                    writer.add(saved)
                made = _apply(one, saved, *log)
                if out:
                    out.observe(saved, made)
            progress.tell(f"{name}, {records[-1].offset + 1:,} of {end:,} log records")
    one.finish()
    return one


def _show(session: Session, one: "Replay") -> None:
    from clearing.replay import positions, standing, waiting

    stands = standing(one.machine)
    if session.json:
        session.line(
            {
                "standing": stands,
                "transactions_compared": one.compared,
                "differences": one.differences,
                "positions": positions(one.machine),
                "waiting": waiting(one.machine),
            }
        )
        return
    colour = "red" if one.differences else "green"
    verdict = f"{len(one.differences)} differences" if one.differences else "all agree"
    compared = f"{one.compared:,} transactions of the journal compared: {verdict}"
    if not one.compared and not one.differences:
        colour, compared = "dim", "there was no journal to compare with"
    session.out.print(
        f"[bold]{stands.netting_set}[/bold]: {stands.records:,} log records to offset {stands.next_offset:,}, "
        f"{stands.batches:,} batches, {len(waiting(one.machine)):,} payments wait, "
        f"{stands.remembered_ids:,} ids remembered\n"
        f"  chain {stands.chain}\n"
        f"  [{colour}]{compared}[/{colour}]",
        highlight=False,
    )
    for difference in one.differences[:20]:
        session.out.print(f"  {difference}", style="red", highlight=False, markup=False)
