"""What became of payments that waited, told to both sides: resolutions in, JSON status records out. Pure."""

from collections import defaultdict
from collections.abc import Mapping

import msgspec

from clearing.core.outputs import Resolution, Resolutions
from clearing.core.reasons import Code
from clearing.dispatch.frames import BankRecord, Frame, Rows
from clearing.dispatch.terms import resolved_terms
from clearing.dispatch.wording import wording
from clearing.messages import PaymentStatus, Receipt, Withdrawal

_encode = msgspec.json.Encoder().encode


def resolution_records(resolutions: Resolutions, indexes: Mapping[str, int]) -> list[BankRecord]:
    """(participant, JSON of a StatusRecord) for everybody whom the resolutions concern; parts of one in order.

    The debtor hears the status (R41): ACSP with its window when it is released, wholly or in part (R22), else how
    it ended. The creditor hears of what it receives, and of what it loses when a window is recast (R25).
    indexes: next index of each participant at this log offset; without an entry: 0.
    Raises ValueError on a code of a newer version.
    """
    told: defaultdict[str, Rows] = defaultdict(Rows)
    for one in resolutions.items:
        told[one.debtor].add("statuses", _encode(_status(one)))
        if one.code == Code.ACCEPTED:
            receipt = _receipt(one, resolutions.time_ms)
            told[one.creditor].add("receipts", _encode(receipt))
        elif one.code == Code.RECAST:
            told[one.creditor].add("withdrawn", _encode(_withdrawal(one)))
    name = _encode(resolutions.netting_set).decode()
    frame = Frame(name, resolutions.log_offset, resolutions.time_ms)
    return [
        (participant, record)
        for participant, rows in told.items()
        for record in frame.records(rows.pieces(), indexes.get(participant, 0))
    ]


def _status(one: Resolution) -> PaymentStatus:
    status, reason, text = wording(one.code)
    return PaymentStatus(
        id=one.id,
        status=status,
        end_to_end_id=one.end_to_end_id,
        asset=one.asset,
        amount=one.amount,
        creditor=one.creditor,
        window=one.window,
        remaining=one.remaining,
        return_of=one.return_of,
        reason=reason,
        text=text,
        source=one.source,
    )


def _receipt(one: Resolution, time_ms: int) -> Receipt:
    return Receipt(
        id=one.id,
        debtor=one.debtor,
        asset=one.asset,
        amount=one.amount,
        end_to_end_id=one.end_to_end_id,
        window=one.window,
        remaining=one.remaining,
        return_of=one.return_of,
        chain_reference=one.chain_reference,
        amount_sent=one.amount_sent,
        link=one.link,
        **resolved_terms(one, time_ms),
    )


def _withdrawal(one: Resolution) -> Withdrawal:
    _, reason, text = wording(one.code)
    return Withdrawal(
        id=one.id,
        debtor=one.debtor,
        asset=one.asset,
        amount=one.amount,
        end_to_end_id=one.end_to_end_id,
        window=one.window,
        reason=reason,
        text=text,
    )
