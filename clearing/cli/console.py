"""`clearing console`: the operators' web page; `clearing console user`: who may log in to it, and as what."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import App, Parameter, validators

from clearing.cli.session import Given, Session
from clearing.failures import ExitCode, Failure

if TYPE_CHECKING:
    from rich.table import Table

    from clearing.console.access import Front
    from clearing.console.accounts import Account, Accounts, Role

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
    groups_header: Annotated[str, Parameter(name="--groups-header")] = "",
    group_role: Annotated[list[str] | None, Parameter(name="--group-role")] = None,
    past_records: Annotated[
        int, Parameter(name="--past-records", validator=validators.Number(gte=1))
    ] = 2_000_000,
    metrics_port: Annotated[int | None, Parameter(name="--metrics-port")] = None,
    session: Given,
) -> ExitCode:
    """Serve the console until Ctrl-C. It holds no state of its own: start it, stop it, start two.

    On another address than the local one it belongs behind a proxy that speaks TLS: say --public-url https://….
    Behind an OIDC proxy (oauth2-proxy and the like) the proxy says who has logged in. Their roles are those of
    their account here, or with --groups-header those of their groups, and nobody needs an account.

        clearing console --open
        clearing console --host 0.0.0.0 --public-url https://clearing.example --trusted-header X-Auth-Request-User
          --trusted-proxies 10.0.0.5 --groups-header X-Auth-Request-Groups --group-role clearing-desk=operator
          --group-role clearing-heads=approver

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
        Addresses or networks, with commas, from which these headers are believed.
    groups_header
        Header in which the proxy gives the user's groups, with commas.
    group_role
        GROUP=ROLE, once or several times: what members of a group may. Nobody else gets in then.
    past_records
        Log records that are replayed at most for one look into the past, from the nearest snapshot before it.
    metrics_port
        Port of the Prometheus endpoint. 0: any free port. -1: none.
    """
    from dataclasses import replace
    from functools import partial

    from clearing.console.serve import run
    from clearing.service import run_service

    front = replace(
        _front(host, port, public_url, trusted_header, trusted_proxies),
        groups_header=groups_header,
        roles_of=_roles_of(trusted_header, groups_header, group_role or []),
    )
    settings = session.settings_with(metrics_port=metrics_port)
    service = partial(
        run,
        front=front,
        accounts=_accounts(accounts),
        past_records=past_records,
        on_ready=_opened if open_ else None,
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


def _roles_of(header: str, groups_header: str, given: list[str]) -> "dict[str, Role]":
    """Raises Failure where a group is given no role that there is."""
    from clearing.console.accounts import ROLES, Role

    if bool(groups_header) != bool(given) or (given and not header):
        said = "--groups-header and --group-role go together, and with --trusted-header"
        raise Failure(said, code=ExitCode.USAGE)
    roles: dict[str, Role] = {}
    for each in given:
        group, _, said = each.rpartition("=")
        role: Role | None = next((role for role in ROLES if role == said), None)
        if not group or "," in group or role is None or group in roles:
            hint = f"GROUP=ROLE, a group once, with one of {', '.join(ROLES)}"
            raise Failure(f"--group-role {each}", hint, ExitCode.USAGE)
        roles[group] = role
    return roles


def _opened(address: str) -> None:
    import webbrowser

    webbrowser.open(address)
