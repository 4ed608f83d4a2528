"""Refusals of the console as values: status, a sentence, a code, what to do; and how errors become such."""

from typing import Any, Literal

import msgspec
import structlog
from aiokafka.errors import KafkaError
from litestar import Request, Response
from litestar.exceptions import HTTPException, MethodNotAllowedException, NotFoundException

from clearing.asof import TooFar
from clearing.console.accounts import AccountError
from clearing.core.faults import Halt
from clearing.failures import Failure

Code = Literal[
    "UNAUTHENTICATED",
    "FORBIDDEN",
    "CSRF",
    "RATE_LIMITED",
    "NOT_FOUND",
    "BAD_REQUEST",
    "CONFLICT",
    "UNAVAILABLE",
    "TOO_FAR",
    "BUG",
]
TOO_FAR_HINT = (
    "a later time; or start the console with a larger --past-records; or keep more snapshots of the engines in "
    "CLEARING_SNAPSHOTS: it begins with the nearest one before that time"
)
_log = structlog.get_logger()
_STATUS: dict[Code, int] = {
    "UNAUTHENTICATED": 401,
    "FORBIDDEN": 403,
    "CSRF": 403,
    "RATE_LIMITED": 429,
    "NOT_FOUND": 404,
    "BAD_REQUEST": 400,
    "CONFLICT": 409,
    "UNAVAILABLE": 503,
    "TOO_FAR": 422,
    "BUG": 500,
}


class Problem(msgspec.Struct, frozen=True):
    """Body of every answer that is none."""

    error: str
    code: Code
    hint: str = ""


class Refusal(Exception):
    """The console will not, or cannot. retry_s: when to try again."""

    def __init__(self, code: Code, error: str, hint: str = "", retry_s: float = 0) -> None:
        super().__init__(error)
        self.problem = Problem(error, code, hint)
        self.retry_s = retry_s

    @classmethod
    def unauthenticated(cls) -> "Refusal":
        return cls("UNAUTHENTICATED", "nobody is logged in, or the session is over", "log in")

    @classmethod
    def forbidden(cls, error: str) -> "Refusal":
        return cls("FORBIDDEN", error, "another role is needed: clearing console user add")

    @classmethod
    def csrf(cls, error: str) -> "Refusal":
        return cls("CSRF", error, "load the page anew")

    @classmethod
    def missing(cls, error: str) -> "Refusal":
        return cls("NOT_FOUND", error)

    @classmethod
    def bad(cls, error: str) -> "Refusal":
        return cls("BAD_REQUEST", error)

    @classmethod
    def conflict(cls, error: str) -> "Refusal":
        return cls("CONFLICT", error, "look again")

    @classmethod
    def busy(cls, error: str, retry_s: float = 2) -> "Refusal":
        return cls("UNAVAILABLE", error, "try again", retry_s)

    def answer(self) -> Response[bytes]:
        headers = {"Retry-After": str(max(1, round(self.retry_s)))} if self.retry_s else {}
        return Response(
            msgspec.json.encode(self.problem),
            status_code=_STATUS[self.problem.code],
            media_type="application/json",
            headers=headers,
        )


def as_refusal(error: Exception) -> Refusal | None:
    """What is no bug of ours, in the console's words; None where it is one."""
    match error:
        case Refusal():
            return error
        case TooFar():
            return Refusal("TOO_FAR", str(error), TOO_FAR_HINT)
        case Halt():
            return Refusal("UNAVAILABLE", str(error), "clearing status")
        case KafkaError() | ConnectionError() | TimeoutError():
            said = str(error) or type(error).__name__
            return Refusal("UNAVAILABLE", f"Kafka: {said}", "clearing status", 5)
        case Failure():
            return Refusal("UNAVAILABLE", error.message, error.hint)
        case AccountError():
            return Refusal("UNAVAILABLE", "the accounts cannot be read", str(error))
        case NotFoundException() | MethodNotAllowedException():
            return Refusal.missing("there is nothing here")
        case HTTPException() if error.status_code < 500:
            return Refusal.bad(str(error.detail))
        case _:
            return None


def told(_: Request[Any, Any, Any], error: Exception) -> Response[bytes]:
    """Litestar's handler of every exception. What is none of these is a bug: it is logged, and not told."""
    refusal = as_refusal(error)
    if refusal is None:
        _log.error("console_bug", error=repr(error), exc_info=error)
        problem = Problem("this is a bug of the console", "BUG", "its log says where")
        return Response(
            msgspec.json.encode(problem), status_code=500, media_type="application/json"
        )
    return refusal.answer()
