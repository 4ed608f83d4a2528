"""A netting set's log as a file: what `replay --dump` saves, and what `simulate` and `replay --log-file` run.

STORED FORMAT clearing-log/1: an Arrow IPC stream, zstd, columns key, value, offset, time_ms; the schema's metadata
names format and netting set. Nothing of Kafka is needed to read it.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa

FORMAT = b"clearing-log/1"

_BATCH_BYTES = 8 << 20
_SCHEMA = pa.schema(
    [
        pa.field("key", pa.binary()),
        pa.field("value", pa.large_binary()),
        pa.field("offset", pa.int64(), nullable=False),
        pa.field("time_ms", pa.int64(), nullable=False),
    ]
)


class LogFileRecord(NamedTuple):
    """One record of the log; `time_ms` is its LogAppendTime."""

    key: bytes | None
    value: bytes | None
    offset: int
    time_ms: int


class LogFileWriter:
    """Writes a log file record by record; use as a context manager."""

    def __init__(self, path: Path, netting_set: str) -> None:
        schema = _SCHEMA.with_metadata({"format": FORMAT, "netting_set": netting_set})
        self._sink = path.open("wb")
        options = pa.ipc.IpcWriteOptions(compression="zstd")
        self._writer = pa.ipc.new_stream(self._sink, schema, options=options)
        self._schema = schema
        self._waiting: list[LogFileRecord] = []
        self._bytes = 0

    def __enter__(self) -> "LogFileWriter":
        return self

    def __exit__(self, *_: object) -> None:
        self._flush()
        self._writer.close()
        self._sink.close()

    def add(self, record: LogFileRecord) -> None:
        self._waiting.append(record)
        self._bytes += len(record.value or b"")
        if self._bytes >= _BATCH_BYTES:
            self._flush()

    def observe(self, record: LogFileRecord, outputs: object) -> None:
        """Add a record whose outputs are somebody else's to keep: an observer of a simulation."""
        self.add(record)

    def _flush(self) -> None:
        if self._waiting:
            columns = [
                pa.array(c, f.type)
                for c, f in zip(zip(*self._waiting, strict=True), _SCHEMA, strict=True)
            ]
            self._writer.write_batch(pa.record_batch(columns, schema=self._schema))
        self._waiting, self._bytes = [], 0


def write(path: Path, netting_set: str, records: Iterable[LogFileRecord]) -> None:
    """Write a whole log."""
    with LogFileWriter(path, netting_set) as writer:
        for record in records:
            writer.add(record)


def netting_set_of(path: Path) -> str:
    """Netting set of a log file. Raises ValueError if it is none."""
    with path.open("rb") as file:
        return _netting_set(path, _open(path, file))


def read(path: Path) -> Iterator[LogFileRecord]:
    """Records of a log file in order. Raises ValueError if it is none."""
    with path.open("rb") as file:
        reader = _open(path, file)
        _netting_set(path, reader)
        for batch in reader:
            for row in zip(*(column.to_pylist() for column in batch.columns), strict=True):
                yield LogFileRecord(*row)


def _open(path: Path, file: object) -> pa.RecordBatchStreamReader:
    try:
        return pa.ipc.open_stream(file)
    except (pa.ArrowInvalid, OSError) as error:
        raise ValueError(f"{path} is no log file: {error}") from error


def _netting_set(path: Path, reader: pa.RecordBatchStreamReader) -> str:
    metadata = reader.schema.metadata or {}
    if metadata.get(b"format") != FORMAT:
        raise ValueError(f"{path} is no log file: its format is {metadata.get(b'format')!r}")
    return metadata[b"netting_set"].decode()
