"""Runs the command line within the test's process."""

from typing import NamedTuple

import pytest

from clearing.cli import app


class Ran(NamedTuple):
    """How a command ended. out: stdout, err: stderr."""

    code: int
    out: str
    err: str


class Runner:
    """Calls `clearing` with arguments, as the shell would."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys

    def __call__(self, *arguments: object) -> Ran:
        self._capsys.readouterr()
        try:
            code = app.meta([str(one) for one in arguments], result_action="return_value")
        except SystemExit as ended:
            code = ended.code
        captured = self._capsys.readouterr()
        assert isinstance(code, int) or code is None
        return Ran(int(code or 0), captured.out, captured.err)
