"""HiGHS for 0/1 programs in whole numbers: maximise a sum under lower bounds of sums. Extra `optim`.

The one place that knows the solver. It works in doubles: what it says is to be checked by who asks.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any, NamedTuple

import numpy as np

from clearing.failures import Failure

# With whole numbers that sum up to no more than this the tolerance never was a unit: hundreds of hostile systems
# (13 items, amounts a few units from ties) were all decided right up to a sum of 2 * 10^9, the first ones wrong at
# 2 * 10^10. With HiGHS's own tolerance of 10^-6 the first were wrong at 2 * 10^7.
EXACT_TOTAL = 10**9
TOLERANCE = 1e-9


class Row(NamedTuple):
    """sum(units * x[column]) >= least."""

    units: dict[int, int]
    least: int


@dataclass(slots=True)
class Program:
    """Which of n columns to take. may, must: columns that are not decided yet have may = 1 and must = 0."""

    rows: list[Row]
    may: list[int]
    must: list[int]


class Answer(NamedTuple):
    """taken: the best found, None if nothing was. proven: the solver says that there is no better one."""

    taken: list[int] | None
    proven: bool


NOTHING = Answer(None, False)


def solver() -> Any:
    """The module highspy. Raises Failure naming the extra where it is not installed."""
    try:
        import highspy
    except ImportError as error:
        raise Failure(
            "the exact solver is not installed", 'pip install "clearing-engine[optim]"'
        ) from error
    return highspy


def maximise(
    highspy: Any, program: Program, gain: Sequence[int], start: list[int], time_limit_s: float
) -> Answer:
    """The columns of most gain, from a first answer on. The same program has the same answer if time suffices:
    one thread, a fixed seed.
    """
    if time_limit_s <= 0:
        return NOTHING
    highs = highspy.Highs()
    for option, value in {
        "output_flag": False,
        "threads": 1,
        "random_seed": 0,
        "time_limit": time_limit_s,
        "mip_rel_gap": 0.0,
        "mip_abs_gap": 0.5,  # gains are whole numbers
        "mip_feasibility_tolerance": TOLERANCE,
        "primal_feasibility_tolerance": TOLERANCE,
        "dual_feasibility_tolerance": TOLERANCE,
    }.items():
        assert highs.setOptionValue(option, value) == highspy.HighsStatus.kOk, option
    assert highs.passModel(_model(highspy, program, gain)) == highspy.HighsStatus.kOk
    columns = np.arange(len(start), dtype=np.int32)
    highs.setSolution(len(start), columns, np.array(start, np.float64))
    highs.run()
    if highs.getInfo().primal_solution_status != highspy.SolutionStatus.kSolutionStatusFeasible:
        return NOTHING
    taken = [round(x) for x in highs.getSolution().col_value]
    return Answer(taken, highs.getModelStatus() == highspy.HighsModelStatus.kOptimal)


def _model(highspy: Any, program: Program, gain: Sequence[int]) -> Any:
    rows = program.rows
    model = highspy.HighsLp()
    model.num_col_, model.num_row_ = len(program.may), len(rows)
    model.sense_ = highspy.ObjSense.kMaximize
    model.col_cost_ = np.array(gain, np.float64)
    model.col_lower_ = np.array(program.must, np.float64)
    model.col_upper_ = np.array(program.may, np.float64)
    model.integrality_ = [highspy.HighsVarType.kInteger] * len(program.may)
    model.row_lower_ = np.array([row.least for row in rows], np.float64)
    model.row_upper_ = np.full(len(rows), highspy.kHighsInf)
    matrix = model.a_matrix_
    matrix.format_ = highspy.MatrixFormat.kRowwise
    matrix.start_ = np.array([0, *accumulate(len(row.units) for row in rows)], np.int32)
    matrix.index_ = np.array([column for row in rows for column in row.units], np.int32)
    matrix.value_ = np.array([u for row in rows for u in row.units.values()], np.float64)
    return model
