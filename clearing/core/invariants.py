"""What must hold whenever a batch leaves, checked in production (R1, R2, R8, R9). A breach settles nothing.

Two independent sets of books meet here: positions, which payments move one by one, and what the entries of the
open window and of the batches under way add up to. Kept apart on purpose: one fault would have to hit both.
"""

import numpy as np

from clearing.core.batches import Part
from clearing.core.faults import Halt, HaltKind
from clearing.core.inputs import Bool
from clearing.core.money import parse, show
from clearing.core.state import NettingSet


def check_asset(state: NettingSet, a: int) -> None:
    """Books of asset `a`, with its open window still open. Raises Halt.

    position = credits - debits of the open window + nets of batches under way, for every account; so positions
    sum to zero but for what the scheme pays into batches (R25). Headroom is not below zero, nor below where a
    command had put it (R9).
    """
    asset, accounts = state.assets[a], state.accounts
    expected = accounts.credits[:, a] - accounts.debits[:, a] + accounts.underway[:, a]
    same = accounts.position[:, a] == expected
    _hold(state, a, same, "its position is not what its payments add up to")
    window = asset.window
    counts = int(accounts.sent[:, a].sum()), int(accounts.received[:, a].sum())
    gross = int(accounts.debits[:, a].sum()), int(accounts.credits[:, a].sum())
    if counts != (window.payments,) * 2 or gross != (window.gross,) * 2:
        raise Halt(
            HaltKind.INVARIANT,
            f"window {window.number} of {asset.spec.id} has {window.payments} payments of "
            f"{show(window.gross, asset.spec.scale)}, but its participants sent {counts[0]} of "
            f"{show(gross[0], asset.spec.scale)} and received {counts[1]} of {show(gross[1], asset.spec.scale)}",
        )
    flat = np.arange(len(state.status)) * state.width + a
    headroom = state.accounts.headroom(flat)
    _hold(state, a, headroom >= accounts.floor[:, a], "it is beyond its limits")
    accounts.floor[:, a] = np.minimum(headroom, 0)


def check_parts(state: NettingSet, a: int, parts: list[Part]) -> None:
    """R2: the entries that are about to leave say what the payments of the open window say. Raises Halt."""
    accounts, scale = state.accounts, state.assets[a].spec.scale
    nets = np.zeros(len(state.status), np.int64)
    for entry in (entry for part in parts for entry in part.entries):
        net = parse(entry.net, scale)
        assert net is not None, f"an entry of {entry.participant} with net {entry.net!r}"
        nets[state.participant_index[entry.participant]] += net
    same = nets == accounts.credits[:, a] - accounts.debits[:, a]
    _hold(state, a, same, "the entries of its window do not add up to its payments")


def _hold(state: NettingSet, a: int, good: Bool, sentence: str) -> None:
    if not good.all():
        p = int(np.flatnonzero(~good)[0])
        name = state.name_of(p) if p < len(state.participants) else f"participant {p}"
        raise Halt(
            HaltKind.INVARIANT,
            f"an invariant is broken: account {name} in {state.assets[a].spec.id}, {sentence}",
        )
