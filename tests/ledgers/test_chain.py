"""What every ledger checks of a settlement record before it touches money: R1, R7."""

import msgspec
import pytest

from clearing.core.batches import batch_hash, batch_id
from clearing.core.faults import Halt
from clearing.core.outputs import Entry, LedgerAccount, SettlementBatch
from clearing.core.state import NO_HASH
from clearing.ledgers.chain import AccountRecord, BatchRecord, Progress, follow, is_repeat, read

ALPHA, BETA, GAMMA = "ALPHHKHH", "BETAHKHH", "GAMMHKHH"


def entry(participant: str, net: str) -> Entry:
    """A line of a net batch: what came and went as the sign of its net says."""
    took = net.startswith("-")
    debits, credits_ = (net[1:], "0.00") if took else ("0.00", net)
    return Entry(participant, net, debits, credits_, 1, 1)


def batch(*entries: Entry, **changes: object) -> SettlementBatch:
    """A sealed batch; `changes` are made before it gets its hash, unless they name the hash itself."""
    plain = SettlementBatch(
        id=batch_id("hk", "HKD", 1, 1),
        kind="net",
        netting_set="hk",
        sequence=1,
        asset="HKD",
        code="HKD",
        issuer="HKMA",
        ledger="postgres",
        scale=2,
        window=1,
        version=1,
        opened_at_ms=0,
        closed_at_ms=1,
        payments=2,
        gross="10.00",
        entries=list(entries) or [entry(ALPHA, "-10.00"), entry(BETA, "10.00")],
        log_first=0,
        log_last=1,
        members_root=NO_HASH,
        previous=NO_HASH,
        hash="",
    )
    changed = msgspec.structs.replace(plain, **changes)
    return changed if changed.hash else msgspec.structs.replace(changed, hash=batch_hash(changed))


def encode(message: object) -> bytes:
    return msgspec.json.encode(message)


def test_a_proved_batch_carries_its_nets_in_minor_units_without_the_zeros() -> None:
    sent = batch(entry(ALPHA, "-12.50"), entry(BETA, "0.00"), entry(GAMMA, "12.50"))
    record = read("hk", 7, encode(sent))
    assert isinstance(record, BatchRecord)
    assert (record.offset, record.batch, record.moves) == (7, sent, {ALPHA: -1250, GAMMA: 1250})
    assert [(line.number, line.entry, line.net) for line in record.lines] == [
        (1, sent.entries[0], -1250),
        (3, sent.entries[2], 1250),
    ]


def test_an_account_of_many_lines_moves_by_all_of_them() -> None:
    """R6: what a bilateral batch does to an account is the sum of its lines."""

    def pair(debtor: str, creditor: str, units: str) -> list[Entry]:
        return [
            Entry(debtor, f"-{units}", units, "0.00", 1, 0, counterparty=creditor),
            Entry(creditor, units, "0.00", units, 0, 1, counterparty=debtor),
        ]

    lines = [*pair(ALPHA, BETA, "5.00"), *pair(BETA, GAMMA, "5.00"), *pair(ALPHA, GAMMA, "1.25")]
    record = read("hk", 0, encode(batch(*lines)))
    assert isinstance(record, BatchRecord)
    assert record.moves == {ALPHA: -625, BETA: 0, GAMMA: 625}
    assert [line.number for line in record.lines] == [1, 2, 3, 4, 5, 6]


def test_an_account_carries_its_overdraft_in_minor_units() -> None:
    account = LedgerAccount(
        netting_set="hk",
        asset="KWD",
        ledger="postgres",
        scale=3,
        participant=ALPHA,
        overdraft="1.5",
    )
    assert read("hk", 3, encode(account)) == AccountRecord(3, account, 1500)


@pytest.mark.parametrize(
    ("value", "says"),
    [
        (None, "offset 9 cannot be read"),
        (b"", "offset 9 cannot be read"),
        (b"{", "offset 9 cannot be read"),
        (b"\xff\xfe", "offset 9 cannot be read"),
        (b'{"type":"other"}', "offset 9 cannot be read"),
        (encode(batch(netting_set="cn")), "belongs to netting set cn, not hk"),
        (encode(batch(hash="0" * 64)), "does not have the hash it claims"),
        (encode(batch()).replace(b'"-10.00"', b'"-10.01"'), "does not have the hash it claims"),
        (
            encode(msgspec.structs.replace(batch(), linked=["b"])),
            "does not have the hash it claims",
        ),
        (encode(batch(entry(ALPHA, "-10.00"), entry(BETA, "9.99"))), "sums to -0.01 HKD"),
        (encode(batch(entry(ALPHA, "-10.00"))), "sums to -10.00 HKD"),
    ],
)
def test_what_cannot_be_proved_halts(value: bytes | None, says: str) -> None:
    """R1: nobody posts a batch that does not sum to zero, or is not what it claims to be (see test_entries)."""
    with pytest.raises(Halt, match=says):
        read("hk", 9, value)


@pytest.mark.parametrize("overdraft", ["-1.00", "1.001", "many", f"{2**63}"])
def test_an_overdraft_is_an_amount_that_can_be_counted(overdraft: str) -> None:
    account = LedgerAccount(
        netting_set="hk",
        asset="HKD",
        ledger="postgres",
        scale=2,
        participant=ALPHA,
        overdraft=overdraft,
    )
    with pytest.raises(Halt, match="is no amount at scale 2"):
        read("hk", 0, encode(account))


def test_an_account_of_the_scheme_has_no_floor() -> None:
    """R25: it is opened by what is posted to it, nobody gives it an overdraft."""
    account = LedgerAccount(
        netting_set="hk",
        asset="HKD",
        ledger="postgres",
        scale=2,
        participant="$POOL",
        overdraft="0.00",
    )
    with pytest.raises(Halt, match=r"gives \$POOL a floor"):
        read("hk", 0, encode(account))


def test_the_next_version_of_a_window_is_the_next_batch() -> None:
    """R4, R25: the one that failed and the one that settles it stand in the same chain."""
    failed = batch(version=1)
    again = batch(id=batch_id("hk", "HKD", 1, 2), version=2, sequence=2, previous=failed.hash)
    after = follow(follow(Progress(epoch=1), failed), again)
    assert (after.sequence, after.hash) == (2, again.hash)
    assert not is_repeat(again, None)


def test_batches_follow_one_another_by_number_and_hash() -> None:
    """R7"""
    start = Progress(epoch=3, next_offset=5)
    first = batch()
    second = batch(sequence=2, previous=first.hash, window=2)
    after = follow(follow(start, first), second)
    assert after == Progress(epoch=3, next_offset=5, sequence=2, hash=second.hash)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"sequence": 2}, "is number 2 of hk, number 1 was due"),
        ({"sequence": 0}, "is number 0 of hk, number 1 was due"),
        ({"previous": "1" * 64}, "follows 1111111111111111"),
    ],
)
def test_a_batch_out_of_its_order_halts(changes: dict[str, object], says: str) -> None:
    """R7"""
    with pytest.raises(Halt, match=says):
        follow(Progress(epoch=1), batch(**changes))


def test_the_same_batch_again_is_a_repeat_and_another_under_its_id_halts() -> None:
    """DESIGN.md §2: same id and same hash, nothing to do; same id, other hash, halt."""
    sent = batch()
    assert not is_repeat(sent, None)
    assert is_repeat(sent, sent.hash)
    with pytest.raises(Halt, match="but the ledger holds it with"):
        is_repeat(sent, "f" * 64)
