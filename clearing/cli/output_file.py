"""The engine's output records as a file of JSON lines, to be compared with `cmp` or `diff`."""

import base64
from collections.abc import Sequence
from pathlib import Path

import msgspec

from clearing.log.records import CHAIN_START, OUTCOMES_KEY, OutputRecord, extend_chain
from clearing.logfile import LogFileRecord


class OutputFile:
    """A line for each output record (JSON as it is, columns in base64), and one with the chain after them."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("wb")
        self._chain = CHAIN_START

    def __enter__(self) -> "OutputFile":
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def observe(self, record: LogFileRecord, outputs: Sequence[OutputRecord]) -> None:
        self._chain = extend_chain(self._chain, record.offset, list(outputs))
        for output in outputs:
            binary = output.key == OUTCOMES_KEY
            self._write(
                {
                    "log_offset": record.offset,
                    "topic": output.topic,
                    "key": output.key.decode(),
                    "value": (base64.b64encode(output.value) if binary else output.value).decode(),
                }
            )
        self._write({"log_offset": record.offset, "chain": self._chain.hex()})

    def _write(self, line: dict[str, object]) -> None:
        self._file.write(msgspec.json.encode(line) + b"\n")
