"""What the engine said and knows, held against the oracle: everything of a log record, everything of the state."""

from typing import Any

import msgspec

from clearing.core.ids import id_text
from clearing.core.inputs import LogRecord
from clearing.core.outputs import (
    CommandEvent,
    ConfirmationEvent,
    DeadlockEvent,
    Outputs,
    ProposalEvent,
    ShortfallEvent,
    WindowEvent,
)
from clearing.core.state import NettingSet
from tests.core.build import batches
from tests.core.oracle import Oracle
from tests.core.oracle_books import Books, Said, decimal, uuid_text


def compare(out: Outputs, said: Said, record: LogRecord, books: Books) -> None:
    """Everything one log record caused."""
    if record.payments is None:
        assert out.outcomes is None
    else:
        assert out.outcomes is not None
        codes, repeats = out.outcomes.codes.tolist(), out.outcomes.repeat.tolist()
        assert list(zip(codes, repeats, strict=True)) == said.outcomes
        assert out.outcomes.windows == said.open_windows
    assert [_resolution(item) for item in out.resolutions] == said.resolutions
    assert msgspec.to_builtins(batches(out)) == said.batches
    assert _events(out, WindowEvent) == said.windows
    answers = [e for e in out.events if isinstance(e, CommandEvent | ConfirmationEvent)]
    assert [e.status for e in answers] == said.answers
    deadlocks = [e for e in out.events if isinstance(e, DeadlockEvent)]
    assert [(e.asset, e.payments, e.value) for e in deadlocks] == [
        (asset, n, decimal(units, books.assets[asset].spec.scale))
        for asset, n, units in said.deadlocks
    ]
    assert _events(out, ShortfallEvent) == said.shortfalls
    assert _events(out, ProposalEvent) == said.proposals
    assert len(out.rejected) == said.rejected
    compare_positions(out, books)


def _resolution(item: Any) -> dict[str, Any]:
    fields: dict[str, Any] = {name: getattr(item, name) for name in item.__struct_fields__}
    return fields | {"link": msgspec.structs.astuple(item.link) if item.link else None}


def _events(out: Outputs, of: type[msgspec.Struct]) -> list[dict[str, Any]]:
    """Fields of the events of a type, without where and when: that is the log record's."""
    found: list[dict[str, Any]] = []
    for event in out.events:
        if isinstance(event, of):
            fields: dict[str, Any] = msgspec.to_builtins(event)
            for name in ("type", "netting_set", "log_offset", "time_ms"):
                fields.pop(name, None)
            found.append(fields)
    return found


def compare_positions(out: Outputs, books: Books) -> None:
    for told in out.positions:
        key = (told.participant, told.asset)
        account, scale = books.accounts[key], books.assets[told.asset].spec.scale
        queue = books.queue(*key)
        amounts = (
            *(account.held, account.cap, account.position, account.reserved, account.headroom),
            sum(p.units for p in queue),
        )
        assert (
            *(told.prefunded, told.net_debit_cap, told.position, told.reserved, told.headroom),
            told.queued,
        ) == tuple(decimal(units, scale) for units in amounts)
        assert told.queued_payments == len(queue)
        assert told.window == books.assets[told.asset].window.number


def compare_state(state: NettingSet, oracle: Oracle) -> None:
    books = oracle.books
    _compare_accounts(state, books)
    _compare_waiting(state, books)
    assert {p.id: state.status[i] for i, p in enumerate(state.participants)}.keys() == {
        *books.status
    }
    assert {asset.spec.id: asset.unsettled for asset in state.assets} == {
        name: books.unsettled(name) for name in books.assets
    }
    assert {a.spec.id: a.window.cutoff_ms for a in state.assets} == {
        name: asset.window.cutoff_ms for name, asset in books.assets.items()
    }
    assert list(state.pending) == list(books.pending)
    assert {item.batch.id: item.state for item in state.pending.values()} == {
        id_: part.state for id_, part in books.pending.items()
    }
    assert len(state.ids) == len(books.seen)
    assert set(state.proposals) == set(books.proposals)
    assert {asset.spec.id: asset.pool for asset in state.assets if asset.pool} == {
        name: units for name, units in books.pool.items() if units
    }
    assert not state.scratch.any()


def _compare_accounts(state: NettingSet, books: Books) -> None:
    accounts = state.accounts
    columns = (accounts.prefunded, accounts.cap, accounts.position, accounts.reserved)
    found = {
        (participant.id, asset.spec.id): (
            *(int(column[p, a]) for column in columns),
            int(accounts.collateral[p, a]),
        )
        for p, participant in enumerate(state.participants)
        for a, asset in enumerate(state.assets)
        if accounts.open[p, a]
    }
    assert found == {
        key: (a.held, a.cap, a.position, a.reserved, books.collateral.get(key, 0))
        for key, a in books.accounts.items()
    }


def _compare_waiting(state: NettingSet, books: Books) -> None:
    """In order of arrival, each as the other has it."""
    found = sorted(state.waiting.values(), key=lambda item: (item.arrival, item.leg))
    assert [
        (id_text(item.id), item.units, item.priority, item.is_queued, item.is_fail)
        for item in found
    ] == [
        (uuid_text(p.id), p.units, p.priority, p.queued, p.delivered)
        for p in sorted(books.waiting, key=lambda p: p.arrival)
    ]
    assert {int.from_bytes(bytes.fromhex(link), "little") for link in state.links} == {*books.links}
    assert len(state.requests) == len(books.requests)
    assert len(state.ended_links) == len(books.ended_links)
