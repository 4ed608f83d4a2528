"""Settlement batches: canonical content, ids from content, hashes that chain (R1, R2, R6, R7, R18).

members_root: SHA-256 chain over the window's accepted payments, one link per log record and asset:
root = SHA-256(root before + members), a member = id (16 bytes), debtor and creditor (their order of
registration, u32 big-endian), amount (i64 big-endian, minor units): the record's own rows in log order, then
the payments it released from queues, in the order of its resolutions.
"""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

import msgspec
import numpy as np

from clearing.core.ids import id_text
from clearing.core.inputs import I64, U64
from clearing.core.members import Piece
from clearing.core.money import parse, show
from clearing.core.outputs import Entry, SettlementBatch
from clearing.core.setoff import set_off
from clearing.core.state import Asset, NettingSet

MAX_PART_PAYMENTS = 1_000  # a part of a gross window is full with as many; see parts_of

_MEMBER = np.dtype([("id", "<u8", 2), ("debtor", ">u4"), ("creditor", ">u4"), ("amount", ">i8")])
_encode = msgspec.json.Encoder().encode


def batch_id(netting_set: str, asset: str, window: int, version: int, part: int = 0) -> str:
    """First 32 hex digits of SHA-256 over what the batch settles. part: 0 where there is only one."""
    what = f"{netting_set}|{asset}|{window}|{version}" + (f"|{part}" if part else "")
    return hashlib.sha256(what.encode()).hexdigest()[:32]


def batch_hash(batch: SettlementBatch) -> str:
    """SHA-256 of the message with an empty hash."""
    return hashlib.sha256(_encode(msgspec.structs.replace(batch, hash=""))).hexdigest()


def extend_members_root(root: str, ids: U64, debtor: I64, creditor: I64, amount: I64) -> str:
    """The chain with the members of one more log record."""
    return extend_root(root, [hashed(ids, debtor, creditor, amount)])


def hashed(ids: U64, debtor: I64, creditor: I64, amount: I64) -> memoryview:
    """Of each member what the chain is made over, one item each."""
    members = np.empty(len(amount), _MEMBER)
    members["id"], members["debtor"], members["creditor"] = ids, debtor, creditor
    members["amount"] = amount
    return members.data


def extend_root(root: str, members: Iterable[memoryview]) -> str:
    """The same from what they are hashed as, in some parts."""
    chain = hashlib.sha256(bytes.fromhex(root))
    for part in members:
        chain.update(part)
    return chain.hexdigest()


@dataclass(slots=True)
class Part:
    """What one batch of a window settles: its lines, how many payments of which gross value, and where they are."""

    kind: Literal["net", "gross", "funding"]
    entries: list[Entry]
    payments: int
    gross: int
    log_first: int
    log_last: int
    members_root: str


def parts_of(state: NettingSet, a: int, members: Piece) -> list[Part]:
    """What the open window of asset `a` settles (R6). members: its payments, where its model asks for them.

    GROSS windows are cut so that a batch stays a message of reasonable size: behind the log record with which a
    part has MAX_PART_PAYMENTS. Never within a record: accepted in this order, every part can be paid.
    """
    asset, window = state.assets[a], state.assets[a].window
    if not asset.is_gross:
        entries = (
            window_entries(state, a) if asset.is_multilateral else pair_entries(state, a, members)
        )
        root = window.members_root
        first, last = window.log_first, window.log_last
        return [Part("net", entries, window.payments, window.gross, first, last, root)]
    parts: list[Part] = []
    for start, stop in _cuts(members.offset):
        piece = members.taken(np.arange(start, stop))
        parts.append(
            Part(
                kind="gross",
                entries=gross_entries(state, a, piece),
                payments=len(piece),
                gross=int(piece.units.sum()),
                log_first=int(piece.offset[0]),
                log_last=int(piece.offset[-1]),
                members_root=window.members_root,
            )
        )
    return parts


