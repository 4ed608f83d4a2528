"""What the doctor says: one finding per thing looked at. Values only."""

from enum import StrEnum

import msgspec


class Verdict(StrEnum):
    """WARN: it works, and will not for ever, or nobody can tell. FAIL: it does not, or money is at risk."""

    PASS = "pass"
    WARN = "warn"
    FAIL = "fail"


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """text: what was found, a sentence. fix: the command to run or thing to do, "" where nothing has to be done."""

    # brokers, topics, transactions, acls, clocks, lag, disk, ledger, services, versions; or security alone
    check: str
    verdict: Verdict
    text: str
    fix: str = ""


def passed(check: str, text: str) -> Finding:
    return Finding(check=check, verdict=Verdict.PASS, text=text)


def warned(check: str, text: str, fix: str) -> Finding:
    return Finding(check=check, verdict=Verdict.WARN, text=text, fix=fix)


def failed(check: str, text: str, fix: str) -> Finding:
    return Finding(check=check, verdict=Verdict.FAIL, text=text, fix=fix)
