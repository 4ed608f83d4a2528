"""What is going on: services, windows with time to cut-off, positions against caps, lag of every stage.

`collect(settings)` looks once; an `observer` looks again and again without reading everything anew. A `sampler`
looks at lag alone, once a second: records, seconds, money, time to drain, and whether the cut-offs will be made.
"""

from clearing.observe.observer import Observer, collect, observer
from clearing.observe.report import Lag, Member, OpenWindow, Service, StatusReport
from clearing.observe.sampler import Sampler, sampler
from clearing.observe.transactions import OpenTransaction

__all__ = [
    "Lag",
    "Member",
    "Observer",
    "OpenTransaction",
    "OpenWindow",
    "Sampler",
    "Service",
    "StatusReport",
    "collect",
    "observer",
    "sampler",
]