def _cuts(offsets: I64) -> list[tuple[int, int]]:
    """[start, stop) of each part, from the log offset of each member."""
    cuts: list[tuple[int, int]] = []
    start = 0
    while start < len(offsets):
        full = min(start + MAX_PART_PAYMENTS, len(offsets)) - 1
        last: int = offsets[full]
        stop = int(np.searchsorted(offsets, last, side="right"))
        cuts.append((start, stop))
        start = stop
    return cuts


def window_entries(state: NettingSet, a: int) -> list[Entry]:
    """NET MULTILATERAL: every participant that sent or received in the open window, by registration."""
    accounts = state.accounts
    columns = (accounts.debits, accounts.credits, accounts.sent, accounts.received)
    return _lines(state, a, *(column[:, a] for column in columns))


def net_entries(state: NettingSet, a: int, members: Piece) -> list[Entry]:
    """The same from the payments themselves."""
    debits, credits_, sent, received = np.zeros((4, len(state.participants)), np.int64)
    np.add.at(debits, members.debtor, members.units)
    np.add.at(credits_, members.creditor, members.units)
    np.add.at(sent, members.debtor, 1)
    np.add.at(received, members.creditor, 1)
    return _lines(state, a, debits, credits_, sent, received)


def _lines(
    state: NettingSet, a: int, debits: I64, credits_: I64, sent: I64, received: I64
) -> list[Entry]:
    scale = state.assets[a].spec.scale
    return [
        Entry(
            participant=state.name_of(p),
            net=show(int(credits_[p]) - int(debits[p]), scale),
            debits=show(int(debits[p]), scale),
            credits=show(int(credits_[p]), scale),
            sent=int(sent[p]),
            received=int(received[p]),
        )
        for p in np.flatnonzero((sent != 0) | (received != 0)).tolist()
    ]


