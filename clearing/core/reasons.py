"""Outcome codes: what became of a row of the log, and why.

One byte a row. The numbers are a STORED FORMAT (outcomes topic, snapshots): never renumber, only append.
Refusals stand in REASONS in the order of their precedence: the first that applies is the reason given, so
that the answer is the same on every replay. ISO codes are from the external code set (R41); X… are our own.
"""

from enum import IntEnum, StrEnum
from typing import NamedTuple


class Status(StrEnum):
    """ISO 20022 payment status (R41)."""

    ACSP = "ACSP"  # accepted for settlement: irrevocable (R23)
    PDNG = "PDNG"  # queued
    RJCT = "RJCT"  # refused or rejected
    ACSC = "ACSC"  # settled: final, the ledger has confirmed
    CANC = "CANC"  # cancelled by its sender
    # Of instructions about a payment (camt.029):
    CNCL = "CNCL"  # carried out
    PDCR = "PDCR"  # the creditor is asked


class Code(IntEnum):
    """Outcome of one row. 10-39: could not be read (intake); 40-99: refused (engine), or why a payment
    that waited, or was accepted, has ended."""

    ACCEPTED = 0
    QUEUED = 1
    ALREADY_READ = 2  # a row read before from the same source offset: dropped, nobody is told
    DONE = 3  # a cancellation, change of priority or answer has been carried out
    REQUESTED = 4  # a cancellation of something accepted: its creditor is asked (R23)

    EMPTY = 10
    ENCODING = 11
    SYNTAX = 12
    DUPLICATE_KEY = 13
    FIELD = 14
    VERSION = 15
    TOO_LARGE = 16
    CHARACTER = 17
    ID = 18
    AMOUNT_SYNTAX = 19
    AMOUNT_ZERO = 20
    AMOUNT_RANGE = 21
    DATE_SYNTAX = 22
    CONTROL_SUM = 23
    ITEM_COUNT = 24
    LEGS = 25
    QUOTED = 26

    NOT_OWNER = 40
    DUPLICATE_ID = 41
    UNKNOWN_DEBTOR = 42
    UNKNOWN_CREDITOR = 43
    SAME_PARTY = 44
    UNKNOWN_ASSET = 45
    DEBTOR_CLOSED = 46
    CREDITOR_CLOSED = 47
    DEBTOR_SUSPENDED = 48
    CREDITOR_SUSPENDED = 49
    DEBTOR_NO_ACCOUNT = 50
    CREDITOR_NO_ACCOUNT = 51
    SCALE = 52
    OVER_MAXIMUM = 53
    VALUE_DATE = 54
    WINDOW_CLOSED = 55
    EXPIRED = 56
    POSITION_RANGE = 57
    LIQUIDITY = 58
    NET_DEBIT_CAP = 59
    DEBTOR_DEFAULTED = 60
    CREDITOR_DEFAULTED = 61
    LINK_ENDED = 62
    LINK_MISMATCH = 63
    LINK_PAIR = 64
    LINK_REFUSED = 65
    NO_ORIGINAL = 66
    NOT_WAITING = 67
    RETURN_EXCEEDS = 68
    NO_REQUEST = 69
    BILATERAL_LIMIT = 70
    VALUE_CHECK = 71
    CANCELLED = 72
    CUTOFF = 73
    RECAST = 74


class Reason(NamedTuple):
    """`iso`: the code a bank sees; `text`: one sentence for people."""

    iso: str
    text: str


