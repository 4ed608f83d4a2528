"""The examples say what they are said to say: each capability from a scheme and a file of events (R5-R33)."""

from pathlib import Path

import pytest

from clearing.failures import ExitCode
from tests.cli.run import Runner

EXAMPLES = Path(__file__).parents[2] / "topics" / "examples"
NAMES = sorted(folder.name for folder in EXAMPLES.iterdir() if folder.is_dir())


def test_all_of_them_are_named_in_their_table() -> None:
    table = (EXAMPLES / "README.md").read_text()
    assert (
        sorted(line.split("`")[1] for line in table.splitlines() if line.startswith("| `")) == NAMES
    )


@pytest.mark.parametrize("name", NAMES)
def test_an_example_gives_what_is_expected(
    run: Runner, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv("COLUMNS", "120")
    folder = EXAMPLES / name
    ended = run("simulate", folder / "scheme.toml", folder / "events.jsonl", "--summary")
    assert ended.code == ExitCode.OK
    said = "\n".join(line.rstrip() for line in ended.out.splitlines())
    assert said.strip() == (folder / "expected.txt").read_text().strip()
