"""FAULTS.md, "Bad input": every line under Syntax, Amount, Identity and Time that intake can know, by name."""

import pytest
import xxhash

from clearing.core.reasons import Code
from tests.intake.build import (
    ID,
    PAYMENT,
    REFERENCE,
    lines,
    payment,
    raw,
    refusal,
    transfer,
    with_text,
)

GOOD = raw(PAYMENT)

SYNTAX: list[tuple[str, bytes, Code]] = [
    ("empty value", b"", Code.EMPTY),
    ("white space", b" \n\t\r", Code.EMPTY),
    ("null", b"null", Code.FIELD),
    ("a number", b"12", Code.FIELD),
    ("an array", b"[" + GOOD + b"]", Code.FIELD),
    ("trailing second document", GOOD + b" " + GOOD, Code.SYNTAX),
    ("trailing comma", GOOD[:-1] + b",}", Code.SYNTAX),
    ("trailing bytes", GOOD + b"x", Code.SYNTAX),
    ("cut off", GOOD[:-1], Code.SYNTAX),
    ("comment", GOOD + b"/**/", Code.SYNTAX),
    ("single quotes", GOOD.replace(b'"', b"'"), Code.SYNTAX),
    ("form feed between tokens", GOOD[:-1] + b"\x0c}", Code.SYNTAX),
    ("byte-order mark", b"\xef\xbb\xbf" + GOOD, Code.ENCODING),
    ("UTF-16", GOOD.decode().encode("utf-16"), Code.ENCODING),
    ("bad UTF-8", GOOD.replace(b"INV", b"\xff\xfe"), Code.ENCODING),
    ("overlong UTF-8", GOOD.replace(b"INV", b"\xc0\xaf"), Code.ENCODING),
    ("surrogate as UTF-8", GOOD.replace(b"INV", b"\xed\xa0\x80"), Code.ENCODING),
    ("bad UTF-8 for a number", with_text("window", '"\ud800"'), Code.ENCODING),
    ("lone high surrogate", GOOD.replace(b"INV", b"\\ud800"), Code.ENCODING),
    ("lone low surrogate", GOOD.replace(b"INV", b"\\uDFFF"), Code.ENCODING),
    ("lone surrogate in a key", GOOD[:-1] + b',"\\ud8ff":1}', Code.ENCODING),
    ("100,000-deep array", b"[" * 100_000, Code.SYNTAX),
    ("100,000-deep array, closed", b"[" * 100_000 + b"]" * 100_000, Code.SYNTAX),
    ("deep array in a field", with_text("window", "[" * 100_000 + "]" * 100_000), Code.SYNTAX),
    ("9-deep array in a field", with_text("window", "[" * 9 + "]" * 9), Code.SYNTAX),
    ("7-deep array in a field", with_text("window", "[" * 7 + "]" * 7), Code.FIELD),
    ("deep objects", b'{"a":' * 100_000 + b"1" + b"}" * 100_000, Code.SYNTAX),
    ("duplicate key, same value", GOOD[:-1] + b',"amount":"12.50"}', Code.DUPLICATE_KEY),
    ("duplicate key, other value", b'{"amount":"1",' + GOOD[1:], Code.DUPLICATE_KEY),
    ("duplicate key, escaped", GOOD[:-1] + b',"amoun\\u0074":"1"}', Code.DUPLICATE_KEY),
    ("duplicate optional key", raw(payment(window=1))[:-1] + b',"window":1}', Code.DUPLICATE_KEY),
    ("duplicate type", GOOD[:-1] + b',"type":"payment"}', Code.DUPLICATE_KEY),
    ("duplicate unknown key", GOOD[:-1] + b',"x":1,"x":1}', Code.DUPLICATE_KEY),
    ("duplicate key in an object within", with_text("window", '{"a":1,"a":2}'), Code.DUPLICATE_KEY),
    ("unknown field", raw(payment(note="x")), Code.FIELD),
    ("field of another type", raw(payment(chain_reference=REFERENCE)), Code.FIELD),
    ("field's name in capitals", GOOD.replace(b'"asset"', b'"Asset"'), Code.FIELD),
    ("null for a field", raw(payment(asset=None)), Code.FIELD),
    ("null for an optional field", raw(payment(priority=None)), Code.FIELD),
    ("number for a text", raw(payment(end_to_end_id=17)), Code.FIELD),
    ("list for a text", raw(payment(debtor=["ALPHHKHH"])), Code.FIELD),
    ("no type", raw(payment(type=...)), Code.FIELD),
    ("type no text", raw(payment(type=1)), Code.FIELD),
    ("unknown type", raw(payment(type="refund")), Code.VERSION),
    ("schema version 2", raw(payment(version=2)), Code.VERSION),
    ("schema version 1.0", with_text("version", "1.0"), Code.VERSION),
    ("schema version as text", raw(payment(version="1")), Code.VERSION),
    ("record over the limit", GOOD + b" " * (1 << 20), Code.TOO_LARGE),
    ("record over any limit", b" " * ((16 << 20) + 1), Code.TOO_LARGE),
    ("unknown priority", raw(payment(priority="LOW")), Code.FIELD),
    ("window 0", raw(payment(window=0)), Code.FIELD),
    ("window below 0", raw(payment(window=-1)), Code.FIELD),
    ("window 2^31", raw(payment(window=2**31)), Code.FIELD),
    ("window 2^64", raw(payment(window=2**64)), Code.FIELD),
    ("window of 10,000 digits", with_text("window", "1" * 10_000), Code.FIELD),
    ("window 1.0", with_text("window", "1.0"), Code.FIELD),
    ("window 1e0", with_text("window", "1e0"), Code.FIELD),
    ("window as text", raw(payment(window="1")), Code.FIELD),
]
SYNTAX += [(f"no {name}", raw(payment(**{name: ...})), Code.FIELD) for name in PAYMENT]
SYNTAX += [("no chain reference", raw(transfer(chain_reference=...)), Code.FIELD)]

