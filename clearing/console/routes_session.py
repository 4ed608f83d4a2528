"""Log-in and log-out, and who is logged in."""

import asyncio
from typing import Any

import msgspec
import structlog
from litestar import Response, get, post
from litestar.datastructures import Cookie

from clearing import __version__
from clearing.console.access import Who
from clearing.console.accounts import PASSWORD_CHARACTERS, Account
from clearing.console.answers import JSON, Asked, answer, decoded, desk_of, who_asks
from clearing.console.desk import Desk
from clearing.console.refusals import Refusal

NAME_MOST = 64

_log = structlog.get_logger()


class LogIn(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    user: str
    password: str


class SessionLook(msgspec.Struct, frozen=True, kw_only=True):
    """user None: nobody is logged in. may: rights. csrf: to be sent back with whatever changes something.

    named: whom the proxy has logged in, where that is nobody here.
    """

    user: str | None
    roles: list[str]
    csrf: str | None
    login: str
    may: list[str]
    expires_at_ms: int | None
    idle_s: int
    version: str
    installation: str
    netting_sets: list[str]
    named: str = ""


@get("/api/session", opt={"public": True})
async def session(request: Asked) -> Response[bytes]:
    """Who is logged in; behind a proxy that has logged somebody in, a session for them."""
    desk = desk_of(request)
    who = desk.door.who(request)
    if who is not None:
        return answer(_look(desk, who))
    account = desk.door.said_by_proxy(request)
    if account is None:
        return answer(_look(desk, None, desk.door.named_by_proxy(request)))
    return _begin(desk, account, address_of(request), by_proxy=True)


@post("/api/login", opt={"public": True}, status_code=200)
async def login(request: Asked) -> Response[bytes]:
    """A name and its password. What is wrong with them is not said."""
    desk = desk_of(request)
    if desk.front.trusted_header:
        raise Refusal.forbidden("the proxy logs in here")
    given = decoded(await request.body(), LogIn)
    address = address_of(request)
    if (
        not given.user
        or len(given.user) > NAME_MOST
        or len(given.password) > PASSWORD_CHARACTERS[1]
    ):
        raise Refusal.bad("user or password is empty or too long")
    async with desk.verifying:
        wait_s = desk.attempts.wait_s(given.user, address)
        if wait_s > 0:
            raise Refusal("RATE_LIMITED", "too many log-ins have failed", "wait", wait_s)
        account = await asyncio.to_thread(desk.accounts.verified, given.user, given.password)
        if account is None:
            desk.attempts.failed(given.user, address)
            # What is no name of ours may be a password that was typed in the wrong place.
            known = given.user if desk.accounts.find(given.user) else "unknown"
            _log.warning("login_failed", user=known, address=address)
            raise Refusal("UNAUTHENTICATED", "no such user with this password", "try again")
    desk.attempts.succeeded(given.user, address)
    desk.sessions.end(request.cookies.get(desk.front.cookie, ""))
    return _begin(desk, account, address, by_proxy=False)


@post("/api/logout", opt={"right": "read"}, status_code=204)
async def logout(request: Asked) -> Response[None]:
    desk = desk_of(request)
    who = who_asks(request)
    desk.sessions.end(who.session_id)
    _log.info("logged_out", user=who.name, address=address_of(request))
    response: Response[None] = Response(None, status_code=204)
    response.delete_cookie(desk.front.cookie)
    return response


def address_of(request: Asked) -> str:
    """Whence it was asked: of a proxy, that one's."""
    return request.client.host if request.client else ""


def _begin(desk: Desk, account: Account, address: str, *, by_proxy: bool) -> Response[bytes]:
    id_, begun = desk.sessions.begin(account.name, by_proxy=by_proxy)
    _log.info("logged_in", user=account.name, address=address, by_proxy=by_proxy)
    cookie = Cookie(
        key=desk.front.cookie,
        value=id_,
        path="/",
        httponly=True,
        secure=desk.front.is_https,
        samesite="strict",
    )
    body = msgspec.json.encode(_look(desk, Who(account, begun, id_)))
    return Response(body, media_type=JSON, cookies=[cookie])


def _look(desk: Desk, who: Who | None, named: str = "") -> SessionLook:
    fields: dict[str, Any] = {
        "login": "proxy" if desk.front.trusted_header else "password",
        "idle_s": int(desk.sessions.idle_s),
        "version": __version__,
    }
    if who is None:  # a stranger is not told what this is a console of
        return SessionLook(
            user=None,
            roles=[],
            csrf=None,
            may=[],
            expires_at_ms=None,
            installation="",
            netting_sets=[],
            named=named[:NAME_MOST],
            **fields,
        )
    return SessionLook(
        user=who.name,
        roles=list(who.account.roles),
        csrf=who.session.csrf,
        may=sorted(who.account.rights),
        expires_at_ms=desk.now_ms + int(desk.sessions.left_s(who.session) * 1000),
        installation=desk.settings.topic_prefix + desk.settings.bootstrap,
        netting_sets=sorted(desk.board.directory),
        **fields,
    )


ROUTES = [session, login, logout]
