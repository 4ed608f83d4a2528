"""Black-box verification: from topics and ledger alone, that nothing was lost, doubled or changed.

R1-R12, R17-R25, R28-R30, R32, R33, R41; what each claim compares is said beside it.

`verify(settings)` reads everything and returns a Report; each check is a small pure function over what was read.
"""

from clearing.verify.report import Check, Flow, Report
from clearing.verify.run import verify

__all__ = ["Check", "Flow", "Report", "verify"]
