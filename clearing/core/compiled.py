"""Loops over arrays as machine code, where NumPy would need dozens of passes: Numba's compiler, under one roof.

A compiled function is plain Python over NumPy arrays and numbers that makes no array itself. It is compiled when it
is first called with arrays of these types, once on a machine: the result stays in the folder __pycache__ beside its
module, or in the user's cache folder, or where NUMBA_CACHE_DIR says; where none of these may be written to, every
process compiles again. Integers are 64 bits wide and wrap silently, and no index is checked: checks would cost ten
times what they guard. With NUMBA_DISABLE_JIT=1 it runs as the Python it is, slowly, and every index is checked:
whatever reads what comes from outside is tested that way too.
"""

import inspect
import sys
from collections.abc import Callable, Iterator
from enum import EnumType
from functools import cache
from hashlib import blake2b
from types import FunctionType, ModuleType
from typing import Any, TypeVar, cast

import numpy as np
import numpy.typing as npt
from numba import config, njit
from numba.core.caching import IndexDataCacheFile
from numba.core.registry import CPUDispatcher

Function = TypeVar("Function", bound=Callable[..., Any])


def compiled(function: Function) -> Function:
    """The function as machine code. Who calls it holds the arrays: their references are not counted inside."""
    if cast(Any, config).DISABLE_JIT:
        return function
    try:
        dispatcher: Any = cast(Any, njit)(cache=True, _nrt=False)(function)
    except RuntimeError:  # no folder that it may write to: every process compiles for itself
        return cast(Function, cast(Any, njit)(_nrt=False)(function))
    _keep_by_all(dispatcher._cache, function)
    return cast(Function, dispatcher)


def _keep_by_all(kept: Any, function: Callable[..., Any]) -> None:
    """Numba keeps the result by the text of the function's own file. But what it calls and the constants it names
    are compiled into it, wherever they come from: the name under which it is kept says all of them, as they are
    when it is looked for, for some stand below it."""
    look_up = kept.load_overload

    def looked_up(signature: object, target: object) -> object:
        digest = _digest(function)
        name = f"{kept._impl.filename_base}-{digest}"
        kept._cache_file = IndexDataCacheFile(kept._cache_path, name, digest)
        return look_up(signature, target)

    kept.load_overload = looked_up


@cache
def _digest(function: Callable[..., Any]) -> str:
    """Of all that the machine code is made of, but the types it is called with."""
    code = function.__code__
    parts = (code.co_code, code.co_consts, code.co_names, code.co_varnames, *_named(function))
    return blake2b(repr(parts).encode(), digest_size=8).hexdigest()


def _named(function: Callable[..., Any]) -> Iterator[object]:
    """The numbers, texts, arrays and functions that it names, here or in modules and enumerations."""
    names = function.__code__.co_names
    for name in names:
        value = function.__globals__.get(name)
        members = [getattr(value, each, None) for each in names]
        for each in members if isinstance(value, ModuleType | EnumType) else [value]:
            if isinstance(each, np.ndarray):
                array = cast(npt.NDArray[Any], each)
                yield name, array.dtype, array.shape, array.tobytes()
            elif isinstance(each, CPUDispatcher):
                called = cast(Any, each).py_func
                yield name, called is not function and _digest(called)
            elif isinstance(each, FunctionType) and each.__module__.partition(".")[0] != "numpy":
                # Its module says how it is compiled (numba.extending.overload).
                yield name, inspect.getsource(sys.modules[each.__module__])
            elif isinstance(each, int | str | np.generic):
                yield name, each
