"""The fault matrix and the long run's plan: nothing that had to be injected is missing in silence."""

from collections import Counter

import pytest

from loadtests.faults import SHARES, Incident, plan, summary
from loadtests.matrix import FAULTS, REQUIRED, Incomplete, Observation, markdown, rows
from loadtests.trouble import MAKERS


def seen(fault: str, times: int = 2, injected: str = "kill -9") -> Observation:
    return Observation(fault, injected, times, "nothing settled twice", f"test of {fault}")


def test_every_fault_of_the_list_has_a_row_or_says_why_it_has_none() -> None:
    table = markdown(rows(map(seen, REQUIRED)), "make chaos")
    lines = [line.split(" | ") for line in table.splitlines() if line.startswith("| F")]
    assert [line[0].removeprefix("| ") for line in lines] == list(FAULTS)
    assert [line[0] for line in lines if "not injected: " in line[2]] == ["| F10", "| F16"]


def test_a_fault_that_cannot_be_injected_everywhere_has_its_row_where_it_was() -> None:
    table = markdown(rows([*map(seen, REQUIRED), seen("F10", 3, "disk full")]), "make chaos")
    assert "| disk full | 3 | nothing settled twice |" in table


def test_what_was_injected_again_is_one_row() -> None:
    found = rows([*map(seen, REQUIRED), seen("F1", 5), seen("F1", 1, "SIGSTOP")])
    assert found["F1", "kill -9", "nothing settled twice"] == 7
    assert found["F1", "SIGSTOP", "nothing settled twice"] == 1


@pytest.mark.parametrize("missing", REQUIRED)
def test_no_table_without_a_fault_of_the_list(missing: str) -> None:
    with pytest.raises(Incomplete, match=f"{missing}$"):
        rows([seen(fault) for fault in REQUIRED if fault != missing])


def test_no_table_of_what_was_not_injected_or_is_not_on_the_list() -> None:
    with pytest.raises(Incomplete, match="injected nothing"):
        rows([*map(seen, REQUIRED), seen("F2", 0)])
    with pytest.raises(Incomplete, match="no fault of the list"):
        rows([*map(seen, REQUIRED), seen("F99")])


def test_the_same_seed_plans_the_same_faults_of_every_kind() -> None:
    planned = plan(500, 1_000_000, seed=3)
    assert planned == plan(500, 1_000_000, seed=3)
    assert planned != plan(500, 1_000_000, seed=4)
    assert len(planned) == 500
    assert {one.kind for one in planned} == SHARES.keys() == MAKERS.keys()
    assert [one.at_rows for one in planned] == sorted(one.at_rows for one in planned)
    assert planned[-1].at_rows < 1_000_000


def test_only_some_kinds_of_faults() -> None:
    kinds = Counter(one.kind for one in plan(9, 1_000, 1, only=["network cut", "broker kill -9"]))
    assert kinds.keys() == {"network cut", "broker kill -9"}
    assert kinds.total() == 9


def test_recovery_times_say_what_was_not_seen() -> None:
    def killed(whom: str, again_s: float | None) -> Incident:
        return Incident(kind="kill -9", at_s=1.0, published=1, whom=whom, met="", again_s=again_s)

    (one,) = summary([killed("engine-1", 2.0), killed("engine-2", 4.0), killed("sink-1", None)])
    assert (one.times, one.unseen, one.p50_s, one.max_s) == (3, 1, 3.0, 4.0)
    assert one.whom == {"engine": 2, "sink": 1}
