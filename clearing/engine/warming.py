"""Machine code of the whole path from the log to its outputs, before it is waited for.

Loops over arrays are compiled when they are first called (clearing.core.compiled), which takes seconds once on a
machine: in the middle of its work an engine would miss heartbeats. A small log of two days calls all of them.
"""

import numpy as np

from clearing.core.commands import OpenAccount, RegisterAsset, RegisterParticipant
from clearing.core.inputs import ControlItem, SourceSpan
from clearing.core.registry import AssetSpec
from clearing.engine.machine import Machine
from clearing.log import control, payments
from clearing.log.rows import RowBatch

_ROWS = 800  # more ids than their first table has room for
_DAY_MS = 86_400_000
_DEBTOR, _CREDITOR, _ASSET = "DEBTOR", "CREDITOR", "ASSET"


def warm() -> None:
    """Compile, or load what was compiled before. Blocks: call it in a thread."""
    machine = Machine("warm")
    commands = [
        RegisterAsset(
            id="asset",
            by="",
            asset=AssetSpec(id=_ASSET, code=_ASSET, issuer="", ledger="", scale=2),
        ),
        *(RegisterParticipant(id=name, by="", participant=name) for name in (_DEBTOR, _CREDITOR)),
        *(
            OpenAccount(
                id=f"open-{name}", by="", participant=name, asset=_ASSET, net_debit_cap="1000"
            )
            for name in (_DEBTOR, _CREDITOR)
        ),
    ]
    items = [ControlItem(source=0, offset=i, message=item) for i, item in enumerate(commands)]
    span = SourceSpan("commands", 0, 0, len(items))
    machine.apply(control.KEY, control.pack(items, [span]), 0, 0)
    for day in (
        0,
        1,
    ):  # the same ids again on the second, where they are looked for among the first's
        machine.apply(payments.KEY, _record(day), 1 + day, day * _DAY_MS)


def _record(day: int) -> bytes:
    """A payment of a cent in each row, but for one that says the wrong date."""
    start = day * _ROWS
    batch = RowBatch(
        id=np.arange(2 * _ROWS).view(np.uint8).reshape(_ROWS, 16),
        debtor=[_DEBTOR] * _ROWS,
        creditor=[_CREDITOR] * _ROWS,
        asset=[_ASSET] * _ROWS,
        amount=np.ones(_ROWS, np.int64),
        decimals=np.full(_ROWS, 2, np.uint8),
        value_date=np.array([1, *[0] * (_ROWS - 1)], np.int32),
        priority=np.zeros(_ROWS, np.uint8),
        kind=np.ones(_ROWS, np.uint8),
        end_to_end_id=[""] * _ROWS,
        chain_reference=None,
        expires_at_ms=np.zeros(_ROWS, np.int64),
        window=np.zeros(_ROWS, np.int32),
        source=np.zeros(_ROWS, np.int32),
        source_offset=np.arange(start, start + _ROWS),
        item=np.full(_ROWS, -1, np.int32),
        reject=np.zeros(_ROWS, np.uint8),
    )
    span = SourceSpan(f"payments.warm.{_DEBTOR}", 0, start, start + _ROWS)
    return payments.pack(batch, [span])
