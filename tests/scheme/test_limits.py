"""Limits, valuations, pools and pairs from a scheme to commands: only what the file says, only what differs."""

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clearing.core.commands import (
    RegisterPair,
    RequireApproval,
    SetBilateralLimit,
    SetCollateral,
    SetPool,
    SetReservation,
    SetShortLimit,
    SetValuation,
)
from clearing.core.registry import BisModel
from clearing.intake import control
from clearing.scheme.changes import find_changes, to_commands
from clearing.scheme.model import Scheme
from clearing.scheme.parse import parse
from clearing.scheme.standing import Published
from tests.scheme.test_changes import TODAY, changes, loaded

FULL = """
name = "Test"
[netting_sets.main]
[assets.HKD]
netting_set = "main"
issuer = "HKMA"
ledger = "postgres"
scale = 2
kind = "cash"
pool = "1000"
valuation = { price = "1.50", haircut_bp = 100, short_limit = "70" }
accounts = { prefunded = "50", reserved = "5", collateral = "9" }
[assets.BOND]
netting_set = "main"
issuer = "State"
ledger = "postgres"
scale = 0
kind = "security_token"
model = "GROSS/MULTILATERAL/DEFERRED"
accounts = {}
[participants.BANKA]
short_limit = "1000"
accounts.HKD = { limits = { BANKB = "20" } }
[participants.BANKB]
[[pairs]]
delivery = "BOND"
payment = "HKD"
model = 2
"""
BARE = """
name = "Test"
[netting_sets.main]
[assets.HKD]
netting_set = "main"
issuer = "HKMA"
ledger = "postgres"
scale = 2
kind = "cash"
accounts = { prefunded = "50" }
[assets.BOND]
netting_set = "main"
issuer = "State"
ledger = "postgres"
scale = 0
kind = "security_token"
model = "GROSS/MULTILATERAL/DEFERRED"
accounts = {}
[participants.BANKA]
[participants.BANKB]
"""
OPTIONAL = (
    SetPool,
    SetValuation,
    SetReservation,
    SetCollateral,
    SetBilateralLimit,
    SetShortLimit,
    RegisterPair,
    RequireApproval,
)


def scheme_of(text: str = FULL, *edits: tuple[str, str]) -> Scheme:
    for old, new in edits:
        assert old in text
        text = text.replace(old, new)
    scheme = parse(text)
    assert isinstance(scheme, Scheme), scheme
    return scheme


def test_what_the_file_says_becomes_commands_in_the_order_of_what_they_need() -> None:
    commands = to_commands(scheme_of(), "main", "ops", TODAY)
    assert [msgspec.to_builtins(c)["type"] for c in commands] == [
        "register_asset", "set_pool", "set_valuation", "register_asset",
        "register_participant", "set_short_limit", "register_participant",
        "open_account", "set_reservation", "set_collateral",  # BANKA in HKD
        "open_account",  # BANKA in BOND
        "open_account", "set_reservation", "set_collateral", "open_account",
        "set_bilateral_limit", "register_pair",
    ]  # fmt: skip
    by_type = {type(command): command for command in commands}
    valuation, limit = by_type[SetValuation], by_type[SetBilateralLimit]
    assert isinstance(valuation, SetValuation)
    assert (valuation.price, valuation.haircut_bp, valuation.short_limit) == ("1.5", 100, "70.00")
    assert isinstance(limit, SetBilateralLimit)
    assert (limit.participant, limit.counterparty, limit.limit) == ("BANKA", "BANKB", "20.00")
    pair = by_type[RegisterPair]
    assert isinstance(pair, RegisterPair)
    assert (pair.delivery, pair.payment, pair.model) == ("BOND", "HKD", BisModel.GROSS_NET)


def test_intake_reads_every_one_of_them() -> None:
    four_eyes = scheme_of(FULL, ("[netting_sets.main]", "[netting_sets.main]\nfour_eyes = true"))
    commands = to_commands(four_eyes, "main", "ops", TODAY)
    assert {type(command) for command in commands} >= set(OPTIONAL)
    for command in commands:
        item = control.read(0, 0, msgspec.json.encode(command))
        assert item.message == command, item.reject


