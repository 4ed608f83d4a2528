"""How a service's process manages its memory, seen from outside it: in a process of its own, for it stays so."""

import subprocess
import sys

import pytest

_FAULTS = """
import ctypes, gc, resource
from clearing.tuning import COLLECT_AFTER_OBJECTS, tune_memory

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(50):
        bytearray(8 << 20)[::4096] = bytes(2048)  # every page is written to
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

before = faults()
tune_memory()
assert gc.get_threshold()[0] == COLLECT_AFTER_OBJECTS
assert gc.get_freeze_count() > 1_000  # what was imported is not looked at again
faults()
print(before, faults(), hasattr(ctypes.CDLL(None), "mallopt"))
"""


def test_what_is_freed_is_kept_for_the_next() -> None:
    ran = subprocess.run(
        [sys.executable, "-c", _FAULTS], capture_output=True, text=True, timeout=60, check=True
    )
    before, after, has_mallopt = ran.stdout.split()
    if has_mallopt != "True":
        pytest.skip("the C library is another one, nothing is changed")
    assert int(after) * 10 < int(before)  # which were fresh pages every time
