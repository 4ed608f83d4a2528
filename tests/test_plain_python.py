"""Whatever compiled loops read that comes from outside, read as the plain Python they are (clearing.core.compiled).

There an index that is out of bounds is an error; compiled, it would be somebody else's memory.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

TESTS = Path(__file__).parent
MODULES = (
    "test_records.py",
    "test_fetching.py",
    "intake/test_plain.py",
    "intake/test_arrow.py",
    "log/test_xxh3.py",
    "log/test_body_hash.py",
    "dispatch/test_texts.py",
    "core/test_checks.py",
)


@pytest.mark.parametrize("module", MODULES)
def test_no_index_is_out_of_bounds(module: str) -> None:
    too_slow = ("-k", "not as_many_as")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *too_slow, TESTS / module],
        env=os.environ | {"NUMBA_DISABLE_JIT": "1", "HYPOTHESIS_EXAMPLES": "30"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-4000:]