AMOUNT: list[tuple[str, str, Code]] = [
    ("NaN", "NaN", Code.SYNTAX),
    ("Infinity", "Infinity", Code.SYNTAX),
    ("-Infinity", "-Infinity", Code.SYNTAX),
    ("leading zero, bare", "01", Code.SYNTAX),
    ("1e400, bare", "1e400", Code.AMOUNT_SYNTAX),
    ("1e2, bare", "1e2", Code.AMOUNT_SYNTAX),
    ("true", "true", Code.AMOUNT_SYNTAX),
    ("null", "null", Code.AMOUNT_SYNTAX),
    ("object", "{}", Code.AMOUNT_SYNTAX),
    ("bare number", "12", Code.AMOUNT_SYNTAX),
    ("bare decimal", "12.50", Code.AMOUNT_SYNTAX),
    ("2^64, bare", str(2**64), Code.AMOUNT_SYNTAX),
    ("-0, bare", "-0", Code.AMOUNT_SYNTAX),
    ("NaN as text", '"NaN"', Code.AMOUNT_SYNTAX),
    ("sNaN", '"sNaN"', Code.AMOUNT_SYNTAX),
    ("Infinity as text", '"Infinity"', Code.AMOUNT_SYNTAX),
    ("1e400 as text", '"1e400"', Code.AMOUNT_SYNTAX),
    ("1e2 as text", '"1e2"', Code.AMOUNT_SYNTAX),
    ("1E+9", '"1E+9"', Code.AMOUNT_SYNTAX),
    ("1E+999999", '"1E+999999"', Code.AMOUNT_SYNTAX),
    ("01.00", '"01.00"', Code.AMOUNT_SYNTAX),
    ("00", '"00"', Code.AMOUNT_SYNTAX),
    ("-0", '"-0"', Code.AMOUNT_SYNTAX),
    ("negative", '"-12.50"', Code.AMOUNT_SYNTAX),
    ("plus", '"+12.50"', Code.AMOUNT_SYNTAX),
    ("1_000", '"1_000"', Code.AMOUNT_SYNTAX),
    ("1,000", '"1,000"', Code.AMOUNT_SYNTAX),
    ("spaces around", '" 1 "', Code.AMOUNT_SYNTAX),
    ("line end", '"1\\n"', Code.AMOUNT_SYNTAX),
    ("Arabic-Indic digits", '"١٢"', Code.AMOUNT_SYNTAX),
    ("full-width digits", '"１２"', Code.AMOUNT_SYNTAX),
    ("hexadecimal", '"0x10"', Code.AMOUNT_SYNTAX),
    ("empty", '""', Code.AMOUNT_SYNTAX),
    ("point alone", '"."', Code.AMOUNT_SYNTAX),
    ("no digit before the point", '".5"', Code.AMOUNT_SYNTAX),
    ("no digit after the point", '"5."', Code.AMOUNT_SYNTAX),
    ("two points", '"1.2.3"', Code.AMOUNT_SYNTAX),
    ("0", '"0"', Code.AMOUNT_ZERO),
    ("0.00", '"0.00"', Code.AMOUNT_ZERO),
    ("0 with 18 decimals", f'"0.{"0" * 18}"', Code.AMOUNT_ZERO),
    ("2^63", f'"{2**63}"', Code.AMOUNT_RANGE),
    ("2^64", f'"{2**64}"', Code.AMOUNT_RANGE),
    ("10^60", f'"{10**60}"', Code.AMOUNT_RANGE),
    ("10^18", f'"{10**18}"', Code.AMOUNT_RANGE),
    ("19 decimals", f'"0.{"1" * 19}"', Code.AMOUNT_RANGE),
    ("19 digits in all", '"1234567890.123456789"', Code.AMOUNT_RANGE),
    ("a million digits", f'"{"9" * 1_000_000}"', Code.AMOUNT_RANGE),
]

