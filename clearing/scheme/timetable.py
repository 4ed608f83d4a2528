"""Business days and cut-offs to publish: where those published say something else, or do not reach far enough.

Pure. Instants are worked out by clearing.scheme.calendars.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta

from clearing.core.commands import SetCalendar, SetCutoffs
from clearing.core.registry import BusinessDay
from clearing.scheme.calendars import business_days, cutoff_instants_ms
from clearing.scheme.drafts import Draft
from clearing.scheme.model import Asset, Calendar

HORIZON_DAYS = 400
# Calendars and cut-offs are published anew when less than this is left of them.
RENEW_DAYS = 200
_DAY_MS = 86_400_000


@dataclass(frozen=True, slots=True)
class Timetable:
    """today: the UTC date; horizon_days: how far what is published reaches."""

    today: date
    horizon_days: int = HORIZON_DAYS

    def calendar(self, calendar: Calendar | None, known: Sequence[BusinessDay]) -> Iterator[Draft]:
        """The business days of a netting set, if they differ."""
        wanted = business_days(calendar, self.today, self.horizon_days) if calendar else []
        today = (self.today - date(1970, 1, 1)).days
        if not self._same([(d.date, d) for d in known], [(d.date, d) for d in wanted], today, 1):
            text = f"business days of calendar {calendar.name}" if calendar else "no calendar"
            dates = [date(1970, 1, 1) + timedelta(days=day.date) for day in wanted]
            yield f"{text}{_until(dates)}", SetCalendar(id="", by="", days=wanted)

    def cutoffs(self, asset: Asset, known: Sequence[int]) -> Iterator[Draft]:
        """The cut-offs of an asset, if they differ; none of one that has every_s."""
        if asset.spec.every_s:
            return
        schedule = asset.schedule
        wanted = cutoff_instants_ms(schedule, self.today, self.horizon_days) if schedule else []
        midnight = int(datetime.combine(self.today, time(), UTC).timestamp()) * 1000
        if not self._same(
            [(at, at) for at in known], [(at, at) for at in wanted], midnight, _DAY_MS
        ):
            name = asset.spec.id
            text = f"cut-offs of {name}" if wanted else f"no cut-offs of {name}"
            dates = [datetime.fromtimestamp(at // 1000, UTC).date() for at in wanted]
            yield f"{text}{_until(dates)}", SetCutoffs(id="", by="", asset=name, cutoffs_ms=wanted)

    def _same(
        self,
        known: list[tuple[int, object]],
        wanted: list[tuple[int, object]],
        today: int,
        day: int,
    ) -> bool:
        """Whether what is known says, from today on, the same as what is wanted, and reaches far enough.

        Pairs of (when, what), ascending; `today` and `day` in the unit of `when`.
        """
        known, wanted = [[pair for pair in pairs if pair[0] >= today] for pairs in (known, wanted)]
        if not known or not wanted:
            return not known and not wanted
        common = min(known[-1][0], wanted[-1][0])
        enough = today + min(RENEW_DAYS, self.horizon_days // 2) * day
        return known[-1][0] >= min(enough, wanted[-1][0]) and (
            [pair for pair in known if pair[0] <= common]
            == [pair for pair in wanted if pair[0] <= common]
        )


def _until(dates: list[date]) -> str:
    return f" until {dates[-1]}" if dates else ""
