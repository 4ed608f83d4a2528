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
    """What a bank is told: statuses of what it sent, what it receives and is asked, how its windows end."""
    from clearing.cli import following

    _follow(
        session, following.statuses(session.settings.topics, participant), None, from_start, count
    )


@app.command
def settlements(
    *,
    netting_set: NettingSet = None,
    from_start: FromStart = False,
    count: Count = None,
    session: Given,
) -> None:
    """Settlement batches as ledgers get them."""
    from clearing.cli import following

    _follow(session, following.settlements(session.settings.topics), netting_set, from_start, count)


@app.command
def rejected(
    *,
    netting_set: NettingSet = None,
    from_start: FromStart = False,
    count: Count = None,
    session: Given,
) -> None:
    """What could not be read: reason, source and hash of its bytes."""
    from clearing.cli import following

    _follow(session, following.rejected(session.settings.topics), netting_set, from_start, count)


@app.command
def events(
    *,
    netting_set: NettingSet = None,
    from_start: FromStart = False,
    count: Count = None,
    session: Given,
) -> None:
    """Windows, commands, confirmations, deadlocks, shortfalls and proposals, as the engine's journal tells them."""
    from clearing.cli import following

    _follow(session, following.events(session.settings.topics), netting_set, from_start, count)


def _follow(
    session: Session, what: "Follow", netting_set: str | None, from_start: bool, count: int | None
) -> None:
    from clearing.cli.following import follow

    session.run(follow(session, what, netting_set, from_start, count))
