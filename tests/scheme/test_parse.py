"""What a scheme file may say, and the line and reason of everything it may not."""

from datetime import date, time
from importlib import resources

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clearing.core.registry import (
    AssetKind,
    AtCutoff,
    BisModel,
    Delay,
    Granularity,
    Interchange,
    OnShortfall,
    QueuePolicy,
)
from clearing.scheme.model import Account, Scheme
from clearing.scheme.parse import parse

GOOD = """\
name = "Test"
[calendars.hk]
zone = "Asia/Hong_Kong"
weekend = ["Sunday"]
holidays = [2027-01-01, 2026-12-25]
[netting_sets.main]
calendar = "hk"
[assets.HKD]
netting_set = "main"
issuer = "HKMA"
ledger = "postgres"
scale = 2
kind = "cash"
every_s = 5
max_amount = 1_000
value_days_ahead = 2
accounts = { prefunded = "10.5", net_debit_cap = "5" }
[assets.BOND]
netting_set = "main"
code = "B29"
issuer = "The Issuer"
ledger = "postgres"
scale = 0
kind = "security_token"
cutoffs = ["11:00", 16:30:00]
model = "NET/MULTILATERAL/DEFERRED"
[participants.BANKAHKH]
name = "Bank A"
[participants.BANKBHKHXXX]
netting_sets = ["main"]
accounts.HKD = { prefunded = "0", overdraft = "7.00" }
accounts.BOND = { prefunded = "3" }
[participants.BANKC]
accounts.HKD = false
"""


def line_of(text: str) -> int:
    lines: list[str] = list(GOOD.splitlines())
    return lines.index(text) + 1


def edited(old: str, new: str) -> str:
    assert GOOD.count(old) == 1, old
    return GOOD.replace(old, new)


def problems_of(text: str) -> list[str]:
    problems = parse(text)
    assert isinstance(problems, list)
    return [str(problem) for problem in problems]


def test_a_good_scheme_is_read_whole() -> None:
    scheme = parse(GOOD)
    assert isinstance(scheme, Scheme)
    assert (scheme.name, list(scheme.assets)) == ("Test", ["HKD", "BOND"])
    spec = scheme.assets["HKD"].spec
    assert (spec.code, spec.every_s, spec.max_amount) == ("HKD", 5, "1000.00")
    assert (spec.value_days_ahead, scheme.assets["HKD"].schedule) == (2, None)
    bond = scheme.assets["BOND"]
    assert (bond.spec.code, bond.spec.kind) == ("B29", AssetKind.SECURITY_TOKEN)
    assert bond.schedule is not None
    assert bond.schedule.cutoffs == (time(11), time(16, 30))
    assert bond.schedule.zone == "Asia/Hong_Kong"
    assert bond.schedule.calendar is scheme.netting_sets["main"].calendar
    calendar = scheme.netting_sets["main"].calendar
    assert calendar is not None
    assert (calendar.weekend, calendar.holidays) == (
        frozenset({6}),
        (date(2026, 12, 25), date(2027, 1, 1)),
    )
    assert scheme.members == {"main": ["BANKAHKH", "BANKBHKHXXX", "BANKC"]}
    assert scheme.participants["BANKBHKHXXX"].name == "BANKBHKHXXX"


def test_accounts_are_an_assets_defaults_under_a_participants_own_terms() -> None:
    scheme = parse(GOOD)
    assert isinstance(scheme, Scheme)
    assert scheme.accounts == (
        Account("BANKAHKH", "HKD", "10.50", "5.00", None),
        Account("BANKBHKHXXX", "HKD", "0.00", "5.00", "7.00"),
        Account("BANKBHKHXXX", "BOND", "3", "0", None),
    )


def test_the_demo_is_a_good_scheme() -> None:
    scheme = parse((resources.files("clearing.dev") / "demo.toml").read_bytes())
    assert isinstance(scheme, Scheme)
    assert list(scheme.netting_sets) == ["hk", "eu"]
    assert len(scheme.participants) == 9
    kinds = {asset.spec.kind for asset in scheme.assets_of("hk")}
    assert kinds == set(AssetKind)
    every, cutoffs, command = (
        [asset for asset in scheme.assets.values() if asset.spec.every_s],
        [asset for asset in scheme.assets.values() if asset.schedule],
        [a for a in scheme.assets.values() if not a.spec.every_s and not a.schedule],
    )
    assert (len(every), len(cutoffs), len(command)) == (3, 2, 1)


