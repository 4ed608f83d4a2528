"""Models, queues, limits, valuations and pairs of a scheme: what may be said, and what makes no sense together."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clearing.core.registry import (
    AtCutoff,
    BisModel,
    Delay,
    Granularity,
    Interchange,
    OnShortfall,
    QueuePolicy,
    SettlementModel,
)
from clearing.scheme.model import BilateralLimit, Pair, Scheme, Valuation
from clearing.scheme.parse import parse

GOOD = """\
name = "Test"
[netting_sets.main]
four_eyes = true
[netting_sets.side]
[assets.HKD]
netting_set = "main"
issuer = "HKMA"
ledger = "postgres"
scale = 2
kind = "cash"
model = "NET/MULTILATERAL/DEFERRED"
queue = "FIFO"
at_cutoff = "ROLL"
on_shortfall = "WATERFALL"
pool = "1000"
valuation = { price = "1" }
accounts = { prefunded = "10", reserved = "1.5", collateral = "7" }
[assets.CNH]
netting_set = "main"
issuer = "Coin"
ledger = "postgres"
scale = 2
kind = "stablecoin"
model = "NET/BILATERAL/DEFERRED"
set_off = true
queue = "BYPASS_FIFO"
at_cutoff = "DROP"
valuation = { price = "1.080", haircut_bp = 200, short_limit = "50" }
accounts = { prefunded = "10" }
[assets.BOND]
netting_set = "main"
issuer = "State"
ledger = "postgres"
scale = 0
kind = "security_token"
model = "GROSS/MULTILATERAL/DEFERRED"
accounts = {}
[assets.TOKEN]
netting_set = "main"
issuer = "Bank"
ledger = "postgres"
scale = 2
kind = "tokenised_deposit"
model = "GROSS/BILATERAL/IMMEDIATE"
[assets.EUR]
netting_set = "side"
issuer = "ECB"
ledger = "postgres"
scale = 2
kind = "cash"
accounts = {}
[participants.BANKA]
short_limit = "123456789012345678.000000001"
[participants.BANKA.accounts.HKD]
reserved = "2"
limits = { BANKB = "1000", BANKC = false }
[participants.BANKB]
short_limit = false
[participants.BANKC]
netting_sets = ["main", "side"]
accounts.CNH = false
[[pairs]]
delivery = "BOND"
payment = "HKD"
model = 2
[[pairs]]
delivery = "CNH"
payment = "HKD"
model = "NET_NET"
"""


def edited(*edits: tuple[str, str]) -> str:
    text = GOOD
    for old, new in edits:
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    return text


def good(*edits: tuple[str, str]) -> Scheme:
    scheme = parse(edited(*edits))
    assert isinstance(scheme, Scheme), scheme
    return scheme


def problems_of(text: str) -> list[str]:
    problems = parse(text)
    assert isinstance(problems, list), "no problem is found"
    return [str(problem) for problem in problems]


def test_how_an_asset_is_settled() -> None:  # R6, R13, R17, R18, R25
    assets = good().assets
    hkd, cnh, token = assets["HKD"].spec, assets["CNH"].spec, assets["TOKEN"].spec
    assert hkd.model == SettlementModel()
    assert (hkd.queue, hkd.at_cutoff) == (QueuePolicy.FIFO, AtCutoff.ROLL)
    assert (hkd.on_shortfall, hkd.set_off) == (OnShortfall.WATERFALL, False)
    assert cnh.model == SettlementModel(Granularity.NET, Interchange.BILATERAL, Delay.DEFERRED)
    assert (cnh.queue, cnh.at_cutoff) == (QueuePolicy.BYPASS_FIFO, AtCutoff.DROP)
    assert (cnh.on_shortfall, cnh.set_off) == (OnShortfall.HOLD, True)
    assert token.model.delay is Delay.IMMEDIATE
    assert (assets["HKD"].pool, assets["CNH"].pool) == ("1000.00", None)


def test_what_is_not_said_is_as_it_was() -> None:
    spec = good().assets["EUR"].spec
    assert (spec.model, spec.queue, spec.at_cutoff) == (SettlementModel(), "NONE", "ROLL")
    assert (spec.on_shortfall, spec.set_off) == ("HOLD", False)


@pytest.mark.parametrize(
    "model", ["/".join(m) for m in itertools.product(Granularity, Interchange, Delay)]
)
def test_every_model_can_be_chosen(model: str) -> None:  # R6
    spec = good(('model = "GROSS/BILATERAL/IMMEDIATE"', f'model = "{model}"')).assets["TOKEN"].spec
    chosen = spec.model
    assert f"{chosen.granularity}/{chosen.interchange}/{chosen.delay}" == model


def test_an_immediate_asset_may_have_a_schedule_for_its_queue() -> None:  # R17
    text = 'model = "GROSS/BILATERAL/IMMEDIATE"'
    spec = good((text, f'{text}\nqueue = "FIFO"\nat_cutoff = "DROP"\nevery_s = 60')).assets["TOKEN"]
    assert (spec.spec.every_s, spec.spec.at_cutoff) == (60, AtCutoff.DROP)


def test_prices_and_limits_are_written_one_way() -> None:  # R10
    scheme = good()
    assert scheme.assets["HKD"].valuation == Valuation("1", 0, None)
    assert scheme.assets["CNH"].valuation == Valuation("1.08", 200, "50.00")
    assert scheme.assets["BOND"].valuation is None
    limits = {p.id: p.short_limit for p in scheme.participants.values()}
    assert limits == {"BANKA": "123456789012345678.000000001", "BANKB": False, "BANKC": None}


def test_accounts_have_reservations_collateral_and_bilateral_limits() -> None:  # R8, R10, R25
    accounts = {(a.participant, a.asset): a for a in good().accounts}
    first, second = accounts["BANKA", "HKD"], accounts["BANKB", "HKD"]
    assert (first.prefunded, first.reserved, first.collateral) == ("10.00", "2.00", "7.00")
    assert first.limits == (BilateralLimit("BANKB", "1000.00"), BilateralLimit("BANKC", False))
    assert (second.reserved, second.collateral, second.limits) == ("1.50", "7.00", ())
    bond = accounts["BANKA", "BOND"]
    assert (bond.reserved, bond.collateral) == (None, None)
    assert ("BANKC", "CNH") not in accounts


def test_pairs_by_number_and_by_name() -> None:  # R21
    scheme = good()
    assert scheme.pairs == (
        Pair("BOND", "HKD", BisModel.GROSS_NET),
        Pair("CNH", "HKD", BisModel.NET_NET),
    )
    assert scheme.pairs_of("main") == list(scheme.pairs)
    assert scheme.pairs_of("side") == []


def test_four_eyes_are_said_or_not() -> None:  # R33
    assert [s.four_eyes for s in good().netting_sets.values()] == [True, None]


BOND_PAIR = 'delivery = "BOND"\npayment = "HKD"\nmodel = 2'
CNH_PAIR = 'delivery = "CNH"\npayment = "HKD"\nmodel = "NET_NET"'
CNH_MODEL = 'model = "NET/BILATERAL/DEFERRED"'
LIMITS = 'limits = { BANKB = "1000", BANKC = false }'


# Each row: what stands in GOOD, what stands there instead, and the problem, which is in one of those lines.
@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        # One asset
        (CNH_MODEL, 'model = "NET/BILATRAL/DEFERRED"', "did you mean NET/BILATERAL/DEFERRED?"),
        (CNH_MODEL, 'model = "net/bilateral/deferred"', "did you mean NET/BILATERAL/DEFERRED?"),
        (
            CNH_MODEL,
            'model = "NET/DEFERRED"',
            'assets.CNH.model: "NET/DEFERRED" is not a settlement model: NET or GROSS / MULTILATERAL or',
        ),
        (CNH_MODEL, 'model = ""', '"" is not a settlement model'),
        (CNH_MODEL, "model = 1", "assets.CNH.model: 1 is not a settlement model"),
        ('queue = "FIFO"', 'queue = "LIFO"', '"LIFO" is not known; did you mean FIFO?'),
        ('queue = "FIFO"', 'queue = "fifo"', '"fifo" is not known; did you mean FIFO?'),
        ('queue = "FIFO"', "queue = true", "true is not one of NONE, FIFO, BYPASS_FIFO"),
        ('queue = "FIFO"', 'que = "FIFO"', "assets.HKD.que: unknown key; did you mean queue?"),
        ('at_cutoff = "ROLL"', 'at_cutoff = "KEEP"', '"KEEP" is not known; known: ROLL, DROP'),
        ('"WATERFALL"', '"WATERFAL"', "did you mean WATERFALL?"),
        ("set_off = true", 'set_off = "true"', 'CNH.set_off: "true" is not true or false'),
        ("set_off = true", "set_off = 1", "CNH.set_off: 1 is not true or false"),
        ('pool = "1000"', 'pool = "0.001"', "HKD.pool: \"0.001\" is not an amount >= 0 in quotes"),
        ('pool = "1000"', "pool = false", "HKD.pool: false is not an amount"),
        # What makes no sense together
        (
            f"{CNH_MODEL}\n",
            'model = "NET/MULTILATERAL/DEFERRED"\n',
            "set_off: obligations are set off between two participants only: the model has to be",
        ),
        (
            f"{CNH_MODEL}\nset_off = true",
            'model = "GROSS/BILATERAL/DEFERRED"\nset_off = true',
            "the model has to be NET/BILATERAL/…, it is GROSS/BILATERAL/DEFERRED",
        ),
        (
            "set_off = true",
            'set_off = true\non_shortfall = "RECAST"',
            "CNH.on_shortfall: RECAST makes the batch of a window anew, which only a model NET/MULTI",
        ),
        (
            'model = "GROSS/BILATERAL/IMMEDIATE"',
            'model = "NET/MULTILATERAL/IMMEDIATE"\non_shortfall = "WATERFALL"',
            "DEFERRED can do, it is NET/MULTILATERAL/IMMEDIATE; else HOLD",
        ),
        # Valuations
        ('{ price = "1" }', "{}", "assets.HKD.valuation: price is missing"),
        ('{ price = "1" }', "1", "assets.HKD.valuation: 1 is not a table"),
        ('{ price = "1" }', '{ prize = "1" }', "valuation.prize: unknown key; did you mean price?"),
        ('"1.080"', '"-1"', 'valuation.price: "-1" is not an amount >= 0 in quotes with at most 9'),
        ('"1.080"', "1.08", "valuation.price: 1.08 is not an amount"),
        ('"1.080"', '"1.0000000001"', "with at most 9 decimals and 27 digits"),
        ("haircut_bp = 200", "haircut_bp = 10001", "10001 is not a whole number from 0 to 10000"),
        ("haircut_bp = 200", 'haircut_bp = "2 %"', "is not a whole number from 0 to 10000"),
        ('short_limit = "50"', 'short_limit = "0.001"', "with at most 2 decimals and 18 digits"),
        # Accounts
        ('reserved = "1.5"', 'reserve = "1.5"', "unknown key; did you mean reserved?"),
        ('collateral = "7"', 'collateral = "-7"', 'HKD.accounts.collateral: "-7" is not an amount'),
        (
            'accounts = { prefunded = "10" }',
            'accounts = { limits = { BANKB = "1" } }',
            "assets.CNH.accounts.limits: unknown key",
        ),
        (LIMITS, 'limits = "1000"', 'BANKA.accounts.HKD.limits: "1000" is not a table'),
        (LIMITS, 'limits = { BANKA = "1" }', "limits.BANKA: nobody has a limit with itself"),
        (LIMITS, 'limits = { BANKX = "1" }', "limits.BANKX: no such participant; did you mean BANK"),
        (LIMITS, 'limits = { BANKB = "1.005" }', 'limits.BANKB: "1.005" is not an amount >= 0'),
        (LIMITS, "limits = { BANKB = true }", "limits.BANKB: true is not an amount >= 0"),
        (
            "short_limit = false",
            'short_limit = "9.0000000001"',
            'participants.BANKB.short_limit: "9.0000000001" is not an amount >= 0 in quotes',
        ),
        ("short_limit = false", "short_limit = true", "BANKB.short_limit: true is not an amount"),
        # Four eyes
        ("four_eyes = true", 'four_eyes = "yes"', 'main.four_eyes: "yes" is not true or false'),
        ("four_eyes = true", "for_eyes = true", "unknown key; did you mean four_eyes?"),
        # Pairs
        ("model = 2", "", "pairs: model is missing (one of 1 (GROSS_GROSS), 2 (GROSS_NET), 3 (NET_NET))"),
        ("model = 2", "model = 4", "pairs.model: 4 is not one of 1 (GROSS_GROSS), 2"),
        ("model = 2", "model = true", "pairs.model: true is not one of"),
        ("model = 2", "model = 2.0", "pairs.model: 2.0 is not one of"),
        ("model = 2", 'model = "GROS_NET"', "did you mean GROSS_NET?"),
        ('delivery = "BOND"', 'delivery = "BONDS"', '"BONDS" is not known; did you mean BOND?'),
        ('delivery = "BOND"', "", "pairs: delivery is missing (one of HKD, CNH,"),
        ("model = 2", "model = 2\nleg = 1", "pairs.leg: unknown key"),
        ('payment = "HKD"\nmodel = 2', 'payment = "BOND"\nmodel = 2', "BOND is the delivery too"),
        (
            "model = 2",
            "model = 1",
            "needs a GROSS delivery and a GROSS payment; BOND is GROSS, HKD is NET; did you mean 2 (GROSS_NET)?",
        ),
        (
            BOND_PAIR,
            'delivery = "HKD"\npayment = "BOND"\nmodel = 2',
            "HKD is NET, BOND is GROSS; the GROSS one has to be the delivery",
        ),
        (
            BOND_PAIR,
            'delivery = "TOKEN"\npayment = "BOND"\nmodel = 1',
            "TOKEN and BOND are IMMEDIATE and DEFERRED: windows of a pair close together",
        ),
        (
            CNH_PAIR,
            'delivery = "EUR"\npayment = "HKD"\nmodel = 3',
            "EUR and HKD are cleared in two netting sets, side and main: they cannot be linked",
        ),
        (
            CNH_PAIR,
            f'{CNH_PAIR}\n[[pairs]]\ndelivery = "HKD"\npayment = "CNH"\nmodel = 3',
            "pairs: the pair of CNH and HKD stands twice",
        ),
    ],
)  # fmt: skip
def test_a_problem_has_its_line_and_its_reason(old: str, new: str, problem: str) -> None:
    first = GOOD[: GOOD.index(old)].count("\n") + 1
    found = [text for text in problems_of(edited((old, new))) if problem in text]
    assert found, problems_of(edited((old, new)))
    lines = {
        f"line {first + extra}" for extra in range(-3, max(new.count("\n"), old.count("\n")) + 2)
    }
    assert found[0].split(":")[0].split(",")[0] in lines


def test_a_pair_is_named_by_its_own_line() -> None:
    found = problems_of(edited((CNH_PAIR, CNH_PAIR.replace('"NET_NET"', "1"))))
    line = GOOD.splitlines().index('model = "NET_NET"') + 1
    [problem] = found
    assert problem.startswith(f"line {line}, column 1: pairs.model: model 1 (GROSS_GROSS) needs")


def test_pairs_are_no_single_table() -> None:
    assert any("pairs: a table is not a list of tables" in p for p in problems_of("[pairs]\nx = 1"))
    assert any("is not a table: write [[pairs]]" in p for p in problems_of("pairs = [1]"))


def test_a_pair_of_an_asset_whose_model_is_refused_is_not_blamed() -> None:
    """The placeholder of a refused model is nobody's choice."""
    assert len(problems_of(edited((CNH_MODEL, 'model = "NETT"')))) == 1