def pair_entries(state: NettingSet, a: int, members: Piece) -> list[Entry]:
    """NET BILATERAL: two lines a pair of participants, by registration; set off where the asset says so."""
    rows = len(state.participants)
    low, high = (
        np.minimum(members.debtor, members.creditor),
        np.maximum(members.debtor, members.creditor),
    )
    keys: I64
    place: I64
    keys, place = np.unique(low * rows + high, return_inverse=True)
    paid, count = np.zeros((2, len(keys)), np.int64), np.zeros((2, len(keys)), np.int64)
    side = (members.debtor == high).astype(np.int64)  # 0: the lower of the pair pays
    np.add.at(paid, (side, place), members.units)
    np.add.at(count, (side, place), 1)
    taken_off = _set_off(keys // rows, keys % rows, paid) if state.assets[a].spec.set_off else None
    scale = state.assets[a].spec.scale
    entries: list[Entry] = []
    for i, key in enumerate(keys.tolist()):
        pair = divmod(key, rows)
        off = 0 if taken_off is None else int(taken_off[i])
        for me, sign in ((0, 1), (1, -1)):
            debits, credits_ = int(paid[me, i]), int(paid[1 - me, i])
            entries.append(
                Entry(
                    participant=state.name_of(pair[me]),
                    net=show(credits_ - debits + sign * off, scale),
                    debits=show(debits, scale),
                    credits=show(credits_, scale),
                    sent=int(count[me, i]),
                    received=int(count[1 - me, i]),
                    counterparty=state.name_of(pair[1 - me]),
                    set_off=show(sign * off, scale) if off else "",
                )
            )
    return entries


def _set_off(low: I64, high: I64, paid: I64) -> I64:
    """R18: what the lower participant of each pair owes the higher one less, net. paid: (2, pairs), by who pays.

    Over what each owes the other gross: netting pairs first would close ways by which others can be cleared.
    """
    pairs = len(low)
    debtor, creditor = np.concatenate((low, high)), np.concatenate((high, low))
    cleared = set_off(debtor, creditor, paid.reshape(-1))
    return cleared[:pairs] - cleared[pairs:]


def gross_entries(state: NettingSet, a: int, members: Piece) -> list[Entry]:
    """GROSS: two lines a payment."""
    scale = state.assets[a].spec.scale
    nothing = show(0, scale)
    entries: list[Entry] = []
    texts = members.ids.astype("<u8").tobytes().hex()
    columns = zip(
        members.debtor.tolist(), members.creditor.tolist(), members.units.tolist(), strict=True
    )
    for i, (debtor, creditor, units) in enumerate(columns):
        payer, payee = state.name_of(debtor), state.name_of(creditor)
        amount, payment = show(units, scale), id_text(texts[32 * i : 32 * i + 32])
        entries += [
            Entry(payer, f"-{amount}", amount, nothing, 1, 0, payee, payment),
            Entry(payee, amount, nothing, amount, 0, 1, payer, payment),
        ]
    return entries


def nets(batch: SettlementBatch) -> dict[str, int]:
    """Net of each participant over all its lines, minor units, in order of appearance."""
    result: dict[str, int] = {}
    for entry in batch.entries:
        net = parse(entry.net, batch.scale)
        assert net is not None, f"entry of batch {batch.id} with net {entry.net!r}"
        result[entry.participant] = result.get(entry.participant, 0) + net
    return result


def summed(state: NettingSet, batches: list[SettlementBatch]) -> list[Entry]:
    """The lines of batches of one asset, one per participant, by registration; the scheme's own come last."""
    scale = batches[0].scale
    sums: dict[str, list[int]] = {}
    for entry in (entry for batch in batches for entry in batch.entries):
        numbers = [parse(text, scale) for text in (entry.net, entry.debits, entry.credits)]
        mine = sums.setdefault(entry.participant, [0, 0, 0, 0, 0])
        for i, units in enumerate((*numbers, entry.sent, entry.received)):
            assert units is not None, f"an entry of {entry.participant} is no amount"
            mine[i] += units
    return [
        Entry(name, show(net, scale), show(debits, scale), show(credits_, scale), sent, received)
        for name, (net, debits, credits_, sent, received) in sorted(
            sums.items(), key=lambda item: state.participant_index.get(item[0], len(state.status))
        )
    ]


def seal(
    state: NettingSet,
    asset: Asset,
    part: Part,
    *,
    identity: str,
    window: int,
    version: int,
    opened_at_ms: int,
    number: int = 1,
    parts: int = 1,
    linked: list[str] | None = None,
) -> SettlementBatch:
    """The next batch in the netting set's chain. Asserts R1 before anything leaves."""
    spec = asset.spec
    batch = SettlementBatch(
        id=identity,
        kind=part.kind,
        netting_set=state.name,
        sequence=state.counters.batches + 1,
        asset=spec.id,
        code=spec.code,
        issuer=spec.issuer,
        ledger=spec.ledger,
        scale=spec.scale,
        window=window,
        version=version,
        opened_at_ms=opened_at_ms,
        closed_at_ms=state.counters.time_ms,
        payments=part.payments,
        gross=show(part.gross, spec.scale),
        entries=part.entries,
        log_first=part.log_first,
        log_last=part.log_last,
        members_root=part.members_root,
        previous=state.counters.last_batch_hash,
        hash="",
        part=number,
        parts=parts,
        linked=linked or [],
    )
    assert not sum(nets(batch).values()), f"batch {identity} does not sum to zero (R1)"
    batch = msgspec.structs.replace(batch, hash=batch_hash(batch))
    state.counters.batches += 1
    state.counters.last_batch_hash = batch.hash
    return batch


def again(batch: SettlementBatch) -> Part:
    """What a batch settles, for its next version."""
    return Part(
        kind=batch.kind,
        entries=batch.entries,
        payments=batch.payments,
        gross=gross_units(batch),
        log_first=batch.log_first,
        log_last=batch.log_last,
        members_root=batch.members_root,
    )


def gross_units(batch: SettlementBatch) -> int:
    """Gross value of a batch in minor units."""
    gross = parse(batch.gross, batch.scale)
    assert gross is not None, f"batch {batch.id} with gross {batch.gross!r}"
    return gross
