"""Places of keys and values in TOML text: exact, whatever the way of writing."""

import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clearing.scheme.document import Document, Path, Problem, read

TEXT = '''# a comment with [brackets] and key = "value"
name = "x"
a."b c".d = 1

[assets.HKD] # why
accounts = { prefunded = "1", 'q' = [1,
  2] }
text = """
[not.a.table]
key = 1
"""
holidays = [
  2026-01-01, # a day
  "x",
]
[[list]]
x = 1
  [[list]]
  é"y" = 2
[list.sub]
z = 12:00:00
'''.replace('é"y"', '"é"')


@pytest.mark.parametrize(
    ("path", "place"),
    [
        (("name",), (2, 1)),
        (("a", "b c", "d"), (3, 1)),
        (("a", "b c"), (3, 1)),
        (("assets",), (5, 2)),
        (("assets", "HKD"), (5, 2)),
        (("assets", "HKD", "accounts"), (6, 1)),
        (("assets", "HKD", "accounts", "prefunded"), (6, 14)),
        (("assets", "HKD", "accounts", "q"), (6, 31)),
        (("assets", "HKD", "accounts", "q", 0), (6, 38)),
        (("assets", "HKD", "accounts", "q", 1), (7, 3)),
        (("assets", "HKD", "text"), (8, 1)),
        (("assets", "HKD", "holidays", 1), (14, 3)),
        (("list", 0), (16, 3)),
        (("list", 1), (18, 5)),
        (("list", 1, "é"), (19, 3)),
        (("list", 1, "sub", "z"), (21, 1)),
        # What is not there is where it would have to be.
        (("assets", "HKD", "scale"), (5, 2)),
        (("nothing",), (1, 1)),
    ],
)
def test_place_of_everything(path: Path, place: tuple[int, int]) -> None:
    document = read(TEXT)
    assert isinstance(document, Document)
    assert document.place(path) == place


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a = 1\nb = \n", ["line 2, column 5: not valid TOML: Invalid value"]),
        ("a = 1\n\n[b", ["line 3"]),
        ("x = '''\n", ["line 1: not valid TOML"]),
        (
            "a = 1\na = 2\n[b]\n[b]\n",
            ["line 2, column 1: a stands twice: first in line 1", "line 4"],
        ),
        ("[b]\nc = 1\n[x]\n[b]\nc = 2\n", ["line 4", "line 5, column 1: b.c stands twice"]),
        ("a = { b = 1, b = 2 }", ["line 1, column 14: a.b stands twice: first in line 1"]),
        ("\ufeffa = 1", ["line 1, column 1"]),
        ("a." * 5_000 + "a = 1", ["line 1: nested too deeply"]),
        ("a = " + "[" * 50_000, ["line 1"]),
    ],
)
def test_text_that_is_no_toml_is_a_problem_with_its_line(text: str, expected: list[str]) -> None:
    problems = read(text)
    assert isinstance(problems, list)
    assert len(problems) == len(expected)
    for problem, start in zip(problems, expected, strict=True):
        assert str(problem).startswith(start)


def test_bytes_that_are_no_text() -> None:
    assert read(b"a = 1\nb = '\xff'") == [Problem(2, 0, "not UTF-8: byte 0xff")]


def test_a_problem_never_carries_control_characters() -> None:
    problems = read('"a\\u001b[31m" = 1\n"a\\u001b[31m" = 2\n')
    assert isinstance(problems, list)
    [shown] = map(str, problems)
    assert "\x1b" not in shown
    assert "\\x1b" in shown


FORMS = ["comment", "pair", "dotted", "multi", "array", "inline", "table", "tables"]


@st.composite
def documents(draw: st.DrawFn) -> tuple[str, dict[Path, int]]:
    """Valid TOML of many forms, and the line of each key in it."""
    lines: list[str] = []
    expected: dict[Path, int] = {}
    table: Path = ()
    arrays: dict[str, int] = {}
    for _ in range(draw(st.integers(1, 12))):
        here, key = len(lines) + 1, f"k{len(lines)}"
        match draw(st.sampled_from(FORMS)):
            case "comment":
                lines += draw(st.sampled_from([["# x = [1"], [""], ["", "  "]]))
            case "pair":
                value = draw(st.sampled_from(['"#[=]"', "'\"'", "1_0", "2026-01-01", "07:00:00"]))
                lines.append(f"  {key} = {value} # {key} = 2")
                expected[(*table, key)] = here
            case "dotted":
                lines.append(f'{key}."d.e".f = true')
                expected[(*table, key, "d.e", "f")] = here
            case "multi":
                quotes = draw(st.sampled_from(['"""', "'''"]))
                lines += [f"{key} = {quotes}", "[x]", "y = [", quotes]
                expected[(*table, key)] = here
            case "array":
                lines += [f"{key} = [ # ]", "  1,", "  { a = 2 }, # }", "]"]
                expected[(*table, key, 1, "a")] = here + 2
            case "inline":
                lines.append(f"{key} = {{ a = {{ b = '}}' }}, 'c d' = [1] }}")
                expected |= {(*table, key, "a", "b"): here, (*table, key, "c d", 0): here}
            case "table":
                lines.append(f"[{key}.sub] # [t]")
                table = (key, "sub")
                expected[table] = here
            case _:
                name = draw(st.sampled_from(["one", "two"]))
                arrays[name] = arrays.get(name, -1) + 1
                lines.append(f"[[{name}]]")
                table = (name, arrays[name])
                expected[table] = here
    ending = draw(st.sampled_from(["\n", "\r\n"]))
    return ending.join(lines), expected


@given(documents())
def test_every_key_is_found_in_its_line(case: tuple[str, dict[Path, int]]) -> None:
    text, expected = case
    document = read(text)
    assert isinstance(document, Document)
    assert document.values == tomllib.loads(text)
    assert {path: document.place(path)[0] for path in expected} == expected


@given(st.text(max_size=200))
def test_any_text_is_read_or_refused(text: str) -> None:
    result = read(text)
    assert isinstance(result, Document) or result


@given(st.binary(max_size=100))
def test_any_bytes_are_read_or_refused(source: bytes) -> None:
    result = read(source)
    assert isinstance(result, Document) or result
