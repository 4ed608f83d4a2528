"""What every test shares: the order of the run and hypothesis' profiles.

Fixtures that start real Kafka or PostgreSQL live in tests/integration/conftest.py.
"""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog
from hypothesis import HealthCheck, settings

# The same examples on every run and machine, however slow: a red build can be repeated anywhere.
settings.register_profile(
    "ci", derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.register_profile("explore", deadline=None, max_examples=2_000, print_blob=True)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci"))

# A shell starts its background jobs with SIGINT ignored, and what they start inherits that: the processes that
# tests press Ctrl-C on have to hear it, however the tests themselves were started.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

TESTS = Path(__file__).parent
# Cheap and telling first, real servers last. Folders that are not named run in between.
FIRST = ("core", "log")
LAST = ("dev", "integration", "simulation", "faults")


def _rank(item: pytest.Item) -> int:
    folder = item.path.relative_to(TESTS).parts[0]
    if folder in FIRST:
        return FIRST.index(folder) - len(FIRST)
    return LAST.index(folder) + 1 if folder in LAST else 0


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Order by cost; the sort is stable, so that the order within a folder stays."""
    items.sort(key=_rank)


@pytest.fixture(autouse=True)
def _logs_as_they_were() -> Iterator[None]:
    """A command run in this process sends logs to the stderr of its test, which is closed when the test ends."""
    yield
    structlog.reset_defaults()