def test_the_demo_shows_what_a_scheme_can_say() -> None:
    """Every model of settling, of waiting and of a shortfall, each kind of limit: a place to start from."""
    scheme = parse((resources.files("clearing.dev") / "demo.toml").read_bytes())
    assert isinstance(scheme, Scheme)
    specs = [asset.spec for asset in scheme.assets.values()]
    assert {spec.model.granularity for spec in specs} == set(Granularity)
    assert {spec.model.interchange for spec in specs} == set(Interchange)
    assert {spec.model.delay for spec in specs} == set(Delay)
    assert {spec.queue for spec in specs} == set(QueuePolicy)
    assert {spec.at_cutoff for spec in specs} == set(AtCutoff)
    assert {spec.on_shortfall for spec in specs} == set(OnShortfall)
    assert any(spec.set_off for spec in specs)
    assert {pair.model for pair in scheme.pairs} == {BisModel.GROSS_NET, BisModel.NET_NET}
    assert any(account.limits for account in scheme.accounts)
    assert any(account.reserved for account in scheme.accounts)
    assert any(account.collateral for account in scheme.accounts)
    assert any(participant.short_limit for participant in scheme.participants.values())
    assert [home.four_eyes for home in scheme.netting_sets.values()] == [None, True]


# Each row: a line of GOOD, what stands there instead, and the problem, which is in that line.
@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        # Unknown, missing, of the wrong type
        ('name = "Test"', 'nam = "Test"', "nam: unknown key; did you mean name?"),
        (
            'issuer = "HKMA"',
            'isuer = "HKMA"',
            "assets.HKD.isuer: unknown key; did you mean issuer?",
        ),
        ('name = "Test"', "name = 3", "name: 3 is not a name of 1-140 printable characters"),
        ('name = "Test"', 'name = "a\\u202eb"', "name: 'a\\u202eb' is not a name"),
        ('name = "Test"', f'name = "{"x" * 141}"', "is not a name of 1-140"),
        ("[assets.HKD]", "[asets.HKD]", "asets: unknown key; did you mean assets?"),
        ("[assets.HKD]", "[assets.HKD.x]", "assets.HKD.x: unknown key"),
        ('name = "Bank A"', 'names = "Bank A"', "participants.BANKAHKH.names: unknown key"),
        # Names
        (
            "[netting_sets.main]",
            "[netting_sets.Main]",
            "netting_sets.Main: a netting set's name is",
        ),
        ("[assets.BOND]", '[assets."BO ND"]', "assets.BO ND: an asset's id is 1-35 of A-Z"),
        ("[assets.BOND]", '[assets."B\\nX"]', "assets.B\\nX: an asset's id is"),
        (
            "[participants.BANKC]",
            "[participants.Bankc]",
            "participants.Bankc: a participant's id is",
        ),
        (
            "[participants.BANKC]",
            '[participants."BANK.C"]',
            "participants.BANK.C: a participant's id",
        ),
        ("[participants.BANKC]", '[participants."ВANKC"]', ": a participant's id is"),
        ("[participants.BANKC]", '[participants."$FUNDING"]', ": a participant's id is"),
        ("[calendars.hk]", '[calendars."../hk"]', "calendars.../hk: a calendar's name is"),
        (
            'ledger = "postgres"\nscale = 2',
            'ledger = "Post"\nscale = 2',
            'ledger: "Post" is not a ledger',
        ),
        ('issuer = "HKMA"', 'issuer = "HK\\tMA"', "assets.HKD.issuer: 'HK\\tMA' is not an issuer"),
        # Assets
        ("scale = 2", "scale = 10", "assets.HKD.scale: 10 is not a whole number from 0 to 9"),
        ("scale = 2", "scale = true", "assets.HKD.scale: true is not a whole number from 0 to 9"),
        ("scale = 2", 'scale = "2"', 'assets.HKD.scale: "2" is not a whole number from 0 to 9'),
        (
            'kind = "cash"',
            'kind = "csh"',
            'assets.HKD.kind: "csh" is not known; did you mean cash?',
        ),
        (
            'kind = "cash"',
            'kind = "x"',
            "known: cash, tokenised_deposit, stablecoin, security_token",
        ),
        (
            'model = "NET/MULTILATERAL/DEFERRED"',
            'model = "NETT"',
            '"NETT" is not a settlement model: NET or GROSS / MULTILATERAL or BILATERAL / DEFERRED or',
        ),
        (
            "max_amount = 1_000",
            'max_amount = "0.00"',
            "max_amount: zero would refuse every payment",
        ),
        (
            "max_amount = 1_000",
            "max_amount = 1.5",
            "max_amount: 1.5 is not an amount >= 0 in quotes",
        ),
        ("max_amount = 1_000", 'max_amount = "1.005"', "with at most 2 decimals and 18 digits"),
        ("max_amount = 1_000", 'max_amount = "-1"', 'assets.HKD.max_amount: "-1" is not an amount'),
        (
            "max_amount = 1_000",
            'max_amount = "1e3"',
            'assets.HKD.max_amount: "1e3" is not an amount',
        ),
        ("max_amount = 1_000", 'max_amount = "٣"', 'assets.HKD.max_amount: "٣" is not an amount'),
        ("max_amount = 1_000", f"max_amount = {10**16}", "and 18 digits"),
        ("value_days_ahead = 2", "value_days_ahead = -1", "from 0 to 366"),
        # Schedules
        (
            "every_s = 5",
            "every_s = 0",
            "assets.HKD.every_s: 0 is not a whole number from 1 to 86400",
        ),
        (
            "every_s = 5",
            'cutoffs = ["25:00"]',
            '"25:00" is not a time of day from 00:00 to 23:59:59',
        ),
        ("every_s = 5", 'cutoffs = ["24:00"]', "the end of a day is the next day's 00:00"),
        ("every_s = 5", 'cutoffs = ["7:00"]', '"7:00" is not a time of day'),
        ("every_s = 5", "cutoffs = [07:00:00.5]", "07:00:00.500000 is not a time of day"),
        ("every_s = 5", 'cutoffs = ["12:00", "11:00"]', '"11:00" does not come after 12:00:00'),
        ("every_s = 5", 'cutoffs = ["12:00", "12:00"]', '"12:00" does not come after 12:00:00'),
        ("every_s = 5", "cutoffs = []", "cutoffs: a list of at least one time like 17:00"),
        ("every_s = 5", 'every_s = 5\ncutoffs = ["12:00"]', "either every_s or cutoffs, not both"),
        ("every_s = 5", 'zone = "UTC"', "assets.HKD.zone: means nothing without cutoffs"),
        (
            'calendar = "hk"',
            'calendar = "kh"',
            'netting_sets.main.calendar: "kh" is not known; known: hk',
        ),
        # Calendars
        ('zone = "Asia/Hong_Kong"', 'zone = "Asia/HongKong"', "did you mean Asia/Hong_Kong?"),
        ('zone = "Asia/Hong_Kong"', 'zone = "../../etc/passwd"', "does not exist"),
        ('zone = "Asia/Hong_Kong"', 'zone = "Europe"', 'the time zone "Europe" does not exist'),
        (
            'weekend = ["Sunday"]',
            'weekend = ["Sundy"]',
            '"Sundy" is not known; did you mean Sunday?',
        ),
        ('weekend = ["Sunday"]', 'weekend = ["Sunday", "Sunday"]', "Sunday stands twice"),
        (
            'weekend = ["Sunday"]',
            'weekend=["Monday","Tuesday","Wednesday","Thursday","Friday","Saturday","Sunday"]',
            "calendars.hk.weekend: no day of the week is left for business",
        ),
        (
            "2027-01-01, 2026-12-25",
            '"2027-01-01"',
            '"2027-01-01" is not a date like 2027-01-01, with',
        ),
        ("2027-01-01, 2026-12-25", "2027-01-01T00:00:00", "is not a date like 2027-01-01"),
        ("2027-01-01, 2026-12-25", "2027-01-01, 2027-01-01", "2027-01-01 stands twice"),
        ("2027-01-01, 2026-12-25", "2027-02-30", "not valid TOML"),
        # References
        ('netting_set = "main"\nissuer', 'netting_set = "mian"\nissuer', "did you mean main?"),
        ('netting_sets = ["main"]', 'netting_sets = ["mainn"]', "did you mean main?"),
        ('netting_sets = ["main"]', "netting_sets = []", "is in one netting set at least"),
        ("accounts.HKD = false", "accounts.HKX = false", "no such asset; did you mean HKD?"),
        ("accounts.HKD = false", "accounts.HKD = true", "true is not a table"),
        (
            'accounts.BOND = { prefunded = "3" }',
            'accounts.BOND = { prefunded = "0.5" }',
            "0 decimals",
        ),
        ('accounts.BOND = { prefunded = "3" }', "accounts.BOND = { cap = 3 }", "unknown key"),
    ],
)
def test_a_problem_has_its_line_and_its_reason(old: str, new: str, problem: str) -> None:
    first = GOOD[: GOOD.index(old)].count("\n") + 1
    found = [text for text in problems_of(edited(old, new)) if problem in text]
    assert found, problems_of(edited(old, new))
    lines = {f"line {first + extra}" for extra in range(new.count("\n") + 1)}
    assert found[0].split(":")[0].split(",")[0] in lines


