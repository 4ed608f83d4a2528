"""The end-of-day report of one netting set, folded from what its topics say. Pure.

Hand it the journal's events and the batches first, then rows with their outcomes and resolutions, then what waits.
Everything must be of the day's beginning or later; what lies behind its end is told apart by its time.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from statistics import median_low

from clearing.core.outputs import Event, WindowEvent
from clearing.core.reasons import REASONS, Code
from clearing.names import Topics
from clearing.reports.days import Day
from clearing.reports.exceptions import Exceptions
from clearing.reports.model import AccountDay, AssetDay, DayReport, ReasonDay
from clearing.reports.payments import Payments, Sum, Tally, Waiting, money
from clearing.reports.windows import Window, Windows


class DayFold:
    """scales: of the assets that are cleared, as far as they are known; batches add theirs.

    limits: sentences on what could not be known, to be added to.
    """

    def __init__(
        self, netting_set: str, day: Day, scales: Mapping[str, int], topics: Topics | None = None
    ) -> None:
        self.netting_set = netting_set
        self.day = day
        self.scales = dict(scales)
        self.payments = Payments(self.scales)
        self.windows = Windows(day, self.scales)
        self.exceptions = Exceptions(netting_set, day, topics or Topics())
        self.limits: list[str] = []
        self._waiting_is_known = False

    def take_event(self, event: Event) -> None:
        """The next event of the journal."""
        if isinstance(event, WindowEvent):
            self.windows.take_event(event)
        self.exceptions.take_event(event)

    def take_waiting(self, waiting: Iterable[Waiting], now_ms: int) -> None:
        """What waits at the end of the day; now_ms: that end, or now where it has not come."""
        self._waiting_is_known = True
        self.payments.take_waiting(waiting, now_ms)

    def report(self, as_of_ms: int | None) -> DayReport:
        """as_of_ms: engine time up to which the journal has gone; None: there is none."""
        limits = [*self.limits]
        if unknown := self.payments.unknown_waits:
            limits.append(
                f"how long {unknown:,} payments waited is not known: they entered before the day"
            )
        self.exceptions.take_taken_out(self.payments.taken_out, self.scales)
        return DayReport(
            netting_set=self.netting_set,
            date=self.day.date.isoformat(),
            timezone=self.day.timezone,
            from_ms=self.day.from_ms,
            to_ms=self.day.to_ms,
            as_of_ms=as_of_ms,
            is_complete=as_of_ms is not None and as_of_ms >= self.day.to_ms,
            assets=self._assets(),
            accounts=self._accounts(),
            reasons=self._reasons(),
            windows=self.windows.rows(),
            batches=sorted(self.windows.batches, key=lambda batch: batch.sequence),
            nets=self.windows.net_rows(),
            exceptions=self.exceptions.rows(),
            limits=limits,
        )

    # --- by participant ---------------------------------------------------------------------------

    def _accounts(self) -> list[AccountDay]:
        nets: defaultdict[tuple[str, str], int] = defaultdict(int)
        for window in self.windows.windows.values():
            for participant, net in window.nets().items():
                nets[participant, window.asset] += net.net
        keys = self.payments.tallies.keys() | nets.keys() | self.windows.funded.keys()
        return [self._account(*key, nets.get(key, 0)) for key in sorted(keys)]

    def _account(self, participant: str, asset: str, net: int) -> AccountDay:
        tally = self.payments.tallies.get((participant, asset)) or Tally()
        waiting = tally.waiting if self._waiting_is_known else None
        return AccountDay(
            participant=participant,
            asset=asset,
            sent=tally.sent.number,
            sent_value=self._money(tally.sent, asset),
            received=tally.received.number,
            received_value=self._money(tally.received, asset),
            taken_out_sent=tally.taken_out_sent.number,
            taken_out_sent_value=self._money(tally.taken_out_sent, asset),
            taken_out_received=tally.taken_out_received.number,
            taken_out_received_value=self._money(tally.taken_out_received, asset),
            queued=tally.queued.number,
            queued_value=self._money(tally.queued, asset),
            released=tally.released.number,
            released_value=self._money(tally.released, asset),
            ended=tally.ended.number,
            ended_value=self._money(tally.ended, asset),
            waiting=waiting.number if waiting else None,
            waiting_value=self._money(waiting, asset) if waiting else None,
            longest_wait_ms=tally.longest_wait_ms,
            refused=tally.refused,
            unreadable=tally.unreadable,
            repeated=tally.repeated,
            instructions=tally.instructions,
            net=self.windows.show(net, asset) if asset else None,
            funded=self.windows.show(self.windows.funded.get((participant, asset), 0), asset)
            if asset
            else None,
        )

    def _money(self, total: Sum, asset: str) -> str | None:
        return money(total.value, asset, self.scales)

    def _reasons(self) -> list[ReasonDay]:
        return sorted(
            (
                ReasonDay(
                    participant=key.participant,
                    asset=key.asset,
                    kind=key.kind,
                    reason=REASONS[Code(key.code)].iso,
                    text=REASONS[Code(key.code)].text,
                    payments=total.number,
                    value=self._money(total, key.asset),
                )
                for key, total in self.payments.reasons.items()
            ),
            key=lambda row: (row.participant, row.asset, row.kind, row.reason, row.text),
        )

    # --- by asset ---------------------------------------------------------------------------------

    def _assets(self) -> list[AssetDay]:
        by_asset: defaultdict[str, list[Tally]] = defaultdict(list)
        for (_, asset), tally in self.payments.tallies.items():
            if asset:
                by_asset[asset].append(tally)
        windows: defaultdict[str, list[Window]] = defaultdict(list)
        for window in self.windows.windows.values():
            windows[window.asset].append(window)
        return [
            self._asset(asset, by_asset.get(asset, []), windows.get(asset, []))
            for asset in sorted({*by_asset, *windows})
        ]

    def _asset(self, asset: str, tallies: list[Tally], windows: list[Window]) -> AssetDay:
        total = {name: _total(tallies, name) for name in _SUMMED}
        waiting = total["waiting"] if self._waiting_is_known else None
        waits = [t.longest_wait_ms for t in tallies if t.longest_wait_ms is not None]
        finality = [w.finality_ms for w in windows if w.finality_ms is not None and w.settled]
        nets = sum(abs(net.net) for window in windows for net in window.nets().values())
        values = {
            f"{name}_value": self._money(one, asset)
            for name, one in total.items()
            if name != "waiting"
        }
        return AssetDay(
            asset=asset,
            accepted=total["sent"].number,
            accepted_value=values["sent_value"],
            taken_out=total["taken_out_sent"].number,
            taken_out_value=values["taken_out_sent_value"],
            refused=sum(tally.refused for tally in tallies),
            queued=total["queued"].number,
            queued_value=values["queued_value"],
            released=total["released"].number,
            released_value=values["released_value"],
            ended=total["ended"].number,
            ended_value=values["ended_value"],
            waiting=waiting.number if waiting else None,
            waiting_value=self._money(waiting, asset) if waiting else None,
            longest_wait_ms=max(waits, default=None),
            windows=len(windows),
            windows_final=sum(window.final_at_ms is not None for window in windows),
            batches=sum(window.batches for window in windows),
            gross=self.windows.show(sum(window.gross for window in windows), asset),
            net=self.windows.show(nets // 2, asset),
            finality_median_ms=median_low(finality) if finality else None,
            finality_longest_ms=max(finality, default=None),
        )


_SUMMED = ("sent", "taken_out_sent", "queued", "released", "ended", "waiting")


def _total(tallies: list[Tally], name: str) -> Sum:
    total = Sum()
    for tally in tallies:
        one: Sum = getattr(tally, name)
        total.add(one.number, one.value)
    return total
