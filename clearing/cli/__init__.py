"""The `clearing` command: global options, the list of commands, and how an error ends the process.

Each command lives in a module of its own that is imported when it is called: `clearing --help` stays
quick, and a broken part breaks its own command only.
"""

import os
import sys
from pathlib import Path
from typing import Annotated

from cyclopts import App, Group, Parameter

from clearing import __version__, failures
from clearing.cli.session import Session, SessionOptions
from clearing.failures import ExitCode

HELP = """Clears payments and tokens on Kafka: nets positions, settles batches, each exactly once.

Start here, on a machine with nothing installed:

    clearing demo                     everything at once, ends with a proof

Or step by step, each command in its own terminal or in the background:

    clearing dev up                   Kafka and PostgreSQL, embedded
    clearing scheme check my.toml     is my scheme right?
    clearing scheme load my.toml      make its topics, tell the engine
    clearing intake                   the services:
    clearing engine
    clearing dispatch
    clearing sink --migrate
    clearing views
    clearing publish payments.jsonl   send payments
    clearing status --watch           windows, positions, lag
    clearing verify                   prove that nothing was lost or doubled
"""

EPILOGUE = (
    "Exit codes: 0 done · 1 failed, or the verification says no · 2 wrong usage, setting or input file · "
    "3 Kafka or ledger not reachable · 4 halted, a person has to look · 130 interrupted. "
    "Settings: flags > CLEARING_… environment > clearing.toml > defaults; see `clearing config show`."
)

TRY = Group("Try it", sort_key=1)
PREPARE = Group("Prepare", sort_key=2)
SERVE = Group("Services", sort_key=3)
USE = Group("Use", sort_key=4)
PROVE = Group("Watch and prove", sort_key=5)
SETUP = Group("Set up", sort_key=6)
GLOBAL = Group("Global options", sort_key=9)

app = App(
    name="clearing",
    help=HELP,
    help_format="markdown",
    help_epilogue=EPILOGUE,
    version=__version__,
    group_parameters=Group("Options", sort_key=8),
)
app["--help"].group = SETUP
app["--version"].group = SETUP
app.register_install_completion_command(
    group=SETUP, help="Install completion for your shell (bash, zsh, fish)."
)

_COMMANDS: tuple[tuple[Group, str, str], ...] = (
    (TRY, "demo", "demo:demo"),
    (TRY, "dev", "dev:app"),
    (PREPARE, "scheme", "scheme:app"),
    (PREPARE, "topics", "topics:app"),
    (SERVE, "intake", "services:intake"),
    (SERVE, "engine", "services:engine"),
    (SERVE, "dispatch", "services:dispatch"),
    (SERVE, "sink", "services:sink"),
    (SERVE, "views", "views:views"),
    (SERVE, "console", "console:app"),
    (USE, "publish", "publish:publish"),
    (USE, "command", "command:app"),
    (USE, "follow", "follow:app"),
    (USE, "retry", "retry:retry"),
    (PROVE, "status", "status:status"),
    (PROVE, "top", "top:top"),
    (PROVE, "doctor", "doctor:doctor"),
    (PROVE, "explain", "explain:explain"),
    (PROVE, "queue", "queue:queue"),
    (PROVE, "drill", "drill:drill"),
    (PROVE, "optimise", "optimise:optimise"),
    (PROVE, "verify", "verify:verify"),
    (PROVE, "report", "report:app"),
    (PROVE, "simulate", "simulate:simulate"),
    (PROVE, "setoff", "setoff:setoff"),
    (PROVE, "replay", "replay:replay"),
    (SETUP, "config", "config:app"),
    (SETUP, "compile", "compile:compile_loops"),
)
_NAMES = frozenset(name for _, name, _ in _COMMANDS)
for _order, (_group, _name, _target) in enumerate(_COMMANDS):
    app.command(f"clearing.cli.{_target}", name=_name, group=_group, sort_key=_order)


@app.meta.default
def _launch(
    *tokens: Annotated[str, Parameter(show=False, allow_leading_hyphen=True)],
    bootstrap: Annotated[str | None, Parameter(group=GLOBAL)] = None,
    dsn: Annotated[str | None, Parameter(group=GLOBAL)] = None,
    prefix: Annotated[str | None, Parameter(group=GLOBAL)] = None,
    config: Annotated[Path | None, Parameter(group=GLOBAL)] = None,
    json: Annotated[bool, Parameter(group=GLOBAL, negative="")] = False,
    debug: Annotated[bool, Parameter(group=GLOBAL, negative="")] = False,
) -> ExitCode:
    """Run one command.

    Parameters
    ----------
    bootstrap
        Kafka servers, HOST:PORT,… (CLEARING_BOOTSTRAP)
    dsn
        PostgreSQL of the ledger, postgresql://… (CLEARING_DSN)
    prefix
        Put before every topic name, for installations that share a cluster (CLEARING_TOPIC_PREFIX)
    config
        Settings file; without it ./clearing.toml if there is one (CLEARING_CONFIG)
    json
        Print data as JSON on stdout.
    debug
        Show tracebacks and the clients' own logs.
    """
    session = Session(SessionOptions(bootstrap, dsn, prefix, config, json, debug))
    command, bound, ignored = app.parse_args(tokens)
    given = {name: session for name, kind in ignored.items() if kind is Session}
    try:
        result = command(*bound.args, **bound.kwargs, **given)
    except BaseException as error:
        if isinstance(error, SystemExit):
            raise
        return _failed(error, session)
    return result if isinstance(result, ExitCode) else ExitCode.OK


def _failed(error: BaseException, session: Session) -> ExitCode:
    """One line about what went wrong, one about what to do; the traceback only on request."""
    if session.options.debug:
        session.notes.print_exception(show_locals=False)
    known = session.__dict__.get("settings")
    failure = failures.explain(
        error,
        bootstrap=known.bootstrap if known else session.options.bootstrap or "",
        dsn=known.dsn if known else session.options.dsn or "",
    )
    session.notes.print(
        f"[red]clearing:[/red] {_plain(failure.message)}", highlight=False, soft_wrap=True
    )
    if failure.hint:
        session.notes.print(
            f"[dim]next:[/dim]     {_plain(failure.hint)}", highlight=False, soft_wrap=True
        )
    return failure.code


def _plain(text: str) -> str:
    """Text of an error is shown as it is: what a sender wrote must not steer the terminal."""
    from rich.markup import escape

    return escape("".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text))


def main() -> None:
    """Entry point of the `clearing` command."""
    # NumPy would start threads for linear algebra, of which there is none here, and they spin a while for work.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    if not _NAMES.intersection(sys.argv):
        for name in _NAMES:
            app[
                name
            ]  # resolves the command, so that the list of all of them can say what each does
    try:
        code = app.meta(result_action="return_value")
    except BrokenPipeError:
        # The reader of a pipe (head, jq) has seen enough: that is its right, not an error.
        sys.stderr.close()
        code = ExitCode.OK
    sys.exit(code if isinstance(code, int) else ExitCode.OK)
