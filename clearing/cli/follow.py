"""`clearing follow`: records of a topic as they come, a line each, until Ctrl-C or --count."""

from typing import TYPE_CHECKING, Annotated

from cyclopts import App, Parameter

from clearing.cli.session import Given, Session

if TYPE_CHECKING:
    from clearing.cli.following import Follow

app = App(
    name="follow",
    help="""Follow what the engine says, a line each.

Starts with what comes now, ends with Ctrl-C:

    clearing follow status BANKAAAA
    clearing follow settlements --from-start --json | jq .id
    clearing follow rejected
    clearing follow events --netting-set hk
""",
)

FromStart = Annotated[
    bool, Parameter(negative="", help="Begin with the first record that is kept.")
]
Count = Annotated[
    int | None, Parameter(help="Stop after so many records. Default: only at Ctrl-C.")
]
NettingSet = Annotated[str | None, Parameter(help="Only this netting set.")]


@app.command
def status(
    participant: str, *, from_start: FromStart = False, count: Count = None, session: Given
) -> None:
    """What a bank is told: statuses of its payments, what it receives, how its windows end."""
    from clearing.cli.following import status_lines

    settings = session.settings
    _follow(session, status_lines(settings.topics.status(participant)), None, from_start, count)


@app.command
def settlements(
    *,
    netting_set: NettingSet = None,
    from_start: FromStart = False,
    count: Count = None,
    session: Given,
) -> None:
    """Settlement batches as ledgers get them."""
    from clearing.cli.following import settlement_lines

    _follow(session, settlement_lines(session.settings.topics), netting_set, from_start, count)


@app.command
def rejected(
    *,
    netting_set: NettingSet = None,
    from_start: FromStart = False,
    count: Count = None,
    session: Given,
) -> None:
    """What could not be read: reason, source and hash of its bytes."""
    from clearing.cli.following import rejected_lines

    _follow(session, rejected_lines(session.settings.topics), netting_set, from_start, count)


@app.command
def events(
    *,
    netting_set: NettingSet = None,
    from_start: FromStart = False,
    count: Count = None,
    session: Given,
) -> None:
    """Windows, commands and confirmations, as the engine's journal tells them."""
    from clearing.cli.following import event_lines

    _follow(session, event_lines(session.settings.topics), netting_set, from_start, count)


def _follow(
    session: Session, what: "Follow", netting_set: str | None, from_start: bool, count: int | None
) -> None:
    from clearing.cli.following import follow

    session.run(follow(session, what, netting_set, from_start, count))
