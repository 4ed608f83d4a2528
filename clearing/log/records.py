"""The log as the engine sees it: (key, value) of a Kafka record to a LogRecord, Outputs to output records.

The bytes made here are what `simulate`, `replay` and the live engine all emit: one encoder, one chain.
"""

import hashlib
from collections.abc import Iterator
from typing import Literal, NamedTuple

import msgspec
import numpy as np
import pyarrow as pa

from clearing.core.faults import Halt, HaltKind, Place
from clearing.core.inputs import LogRecord
from clearing.core.outputs import (
    Event,
    Outcomes,
    Outputs,
    Position,
    Rejected,
    Resolutions,
    Settlement,
    SettlementBatch,
    WindowEvent,
)
from clearing.log import control, payments

OutputTopic = Literal["outcomes", "settlements", "windows", "positions", "rejected", "journal"]

OUTCOMES_KEY = b"outcomes/1"  # Arrow: a code per row of the log record
RESOLUTION_KEY = b"resolution/1"  # JSON Resolutions: what became of payments of earlier records
WINDOW_KEY = b"window/1"  # JSON WindowEvent that banks are told of (SETTLED, FAILED)
EVENT_KEY = b"event/1"  # JSON Event in the journal
TRANSACTION_KEY = (
    b"transaction/1"  # JSON Transaction: the last record of each transaction in the journal
)

CHAIN_START = bytes(32)

# A record of resolutions holds at most so many: it passes any broker. STORED FORMAT: where it cuts is in the chain.
RESOLUTIONS_PER_RECORD = 1_000


class OutputRecord(NamedTuple):
    topic: OutputTopic
    key: bytes
    value: bytes


class Transaction(msgspec.Struct, frozen=True, kw_only=True):
    """Journal record that ends a transaction: where the engine stands after it.

    chain: hex SHA-256 over every output of every log record below next_offset. snapshot: file name of
    the latest complete snapshot, "" if none. Only `chain`, `records` and `time_ms` are decided by the log alone.
    ends: topic without prefix → offset behind its own records there, or behind all before where it has none; what
    its writer does not know is left out. By this its parts are recognised where a broker lost their markers.
    """

    netting_set: str
    next_offset: int
    sequence: int
    chain: str
    time_ms: int
    snapshot: str
    engine: str  # version of the software that wrote it
    owner: str  # host and process, for people
    records: int  # log records seen since the first
    ends: dict[str, int] = {}


class UnreadableLog(Halt):
    """A record that is none of ours: a foreign writer, damage or a newer version. The netting set halts."""

    def __init__(self, reason: str, place: Place | None = None) -> None:
        super().__init__(HaltKind.UNREADABLE, reason, place)


def read(key: bytes | None, value: bytes, offset: int, time_ms: int) -> LogRecord:
    """Core view of one Kafka record of the log. Raises UnreadableLog."""
    try:
        if key == payments.KEY:
            return payments.unpack(value, offset, time_ms)
        if key == control.KEY:
            return control.unpack(value, offset, time_ms)
    except (ValueError, KeyError, msgspec.MsgspecError) as error:
        raise UnreadableLog(f"log offset {offset} cannot be read: {error}") from error
    raise UnreadableLog(f"log offset {offset} has the unknown kind {key!r}")


_json = msgspec.json.Encoder()


class OutcomesHeader(msgspec.Struct, frozen=True):
    netting_set: str
    log_offset: int
    time_ms: int
    windows: dict[str, int]


class _Placed(msgspec.Struct):
    """What every JSON record of `outcomes` says of where it belongs."""

    log_offset: int


_placed = msgspec.json.Decoder(_Placed).decode


def log_offset_of(key: bytes | None, value: bytes | None) -> int | None:
    """Log offset that a record of `outcomes` is about, of whatever kind; None: it is none of ours."""
    try:
        if key == OUTCOMES_KEY:
            return outcomes_header(value or b"").log_offset
        return _placed(value or b"").log_offset
    except (ValueError, msgspec.MsgspecError):
        return None


