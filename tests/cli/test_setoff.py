"""`clearing setoff`: files in, exact figures out; the order of lines decides nothing, bad lines stop all (R18)."""

import csv
import io
import json
import random
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from clearing.cli.obligation_files import read
from clearing.core.money import MAX_AMOUNT
from clearing.failures import ExitCode
from tests.cli.run import Ran, Runner

SAMPLE = Path(__file__).with_name("obligations.csv")
HEADER = "debtor,creditor,amount,id"
# All that reaches the bakery (980.25) and the haulier (250.00) goes on; so 1,150.00 pass the mill and the farm.
CLEARED = {
    "INV-1001": ("850.00", "350.00"),
    "INV-1002": ("300.00", "0.00"),
    "INV-2001": ("900.00", "0.00"),
    "INV-2002": ("250.00", "250.00"),
    "INV-3001": ("650.50", "0.00"),
    "INV-3002": ("329.75", "70.25"),
    "INV-4001": ("570.25", "529.75"),
    "INV-4002": ("80.25", "0.00"),
    "INV-5001": ("250.00", "0.00"),
    "RENT-01": ("0.00", "2000.00"),
}


def file_of(folder: Path, *lines: str, name: str = "obligations.csv") -> Path:
    file = folder / name
    file.write_text("\n".join(lines))
    return file


def as_json(debtor: str, creditor: str, amount: object, **fields: object) -> str:
    return json.dumps({"debtor": debtor, "creditor": creditor, "amount": amount, **fields})


def report(ran: Ran) -> dict[str, Any]:
    assert ran.code == ExitCode.OK, ran.err
    return json.loads(ran.out)


def test_the_sample_by_hand(run: Runner) -> None:
    found = report(run("setoff", SAMPLE, "--json"))
    results = {one["id"]: (one["cleared"], one["remaining"]) for one in found["results"]}
    assert results == CLEARED
    assert (found["before"], found["cleared"], found["after"]) == ("7380.75", "4180.75", "3200.00")
    assert found["efficiency"] == "0.5664"
    assert (found["whole"], found["in_part"], found["not_at_all"]) == (5, 4, 1)
    for one in found["parties"]:
        units = {name: Decimal(text) for name, text in one.items() if name != "party"}
        assert units["owed_before"] - units["owes_before"] == units["net"]
        assert units["owed_after"] - units["owes_after"] == units["net"]


def test_tables_for_people(run: Runner) -> None:
    ended = run("setoff", SAMPLE)
    assert ended.code == ExitCode.OK
    text = " ".join(ended.out.split())
    for shown in (
        "obligations 10",
        "parties 6",
        "value before 7380.75",
        "cleared 4180.75",
        "value after 3200.00",
        "efficiency 56.64 %",
        "5 whole, 4 in part, 1 not at all",
        "LANDLORD 0.00 0.00 2000.00 2000.00 2000.00",
    ):
        assert shown in text


def test_the_order_of_lines_decides_nothing(run: Runner, tmp_path: Path) -> None:
    """The same bytes in every order, with several of a pair, equal amounts, and obligations without an id."""
    rows = [
        f"P{i * i % 7},P{(i * 3 + 1) % 7 + (i * i % 7 == (i * 3 + 1) % 7) * 10},{i % 4 + 1}.5,{'' if i % 3 else i}"
        for i in range(60)
    ]
    written: set[bytes] = set()
    printed: set[str] = set()
    for seed in range(5):
        random.Random(seed).shuffle(rows)
        file = file_of(tmp_path, HEADER, *rows)
        printed.add(run("setoff", file, "--output", tmp_path / "out.csv", "--json").out)
        written.add((tmp_path / "out.csv").read_bytes())
    assert len(written) == len(printed) == 1


@pytest.mark.parametrize("suffix", ["csv", "jsonl"])
def test_output_has_what_is_cleared_and_what_remains(
    run: Runner, tmp_path: Path, suffix: str
) -> None:
    output = tmp_path / f"after.{suffix}"
    found = report(run("setoff", SAMPLE, "--output", output, "--json"))
    if suffix == "csv":
        rows = list(csv.DictReader(io.StringIO(output.read_text())))
    else:
        rows = [json.loads(line) for line in output.read_text().splitlines()]
    assert rows == found["results"]
    assert len(rows) == 10