def test_a_bilateral_limit_is_between_two_accounts() -> None:  # R10
    account = "[participants.BANKA.accounts.HKD]"
    text = edited((account, account.replace("HKD", "CNH")), ('collateral = "7" }', "}"))
    text = text.replace('"7"', "").replace('prefunded = "10", reserved = "1.5", }', "}")
    found = problems_of(text)
    assert len(found) == 1
    assert found[0].endswith(
        "participants.BANKA.accounts.CNH.limits.BANKC: BANKC has no account in CNH"
    )


def test_a_short_limit_without_any_valuation_would_check_nothing() -> None:  # R10
    text = edited(
        ('valuation = { price = "1" }\n', ""),
        ('valuation = { price = "1.080", haircut_bp = 200, short_limit = "50" }\n', ""),
    )
    [problem] = problems_of(text)
    assert problem.endswith(
        "BANKA.short_limit: no asset of main, side has a valuation, so nothing would be checked"
    )


ODD = ["1", "-1", '""', '"x"', "1.5", "nan", "true", "false", "[]", "[[1]]", "{}", "{a={}}", "[{}]"]


@given(st.data())
def test_a_file_with_any_value_anywhere_is_read_or_refused(data: st.DataObject) -> None:
    """No value, of whatever type, at any place, makes the check itself fail."""
    lines: list[str] = list(GOOD.splitlines())
    for _ in range(data.draw(st.integers(1, 3))):
        number = data.draw(st.integers(0, len(lines) - 1))
        if " = " in lines[number]:
            key, _, _ = lines[number].partition(" = ")
            lines[number] = f"{key} = {data.draw(st.sampled_from(ODD))}"
        else:
            lines[number] = ""
    result = parse("\n".join(lines))
    assert isinstance(result, Scheme) or all(1 <= p.line <= len(lines) for p in result)