def test_nothing_is_published_for_what_the_file_does_not_say() -> None:
    commands = to_commands(scheme_of(BARE), "main", "ops", TODAY)
    assert not [command for command in commands if isinstance(command, OPTIONAL)]
    assert changes(loaded(scheme_of()), scheme_of(BARE)).changes == []


def test_what_the_file_says_no_longer_stays_and_is_noted() -> None:
    assert changes(loaded(scheme_of()), scheme_of(BARE)).notes == [
        "pair BOND / HKD is registered but not in the file: it stays",
        "pool 1000.00 of HKD is not in the file: it stays",
        "valuation of HKD is not in the file: it stays",
        "account of BANKA in HKD: reserved 5.00 is not in the file: it stays",
        "account of BANKA in HKD: collateral 9.00 is not in the file: it stays",
        "account of BANKA in HKD: limit 20.00 with BANKB is not in the file: it stays",
        "account of BANKB in HKD: reserved 5.00 is not in the file: it stays",
        "account of BANKB in HKD: collateral 9.00 is not in the file: it stays",
        "short limit 1000 of BANKA is not in the file: it stays",
    ]
    assert changes(loaded(scheme_of()), scheme_of()).notes == []


# Each row: what is edited, and the texts of the changes that come of it.
@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ('pool = "1000"', 'pool = "0"', ["pool of HKD: 1000.00 → 0.00"]),
        ('pool = "1000"', 'pool = "1000.0"', []),
        ('price = "1.50"', 'price = "1.5"', []),
        ('price = "1.50"', 'price = "1.51"', ["valuation of HKD: 1.51, haircut 100 bp, short limit 70.00"]),
        (', short_limit = "70"', "", ["valuation of HKD: 1.5, haircut 100 bp"]),
        ('reserved = "5", ', "", []),
        ('reserved = "5"', 'reserved = "0"', [
            "account of BANKA in HKD: reserved 5.00 → 0.00",
            "account of BANKB in HKD: reserved 5.00 → 0.00",
        ]),
        ('collateral = "9"', 'collateral = "9.01"', [
            "account of BANKA in HKD: collateral 9.00 → 9.01",
            "account of BANKB in HKD: collateral 9.00 → 9.01",
        ]),
        ('BANKB = "20"', 'BANKB = "0"', ["account of BANKA in HKD: limit with BANKB 20.00 → 0.00"]),
        ('BANKB = "20"', "BANKB = false", ["account of BANKA in HKD: limit with BANKB 20.00 → none"]),
        ('short_limit = "1000"', 'short_limit = "1000.5"', ["short limit of BANKA: 1000 → 1000.5"]),
        ('short_limit = "1000"', "short_limit = false", ["short limit of BANKA: 1000 → none"]),
        ("[netting_sets.main]", "[netting_sets.main]\nfour_eyes = true", [
            "four eyes: a second person has to approve",
        ]),
        ("[netting_sets.main]", "[netting_sets.main]\nfour_eyes = false", []),
        ("[participants.BANKB]", "[participants.BANKB]\nshort_limit = false", []),
        ("[participants.BANKB]", '[participants.BANKB]\naccounts.HKD.limits = { BANKA = "1" }', [
            "account of BANKB in HKD: limit with BANKA none → 1.00",
        ]),
        ("[participants.BANKB]", "[participants.BANKB]\naccounts.HKD.limits = { BANKA = false }", []),
    ],
)  # fmt: skip
def test_an_edit_publishes_what_was_edited(old: str, new: str, expected: list[str]) -> None:
    edited, published = scheme_of(FULL, (old, new)), loaded(scheme_of())
    found = changes(published, edited)
    assert [change.text for change in found.changes] == expected
    assert found.refusals == []
    assert changes(published, edited).changes == []


@pytest.mark.parametrize(
    ("new", "expected"),
    [
        ('queue = "FIFO"', "asset HKD: queue NONE → FIFO"),
        ('at_cutoff = "DROP"', "asset HKD: at_cutoff ROLL → DROP"),
        ('on_shortfall = "RECAST"', "asset HKD: on_shortfall HOLD → RECAST"),
        (
            'model = "NET/BILATERAL/IMMEDIATE"\nset_off = true',
            "asset HKD: model NET/MULTILATERAL/DEFERRED → NET/BILATERAL/IMMEDIATE, set_off false → true",
        ),
    ],
)
def test_an_asset_may_come_to_be_settled_otherwise(new: str, expected: str) -> None:  # R6
    edited, published = (
        scheme_of(BARE, ('kind = "cash"', f'kind = "cash"\n{new}')),
        Published("main"),
    )
    assert changes(published, scheme_of(BARE)).refusals == []
    assert [change.text for change in changes(published, edited).changes] == [expected]
    assert changes(published, edited).changes == []


