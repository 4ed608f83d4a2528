"""How a command ends: exit codes, and any error as one line with the command to run next.

Shared by the command line and the service runner. Imports no client library: an error can only be one
of a library's if that library is loaded already.
"""

import asyncio
import sys
from enum import IntEnum
from typing import Any


class ExitCode(IntEnum):
    """Documented in `clearing --help`: scripts and supervisors decide by these numbers."""

    OK = 0
    FAILED = 1  # something went wrong, or a verification says no
    USAGE = 2  # wrong option, setting, scheme or input file
    UNREACHABLE = 3  # Kafka or the ledger cannot be reached: worth trying again
    HALTED = 4  # the engine or a ledger refuses to go on: a person has to look
    INTERRUPTED = 130  # Ctrl-C


class Failure(Exception):
    """An end that was foreseen: `hint` is the next command to run or thing to do, "" if there is none."""

    def __init__(self, message: str, hint: str = "", code: ExitCode = ExitCode.FAILED) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.code = code


def _is(error: BaseException, module: str, *names: str) -> bool:
    """Whether `error` is one of these classes; a module that is not loaded cannot have raised it."""
    loaded: Any = sys.modules.get(module)
    classes = tuple(getattr(loaded, name) for name in names) if loaded else ()
    return isinstance(error, classes)


_NOT_AUTHORISED = (
    "TopicAuthorizationFailedError",
    "GroupAuthorizationFailedError",
    "ClusterAuthorizationFailedError",
    "TransactionalIdAuthorizationFailed",
)


def explain(error: BaseException, *, bootstrap: str = "", dsn: str = "") -> Failure:
    """The failure a person is shown for an error; an unknown one keeps its type's name in front."""
    if isinstance(error, Failure):
        return error
    # A Kafka error's text begins with number and class; its arguments are the sentence.
    said = " ".join(map(str, error.args)) if _is(error, "aiokafka.errors", "KafkaError") else error
    text = " ".join(str(said).split()) or type(error).__name__
    if isinstance(error, (KeyboardInterrupt, asyncio.CancelledError)):
        return Failure("interrupted", code=ExitCode.INTERRUPTED)
    if _is(error, "clearing.config", "ConfigError"):
        return Failure(text, "clearing config show", ExitCode.USAGE)
    if _is(error, "clearing.core.faults", "Halt"):
        halt: Any = error
        page = f"ops/runbooks/{halt.kind.value}.md"
        where = ""
        if halt.place and halt.place.offset >= 0:
            where = f" (at {halt.place.topic}-{halt.place.partition} offset {halt.place.offset})"
        return Failure(f"halted: {text}{where}", f"clearing status; see {page}", ExitCode.HALTED)
    if _is(error, "clearing.security", "Refused"):
        refused: Any = error
        code = ExitCode.UNREACHABLE if refused.passing else ExitCode.USAGE
        return Failure(f"Kafka: {refused.message}", refused.hint, code)
    if _is(error, "aiokafka.errors", *_NOT_AUTHORISED):
        return Failure(
            f"Kafka does not authorise this user: {text}",
            "clearing topics acls: the rules it needs",
        )
    if _is(error, "aiokafka.errors", "KafkaConnectionError", "NodeNotReadyError"):
        return Failure(
            f"cannot reach Kafka at {bootstrap or 'the given address'}",
            "clearing dev up (a local one), or --bootstrap HOST:PORT (yours); kafka_security, if it speaks TLS",
            ExitCode.UNREACHABLE,
        )
    if _is(error, "aiokafka.errors", "UnknownTopicOrPartitionError"):
        return Failure(f"a topic is missing: {text}", "clearing scheme load SCHEME")
    if _is(error, "aiokafka.errors", "KafkaError"):
        return Failure(f"Kafka: {text}", "clearing status")
    if _is(
        error,
        "asyncpg.exceptions",
        "PostgresConnectionError",
        "CannotConnectNowError",
        "InvalidAuthorizationSpecificationError",
        "InvalidCatalogNameError",
    ) or (dsn and isinstance(error, OSError) and _from_asyncpg(error)):
        return Failure(
            f"cannot reach the ledger: {text}",
            "clearing dev up (a local one), or --dsn postgresql://… (yours)",
            ExitCode.UNREACHABLE,
        )
    if isinstance(error, (FileNotFoundError, IsADirectoryError, PermissionError)) and (
        error.filename is not None
    ):
        return Failure(f"{error.filename}: {error.strerror}", code=ExitCode.USAGE)
    return Failure(f"{type(error).__name__}: {text}", "the same command with --debug")


def _from_asyncpg(error: BaseException) -> bool:
    """Whether a socket error came out of asyncpg's connect: the class alone does not tell."""
    trace = error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_globals.get("__name__", "").startswith("asyncpg."):
            return True
        trace = trace.tb_next
    return False
