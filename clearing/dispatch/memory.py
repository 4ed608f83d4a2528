"""Memory by its address, for compiled functions: many bytes at once; a loop over them takes ten times as long.

First as Python has it, then for the compiler. Nothing is checked.
"""

import ctypes
from typing import Any, cast

import numpy as np
from llvmlite import ir
from numba.core import types
from numba.extending import intrinsic, overload

from clearing.core.inputs import U8

GAP = 32  # bytes behind those that are to be copied that may be read and written too

Int = Any  # of Python, or of an array: it is all the same once it is compiled


def address(array: U8) -> Int:
    """Where its first byte is."""
    return np.int64(array.ctypes.data)


def put(target: Int, source: Int, size: Int) -> None:
    """Copy so many bytes, and perhaps up to GAP more."""
    ctypes.memmove(int(target), int(source), int(size))


def put_word(target: Int, word: np.uint64) -> None:
    """The bytes of a word, lowest first."""
    ctypes.memmove(int(target), int(word).to_bytes(8, "little"), 8)


# Its type does not say that the first argument is none of the caller's.
_intrinsic = cast(Any, intrinsic)


@overload(address)
def _address(array: Any) -> Any:
    def placed(array: Any) -> Any:
        return _place(array)

    return placed


@overload(put)
def _put(target: Any, source: Any, size: Any) -> Any:
    def copied(target: Any, source: Any, size: Any) -> None:
        _move_32(target, source)
        i = 32
        while i < size:
            _move_32(target + i, source + i)
            i += 32

    return copied


@overload(put_word)
def _put_word(target: Any, word: Any) -> Any:
    def written(target: Any, word: Any) -> None:
        _write_8(target, word)

    return written


@_intrinsic
def _place(_: Any, array: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        data = context.make_array(signature.args[0])(context, builder, values[0]).data
        return builder.ptrtoint(data, ir.IntType(64))

    return types.int64(array), generate


@_intrinsic
def _move_32(_: Any, target: Any, source: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        to, of = (
            builder.inttoptr(value, ir.VectorType(ir.IntType(8), 32).as_pointer())
            for value in values
        )
        builder.store(builder.load(of, align=1), to, align=1)
        return context.get_dummy_value()

    return types.void(types.int64, types.int64), generate


@_intrinsic
def _write_8(_: Any, target: Any, word: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        to = builder.inttoptr(values[0], ir.IntType(64).as_pointer())
        builder.store(values[1], to, align=1)
        return context.get_dummy_value()

    return types.void(types.int64, types.uint64), generate
