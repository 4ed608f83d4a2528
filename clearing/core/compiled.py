"""Loops over arrays as machine code, where NumPy would need dozens of passes: Numba's compiler, under one roof.

A compiled function is plain Python over NumPy arrays and numbers: with NUMBA_DISABLE_JIT=1 it runs as such, for a
debugger. It is compiled when it is first called with arrays of these types, once on a machine: the result stays in
the folder __pycache__ beside its module, or the user's cache folder. Integers are 64 bits wide and wrap silently;
every index is checked, for much of what is indexed by comes from outside.
"""

from collections.abc import Callable
from typing import Any, TypeVar, cast

from numba import njit

Function = TypeVar("Function", bound=Callable[..., Any])


def compiled(function: Function) -> Function:
    """The function as machine code. Raises IndexError like the Python it is."""
    return cast(Function, njit(cache=True, boundscheck=True, error_model="python")(function))