CYRILLIC_A = "\u0410"
IDENTITY: list[tuple[str, str, object, Code]] = [
    ("NUL in an id", "id", ID[:-1] + "\0", Code.ID),
    ("capital letters in an id", "id", ID.upper(), Code.ID),
    ("UUIDv1", "id", "1027c4d1-c386-1bc4-8d61-3e30d8f16adf", Code.ID),
    ("UUID of another variant", "id", "1027c4d1-c386-4bc4-cd61-3e30d8f16adf", Code.ID),
    ("UUID without dashes", "id", ID.replace("-", ""), Code.ID),
    ("UUID in braces", "id", f"{{{ID}}}", Code.ID),
    ("UUID as URN", "id", f"urn:uuid:{ID}", Code.ID),
    ("UUID with a line end", "id", ID + "\n", Code.ID),
    ("UUID with dashes elsewhere", "id", "1027c4d1c-386-4bc4-8d61-3e30d8f16adf", Code.ID),
    ("UUID with a character too few", "id", ID[1:], Code.ID),
    ("empty id", "id", "", Code.ID),
    ("NUL in a BIC", "debtor", "ALPHHK\0H", Code.CHARACTER),
    ("Cyrillic letter in a BIC", "debtor", CYRILLIC_A + "LPHHKHH", Code.CHARACTER),
    ("zero-width space", "creditor", "BETA\u200bHKHH", Code.CHARACTER),
    ("right-to-left override", "creditor", "BETA\u202eHKHH", Code.CHARACTER),
    ("text that is not NFC", "creditor", "BETE\u0301HKHH", Code.CHARACTER),
    ("text that is NFC", "creditor", "BET\u00c9HKHH", Code.CHARACTER),
    ("lower-case BIC", "debtor", "alphhkhh", Code.CHARACTER),
    ("dot in a BIC: it separates names of topics", "debtor", "ALPH.HKHH", Code.CHARACTER),
    ("funding account as debtor", "debtor", "$FUNDING", Code.CHARACTER),
    ("empty debtor", "debtor", "", Code.CHARACTER),
    ("debtor of 1 character", "debtor", "A", Code.CHARACTER),
    ("debtor of 36 characters", "debtor", "A" * 36, Code.CHARACTER),
    ("line end behind a BIC", "creditor", "BETAHKHH\n", Code.CHARACTER),
    ("slash in an asset", "asset", "HKD/CNH", Code.CHARACTER),
    ("empty asset", "asset", "", Code.CHARACTER),
    ("asset of 36 characters", "asset", "A" * 36, Code.CHARACTER),
    ("line end in an end-to-end id", "end_to_end_id", "INV\n17", Code.CHARACTER),
    ("escape sequence", "end_to_end_id", "\x1b[31mINV", Code.CHARACTER),
    ("script tag", "end_to_end_id", "<script>", Code.CHARACTER),
    ("'; DROP TABLE", "end_to_end_id", "'; DROP TABLE x", Code.CHARACTER),
    ("quote", "end_to_end_id", 'INV"17', Code.CHARACTER),
    ("backslash", "end_to_end_id", "INV\\17", Code.CHARACTER),
    ("leading space", "end_to_end_id", " INV", Code.CHARACTER),
    ("trailing space", "end_to_end_id", "INV ", Code.CHARACTER),
    ("end-to-end id of 36 characters", "end_to_end_id", "E" * 36, Code.CHARACTER),
    ("empty end-to-end id", "end_to_end_id", "", Code.CHARACTER),
]
REFERENCES = [("space", "eip155 1"), ("empty", ""), ("201 characters", "x" * 201), ("emoji", "🪙")]

