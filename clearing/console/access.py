"""Who asks and what they may: every route names a right, and one that names none is refused.

A session's cookie or, behind an OIDC proxy, its header says who; the accounts' file says what, anew with each
request. What changes something needs the session's token besides (CSRF).
"""

import hmac
import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from litestar.connection import ASGIConnection
from litestar.handlers import BaseRouteHandler

from clearing.console.accounts import ROLES, Account, Accounts, Right, Role, is_name
from clearing.console.refusals import Refusal
from clearing.console.sessions import Session, Sessions

CSRF_HEADER = "x-csrf-token"
_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})

Connection = ASGIConnection[Any, Any, Any, Any]
Network = ipaddress.IPv4Network | ipaddress.IPv6Network


@dataclass(frozen=True)
class Front:
    """How the console is reached. host, port: where it listens. public_url: as browsers see it, behind a proxy.

    trusted_header: in which a proxy at one of `proxies` says who has logged in; "": nobody is believed.
    groups_header: in which it says their groups, with commas; roles_of: what each may. "": the accounts say it.
    """

    host: str = "127.0.0.1"
    port: int = 8780
    public_url: str = ""
    trusted_header: str = ""
    proxies: tuple[Network, ...] = ()
    groups_header: str = ""
    roles_of: Mapping[str, Role] = field(default_factory=dict[str, Role])

    @property
    def is_https(self) -> bool:
        return urlsplit(self.public_url).scheme == "https"

    @property
    def cookie(self) -> str:
        """A browser keeps the prefix's promise: over https only, of this host only."""
        return "__Host-clearing_session" if self.is_https else "clearing_session"

    @property
    def hosts(self) -> frozenset[str]:
        """What a request may call this host: a name that somebody has pointed here is refused (DNS rebinding)."""
        named = {"127.0.0.1", "localhost", "[::1]"}
        if self.host not in ("0.0.0.0", "::"):  # noqa: S104  of these it is the public URL that names the host
            named.add(f"[{self.host}]" if ":" in self.host else self.host)
        allowed = {f"{name}:{self.port}" for name in named}
        public = urlsplit(self.public_url).netloc
        return frozenset(name.lower() for name in (*allowed, public) if name)

    def is_proxy(self, address: str) -> bool:
        try:
            given = ipaddress.ip_address(address)
        except ValueError:
            return False
        return any(given in network for network in self.proxies)


@dataclass(frozen=True)
class Who:
    """Somebody who is logged in, as of this request."""

    account: Account
    session: Session
    session_id: str

    @property
    def name(self) -> str:
        return self.account.name

    def may(self, right: Right) -> bool:
        return right in self.account.rights


class Door:
    """Decides over each request. Raises Refusal."""

    def __init__(self, front: Front, accounts: Accounts, sessions: Sessions) -> None:
        self.front = front
        self._accounts = accounts
        self._sessions = sessions

    def who(self, connection: Connection, *, touch: bool = True) -> Who | None:
        """None: nobody, or nobody any more. touch: it counts as work, which keeps a session awake."""
        id_ = connection.cookies.get(self.front.cookie, "")
        session = self._sessions.find(id_, touch=touch) if id_ else None
        if session is None:
            return None
        account = (
            self.said_by_proxy(connection)
            if session.by_proxy
            else self._accounts.find(session.user)
        )
        if account is None or account.name != session.user:
            self._sessions.end(
                id_
            )  # the account is gone; the proxy has logged them out, or somebody else in
            return None
        return Who(account, session, id_)

    def said_by_proxy(self, connection: Connection) -> Account | None:
        """Whom a trusted proxy has logged in, None if nobody: anybody can send a header.

        With a header of groups those say the roles, and nobody needs an account here. Raises AccountError.
        """
        name = self.named_by_proxy(connection)
        if not name or not self.front.groups_header:
            return self._accounts.find(name) if name else None
        groups = connection.headers.get(self.front.groups_header, "").split(",")
        may = {self.front.roles_of.get(group.strip()) for group in groups}
        roles: list[Role] = [role for role in ROLES if role in may]
        return Account(name=name, roles=roles) if roles and is_name(name) else None

    def named_by_proxy(self, connection: Connection) -> str:
        """The name alone, whatever they may; "" if no trusted proxy gives one."""
        header, client = self.front.trusted_header, connection.client
        if not header or client is None or not self.front.is_proxy(client.host):
            return ""
        return connection.headers.get(header, "")

    def guard(self, connection: Connection, handler: BaseRouteHandler) -> None:
        """Litestar asks it before every handler. A route without a word on who may is nobody's."""
        method = str(connection.scope.get("method", "GET"))
        if handler.opt.get("public") is True:
            if method not in _SAFE:
                self._check_origin(connection)
            return
        right = handler.opt.get("right")
        who = self.who(connection)
        if who is None:
            raise Refusal.unauthenticated()
        if right is None or not who.may(right):
            raise Refusal.forbidden(f"{who.name} may not {right or 'do this'}")
        if method not in _SAFE:
            self._check_origin(connection)
            token = connection.headers.get(CSRF_HEADER, "")
            if not hmac.compare_digest(token.encode(), who.session.csrf.encode()):
                raise Refusal.csrf("the token of the session is missing or another one")

    def _check_origin(self, connection: Connection) -> None:
        """A page of somebody else may not act through this browser."""
        site = connection.headers.get("sec-fetch-site", "same-origin")
        origin = connection.headers.get("origin")
        if site not in ("same-origin", "none"):
            raise Refusal.csrf(f"the request comes from a {site} page")
        if origin is not None and urlsplit(origin).netloc.lower() not in self.front.hosts:
            raise Refusal.csrf("the request comes from another page")
        kind = connection.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind != "application/json":
            raise Refusal.csrf("what is sent has to be application/json")
