"""State of one netting set: registry, accounts, windows, what awaits its ledger; changed only by step().

Everything is either a small structure or a column, so that a snapshot is one header and some arrays.
"""

from bisect import bisect_right
from dataclasses import dataclass, field

import msgspec
import numpy as np

from clearing.core.bilateral import BilateralLimits
from clearing.core.ids import Remembered
from clearing.core.inputs import I32, I64, U8, Bool
from clearing.core.members import Fresh, Members
from clearing.core.money import MAX_AMOUNT, parse
from clearing.core.outputs import SettlementBatch
from clearing.core.registry import (
    AssetSpec,
    BisModel,
    BusinessDay,
    Delay,
    Granularity,
    Interchange,
    OnShortfall,
    ParticipantStatus,
    QueuePolicy,
)
from clearing.core.waiting import Link, Proposal, Request, Returned, Waiting

NO_HASH = "0" * 64
DAY_MS = 86_400_000
ANY_DEBIT = 1 << 62


class Window(msgspec.Struct):
    """The open window of an asset. cutoff_ms: when the schedule closes it, 0: only a command does. bound: payments
    that were to be cleared in it or not at all, and waited (R17); those that wait no more are among them."""

    number: int
    opened_at_ms: int
    cutoff_ms: int
    payments: int = 0
    gross: int = 0
    log_first: int = -1
    log_last: int = -1
    members_root: str = NO_HASH
    has_links: bool = False  # some of its payments are legs
    bound: list[str] = []


class Valuation(msgspec.Struct, frozen=True):
    """R10: price of one whole unit and short limit, see clearing.core.value. short_limit: -1 is none."""

    price: int
    haircut_bp: int
    short_limit: int


class Asset(msgspec.Struct):
    """An asset, its open window and its gross value that is not settled (open and pending windows) or waits.

    pool: the scheme's default fund (R25). joint: assets whose open windows hold legs of the same links (R20).
    """

    spec: AssetSpec
    window: Window
    max_amount: int
    cutoffs_ms: list[int] = []
    unsettled: int = 0
    waiting: int = 0
    pool: int = 0
    valuation: Valuation | None = None
    joint: set[int] = set()

    @property
    def queues(self) -> bool:
        return self.spec.queue is not QueuePolicy.NONE

    @property
    def is_immediate(self) -> bool:
        return self.spec.model.delay is Delay.IMMEDIATE

    @property
    def is_gross(self) -> bool:
        return self.spec.model.granularity is Granularity.GROSS

    @property
    def is_multilateral(self) -> bool:
        """Nets over all participants: what a batch needs stands in the accounts' columns."""
        model = self.spec.model
        return (model.granularity, model.interchange) == (Granularity.NET, Interchange.MULTILATERAL)

    @property
    def keeps_members(self) -> bool:
        """Whether the payments of a window must be known one by one: to settle them, or to undo some (R25)."""
        return not self.is_multilateral or self.spec.on_shortfall is not OnShortfall.HOLD


class Pending(msgspec.Struct):
    """A batch its ledger has not confirmed, or has refused.

    state: PENDING_SETTLEMENT, POSTED (waits for the others of its group) or FAILED. group: number of the
    batches that are final together: the parts of a window and the windows it is linked with (R20).
    on_shortfall: the rule under which the window was closed; it holds for all its versions. has_links: see Window.
    """

    batch: SettlementBatch
    state: str
    cutoff_ms: int = 0
    group: int = 0
    on_shortfall: OnShortfall = OnShortfall.HOLD
    has_links: bool = False


class Participant(msgspec.Struct):
    id: str
    name: str


@dataclass(slots=True)
class Accounts:
    """Dense columns over (participant, asset). The last row and column stand for "unknown": never open.

    Flat index = participant * width + asset; an unknown participant or asset (-1) wraps to the edge.
    """

    open: Bool
    prefunded: I64
    cap: I64
    position: I64
    reserved: I64
    overdraft: I64  # how far below zero the ledger lets the account go
    debits: I64  # of the open window, like the three below
    credits: I64
    sent: I64
    received: I64
    collateral: I64  # R25; not at the ledger
    queued: I64  # value of its payments that stand in its queue
    queued_payments: I64
    incoming: I64  # value of payments to it that stand in others' queues
    underway: (
        I64  # nets of batches that are not final, from their entries (clearing.core.invariants)
    )
    floor: (
        I64  # headroom that is not its payments' fault: below zero where a command has put it (R9)
    )

    @classmethod
    def empty(cls, rows: int, width: int) -> "Accounts":
        numbers = [np.zeros((rows, width), np.int64) for _ in range(15)]
        return cls(np.zeros((rows, width), np.bool_), *numbers)

    def columns(self) -> list[I64 | Bool]:
        return [getattr(self, name) for name in self.__slots__]

    def grown(self, rows: int, width: int) -> "Accounts":
        """A copy with more room; the old edge was empty and stays so."""
        larger = Accounts.empty(rows, width)
        for old, new in zip(self.columns(), larger.columns(), strict=True):
            new[: old.shape[0], : old.shape[1]] = old
        return larger

    def headroom(self, account: I64) -> I64:
        """R8: prefunded + cap + credits - debits - reserved of flat accounts."""
        columns = (self.prefunded, self.cap, self.position, self.reserved)
        held, caps, positions, reserved = (column.reshape(-1)[account] for column in columns)
        return held + caps + positions - reserved