TIME: list[tuple[str, str, str]] = [
    ("30 February", "value_date", "2026-02-30"),
    ("29 February of no leap year", "value_date", "2026-02-29"),
    ("month 13", "value_date", "2026-13-01"),
    ("year 0", "value_date", "0000-01-01"),
    ("day without zero", "value_date", "2026-3-2"),
    ("basic form", "value_date", "20260302"),
    ("week date", "value_date", "2026-W10-1"),
    ("with a time", "value_date", "2026-03-02T00:00:00Z"),
    ("other digits", "value_date", "٢٠٢٦-03-02"),
    ("line end", "value_date", "2026-03-02\n"),
    ("empty", "value_date", ""),
    ("time without zone", "expires_at", "2026-03-02T12:00:00"),
    ("unknown zone", "expires_at", "2026-03-02T12:00:00-00:00"),
    ("zone by name", "expires_at", "2026-03-02T12:00:00 HKT"),
    ("zone of 24 hours", "expires_at", "2026-03-02T12:00:00+24:00"),
    ("second :60", "expires_at", "2026-12-31T23:59:60Z"),
    ("hour 24", "expires_at", "2026-03-02T24:00:00Z"),
    ("nanoseconds", "expires_at", "2026-03-02T12:00:00.123456789Z"),
    ("microseconds", "expires_at", "2026-03-02T12:00:00.123456Z"),
    ("comma for the fraction", "expires_at", "2026-03-02T12:00:00,5Z"),
    ("without seconds", "expires_at", "2026-03-02T12:00Z"),
    ("space for T", "expires_at", "2026-03-02 12:00:00Z"),
    ("lower-case z", "expires_at", "2026-03-02T12:00:00z"),
    ("30 February", "expires_at", "2026-02-30T12:00:00Z"),
    ("year 1 at +14:00", "expires_at", "0001-01-01T00:00:00+14:00"),
    ("year 9999 at -14:00", "expires_at", "9999-12-31T23:59:59-14:00"),
    ("date only", "expires_at", "2026-03-02"),
    ("empty", "expires_at", ""),
]


def named(cases: list) -> list:
    return [pytest.param(*case[1:], id=case[0]) for case in cases]


@pytest.mark.parametrize(("record", "code"), named(SYNTAX))
def test_syntax(record: bytes, code: Code) -> None:
    assert refusal(record)[0] == code


@pytest.mark.parametrize(("text", "code"), named(AMOUNT))
def test_amount(text: str, code: Code) -> None:
    """Never rounded, never a float: a plain decimal string of at most 18 digits, or a reason (DESIGN.md §3)."""
    found, payment_id = refusal(with_text("amount", text))
    assert found == code
    assert payment_id == (ID if code != Code.SYNTAX else "")


@pytest.mark.parametrize(("name", "value", "code"), named(IDENTITY))
@pytest.mark.parametrize("escaped", [True, False])
def test_identity(name: str, value: object, code: Code, escaped: bool) -> None:
    """An ASCII allow-list refuses what looks alike, hides or is written in two ways (R40 for ids)."""
    found, payment_id = refusal(raw(payment(**{name: value}), ensure_ascii=escaped))
    assert found == code
    assert payment_id == ("" if name == "id" else ID)


@pytest.mark.parametrize("text", [pytest.param(text, id=name) for name, text in REFERENCES])
def test_chain_reference(text: str) -> None:
    assert refusal(raw(transfer(chain_reference=text))) == (Code.CHARACTER, ID)


@pytest.mark.parametrize(("name", "text"), named(TIME))
def test_time(name: str, text: str) -> None:
    assert refusal(raw(payment(**{name: text}))) == (Code.DATE_SYNTAX, ID)


def test_a_reject_row_says_where_and_what_but_never_in_the_senders_words() -> None:
    """A reject has the hash of the record's bytes; what the sender wrote is not in the detail."""
    poison = "<script>alert(1)</script>"
    records = [
        raw(payment(**{poison: 1})),
        raw(payment(type=poison)),
        raw(payment(debtor=poison)),
        raw(payment(amount=poison)),
        raw(payment(priority=poison)),
        poison.encode(),
    ]
    for record, line in zip(records, lines(*records), strict=True):
        assert line.detail is not None
        assert line.detail.hash == xxhash.xxh3_128_hexdigest(record)
        assert "script" not in line.detail.detail
        assert line[:13] == ("00" * 16, "", "", "", 0, 0, 0, 0, 0, "", "", 0, 0)
        assert line[13:16] == (None, None, "")


def test_the_first_reason_in_a_fixed_order_is_given() -> None:
    """Several things wrong: the answer is the same on every replay (R29)."""
    wrong = payment(type="token_transfer", id="x", debtor="a", amount="-1", value_date="x")
    assert refusal(raw(wrong))[0] == Code.FIELD
    assert refusal(raw(wrong | {"type": "payment"}))[0] == Code.ID
    assert refusal(raw(wrong | {"type": "payment", "id": ID}))[0] == Code.CHARACTER
    assert refusal(raw(payment(amount="-1", value_date="x")))[0] == Code.AMOUNT_SYNTAX
