"""A scheme file's text to a Scheme, or to everything that is wrong with it, each with its line.

Pure but for the time zone database. Sections are read one by one, in the order in which they know each other;
what holds between them (the same asset twice, sums that cannot be counted) is in clearing.scheme.checks.
"""

import re
from datetime import date, datetime

from clearing.names import NETTING_SET, PARTICIPANT
from clearing.scheme.accounts import Terms, read_accounts
from clearing.scheme.assets import read_asset, read_zone
from clearing.scheme.checks import check
from clearing.scheme.document import Problem, read
from clearing.scheme.fields import Complaints, Table, shown
from clearing.scheme.model import (
    Account,
    Asset,
    Calendar,
    NettingSet,
    Participant,
    Scheme,
)
from clearing.scheme.policies import read_pair, worth

DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")

# People's names may be in any script, but hold nothing that moves a cursor, hides or turns what stands beside it:
# intake refuses such a name too, in a command.
_TITLE = re.compile(
    "(?=.*\\S)[^\x00-\x1f\x7f-\x9f\u00ad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff0-\uffff"
    "\U000e0000-\U000e0fff]+"
)
_TITLE_MAX = 140
_EVERY_DAY = Calendar("", "UTC", frozenset(), ())  # placeholder of a calendar that does not exist


def parse(source: str | bytes) -> Scheme | list[Problem]:
    """Read and check a scheme file; all problems at once, in the order of their lines."""
    document = read(source)
    if isinstance(document, list):
        return document
    complaints = Complaints(document)
    top = Table(complaints, (), document.values)
    title = _title(top)
    calendars = {name: _calendar(name, table) for name, table in top.tables("calendars")}
    netting_sets = {
        name: _netting_set(name, table, calendars) for name, table in top.tables("netting_sets")
    }
    assets: dict[str, Asset] = {}
    defaults: dict[str, Terms | None] = {}
    for name, table in top.tables("assets"):
        assets[name], defaults[name] = read_asset(name, table, netting_sets, calendars)
    participants: dict[str, Participant] = {}
    accounts: list[Account] = []
    tables = dict(top.tables("participants"))
    for name, table in tables.items():
        participants[name] = _participant(name, table, netting_sets)
        accounts += read_accounts(participants[name], table, assets, defaults, tables)
        table.end()
    pairs = tuple(read_pair(table, assets) for table in top.rows("pairs"))
    top.end()
    scheme = Scheme(title, netting_sets, assets, participants, tuple(accounts), pairs)
    check(scheme, complaints)
    return sorted(complaints.problems) or scheme


def _title(table: Table, default: str | None = None) -> str:
    what = f"a name of 1-{_TITLE_MAX} printable characters"
    name = table.text("name", _TITLE, what, default)
    if len(name) > _TITLE_MAX:
        table.complain(f"{shown(name)} is not {what}", "name")
    return name


def _calendar(name: str, table: Table) -> Calendar:
    if not NETTING_SET.fullmatch(name):
        table.complain("a calendar's name is 1-32 of a-z, 0-9 and -")
    weekend = table.names("weekend", DAYS, "days of the week")
    if weekend is not None and len(weekend) == len(DAYS):
        table.complain("no day of the week is left for business", "weekend")
    off = DAYS[5:] if weekend is None else weekend
    holidays: list[date] = []
    for index, item in table.items("holidays", "dates"):
        if not isinstance(item, date) or isinstance(item, datetime):
            message = f"{shown(item)} is not a date like 2027-01-01, without quotes"
            table.complain(message, "holidays", index)
        elif item in holidays:
            table.complain(f"{item} stands twice", "holidays", index)
        else:
            holidays.append(item)
    zone = read_zone(table)
    table.end()
    return Calendar(name, zone, frozenset(map(DAYS.index, off)), tuple(sorted(holidays)))


def _netting_set(name: str, table: Table, calendars: dict[str, Calendar]) -> NettingSet:
    if not NETTING_SET.fullmatch(name):
        table.complain("a netting set's name is 1-32 of a-z, 0-9 and -")
    calendar = table.choice("calendar", calendars, default="")
    four_eyes = table.flag("four_eyes")
    table.end()
    refused = "calendar" in table.values and not calendar
    return NettingSet(name, _EVERY_DAY if refused else calendars.get(calendar), four_eyes)


def _participant(
    participant_id: str, table: Table, netting_sets: dict[str, NettingSet]
) -> Participant:
    """By default a participant is in every netting set."""
    if not PARTICIPANT.fullmatch(participant_id):
        table.complain("a participant's id is 2-35 of A-Z, 0-9, _ and -; a BIC fits")
    chosen = table.names("netting_sets", netting_sets, "netting sets")
    if chosen == [] and not table.values["netting_sets"]:
        table.complain("a participant is in one netting set at least", "netting_sets")
    members = tuple(netting_sets) if chosen is None else tuple(chosen)
    title = _title(table, default=participant_id)
    limit = False if table.is_false("short_limit") else worth(table, "short_limit")
    return Participant(participant_id, title, members, limit)
