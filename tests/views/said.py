"""What an engine says, made by hand: windows that open, close and settle, and what people do meanwhile."""

from collections.abc import Sequence

import numpy as np
from msgspec.json import encode

from clearing.core.batches import batch_id
from clearing.core.outputs import (
    CommandEvent,
    ConfirmationEvent,
    Event,
    Outcomes,
    Rejected,
    Resolution,
    Resolutions,
    SettlementBatch,
    WindowEvent,
)
from clearing.log.records import (
    EVENT_KEY,
    OUTCOMES_KEY,
    RESOLUTION_KEY,
    OutputRecord,
    encode_outcomes,
)

SET, ASSET, LEDGER = "hk", "HKD", "postgres"
START_MS = 1_795_341_600_000
WINDOW_MS = 60_000


def identity(window: int, version: int = 1, part: int = 0, asset: str = ASSET) -> str:
    return batch_id(SET, asset, window, version, part)


def window(
    number: int,
    state: str,
    *,
    version: int = 1,
    asset: str = ASSET,
    part: int = 0,
    reason: str = "",
) -> WindowEvent:
    """An event of a window; it opens at START_MS + number minutes, all else is half a minute later."""
    is_open = state == "OPEN"
    opened_ms = START_MS + number * WINDOW_MS
    return WindowEvent(
        netting_set=SET,
        log_offset=number,
        time_ms=opened_ms if is_open else opened_ms + WINDOW_MS // 2,
        asset=asset,
        window=number,
        version=version,
        state=state,
        batch="" if is_open else identity(number, version, part, asset),
        hash="" if is_open else "ab" * 32,
        payments=0 if is_open else 7,
        gross="0" if is_open else "70.00",
        reason=reason,
        opened_at_ms=opened_ms if is_open else 0,
        cutoff_ms=opened_ms + WINDOW_MS // 2 if is_open else 0,
    )


def confirmation(batch: str, *, reason: str = "", status: str = "DONE") -> ConfirmationEvent:
    return ConfirmationEvent(
        netting_set=SET,
        log_offset=1,
        time_ms=START_MS + 5,
        batch=batch,
        status=status,  # pyright: ignore[reportArgumentType]
        reason=reason,
    )


def batch(
    sequence: int,
    window: int,
    *,
    version: int = 1,
    part: int = 1,
    parts: int = 1,
    kind: str = "net",
    asset: str = ASSET,
) -> SettlementBatch:
    """Of prefunding the window is 0."""
    id_ = identity(window, version, part if parts > 1 else 0, asset)
    if kind == "funding":
        id_ = batch_id(SET, asset, 0, sequence, 0)
    return SettlementBatch(
        id=id_,
        kind=kind,  # pyright: ignore[reportArgumentType]
        netting_set=SET,
        sequence=sequence,
        asset=asset,
        code=asset,
        issuer="T",
        ledger=LEDGER,
        scale=2,
        window=window,
        version=version,
        opened_at_ms=START_MS,
        closed_at_ms=START_MS + 1,
        payments=7,
        gross="70.00",
        entries=[],
        log_first=1,
        log_last=2,
        members_root="cd" * 32,
        previous="00" * 32,
        hash="ab" * 32,
        part=part,
        parts=parts,
    )


def command(number: int, by: str = "alice") -> CommandEvent:
    return CommandEvent(
        netting_set=SET,
        log_offset=number,
        time_ms=START_MS + number,
        id=f"c-{number}",
        by=by,
        command="set_cap",
        status="DONE",
    )


def rejected(number: int) -> Rejected:
    return Rejected(
        netting_set=SET, log_offset=number, row=0, topic=f"payments.{SET}.AURAHKHH", partition=0,
        offset=number, item=-1, reason="XSYN", text="not JSON", detail="", hash="ab" * 16, id="",
        time_ms=START_MS + number,
    )  # fmt: skip


def outcomes(
    log_offset: int, codes: Sequence[int], *, repeat: Sequence[bool] = (), time_ms: int = START_MS
) -> Outcomes:
    flags = np.array(repeat or [False] * len(codes), np.bool_)
    return Outcomes(log_offset, time_ms, np.array(codes, np.uint8), flags, {})


def resolutions(log_offset: int, codes: Sequence[int], *, time_ms: int = START_MS) -> Resolutions:
    items = [
        Resolution(
            id="", code=code, kind=1, debtor="A", creditor="B", asset=ASSET, amount="1.00",
            log_offset=1, row=0, source=("", 0, 0, 0),
        )
        for code in codes
    ]  # fmt: skip
    return Resolutions(netting_set=SET, log_offset=log_offset, time_ms=time_ms, items=items)


def record(said: Event | SettlementBatch | Outcomes | Resolutions | Rejected) -> OutputRecord:
    """As it stands in its topic."""
    match said:
        case SettlementBatch():
            return OutputRecord("settlements", said.id.encode(), encode(said))
        case Outcomes():
            return OutputRecord("outcomes", OUTCOMES_KEY, encode_outcomes(SET, said))
        case Resolutions():
            return OutputRecord("outcomes", RESOLUTION_KEY, encode(said))
        case Rejected():
            return OutputRecord("rejected", b"rejected/1", encode(said))
        case _:
            return OutputRecord("journal", EVENT_KEY, encode(said))
