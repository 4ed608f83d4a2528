"""`clearing command`: operators' commands, published to the log; the engine's answer is waited for and shown.

A command is a record like any other: it is in the log, has an id and is applied once, however often it is sent.
What each one does stands in clearing.cli.command_participants, _limits, _windows and _approvals.
"""

from cyclopts import App, Group

from clearing.cli import (
    command_approvals,
    command_limits,
    command_participants,
    command_redrive,
    command_windows,
)

app = App(
    name="command",
    help="""What operators do: to participants, limits and windows, alone or with a second person.

Every command waits for the engine's answer: exit code 0 only if it was DONE.

    clearing command suspend BANKBBBB
    clearing command close-window HKD
    clearing command set-cap BANKBBBB HKD 5000000.00 --by alice

Where four eyes are required, one proposes and another one approves:

    clearing command set-cap BANKBBBB HKD 5000000.00 --propose --by alice
    clearing command proposals
    clearing command approve p-0f3e6a1b2c4d5e6f --by bob
""",
    help_format="markdown",
)

_COMMANDS = (
    (
        Group("Participants", sort_key=1),
        (
            command_participants.suspend,
            command_participants.resume,
            command_participants.default,
            command_participants.close,
        ),
    ),
    (
        Group("Liquidity and limits", sort_key=2),
        (
            command_limits.fund,
            command_limits.reserve,
            command_limits.set_cap,
            command_limits.set_limit,
            command_limits.set_short_limit,
            command_limits.set_valuation,
            command_limits.set_collateral,
            command_limits.set_pool,
        ),
    ),
    (
        Group("Windows and queues", sort_key=3),
        (
            command_windows.close_window,
            command_windows.settle_window,
            command_windows.abort_window,
            command_windows.release,
            command_redrive.redrive,
        ),
    ),
    (
        Group("Four eyes", sort_key=4),
        (
            command_approvals.proposals,
            command_approvals.approve,
            command_approvals.withdraw,
            command_approvals.require_approval,
        ),
    ),
)
for _group, _functions in _COMMANDS:
    for _order, _function in enumerate(_functions):
        app.command(_function, group=_group, sort_key=_order)
