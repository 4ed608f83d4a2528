"""The assets section of a scheme file: what an asset is, when its windows close, what an account starts with.

How it is settled is read by clearing.scheme.policies.
"""

import re
from datetime import time
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

from clearing.core.money import MAX_SCALE, show
from clearing.core.registry import AssetKind, AssetSpec
from clearing.names import ASSET, NETTING_SET
from clearing.scheme.accounts import Terms, read_terms
from clearing.scheme.fields import Table, did_you_mean, shown
from clearing.scheme.model import Asset, Calendar, NettingSet, Schedule
from clearing.scheme.policies import read_policies, read_valuation

MAX_EVERY_S = 86_400
MAX_VALUE_DAYS_AHEAD = 366

_ISSUER = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9 ._-]{0,33}[A-Za-z0-9._-])?", re.ASCII)
_CLOCK = re.compile(r"([01][0-9]|2[0-3]):([0-5][0-9])(?::([0-5][0-9]))?", re.ASCII)
_ANY = re.compile(r".*", re.DOTALL)


def read_asset(
    asset_id: str,
    table: Table,
    netting_sets: dict[str, NettingSet],
    calendars: dict[str, Calendar],
) -> tuple[Asset, Terms | None]:
    """The asset, and what each participant's account starts with (None: only those who say so have one)."""
    if not ASSET.fullmatch(asset_id):
        table.complain("an asset's id is 1-35 of A-Z, a-z, 0-9, _ and -")
    netting_set = table.choice("netting_set", netting_sets)
    scale = table.whole("scale", 0, MAX_SCALE)
    maximum = table.amount("max_amount", scale)
    if maximum == 0:
        table.complain("zero would refuse every payment", "max_amount")
    every_s = table.whole("every_s", 1, MAX_EVERY_S, default=0)
    home = netting_sets.get(netting_set)
    policies = read_policies(table)
    spec = AssetSpec(
        id=asset_id,
        code=table.text("code", ASSET, "a code: 1-35 of A-Z, a-z, 0-9, _ and -", asset_id),
        issuer=table.text("issuer", _ISSUER, "an issuer: 1-35 of A-Z, a-z, 0-9, space, . _ and -"),
        ledger=table.text("ledger", NETTING_SET, "a ledger's name: 1-32 of a-z, 0-9 and -"),
        scale=scale,
        kind=AssetKind(table.choice("kind", AssetKind) or AssetKind.CASH),
        model=policies.model,
        every_s=every_s,
        max_amount="" if maximum is None else show(maximum, scale),
        value_days_ahead=table.whole("value_days_ahead", 0, MAX_VALUE_DAYS_AHEAD, default=0),
        queue=policies.queue,
        at_cutoff=policies.at_cutoff,
        on_shortfall=policies.on_shortfall,
        set_off=policies.set_off,
    )
    pool = table.amount("pool", scale)
    schedule = _schedule(table, home.calendar if home else None, calendars)
    valuation = read_valuation(table, scale)
    terms = None
    if (inner := table.table("accounts")) is not None:
        terms = read_terms(inner, scale)
        inner.end()
    table.end()
    paid_in = None if pool is None else show(pool, scale)
    return Asset(spec, netting_set, schedule, paid_in, valuation), terms


def read_zone(table: Table) -> str:
    """An IANA time zone that exists. Placeholder UTC."""
    name = table.text("zone", _ANY, "a time zone like Europe/Zurich") or "UTC"
    try:
        return ZoneInfo(name).key
    except (ZoneInfoNotFoundError, ValueError, OSError):  # unknown; not a name at all; a folder
        hint = did_you_mean(name, available_timezones(), cutoff=0.75)
        table.complain(f"the time zone {shown(name)} does not exist{hint}", "zone")
        return "UTC"


def _schedule(
    table: Table, calendar: Calendar | None, calendars: dict[str, Calendar]
) -> Schedule | None:
    """Cut-off times, None where there are none. Zone and calendar: own, else those of the netting set."""
    cutoffs = _cutoffs(table)
    named = table.choice("calendar", calendars, default="")
    calendar = calendars.get(named, calendar)
    zone = read_zone(table) if "zone" in table.values else (calendar.zone if calendar else "")
    table.also("zone")
    if "cutoffs" not in table.values:
        for key in ("zone", "calendar"):
            if key in table.values:
                table.complain("means nothing without cutoffs", key)
        return None
    if "every_s" in table.values:
        table.complain("either every_s or cutoffs, not both", "cutoffs")
    if not cutoffs:
        table.complain("a list of at least one time like 17:00", "cutoffs")
    if not zone and "zone" not in table.values:
        table.complain("cut-offs need a zone, or a calendar that has one", "cutoffs")
    return Schedule(tuple(cutoffs), zone, calendar)


def _cutoffs(table: Table) -> list[time]:
    found: list[time] = []
    for index, item in table.items("cutoffs", "times"):
        match = _CLOCK.fullmatch(item) if isinstance(item, str) else None
        if match:
            at = time(int(match[1]), int(match[2]), int(match[3] or 0))
        elif isinstance(item, time) and item.microsecond == 0:
            at = item
        else:
            hint = "; the end of a day is the next day's 00:00" if item == "24:00" else ""
            table.complain(
                f"{shown(item)} is not a time of day from 00:00 to 23:59:59{hint}", "cutoffs", index
            )
            continue
        if found and at <= found[-1]:
            table.complain(f"{shown(item)} does not come after {found[-1]}", "cutoffs", index)
        else:
            found.append(at)
    return found
