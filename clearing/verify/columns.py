"""What is too long for memory: columns and records in unnamed temporary files, gone with the process.

A column grows by appending and is read through a memory map, so that the operating system decides how much of it
stays in memory. Short ones never touch the disk. The folder is TMPDIR's; about 80 bytes a payment.
"""

import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from typing import IO, Any, Generic, TypeVar, overload

import numpy as np

SPILL_BYTES = 1 << 20
ROWS_AT_ONCE = 1 << 17  # how much of a column the checks look at together

T = TypeVar("T")


class Column:
    """Values of one dtype. width: of rows with several values, 0 for plain ones."""

    def __init__(self, dtype: np.typing.DTypeLike, width: int = 0) -> None:
        self.dtype = np.dtype(dtype)
        self._width = width
        self._buffer = bytearray()
        self._file: IO[bytes] | None = None

    def append(self, values: np.ndarray) -> None:
        self._buffer += np.ascontiguousarray(values, self.dtype).tobytes()
        if len(self._buffer) >= SPILL_BYTES:
            if self._file is None:
                self._file = _file()
            _write_all(self._file, self._buffer)
            self._buffer = bytearray()

    def done(self) -> np.ndarray:
        """All of it, once: nothing can be appended any more. Writing to the array changes the column."""
        if self._file is None:
            values = np.frombuffer(self._buffer, self.dtype)
        else:
            _write_all(self._file, self._buffer)
            values = np.asarray(np.memmap(self._file, self.dtype, "r+"))
        return values.reshape(-1, self._width) if self._width else values


def _file() -> IO[bytes]:
    """Closed when nobody refers to it any more; it has no name, so that it is gone then."""
    return tempfile.TemporaryFile(prefix="clearing-", buffering=0)


def _write_all(file: IO[bytes], data: bytes | bytearray) -> None:
    view = memoryview(data)
    while view:
        view = view[file.write(view) :]


def stretches(n: int, size: int = ROWS_AT_ONCE) -> Iterator[slice]:
    """0 to n in slices of `size`."""
    for first in range(0, n, size):
        yield slice(first, min(first + size, n))


class Spool:
    """Records that are rarely read: each is known by (place, length)."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._file: IO[bytes] | None = None
        self._written = 0

    def add(self, record: bytes) -> tuple[int, int]:
        place = self._written + len(self._buffer), len(record)
        self._buffer += record
        if len(self._buffer) >= SPILL_BYTES:
            if self._file is None:
                self._file = _file()
            _write_all(self._file, self._buffer)
            self._written += len(self._buffer)
            self._buffer = bytearray()
        return place

    def read(self, place: tuple[int, int]) -> bytes:
        at, length = place
        if at >= self._written:
            return bytes(self._buffer[at - self._written : at - self._written + length])
        assert self._file is not None, "something was written"
        return os.pread(self._file.fileno(), length, at)


class Spooled(Sequence[T], Generic[T]):
    """A list of which only the length is in memory; it is decoded whenever somebody looks at it."""

    __slots__ = ("_decode", "_length", "_place", "_spool")

    def __init__(
        self, spool: Spool, place: tuple[int, int], length: int, decode: Callable[[bytes], list[T]]
    ) -> None:
        self._spool, self._place, self._length, self._decode = spool, place, length, decode

    def __len__(self) -> int:
        return self._length

    @property
    def encoded(self) -> bytes:
        """As it was put away."""
        return self._spool.read(self._place)

    def __iter__(self) -> Iterator[T]:
        return iter(self._decode(self._spool.read(self._place)))

    @overload
    def __getitem__(self, index: int) -> T: ...
    @overload
    def __getitem__(self, index: slice) -> list[T]: ...
    def __getitem__(self, index: int | slice) -> Any:
        return self._decode(self._spool.read(self._place))[index]