REASONS: dict[Code, Reason] = {
    Code.EMPTY: Reason("XEMP", "the record is empty"),
    Code.ENCODING: Reason("XENC", "not plain UTF-8 (bad bytes, surrogate or byte-order mark)"),
    Code.SYNTAX: Reason("XSYN", "not exactly one well-formed JSON document"),
    Code.DUPLICATE_KEY: Reason("XDUP", "a key stands twice in one object"),
    Code.FIELD: Reason("XFLD", "a field is missing, unknown or of the wrong type"),
    Code.VERSION: Reason("XVER", "unknown message type or schema version"),
    Code.TOO_LARGE: Reason("XSIZ", "the record is larger than allowed"),
    Code.CHARACTER: Reason("XCHR", "an identifier holds a character that is not allowed"),
    Code.ID: Reason("XUID", "the id is not a lower-case UUIDv4"),
    Code.AMOUNT_SYNTAX: Reason("AM12", "the amount is not a plain decimal string"),
    Code.AMOUNT_ZERO: Reason("AM01", "the amount is zero"),
    Code.AMOUNT_RANGE: Reason("AM02", "the amount has more than 18 digits"),
    Code.DATE_SYNTAX: Reason("DT01", "a date or time is not valid"),
    Code.CONTROL_SUM: Reason("AM10", "the control sum differs from the sum of the items"),
    Code.ITEM_COUNT: Reason("XCNT", "the count differs from the number of items"),
    Code.LEGS: Reason(
        "XLNK", "the legs declared are not at least two, or this payment is none of them"
    ),
    Code.QUOTED: Reason("XORG", "the original quoted does not fit what is asked"),
    Code.NOT_OWNER: Reason("XSND", "the debtor is not the owner of the topic it came from"),
    Code.DUPLICATE_ID: Reason("AM05", "this id was used before with another content"),
    Code.UNKNOWN_DEBTOR: Reason("DNOR", "the debtor is not registered"),
    Code.UNKNOWN_CREDITOR: Reason("CNOR", "the creditor is not registered"),
    Code.SAME_PARTY: Reason("AG01", "debtor and creditor are the same"),
    Code.UNKNOWN_ASSET: Reason("AM03", "the asset is not cleared in this netting set"),
    Code.DEBTOR_CLOSED: Reason("AC04", "the debtor has left the scheme"),
    Code.CREDITOR_CLOSED: Reason("AC04", "the creditor has left the scheme"),
    Code.DEBTOR_DEFAULTED: Reason("AC06", "the debtor is in default"),
    Code.CREDITOR_DEFAULTED: Reason("AC06", "the creditor is in default"),
    Code.DEBTOR_SUSPENDED: Reason("AC06", "the debtor is suspended"),
    Code.CREDITOR_SUSPENDED: Reason("AC06", "the creditor is suspended"),
    Code.DEBTOR_NO_ACCOUNT: Reason("AC01", "the debtor has no account in this asset"),
    Code.CREDITOR_NO_ACCOUNT: Reason("AC01", "the creditor has no account in this asset"),
    Code.SCALE: Reason("AM12", "the amount has more decimals than the asset"),
    Code.OVER_MAXIMUM: Reason("AM02", "the amount is over the asset's maximum"),
    Code.VALUE_DATE: Reason("DT01", "the value date is past, too far ahead or no business day"),
    Code.WINDOW_CLOSED: Reason("TM01", "the window asked for is not open"),
    Code.EXPIRED: Reason("TM01", "the instruction has expired"),
    Code.NO_ORIGINAL: Reason(
        "NOOR", "no payment of this id and content is known to be the sender's"
    ),
    Code.NOT_WAITING: Reason("XWAI", "the payment does not wait"),
    Code.RETURN_EXCEEDS: Reason("AM09", "more than is left of the original to return"),
    Code.NO_REQUEST: Reason("NOOR", "no request of this id waits for the sender's answer"),
    Code.LINK_PAIR: Reason("XLNK", "no settlement model is declared for the assets of the link"),
    Code.LINK_ENDED: Reason("XLNK", "the link has been settled, refused or has expired"),
    Code.LINK_MISMATCH: Reason("XLNK", "the leg does not match the other legs of its link"),
    Code.LINK_REFUSED: Reason("XLNK", "another leg of the link was refused or has ended"),
    Code.POSITION_RANGE: Reason(
        "AM02", "the asset's unsettled value would pass what can be counted"
    ),
    Code.BILATERAL_LIMIT: Reason("AM13", "the bilateral limit would be passed"),
    Code.LIQUIDITY: Reason("AM04", "not enough liquidity"),
    Code.NET_DEBIT_CAP: Reason("AM23", "the net debit cap would be passed"),
    Code.VALUE_CHECK: Reason(
        "XVAL", "the value of the debtor's positions would not cover its debts"
    ),
    Code.CANCELLED: Reason("CUST", "cancelled by its sender"),
    Code.CUTOFF: Reason("AB03", "it could not be settled by the cut-off"),
    Code.RECAST: Reason("XREC", "taken out of its window: a party could not pay"),
}

FIRST_REJECT, FIRST_REFUSAL = 10, 40

_STATUSES: dict[int, Status] = {
    Code.ACCEPTED: Status.ACSP,
    Code.QUEUED: Status.PDNG,
    Code.DONE: Status.CNCL,
    Code.REQUESTED: Status.PDCR,
    Code.CANCELLED: Status.CANC,
}


def status_of(code: int) -> Status:
    """Status told to the bank for an outcome code (ALREADY_READ has none: nobody is told)."""
    special = _STATUSES.get(code)
    assert special or code >= FIRST_REJECT, f"no status for outcome {code}"
    return special or Status.RJCT