class Counters(msgspec.Struct):
    """Scalars of the state that a snapshot carries as they are."""

    time_ms: int = 0
    business_date: int = 0  # days since the epoch
    batches: int = 0  # settlement batches so far = sequence of the last
    last_batch_hash: str = NO_HASH
    positions_at_ms: int = 0
    arrivals: int = 0  # payments that have waited so far
    groups: int = 0  # of batches that are final together
    next_expiry_ms: int = 0  # nothing that waits expires before; 0: nothing expires
    approval_required: bool = False  # R33
    search_at_ms: int = 0  # see clearing.core.release: no search for sets before,
    search_due: bool = False  # although one is due


@dataclass(slots=True)
class NettingSet:
    """seed: of the id tables; shapes memory only, never a result. retention_days: how long ids are remembered.

    positions_interval_ms: `positions` is written at most this often (log time).
    """

    name: str
    seed: int = 0
    retention_days: int = 3
    positions_interval_ms: int = 500
    counters: Counters = field(default_factory=Counters)
    sources: dict[tuple[str, int], int] = field(default_factory=dict[tuple[str, int], int])
    commands: dict[str, str] = field(default_factory=dict[str, str])
    participants: list[Participant] = field(default_factory=list[Participant])
    assets: list[Asset] = field(default_factory=list[Asset])
    pending: dict[str, Pending] = field(default_factory=dict[str, Pending])
    calendar: list[BusinessDay] = field(default_factory=list[BusinessDay])
    waiting: dict[str, Waiting] = field(default_factory=dict[str, Waiting])
    queues: dict[tuple[int, int], list[Waiting]] = field(
        default_factory=dict[tuple[int, int], list[Waiting]]
    )
    links: dict[str, Link] = field(default_factory=dict[str, Link])
    ended_links: dict[str, int] = field(default_factory=dict[str, int])
    requests: dict[str, Request] = field(default_factory=dict[str, Request])
    asked: set[str] = field(default_factory=set[str])  # originals of requests
    returned: dict[str, Returned] = field(default_factory=dict[str, Returned])
    pairs: dict[tuple[int, int], BisModel] = field(
        default_factory=dict[tuple[int, int], BisModel]
    )  # (delivery, payment)
    bilateral: BilateralLimits = field(default_factory=BilateralLimits)
    short_limits: dict[int, int] = field(default_factory=dict[int, int])
    proposals: dict[str, Proposal] = field(default_factory=dict[str, Proposal])
    members: dict[tuple[int, int], Members] = field(
        default_factory=dict[tuple[int, int], Members]
    )  # (asset, window)
    # Of the current step only: accounts whose queue may have become free; members not yet in their window.
    stirred: set[tuple[int, int]] = field(default_factory=set[tuple[int, int]])
    fresh: dict[int, tuple[list[Fresh], list[Fresh]]] = field(
        default_factory=dict[int, tuple[list[Fresh], list[Fresh]]]
    )
    # Columns. The registry's own end with the entry of "unknown", see Accounts.
    status: U8 = field(default_factory=lambda: np.zeros(8, np.uint8))
    scale: U8 = field(default_factory=lambda: np.zeros(4, np.uint8))
    maximum: I64 = field(default_factory=lambda: np.zeros(4, np.int64))
    days_ahead: I32 = field(default_factory=lambda: np.zeros(4, np.int32))
    accounts: Accounts = field(default_factory=lambda: Accounts.empty(8, 4))
    dirty: Bool = field(default_factory=lambda: np.zeros(32, np.bool_))
    scratch: I64 = field(default_factory=lambda: np.zeros(32, np.int64))
    # Per flat account: debits that surely pass the value check (R10). A cache: see clearing.core.value.
    value_room: I64 = field(default_factory=lambda: np.full(32, ANY_DEBIT, np.int64))
    ids: Remembered = field(default_factory=Remembered)
    participant_index: dict[str, int] = field(default_factory=dict[str, int])
    asset_index: dict[str, int] = field(default_factory=dict[str, int])

    def __post_init__(self) -> None:
        self.ids.seed = self.seed

    @property
    def width(self) -> int:
        return self.accounts.open.shape[1]

    def name_of(self, p: int) -> str:
        return self.participants[p].id

    def flat(self, participant: str, asset: str) -> int | None:
        """Flat index of an open account, None if there is none."""
        p, a = self.participant_index.get(participant), self.asset_index.get(asset)
        if p is None or a is None or not self.accounts.open[p, a]:
            return None
        return p * self.width + a

    def add_participant(
        self, participant: Participant, status: int = ParticipantStatus.ACTIVE
    ) -> None:
        p = len(self.participants)
        if p + 1 >= len(self.status):
            self._grow(2 * len(self.status), self.width)
        self.participants.append(participant)
        self.participant_index[participant.id] = p
        self.status[p] = status

    def add_asset(self, asset: Asset) -> None:
        a = len(self.assets)
        if a + 1 >= self.width:
            self._grow(len(self.status), 2 * self.width)
        self.assets.append(asset)
        self.asset_index[asset.spec.id] = a
        self.scale[a] = asset.spec.scale
        self.maximum[a] = asset.max_amount
        self.days_ahead[a] = asset.spec.value_days_ahead

    def _grow(self, rows: int, width: int) -> None:
        dirty = self.dirty.reshape(-1, self.width)
        grown = np.zeros((rows, width), np.bool_)
        grown[: dirty.shape[0], : dirty.shape[1]] = dirty
        self.dirty = grown.reshape(-1)
        self.accounts = self.accounts.grown(rows, width)
        self.scratch = np.zeros(rows * width, np.int64)
        self.forget_value_room()
        self.status = np.concatenate((self.status, np.zeros(rows - len(self.status), np.uint8)))
        more = width - len(self.scale)
        self.scale = np.concatenate((self.scale, np.zeros(more, np.uint8)))
        self.maximum = np.concatenate((self.maximum, np.zeros(more, np.int64)))
        self.days_ahead = np.concatenate((self.days_ahead, np.zeros(more, np.int32)))

    def forget_value_room(self) -> None:
        """Nothing is known to pass the value check any more: it is worked out anew when it is asked for."""
        room = np.full(self.accounts.open.shape, ANY_DEBIT, np.int64)
        room[list(self.short_limits)] = 0
        self.value_room = room.reshape(-1)

    def forget_ids(self) -> None:
        """Forget ids older than the retention period."""
        generations = self.ids.generations
        if generations and generations[0].day < self.counters.business_date - self.retention_days:
            self.ids.forget_before(self.oldest_day())

    def oldest_day(self) -> int:
        """The first business day of which ids are remembered: later ones, and those from which something waits."""
        oldest = self.counters.business_date - self.retention_days
        return min([oldest, *(item.day for item in self.waiting.values())])

    def lower_floor(self, account: int | slice) -> None:
        """Accounts (flat) whose headroom was changed by something else than payments: it may be below zero (R9)."""
        flat = np.arange(self.dirty.size)[account]
        floor = self.accounts.floor.reshape(-1)
        floor[account] = np.minimum(floor[account], self.accounts.headroom(flat))

    def stir_all(self) -> None:
        """Something changed that may free any queue."""
        self.stirred.update(self.queues)

    def advance(self, time_ms: int) -> None:
        """Time and business date of a log record: neither ever goes back (F12), whatever a new calendar says,
        for ids of an earlier date may be forgotten already. Without a calendar every UTC day is a business day.
        """
        counters = self.counters
        now = counters.time_ms = max(counters.time_ms, time_ms)
        date = now // DAY_MS
        if self.calendar:
            started = bisect_right(self.calendar, now, key=lambda day: day.opens_at_ms)
            date = self.calendar[max(started, 1) - 1].date
        if date > counters.business_date:
            counters.business_date = date
            self._new_day()

    def _new_day(self) -> None:
        """Bilateral limits hold for a business day (R10); what is known of links and requests ages with the ids."""
        if self.bilateral:
            self.bilateral.new_day()
            self.stir_all()
        oldest = self.oldest_day()
        self.ended_links = {k: day for k, day in self.ended_links.items() if day >= oldest}
        self.requests = {k: item for k, item in self.requests.items() if item.day >= oldest}
        self.asked = {item.original for item in self.requests.values()}
        self.returned = {k: item for k, item in self.returned.items() if item.day >= oldest}

    def business_days(self, ahead: int) -> Bool:
        """Of the days from the current business date to the one `ahead` days later: is it a business day?"""
        dates = {day.date for day in self.calendar}
        today = self.counters.business_date
        return np.array([date in dates for date in range(today, today + ahead + 1)])

    def next_cutoff_ms(self, asset: Asset, after_ms: int) -> int:
        """First scheduled cut-off after an instant, 0 if the schedule has none."""
        if asset.spec.every_s:
            step = asset.spec.every_s * 1000
            return (after_ms // step + 1) * step
        return next((at for at in asset.cutoffs_ms if at > after_ms), 0)

    def next_due_ms(self) -> int:
        """Log time at which something is to happen by itself (cut-off, positions), 0: nothing is."""
        due = [asset.window.cutoff_ms for asset in self.assets if asset.window.cutoff_ms]
        if self.counters.next_expiry_ms:
            due.append(self.counters.next_expiry_ms)
        if self.counters.search_due:
            due.append(self.counters.search_at_ms)
        if self.dirty.any():
            due.append(self.counters.positions_at_ms + self.positions_interval_ms)
        return min(due, default=0)


def new_asset(spec: AssetSpec) -> Asset:
    """An asset before its first window is opened."""
    limit = parse(spec.max_amount, spec.scale) if spec.max_amount else MAX_AMOUNT
    assert limit is not None, "checked when the command was applied"
    return Asset(spec, Window(0, 0, 0), min(limit, MAX_AMOUNT))
