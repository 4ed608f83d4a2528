"""Actions: tried first, then published as a command, or proposed for somebody else to approve (R33).

What is sent is what was tried: the command comes back unchanged, with its hash. Whoever is logged in signs it.
"""

from collections.abc import Sequence
from typing import Any

import msgspec
import structlog
from litestar import post
from litestar.params import FromPath

from clearing.commanding.published import described
from clearing.console.access import Who
from clearing.console.actions import command_line, command_of
from clearing.console.answers import Asked, answer, decoded, desk_of, who_asks
from clearing.console.desk import Desk, new_id
from clearing.console.refusals import Refusal
from clearing.console.routes_reading import Reply
from clearing.console.routes_redrive import published_again
from clearing.console.trial import Preview, preview
from clearing.core.approvals import content_hash, needs_approval
from clearing.core.commands import Approve, Command, Proposable, Propose, Redrive, Withdraw
from clearing.core.outputs import CommandEvent
from clearing.failures import Failure
from clearing.intake import control
from clearing.views.model import AuditView

ANSWER_TIMEOUT_S = 15.0

_log = structlog.get_logger()
_proposed = msgspec.json.Decoder(Proposable).decode


class Wish(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a form says."""

    netting_set: str
    kind: str
    fields: dict[str, Any]


class Order(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The command of a preview, and its hash."""

    netting_set: str
    command: Proposable
    hash: str


class Approval(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The hash of what was seen."""

    hash: str


class Effect(msgspec.Struct, frozen=True):
    """What became of a command that was approved. note: what was done besides, or was not."""

    status: str
    reason: str
    note: str = ""


class Sent(msgspec.Struct, frozen=True, kw_only=True):
    """status: DONE, REFUSED or REPEATED, as the engine said; PROPOSED; UNANSWERED: published, not heard of yet."""

    status: str
    reason: str = ""
    log_offset: int | None = None
    proposal: str | None = None
    hash: str = ""
    cli: str = ""
    effect: Effect | None = None


class Tried(Preview, frozen=True, kw_only=True):
    """described: the command in words. cli: what does the same in a shell."""

    described: str
    cli: str


# --- tried -----------------------------------------------------------------------------------------------------


@post("/api/actions/preview", opt={"right": "preview"}, status_code=200)
async def preview_action(request: Asked) -> Reply:
    wish: Wish = decoded(await request.body(), Wish)
    try:
        command = command_of(wish.kind, wish.fields, who_asks(request).name)
    except ValueError as error:
        raise Refusal.bad(str(error)) from error
    return answer(await _tried(desk_of(request), wish.netting_set, command))


@post(
    "/api/proposals/{netting_set:str}/{proposal:str}/preview",
    opt={"right": "preview"},
    status_code=200,
)
async def preview_proposal(
    request: Asked, netting_set: FromPath[str], proposal: FromPath[str]
) -> Reply:
    """What would happen if it were approved now."""
    desk = desk_of(request)
    command = _proposed(_open(desk, netting_set, proposal).command)
    return answer(await _tried(desk, netting_set, command))


async def _tried(desk: Desk, netting_set: str, command: Proposable) -> Tried:
    partition = desk.partition(netting_set)
    _require_readable(command)
    found = await desk.copies.live(netting_set, partition, lambda live: preview(live, command))
    return Tried(
        **msgspec.structs.asdict(found),
        described=described(command),
        cli=command_line(netting_set, command),
    )


def _require_readable(command: Command) -> None:
    """By intake's own rules: what it would reject is not published. Raises Refusal."""
    reject = control.read(0, 0, msgspec.json.encode(command)).reject
    if reject is not None:
        raise Refusal.bad(f"this command cannot be read: {reject.detail}")


# --- done ------------------------------------------------------------------------------------------------------


@post("/api/actions", opt={"right": "act"}, status_code=200)
async def act(request: Asked) -> Reply:
    """Publish what was tried; what needs two people is proposed."""
    desk, who = desk_of(request), who_asks(request)
    order: Order = decoded(await request.body(), Order)
    command, digest = order.command, content_hash(order.command)
    if digest != order.hash:
        raise Refusal.conflict("the command is not the one of which this is the hash")
    if command.by != who.name:
        raise Refusal.conflict(f"the command is {command.by}'s: try it again as {who.name}")
    _require_readable(command)
    line = command_line(order.netting_set, command)
    if not needs_approval(command):
        sent = await _told(desk, who, order.netting_set, command)
        return _reply(msgspec.structs.replace(sent, hash=digest, cli=line))
    proposal = Propose(id=f"p-{digest[:16]}-{new_id()[-8:]}", by=who.name, command=command)
    sent = await _told(desk, who, order.netting_set, proposal)
    status = "PROPOSED" if sent.status == "DONE" else sent.status
    return _reply(
        msgspec.structs.replace(sent, status=status, proposal=proposal.id, hash=digest, cli=line)
    )


@post(
    "/api/proposals/{netting_set:str}/{proposal:str}/approve",
    opt={"right": "approve"},
    status_code=200,
)
async def approve(request: Asked, netting_set: FromPath[str], proposal: FromPath[str]) -> Reply:
    """Bound to the content that was seen. Nobody approves their own: the engine holds to it as well."""
    desk, who = desk_of(request), who_asks(request)
    given: Approval = decoded(await request.body(), Approval)
    entry = _open(desk, netting_set, proposal)
    if entry.content_hash != given.hash:
        raise Refusal.conflict("the proposal is another one than was seen")
    if entry.by == who.name:
        raise Refusal.forbidden("nobody approves their own proposal (R33)")
    inner = _proposed(entry.command)
    command = Approve(id=new_id(), by=who.name, proposal=proposal, hash=given.hash)
    sent = await _told(desk, who, netting_set, command, inner.id)
    if isinstance(inner, Redrive) and sent.effect is not None and sent.effect.status == "DONE":
        note = await published_again(desk, netting_set, inner)
        sent = msgspec.structs.replace(sent, effect=msgspec.structs.replace(sent.effect, note=note))
    return _reply(msgspec.structs.replace(sent, proposal=proposal, hash=given.hash))


@post(
    "/api/proposals/{netting_set:str}/{proposal:str}/withdraw",
    opt={"right": "preview"},
    status_code=200,
)
async def withdraw(request: Asked, netting_set: FromPath[str], proposal: FromPath[str]) -> Reply:
    """One's own is taken back by whoever may act; somebody else's is turned down by whoever may approve."""
    desk, who = desk_of(request), who_asks(request)
    entry = _open(desk, netting_set, proposal)
    right = "act" if entry.by == who.name else "approve"
    if not who.may(right):
        raise Refusal.forbidden(f"{who.name} may not {right}")
    command = Withdraw(id=new_id(), by=who.name, proposal=proposal)
    sent = await _told(desk, who, netting_set, command)
    return _reply(msgspec.structs.replace(sent, proposal=proposal, hash=entry.content_hash))


def _open(desk: Desk, netting_set: str, proposal: str) -> AuditView:
    """Raises Refusal where it is not open any more, or was never proposed."""
    desk.partition(netting_set)
    entry = desk.board.proposals.get((netting_set, proposal))
    if entry is None:
        raise Refusal.conflict(f"there is no open proposal {proposal[:64]} in {netting_set}")
    return entry


async def _told(
    desk: Desk, who: Who, netting_set: str, command: Command, approved: str = ""
) -> Sent:
    """Publish it, and wait for the engine's word."""
    kind = type(command).__struct_config__.tag
    _log.info("acting", user=who.name, command=kind, id=command.id, netting_set=netting_set)
    try:
        said = await desk.tell(netting_set, command, ANSWER_TIMEOUT_S, approved)
    except Failure as error:
        return Sent(status="UNANSWERED", reason=f"{error.message}; {error.hint}")
    own = _of(said, command.id)
    assert own is not None, "whoever asks waits for the answer to this command"
    inner = _of(said, approved) if approved else None
    return Sent(
        status=own.status,
        reason=own.reason,
        log_offset=own.log_offset,
        effect=Effect(inner.status, inner.reason) if inner else None,
    )


def _of(said: Sequence[CommandEvent], id_: str) -> CommandEvent | None:
    return next((event for event in said if event.id == id_), None)


def _reply(sent: Sent) -> Reply:
    return answer(sent, 202 if sent.status == "UNANSWERED" else 200)


ROUTES = [preview_action, preview_proposal, act, approve, withdraw]
