"""The `clearing` command: global options, the list of commands, and how an error ends the process.

Each command lives in a module of its own that is imported when it is called: `clearing --help` stays
quick, and a broken part breaks its own command only.
"""

import sys
from pathlib import Path
from typing import Annotated

from cyclopts import App, Group, Parameter

from clearing import __version__
from clearing.cli.session import Session, SessionOptions
from clearing.failures import ExitCode, explain

HELP = """Clears payments and tokens on Kafka: nets positions, settles batches in ledgers, each exactly once.

Start here, on a machine with nothing installed:

    clearing demo                                  everything at once, with failures, ends with a proof

Or step by step:

    clearing dev up                                Kafka and PostgreSQL, embedded
    clearing scheme check scheme.toml              is my scheme right?
    clearing topics apply scheme.toml              make its topics
    clearing scheme load scheme.toml               tell the engine
    clearing intake & clearing engine & clearing dispatch & clearing sink &
    clearing publish payments.jsonl                send payments
    clearing status --watch                        windows, positions, lag
    clearing verify                                prove that nothing was lost, doubled or changed
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

_COMMANDS: tuple[tuple[Group, str, str, str], ...] = (
    (
        TRY,
        "demo",
        "demo:demo",
        "The whole engine at work on this machine, with failures and a proof.",
    ),
    (TRY, "dev", "dev:app", "Embedded Kafka and PostgreSQL: up, down."),
    (PREPARE, "scheme", "scheme:app", "What is cleared, by whom, when: check, load, show."),
    (PREPARE, "topics", "topics:app", "Topics of a scheme: plan, apply, list."),
    (SERVE, "intake", "services:intake", "Run an intake worker: payments in, clearing log out."),
    (
        SERVE,
        "engine",
        "services:engine",
        "Run an engine: clearing log in, outcomes and batches out.",
    ),
    (
        SERVE,
        "dispatch",
        "services:dispatch",
        "Run dispatch: tells each bank what became of its payments.",
    ),
    (SERVE, "sink", "services:sink", "Run a ledger sink: posts each batch to PostgreSQL once."),
    (USE, "publish", "publish:publish", "Publish payments from JSONL or CSV files."),
    (
        USE,
        "command",
        "command:app",
        "Operators' commands: suspend, resume, close-window, set-cap, fund, …",
    ),
    (
        USE,
        "follow",
        "follow:app",
        "Follow a bank's statuses, settlements, rejected inputs, events.",
    ),
    (
        PROVE,
        "status",
        "status:status",
        "Services, windows, positions against caps, lag of every stage.",
    ),
    (
        PROVE,
        "verify",
        "verify:verify",
        "Prove from topics and ledger that all is right to the last unit.",
    ),
    (PROVE, "simulate", "simulate:simulate", "Run the engine's core over files, without Kafka."),
    (
        PROVE,
        "replay",
        "replay:replay",
        "Run the log from its first record and compare with what was said.",
    ),
    (SETUP, "config", "config:app", "Which settings are in force, and where they come from."),
)
for _order, (_group, _name, _target, _help) in enumerate(_COMMANDS):
    app.command(f"clearing.cli.{_target}", name=_name, help=_help, group=_group, sort_key=_order)


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
    failure = explain(
        error,
        bootstrap=known.bootstrap if known else session.options.bootstrap or "",
        dsn=known.dsn if known else session.options.dsn or "",
    )
    session.notes.print(f"[red]clearing:[/red] {_plain(failure.message)}", highlight=False)
    if failure.hint:
        session.notes.print(f"[dim]next:[/dim]     {_plain(failure.hint)}", highlight=False)
    return failure.code


def _plain(text: str) -> str:
    """Text of an error is shown as it is: what a sender wrote must not steer the terminal."""
    from rich.markup import escape

    return escape("".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text))


def main() -> None:
    """Entry point of the `clearing` command."""
    try:
        code = app.meta(result_action="return_value")
    except BrokenPipeError:
        # The reader of a pipe (head, jq) has seen enough: that is its right, not an error.
        sys.stderr.close()
        code = ExitCode.OK
    sys.exit(code if isinstance(code, int) else ExitCode.OK)