def encode_outcomes(netting_set: str, outcomes: Outcomes) -> bytes:
    """Arrow IPC stream: column `code` (uint8), column `repeat` (bool) only if any is set."""
    columns = {"code": pa.array(outcomes.codes)}
    if outcomes.repeat.any():
        columns["repeat"] = pa.array(outcomes.repeat)
    header = OutcomesHeader(netting_set, outcomes.log_offset, outcomes.time_ms, outcomes.windows)
    batch = pa.record_batch(columns).replace_schema_metadata({"clearing": _json.encode(header)})
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, batch.schema) as writer:
        writer.write_batch(batch)
    return sink.getvalue().to_pybytes()


_header = msgspec.json.Decoder(OutcomesHeader).decode


def outcomes_header(value: bytes) -> OutcomesHeader:
    """Whose outcomes these are and of which log record, without reading them. Raises ValueError."""
    metadata = pa.ipc.open_stream(value).schema.metadata
    if not metadata or b"clearing" not in metadata:
        raise ValueError("an Arrow stream without the clearing header holds no outcomes")
    return _header(metadata[b"clearing"])


def decode_outcomes(value: bytes) -> Outcomes:
    """Inverse of encode_outcomes (for dispatch, views, verify)."""
    batch = pa.ipc.open_stream(value).read_next_batch()
    header = _header(batch.schema.metadata[b"clearing"])
    codes = batch.column("code").to_numpy()
    repeat = (
        batch.column("repeat").to_numpy(zero_copy_only=False)
        if "repeat" in batch.schema.names
        else np.zeros(len(codes), np.bool_)
    )
    return Outcomes(header.log_offset, header.time_ms, codes, repeat, header.windows)


def encode(netting_set: str, log_offset: int, time_ms: int, outputs: Outputs) -> list[OutputRecord]:
    """Output records of the log record at `log_offset`, in their one canonical order; time_ms: engine time.

    Outcomes of its rows, resolutions, settlements, events, positions, rejected inputs. So in the topic `outcomes`
    banks hear of rows first, then of payments that waited, then of windows.
    """
    records: list[OutputRecord] = []
    if outputs.outcomes is not None:
        value = encode_outcomes(netting_set, outputs.outcomes)
        records.append(OutputRecord("outcomes", OUTCOMES_KEY, value))
    for start in range(0, len(outputs.resolutions), RESOLUTIONS_PER_RECORD):
        chunk = Resolutions(
            netting_set=netting_set,
            log_offset=log_offset,
            time_ms=time_ms,
            items=outputs.resolutions[start : start + RESOLUTIONS_PER_RECORD],
        )
        records.append(OutputRecord("outcomes", RESOLUTION_KEY, _json.encode(chunk)))
    for settlement in outputs.settlements:
        key = settlement.id if isinstance(settlement, SettlementBatch) else settlement.participant
        records.append(OutputRecord("settlements", key.encode(), _json.encode(settlement)))
    for event in outputs.events:
        records.extend(_event_records(netting_set, event))
    for position in outputs.positions:
        key = f"{netting_set}|{position.participant}|{position.asset}".encode()
        records.append(OutputRecord("positions", key, _json.encode(position)))
    records.extend(
        OutputRecord("rejected", b"rejected/1", _json.encode(r)) for r in outputs.rejected
    )
    return records


def _event_records(netting_set: str, event: Event) -> Iterator[OutputRecord]:
    """Every event is in the journal; a window's also where banks are told of it, and where open ones are kept."""
    value = _json.encode(event)
    if isinstance(event, WindowEvent):
        if event.entries:
            yield OutputRecord("outcomes", WINDOW_KEY, value)
        if event.state == "OPEN":
            yield OutputRecord("windows", f"{netting_set}|{event.asset}".encode(), value)
    yield OutputRecord("journal", EVENT_KEY, value)


def extend_chain(chain: bytes, offset: int, records: list[OutputRecord]) -> bytes:
    """Hash chain over the outputs of one log record: independent of how transactions group them (R29)."""
    digest = hashlib.sha256(chain)
    digest.update(offset.to_bytes(8, "big"))
    for record in records:
        for part in (record.topic.encode(), record.key, record.value):
            digest.update(len(part).to_bytes(4, "big"))
            digest.update(part)
    return digest.digest()


decode_settlement = msgspec.json.Decoder(Settlement).decode
decode_event = msgspec.json.Decoder(Event).decode
decode_resolutions = msgspec.json.Decoder(Resolutions).decode
decode_position = msgspec.json.Decoder(Position).decode
decode_rejected = msgspec.json.Decoder(Rejected).decode
decode_transaction = msgspec.json.Decoder(Transaction).decode
