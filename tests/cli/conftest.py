"""The command line without any server: settings come from the test alone."""

import os
from pathlib import Path

import pytest

from tests.cli.run import Runner


@pytest.fixture(autouse=True)
def _alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No settings of the machine's own reach a test, and no test leaves files behind."""
    for name in list(os.environ):
        if name.startswith("CLEARING_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("COLUMNS", "160")
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Runner:
    return Runner(capsys)
