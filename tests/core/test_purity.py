"""What the core may not hold: floats, true division, clocks, chance. What it imports, import-linter checks."""

import ast
from pathlib import Path

import pytest

import clearing.core

SOURCES = sorted(Path(clearing.core.__file__).parent.glob("*.py"))
# hash() of a string and id() differ from process to process.
CALLS = {"float", "complex", "hash", "id", "open", "print", "input", "eval", "exec"}
ATTRIBUTES = {
    *(
        "float16",
        "float32",
        "float64",
        "floating",
        "longdouble",
        "random",
        "now",
        "today",
        "perf_counter",
    ),
    *(
        "mean",
        "average",
        "median",
        "std",
        "var",
        "divide",
        "true_divide",
        "sqrt",
        "log",
        "log2",
        "linspace",
    ),
}
MODULES = {
    "time",
    "random",
    "datetime",
    "decimal",
    "fractions",
    "statistics",
    "secrets",
    "uuid",
}


INTEGERS_ONLY = {"gcd", "lcm", "isqrt"}  # of the module math


def offences(source: str) -> list[str]:
    found: list[str] = []
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Constant(value=float() | complex() as value):
                found.append(f"line {node.lineno}: the literal {value}")
            case ast.BinOp(op=ast.Div()) | ast.AugAssign(op=ast.Div()):
                found.append(f"line {node.lineno}: true division")
            case ast.Call(func=ast.Name(id=name)) if name in CALLS:
                found.append(f"line {node.lineno}: {name}()")
            case ast.Attribute(attr=name) if name in ATTRIBUTES:
                found.append(f"line {node.lineno}: .{name}")
            case ast.ImportFrom(module=str(name)) if name.split(".")[0] in MODULES:
                found.append(f"line {node.lineno}: from {name}")
            case ast.ImportFrom(module="math", names=names):
                bad = {alias.name for alias in names} - INTEGERS_ONLY
                found += [f"line {node.lineno}: from math import {name}" for name in sorted(bad)]
            case ast.Import(names=names):
                bad = [
                    alias.name for alias in names if alias.name.split(".")[0] in {*MODULES, "math"}
                ]
                found += [f"line {node.lineno}: import {name}" for name in bad]
            case (
                ast.For(iter=ast.Set() | ast.SetComp())
                | ast.comprehension(iter=ast.Set() | ast.SetComp())
            ):
                found.append("the order of a set")
            case _:
                pass
    return found


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.name)
def test_the_core_is_pure(path: Path) -> None:
    assert offences(path.read_text()) == []


def test_all_of_the_core_is_looked_at() -> None:
    assert {"payments.py", "limits.py", "ids.py", "windows.py", "step.py"} <= {
        p.name for p in SOURCES
    }


@pytest.mark.parametrize(
    "line",
    [
        *(
            "x = 1.5",
            "x = 2j",
            "x = a / b",
            "x /= 2",
            "x = float(y)",
            "x = np.float64(1)",
            "import time",
        ),
        *(
            "from random import choice",
            "x = hash(y)",
            "x = id(y)",
            "x = column.mean()",
            "import math, os",
        ),
        *(
            "for x in {1, 2}: pass",
            "x = [y for y in {a for a in b}]",
            "from datetime import datetime",
        ),
    ],
)
def test_the_check_finds_it(line: str) -> None:
    assert offences(line) != []


@pytest.mark.parametrize(
    "line", ["x = 1 // 2", "x = 'a' in {1, 2}", "x = item.id", "x = batch.hash"]
)
def test_the_check_lets_it_be(line: str) -> None:
    assert offences(line) == []