def test_an_asset_of_a_pair_stays_settled_as_it_is() -> None:  # R21
    edited = scheme_of(FULL, ('kind = "cash"', 'kind = "cash"\non_shortfall = "RECAST"'))
    [refusal] = changes(loaded(scheme_of()), edited).refusals
    assert refusal.startswith("asset HKD: on_shortfall HOLD → RECAST: ")


def test_a_short_limit_is_published_where_something_is_valued() -> None:  # R10
    """In a netting set without valuations it would check nothing."""
    both = FULL.replace("[netting_sets.main]", "[netting_sets.main]\n[netting_sets.side]")
    both += '[assets.EUR]\nnetting_set = "side"\nissuer = "ECB"\nledger = "postgres"\nscale = 2\nkind = "cash"\n'
    commands = to_commands(scheme_of(both), "side", "ops", TODAY)
    assert not [command for command in commands if isinstance(command, SetShortLimit)]


def test_what_operators_set_by_command_is_set_back_to_what_the_file_says() -> None:
    published = loaded(scheme_of())
    by_hand = [
        SetReservation(id="h1", by="op", participant="BANKA", asset="HKD", reserved="7"),
        SetBilateralLimit(
            id="h2", by="op", participant="BANKA", counterparty="BANKB", asset="HKD", limit=None
        ),
        SetCollateral(id="h3", by="op", participant="BANKA", asset="BOND", amount="3"),
    ]
    assert [published.apply(command) for command in by_hand] == ["", "", ""]
    found = changes(published, scheme_of())
    assert [change.text for change in found.changes] == [
        "account of BANKA in HKD: reserved 7.00 → 5.00",
        "account of BANKA in HKD: limit with BANKB none → 20.00",
    ]
    assert found.notes == ["account of BANKA in BOND: collateral 3 is not in the file: it stays"]


AMOUNTS = st.sampled_from(["0", "1", "20", "20.5"])
LIMITS = AMOUNTS | st.just("false")


@st.composite
def schemes(draw: st.DrawFn) -> Scheme:
    """The full scheme with other amounts, or without saying some of them."""

    def say(old: str, value: str | None, sep: str = "") -> None:
        nonlocal text
        key = old.split(" = ")[0]
        assert text.count(old) == 1, old
        quoted = value if value == "false" else f'"{value}"'
        text = text.replace(old + sep, "" if value is None else f"{key} = {quoted}{sep}")

    text = FULL
    say('pool = "1000"', draw(st.none() | AMOUNTS))
    say('reserved = "5"', draw(st.none() | AMOUNTS), ", ")
    say('collateral = "9"', draw(AMOUNTS))
    say('price = "1.50"', draw(AMOUNTS))
    say('BANKB = "20"', draw(st.none() | LIMITS))
    say('short_limit = "1000"', draw(st.none() | LIMITS))
    return scheme_of(text)


@settings(max_examples=60, deadline=None)
@given(st.lists(schemes(), min_size=1, max_size=5))
def test_loading_is_idempotent_and_its_ids_are_new(history: list[Scheme]) -> None:
    """Whatever was loaded before: after loading nothing differs, from the bytes as well, and no id comes twice."""
    published, values = Published("main"), list[bytes]()
    for scheme in history:
        found = find_changes(scheme, published, "ops", TODAY)
        assert found.refusals == []
        values += [msgspec.json.encode(command) for command in found.commands]
        assert find_changes(scheme, published, "ops", TODAY).changes == []
    ids = [msgspec.json.decode(value)["id"] for value in values]
    assert len(set(ids)) == len(ids)
    folded = Published("main")
    for value in values:
        folded.apply_record(value)
    assert find_changes(history[-1], folded, "somebody", TODAY).changes == []
