"""Operators' commands of random streams: every kind, small amounts, at times one that must be refused."""

import hashlib
import random
from collections.abc import Callable
from dataclasses import dataclass, field

import msgspec

from clearing.core.commands import (
    AbortWindow,
    Approve,
    CloseWindow,
    Command,
    ControlMessage,
    Fund,
    Propose,
    RegisterAsset,
    ReleaseQueued,
    RequireApproval,
    SetBilateralLimit,
    SetCalendar,
    SetCap,
    SetCollateral,
    SetCutoffs,
    SetPool,
    SetReservation,
    SetShortLimit,
    SetStatus,
    SettleWindow,
    SetValuation,
    Withdraw,
)
from clearing.core.registry import AtCutoff, BusinessDay, OnShortfall, SettlementModel
from tests.core.build import DAY, NOON_MS, hkd
from tests.core.oracle_books import DAY_MS, Books, Payment, decimal, uuid_text
from tests.core.oracle_limits import fits
from tests.core.worlds import ASSETS, STRANGER, World


@dataclass
class Commands:
    world: World
    books: Books
    given: list[ControlMessage] = field(default_factory=list[ControlMessage])
    ids: int = 0

    def id(self) -> str:
        self.ids += 1
        return f"id-{self.ids}"

    def any(self, rng: random.Random) -> ControlMessage:
        return self.make(rng, rng.choice([*COMMANDS]))

    def make(self, rng: random.Random, kind: str) -> ControlMessage:
        return COMMANDS[kind](self, rng)

    def asked(self, rng: random.Random, *messages: ControlMessage) -> list[ControlMessage]:
        """The commands as they are published: where four eyes are required, mostly proposed and approved."""
        published: list[ControlMessage] = []
        for message in messages:
            plain = isinstance(message, Propose | Approve | Withdraw)
            if self.books.four_eyes and not plain and rng.random() < 0.8:
                published += self._proposed(rng, message)
            else:
                published.append(message)
        self.given += published
        return published

    def _proposed(self, rng: random.Random, message: ControlMessage) -> list[ControlMessage]:
        assert isinstance(message, Command)
        proposal = Propose(id=self.id(), by=message.by, command=message)  # pyright: ignore[reportArgumentType]
        digest = hashlib.sha256(msgspec.json.encode(message)).hexdigest()
        by = "second" if rng.random() < 0.9 else message.by
        digest = digest if rng.random() < 0.95 else "0" * 64
        approval = Approve(id=self.id(), by=by, proposal=proposal.id, hash=digest)
        return [proposal, approval] if rng.random() < 0.85 else [proposal]

    def _amount(self, rng: random.Random, asset: str, most: int) -> str:
        scale = ASSETS[asset].scale
        digits = min(scale, 2)
        return decimal(rng.randint(0, most * 10**digits), digits)

    def _account(self, rng: random.Random) -> dict[str, str]:
        participant, asset = rng.choice(self.world.participants), rng.choice(self.world.assets)
        return {"id": self.id(), "by": "op", "participant": participant, "asset": asset}

    # --- kinds of commands ---------------------------------------------------------------------------------------

    def money(self, rng: random.Random) -> ControlMessage:
        """Cap, prefunding or reservation, up or down; at times of more than there is."""
        where = self._account(rng)
        amount = self._amount(rng, where["asset"], self.world.cap + self.world.held + 1)
        match rng.choice(("cap", "fund", "fund", "reserve")):
            case "cap":
                return SetCap(**where, net_debit_cap=amount)
            case "reserve":
                smaller = self._amount(rng, where["asset"], 3)
                return SetReservation(**where, reserved=rng.choice(("0", smaller)))
        units = str(rng.randint(1, self.world.cap // 2 + 2))
        return Fund(**where, amount=rng.choice(("", "", "-")) + units)

    def limit(self, rng: random.Random) -> ControlMessage:
        """A bilateral limit, an asset's valuation or a participant's value check."""
        where = self._account(rng)
        del where["participant"]
        one, other = rng.sample(self.world.participants, 2)
        amount = self._amount(rng, where["asset"], self.world.most)
        match rng.choice(("bilateral", "bilateral", "valuation", "short")):
            case "bilateral":
                limit = rng.choice((amount, amount, None))
                return SetBilateralLimit(**where, participant=one, counterparty=other, limit=limit)
            case "valuation" if self.world.valued:
                where["asset"] = rng.choice(self.world.valued)
                return SetValuation(
                    **where,
                    price=rng.choice(("1", "0.13", "2.5")),
                    haircut_bp=rng.choice((0, 1, 1_500, 10_000)),
                    short_limit=rng.choice((None, "0", "1", str(self.world.cap // 2))),
                )
        limit = rng.choice((None, "0", "7.5", "40"))
        return SetShortLimit(id=where["id"], by="op", participant=one, limit=limit)

    def cover(self, rng: random.Random) -> ControlMessage:
        where = self._account(rng)
        amount = self._amount(rng, where["asset"], 3)
        if rng.random() < 0.6:
            return SetCollateral(**where, amount=amount)
        del where["participant"]
        return SetPool(**where, amount=amount)

    def standing(self, rng: random.Random) -> ControlMessage:
        names = [*self.world.participants, STRANGER]
        suspended = [name for name in names if self.books.status[name] == "SUSPENDED"]
        if suspended and rng.random() < 0.7:
            who, status = rng.choice(suspended), "ACTIVE"
        else:
            who = rng.choice(names)
            status = rng.choice(("SUSPENDED",) * 8 + ("ACTIVE", "DEFAULTED", "CLOSED"))
        return SetStatus(id=self.id(), by="op", participant=who, status=status)

    def schedule(self, rng: random.Random) -> ControlMessage:
        now = self.books.time_ms
        at = sorted({now + rng.randint(-50_000, 500_000) for _ in range(rng.randint(0, 4))})
        today = self.books.date - DAY
        days = [d for d in range(today - 1, today + 12) if rng.random() < 0.8]
        opens = [BusinessDay(DAY + d, NOON_MS + d * DAY_MS) for d in days]
        free = [name for name in self.world.assets if not ASSETS[name].every_s]
        match rng.choice(("cutoffs",) * 3 + ("calendar", "change", "fresh")):
            case "cutoffs" if free:
                return SetCutoffs(id=self.id(), by="op", asset=rng.choice(free), cutoffs_ms=at)
            case "calendar":
                return SetCalendar(id=self.id(), by="op", days=opens)
            case "fresh":
                fresh = hkd(id=f"N{self.ids}", code=f"N{self.ids}")
                return RegisterAsset(id=self.id(), by="op", asset=fresh)
        spec = self.books.assets[rng.choice(self.world.assets)].spec
        changed = msgspec.structs.replace(
            spec,
            max_amount=rng.choice(("", "20")),
            value_days_ahead=rng.choice((0, 2, 6)),
            at_cutoff=rng.choice([*AtCutoff]),
            on_shortfall=rng.choice(
                [*OnShortfall] if spec.model == SettlementModel() else [OnShortfall.HOLD]
            ),
        )
        return RegisterAsset(id=self.id(), by="op", asset=changed)

    def settle(self, rng: random.Random) -> ControlMessage:
        """A window that failed again or not at all, or any window."""
        asset, number = rng.choice(self.world.assets), rng.randint(1, 5)
        for window in self.books.closed:
            if any(part.state in ("FAILED", "ABORTED") for part in window.parts):
                asset, number = window.asset, window.number
        made = rng.choice((SettleWindow, SettleWindow, AbortWindow))
        return made(id=self.id(), by="op", asset=asset, window=number)

    def release(self, rng: random.Random) -> ControlMessage:
        """Some of what waits, out of its turn: mostly a set that fits, if chance finds one."""
        books = self.books
        passing = [p for p in books.waiting if books.assets[p.asset].spec.queue == "BYPASS_FIFO"]
        among = passing if passing and rng.random() < 0.9 else books.waiting
        chosen = self._chain(rng, among)
        for _ in range(40):
            if fits(books, chosen):
                break
            chosen = self._chain(rng, among)
        ids = [uuid_text(p.id) for p in chosen]
        return ReleaseQueued(id=self.id(), by="op", payments=ids or [uuid_text(7)])

    def _chain(self, rng: random.Random, among: list[Payment]) -> list[Payment]:
        """A payment, one of its creditor, and so on until it comes back; links whole."""
        chosen: list[Payment] = []
        after = among
        while after and len(chosen) < 4:
            chosen.append(rng.choice(after))
            if chosen[-1].creditor == chosen[0].debtor:
                break
            after = [p for p in among if p.debtor == chosen[-1].creditor and p not in chosen]
        return [*dict.fromkeys(leg for p in chosen for leg in p.group)]

    def eyes(self, rng: random.Random) -> ControlMessage:
        """Four eyes on or off; an old proposal approved by somebody, or withdrawn; a new one."""
        open_ = [*self.books.proposals]
        proposal = rng.choice(open_) if open_ else "nothing"
        digest = self.books.proposals[proposal][0] if open_ else "0" * 64
        rare = ("require", "propose")
        match rng.choice(
            ("approve", "withdraw", *rare) if open_ else (*rare, "propose", "withdraw")
        ):
            case "require":
                required = rng.random() < 0.3
                return RequireApproval(id=self.id(), by="op", required=required)
            case "approve":
                by = rng.choice(("op", "second"))
                return Approve(id=self.id(), by=by, proposal=proposal, hash=digest)
            case "withdraw":
                return Withdraw(id=self.id(), by="op", proposal=proposal)
        kind = rng.choice(("money", "limit", "standing", "settle"))
        return Propose(id=self.id(), by="op", command=self.make(rng, kind))  # pyright: ignore[reportArgumentType]

    def old(self, rng: random.Random) -> ControlMessage:
        """A command published again, or one that uses another's id."""
        if not self.given:
            return CloseWindow(id=self.id(), by="op", asset=self.world.assets[0])
        old = rng.choice(self.given)
        return rng.choice((old, CloseWindow(id=getattr(old, "id", ""), by="thief")))


COMMANDS: dict[str, Callable[[Commands, random.Random], ControlMessage]] = {
    "money": Commands.money,
    "limit": Commands.limit,
    "cover": Commands.cover,
    "standing": Commands.standing,
    "schedule": Commands.schedule,
    "settle": Commands.settle,
    "release": Commands.release,
    "eyes": Commands.eyes,
    "old": Commands.old,
}
