"""The pages of `clearing top` and the keys that call them. Each is a pure function of a scene."""

from collections.abc import Callable
from typing import NamedTuple

from clearing.console.scene import Scene
from clearing.top.page_overview import overview
from clearing.top.page_positions import participants, positions, queues
from clearing.top.page_records import audit, batches
from clearing.top.page_rejected import rejected
from clearing.top.page_services import halts, services
from clearing.top.page_windows import windows
from clearing.top.sheet import Section


class Page(NamedTuple):
    """build: sections of a scene; a page that may be very long makes so many rows only, and counts the rest.

    sections: how many it gives, always; the last is the main one.
    """

    key: str
    name: str
    sections: int
    build: Callable[[Scene, int], list[Section]]


PAGES = (
    Page("1", "overview", 3, overview),
    Page("2", "windows", 1, windows),
    Page("3", "positions", 1, positions),
    Page("4", "queues", 2, queues),
    Page("5", "rejected", 3, rejected),
    Page("6", "services", 1, services),
    Page("7", "halts", 1, halts),
    Page("8", "batches", 1, batches),
    Page("9", "participants", 1, participants),
    Page("0", "audit", 2, audit),
)
NAMES = tuple(page.name for page in PAGES)


def page_of(name: str) -> Page:
    return PAGES[NAMES.index(name)]
