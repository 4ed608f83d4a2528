"""`clearing console`: the operators' web page; `clearing console user`: who may log in to it, and as what."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import App, Parameter

from clearing.cli.session import Given, Session
from clearing.failures import ExitCode, Failure

if TYPE_CHECKING:
    from rich.table import Table

    from clearing.console.access import Front
    from clearing.console.accounts import Account, Accounts

app = App(
    name="console",
    help="""Serve the operators' console: a web page over the views, and actions under four eyes.

Somebody has to be able to log in first:

    clearing console user add alice --role operator
    clearing console user add bob --role approver
    clearing console --open
""",
    help_format="markdown",
)
user = App(name="user", help="Who may log in to the console, and as what.", help_format="markdown")
app.command(user)

Roles = Literal["viewer", "operator", "approver", "auditor"]
File = Annotated[Path | None, Parameter(name="--accounts")]


@app.default
def console(
    *,
    host: str = "127.0.0.1",
    port: int = 8780,
    open_: Annotated[bool, Parameter(name="--open", negative="")] = False,
    accounts: File = None,
    public_url: Annotated[str, Parameter(name="--public-url")] = "",
    trusted_header: Annotated[str, Parameter(name="--trusted-header")] = "",
    trusted_proxies: Annotated[str, Parameter(name="--trusted-proxies")] = "",
    metrics_port: Annotated[int | None, Parameter(name="--metrics-port")] = None,
    session: Given,
) -> ExitCode:
    """Serve the console until Ctrl-C. It holds no state of its own: start it, stop it, start two.

    On another address than the local one it belongs behind a proxy that speaks TLS: say --public-url https://….
    Behind an OIDC proxy (oauth2-proxy and the like) the proxy says who has logged in; roles stay with the accounts.

        clearing console --open
        clearing console --host 0.0.0.0 --public-url https://clearing.example --trusted-header X-Auth-Request-User
          --trusted-proxies 10.0.0.5

    Parameters
    ----------
    port
        0: any free port, the log says which.
    open_
        Open it in a browser.
    accounts
        File of the accounts (CLEARING_CONSOLE_ACCOUNTS). Default: in the folder of all caches.
    public_url
        How browsers reach it, if not by host and port.
    trusted_header
        Header in which the proxy gives the user's name. Passwords are not asked for then.
    trusted_proxies
        Addresses or networks, with commas, from which that header is believed.
    metrics_port
        Port of the Prometheus endpoint. 0: any free port. -1: none.
    """
    from functools import partial

    from clearing.console.serve import run
    from clearing.service import run_service

    front = _front(host, port, public_url, trusted_header, trusted_proxies)
    settings = session.settings_with(metrics_port=metrics_port)
    service = partial(
        run, front=front, accounts=_accounts(accounts), on_ready=_opened if open_ else None
    )
    return run_service("console", service, settings, debug=session.options.debug)


@user.command
def add(
    name: str,
    *,
    role: list[Roles],
    password_stdin: Annotated[bool, Parameter(name="--password-stdin", negative="")] = False,
    no_password: Annotated[bool, Parameter(name="--no-password", negative="")] = False,
    accounts: File = None,
    session: Given,
) -> None:
    """Let somebody in, or change their roles and password. It holds at once, also for who is logged in.

    viewer: looks. operator: proposes, suspends. approver: approves what others proposed. auditor: exports the audit
    log. All of them look.

        clearing console user add alice --role operator
        clearing console user add carol --role operator --role approver --password-stdin < password

    Parameters
    ----------
    role
        Once or several times.
    password_stdin
        Read the password from standard input instead of asking for it.
    no_password
        Only a trusted proxy can log them in.
    """
    from clearing.console.accounts import AccountError

    password = None if no_password else _password(session, password_stdin)
    try:
        _accounts(accounts).add(name, role, password)
    except AccountError as error:
        raise Failure(str(error), "clearing console user add --help", ExitCode.USAGE) from error
    session.note(f"{name} may log in as {', '.join(dict.fromkeys(role))}")


@user.command
def remove(name: str, *, accounts: File = None, session: Given) -> None:
    """Let somebody in no more; their session is over, too.

    clearing console user remove alice
    """
    from clearing.console.accounts import AccountError

    try:
        _accounts(accounts).remove(name)
    except AccountError as error:
        raise Failure(str(error), "clearing console user list", ExitCode.USAGE) from error
    session.note(f"{name} may not log in any more")


@user.command(name="list")
def list_(*, accounts: File = None, session: Given) -> None:
    """Who may log in, and as what.

    clearing console user list --json
    """
    from clearing.console.accounts import AccountError

    try:
        found = _accounts(accounts).all()
    except AccountError as error:
        raise Failure(str(error)) from error
    told = [{"name": each.name, "roles": each.roles, "password": bool(each.hash)} for each in found]
    session.show(told, lambda _: _table(found))


def _table(found: "list[Account]") -> "Table":
    from clearing.cli.status_parts import table_of

    table = table_of("", "name", "roles", "log-in")
    for each in found:
        table.add_row(each.name, ", ".join(each.roles), "password" if each.hash else "by proxy")
    return table


def _accounts(file: Path | None) -> "Accounts":
    from clearing.console.accounts import Accounts, default_file

    return Accounts(file or default_file())


def _password(session: Session, from_stdin: bool) -> str:
    """Raises Failure where it cannot be had."""
    if from_stdin:
        return sys.stdin.readline().rstrip("\r\n")
    if not sys.stdin.isatty():
        raise Failure("nobody is there to be asked", "--password-stdin", ExitCode.USAGE)
    first = session.notes.input("Password: ", password=True)
    if first != session.notes.input("Again: ", password=True):
        raise Failure("these are two passwords", code=ExitCode.USAGE)
    return first


def _front(host: str, port: int, public_url: str, header: str, proxies: str) -> "Front":
    """Raises Failure where the options do not go together."""
    import ipaddress
    from urllib.parse import urlsplit

    from clearing.console.access import Front

    public = urlsplit(public_url)
    if public_url and (public.scheme not in ("http", "https") or not public.netloc):
        raise Failure(f"--public-url {public_url} is no address of a web page", code=ExitCode.USAGE)
    if bool(header) != bool(proxies):
        said = "--trusted-header and --trusted-proxies go together: anybody can send a header"
        raise Failure(said, code=ExitCode.USAGE)
    try:
        networks = tuple(
            ipaddress.ip_network(each.strip()) for each in proxies.split(",") if proxies
        )
    except ValueError as error:
        raise Failure(f"--trusted-proxies: {error}", code=ExitCode.USAGE) from error
    return Front(host, port, public_url, header, networks)


def _opened(address: str) -> None:
    import webbrowser

    webbrowser.open(address)