def test_all_problems_at_once_in_the_order_of_the_file() -> None:
    text = edited("scale = 2", "scale = 12").replace('"cash"', '"csh"').replace("11:00", "25:00")
    found = problems_of(text.replace("[participants.BANKC]", "[participants.bankc]"))
    lines = ["scale = 2", 'kind = "cash"', 'cutoffs = ["11:00", 16:30:00]', "[participants.BANKC]"]
    assert [text.split(",")[0] for text in found] == [f"line {line_of(line)}" for line in lines]


@pytest.mark.parametrize(
    ("text", "at", "problem"),
    [
        # The same asset under another id (R3): it would be netted twice, in part each.
        (
            edited('code = "B29"\nissuer = "The Issuer"', 'code = "HKD"\nissuer = "HKMA"'),
            "[assets.BOND]",
            "assets.BOND: the same (code, issuer, ledger) as HKD",
        ),
        (
            edited('net_debit_cap = "5" }', 'net_debit_cap = "9999999999999999.99" }'),
            "[assets.HKD]",
            "add up to 20000000000000010.48, more than the 11529215046068469.76 that can be counted",
        ),
        (
            edited('calendar = "hk"\n', "# no calendar\n"),
            'cutoffs = ["11:00", 16:30:00]',
            "assets.BOND.cutoffs: cut-offs need a zone, or a calendar that has one",
        ),
        (
            edited('issuer = "HKMA"\n', "# no issuer\n"),
            "[assets.HKD]",
            "assets.HKD: issuer is missing (an issuer: 1-35 of",
        ),
        (
            edited('netting_sets = ["main"]', 'netting_sets = ["other"]')
            + "[netting_sets.other]\n",
            'accounts.HKD = { prefunded = "0", overdraft = "7.00" }',
            "the asset's netting set main is none of the participant's",
        ),
    ],
)
def test_what_holds_between_sections(text: str, at: str, problem: str) -> None:
    found = [text for text in problems_of(text) if problem in text]
    assert found, problems_of(text)
    assert found[0].startswith(f"line {line_of(at)},")


