"""How routes answer: JSON by msgspec, never stored by a browser; and what they ask of a request."""

from typing import Any

import msgspec
from litestar import Request, Response

from clearing.console.access import Who
from clearing.console.desk import Desk
from clearing.console.refusals import Refusal
from clearing.console.scene import Scene

Asked = Request[Any, Any, Any]
JSON = "application/json"


def desk_of(request: Asked) -> Desk:
    desk = request.app.state.desk
    assert isinstance(desk, Desk), "put there by clearing.console.app"
    return desk


def who_asks(request: Asked) -> Who:
    """Behind the guard: somebody. Raises Refusal where the session has just ended."""
    who = desk_of(request).door.who(request)
    if who is None:
        raise Refusal.unauthenticated()
    return who


def answer(data: Any, status: int = 200) -> Response[bytes]:
    return Response(msgspec.json.encode(data), status_code=status, media_type=JSON)


def page(request: Asked, scene: Scene, data: Any) -> Response[bytes]:
    """Data in the envelope of its scene."""
    return answer(desk_of(request).envelope(scene, data))


def decoded(body: bytes, kind: type[Any]) -> Any:
    """What was sent, strictly. Raises Refusal."""
    try:
        return msgspec.json.decode(body, type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise Refusal.bad(f"what was sent cannot be read: {error}") from error