def test_json_lines_and_csv_and_stdin_are_the_same(
    run: Runner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = run("setoff", SAMPLE, "--json").out
    rows = csv.DictReader(SAMPLE.read_text().splitlines())
    lines = "\n".join(json.dumps(row) for row in rows)
    assert run("setoff", file_of(tmp_path, lines, name="o.txt"), "--json").out == expected
    for text in (lines, SAMPLE.read_text(), "\ufeff" + SAMPLE.read_text(), "\n \n" + lines):
        stdin = io.TextIOWrapper(io.BytesIO(text.encode()))
        monkeypatch.setattr("sys.stdin", stdin)
        assert run("setoff", "-", "--json").out == expected


def test_a_terminal_is_no_file(run: Runner, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    ended = run("setoff", "-")
    assert ended.code == ExitCode.USAGE
    assert "no file is given" in ended.err


# --- amounts ---------------------------------------------------------------------------------------------------


def test_the_scale_is_the_longest_one_in_the_file(run: Runner, tmp_path: Path) -> None:
    lines = [as_json("A", "B", "2"), as_json("B", "A", "1.125"), as_json("B", "C", "0.5")]
    found = report(run("setoff", file_of(tmp_path, *lines), "--json"))
    assert found["scale"] == 3
    assert [(one["amount"], one["cleared"]) for one in found["results"]] == [
        ("2.000", "1.125"),
        ("1.125", "1.125"),
        ("0.500", "0.000"),
    ]


def test_the_scale_given_is_the_scale(run: Runner, tmp_path: Path) -> None:
    file = file_of(tmp_path, as_json("A", "B", "2"), as_json("B", "A", "1.125"))
    assert report(run("setoff", file, "--scale", 6, "--json"))["before"] == "3.125000"
    ended = run("setoff", file, "--scale", 2)
    assert ended.code == ExitCode.USAGE
    assert ended.out == f"{file}:2: amount 1.125 has more than 2 decimals\n"


def test_18_digits_are_exact(run: Runner, tmp_path: Path) -> None:
    """A float has 15 of them; and the sum has more than an int64."""
    most = str(MAX_AMOUNT)
    lines = [as_json("A", "B", most, id=str(i)) for i in range(20)]
    found = report(run("setoff", file_of(tmp_path, *lines, as_json("B", "A", most[:-1])), "--json"))
    assert found["before"] == str(20 * MAX_AMOUNT + int(most[:-1]))
    assert found["cleared"] == str(2 * int(most[:-1]))
    nineteen = file_of(tmp_path, as_json("A", "B", "1" + most), name="over")
    assert "has more than 18 digits at 0 decimals" in run("setoff", nineteen).out
    too_long = file_of(tmp_path, as_json("A", "B", most), as_json("A", "B", "0.1"), name="over")
    assert run("setoff", too_long).out == (
        f"{too_long}:1: amount {most} has more than 18 digits at 1 decimals\n"
    )


# --- lines that are not sound -----------------------------------------------------------------------------------

BAD_JSON = [
    ("{", "not exactly one well-formed JSON document"),
    ("[]", "not a JSON object"),
    ('{"debtor":"A","debtor":"B","creditor":"C","amount":"1"}', "a key stands twice"),
    (as_json("A", "B", 1.5), "amount has to be a string"),
    (as_json("A", "B", None), "amount has to be a string"),
    (as_json("", "B", "1"), "debtor is missing"),
    ('{"debtor":"A","creditor":"B"}', "amount is missing"),
    (as_json("A", "A", "1"), "'A' owes itself"),
    (as_json("A", "B ", "1"), "creditor 'B ' begins or ends with a space"),
    (as_json("A", "B\x1b[2J", "1"), "creditor has characters that cannot be printed"),
    (as_json("A", "B", "1,5"), "amount '1,5' is not a plain decimal"),
    (as_json("A", "B", "1e3"), "amount '1e3' is not a plain decimal"),
    (as_json("A", "B", "0.0000000001"), "of at most 9 decimals"),
    (as_json("A", "B", "0.00"), "amount 0.00 is not above 0"),
    (as_json("A", "B", "-1"), "amount -1 is not above 0"),
    (as_json("A", "B", "1", asset="HKD"), "unknown field 'asset'"),  # R3: assets never mix
    (as_json("A", "B", "1", id="first"), "id 'first' is that of line 1 too"),
]


def test_every_bad_line_is_told_with_its_number(run: Runner, tmp_path: Path) -> None:
    lines = [as_json("A", "B", "1", id="first"), "", *(line for line, _ in BAD_JSON)]
    output = tmp_path / "after.csv"
    ended = run("setoff", file := file_of(tmp_path, *lines), "--output", output)
    assert ended.code == ExitCode.USAGE
    told = ended.out.splitlines()
    assert len(told) == len(BAD_JSON)
    for number, ((_, reason), line) in enumerate(zip(BAD_JSON, told, strict=True), start=3):
        assert line.startswith(f"{file}:{number}: ")
        assert reason in line
    assert f"nothing was set off: {len(BAD_JSON)} of {len(BAD_JSON) + 1} lines are bad" in ended.err
    assert not output.exists()


def test_bad_lines_as_data(run: Runner, tmp_path: Path) -> None:
    file = file_of(tmp_path, as_json("A", "B", "1"), as_json("A", "A", "1"))
    ended = run("setoff", file, "--json")
    assert ended.code == ExitCode.USAGE
    assert json.loads(ended.out) == {
        "lines": 2,
        "bad": [{"file": str(file), "line": 2, "reason": "'A' owes itself"}],
    }


@pytest.mark.parametrize(
    ("text", "line", "reason"),
    [
        ("", 1, "the first line has to name the columns"),
        ("A,B,1", 1, "the first line has to name the columns"),
        ("debtor,creditor,amount,amount\nA,B,1,1", 1, "the first line has to name the columns"),
        ("debtor,creditor,amount,asset\nA,B,1,HKD", 1, "the first line has to name the columns"),
        (f"{HEADER}\nA,B,1,\nA,B,1", 3, "3 cells, the first line has 4 names"),
        (f"{HEADER}\nA,B,1,\n\nA,,1,", 4, "creditor is missing"),
        (f'{HEADER}\nA,B,1,\n"A"B,C,1,', 3, "nothing after it was read"),
        (f'{HEADER}\nA,B,"1\n2",', 3, "amount has characters that cannot be printed"),
        (f"{HEADER}\nA,\udcff,1,", 2, "creditor has characters that cannot be printed"),
    ],
)
def test_bad_csv(tmp_path: Path, text: str, line: int, reason: str) -> None:
    file = tmp_path / "obligations.csv"
    file.write_bytes(text.encode(errors="surrogateescape"))
    (bad,) = read(file, None).bad
    assert bad.line == line
    assert reason in bad.reason


def test_a_name_does_not_steer_the_terminal(run: Runner, tmp_path: Path) -> None:
    file = file_of(tmp_path, as_json("[red]A", "B", "1"))
    assert "[red]A" in run("setoff", file).out


def test_a_header_alone_is_a_group_that_owes_nothing(run: Runner, tmp_path: Path) -> None:
    found = report(run("setoff", file_of(tmp_path, HEADER), "--json"))
    assert (found["obligations"], found["before"], found["efficiency"]) == (0, "0", "0.0000")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["missing.csv"], "missing.csv: No such file"),
        (["--outputs", SAMPLE], "no such option"),
        ([SAMPLE, "--scale", "10"], "--scale"),
        ([SAMPLE, "--output", "missing/after.csv"], "missing/after.csv: No such file"),
    ],
)
def test_wrong_usage(run: Runner, arguments: list[object], said: str) -> None:
    ended = run("setoff", *arguments)
    assert ended.code != ExitCode.OK
    assert said in " ".join((ended.err + ended.out).split())