def test_a_netting_set_needs_assets_and_two_participants() -> None:
    found = problems_of('name = "x"\n[netting_sets.a]\n[participants.BANKA]\n')
    assert found == [
        "line 2, column 2: netting_sets.a: netting needs two participants, it has 1",
        "line 2, column 2: netting_sets.a: no asset is cleared in it",
    ]
    assert problems_of('name = "x"') == [
        "line 1, column 1: a scheme has one netting set at least: [netting_sets.NAME]"
    ]


@given(st.data())
def test_a_file_with_any_value_anywhere_is_read_or_refused(data: st.DataObject) -> None:
    """No value, of whatever type, at any place, makes the check itself fail."""
    lines: list[str] = list(GOOD.splitlines())
    number = data.draw(st.integers(0, len(lines) - 1))
    if " = " in lines[number]:
        key, _, _ = lines[number].partition(" = ")
        odd = [
            "1",
            "-1",
            '""',
            '"x"',
            "1.5",
            "nan",
            "true",
            "[]",
            "[[1]]",
            "{}",
            "{a={}}",
            "07:00:00",
        ]
        dates = ["2026-01-01", "2026-01-01T00:00:00Z", "9" * 30, '["x", 1, {}]', '"\\u0000"']
        lines[number] = f"{key} = {data.draw(st.sampled_from(odd + dates))}"
    else:
        del lines[number]
    result = parse("\n".join(lines))
    assert isinstance(result, Scheme) or all(1 <= p.line <= len(lines) for p in result)
