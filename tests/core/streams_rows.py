"""Rows of random streams: payments, legs of links, returns, instructions, repeats, and all of it wrong at times."""

import random
from dataclasses import dataclass, field, replace

from clearing.core.inputs import Decision, Kind
from clearing.core.reasons import Code
from tests.core.build import Log, Row, linked
from tests.core.oracle_books import DAY_MS, Books
from tests.core.worlds import ASSETS, LEFT, NOBODY, STRANGER, World

MONEY = (Kind.PAYMENT, Kind.TOKEN_TRANSFER, Kind.RETURN)


@dataclass
class RowMaker:
    """legs: of links, made and not yet sent. sent: every row, with its place in its source."""

    world: World
    log: Log
    books: Books
    sent: list[Row] = field(default_factory=list[Row])
    legs: list[Row] = field(default_factory=list[Row])
    ids: int = 0

    def row(self, rng: random.Random, owner: str = "") -> Row:
        """Any row, placed in its source. owner: of the topic it comes from."""
        row = self._any(rng)
        if owner:
            row = replace(row, debtor=owner, topic=None)
        elif rng.random() < 0.02:
            row = replace(row, topic=f"payments.hk.{rng.choice(self.world.participants)}")
        topic = self.log.topic(row)
        row = replace(row, offset=self.log.sources.get(topic, 0))
        self.log.sources[topic] = (row.offset or 0) + 1
        self.sent.append(row)
        return row

    def _any(self, rng: random.Random) -> Row:
        chance = rng.random()
        if self.sent and chance < 0.1:
            return self._repeat(rng)
        if self.sent and chance < 0.25:
            return self._about(rng)
        if self.legs and chance < 0.55:
            return self._leg(rng)
        if chance < 0.7 and len(self.legs) < 8 and self.world.pairs():
            self._link(rng)
        return self._payment(rng)

    def id(self, rng: random.Random) -> int:
        self.ids += 1
        return self.ids << rng.choice((0, 64, 104))

    def today(self) -> int:
        """Business date that the record under way will have."""
        books, now = self.books, max(self.books.time_ms, self.log.time_ms)
        begun = [date for date, opens_ms in books.calendar if opens_ms <= now]
        today = begun[-1] if begun else books.calendar[0][0] if books.calendar else now // DAY_MS
        return max(books.date, today)

    def _repeat(self, rng: random.Random) -> Row:
        old = rng.choice(self.sent[-60:])
        others = ({"amount": old.amount + 1}, {"body": 1}, {"value_date": self.today()})
        changes = rng.choice(({}, {}, {}, *others))
        return replace(old, offset=None, topic=None, **changes)

    def _about(self, rng: random.Random) -> Row:
        """A return or an instruction; mostly about what it may be about, at times about anything."""
        made = rng.choice(("cancel", "cancel", "prioritise", "give_back", "give_back", "answer"))
        old, id_ = self._old(rng, made), self.id(rng)
        if rng.random() < 0.05:
            old = replace(old, id=old.id + 1)
        if rng.random() < 0.05:
            old = replace(old, body=old.body + 1)
        match made:
            case "cancel":
                return old.cancel(id_)
            case "prioritise":
                debtor = old.debtor if rng.random() < 0.9 else rng.choice(self.world.participants)
                return old.prioritise(id_, rng.randint(0, 2), debtor=debtor)
            case "answer":
                return old.answer(id_, rng.choice((Decision.AGREED, Decision.DECLINED)))
        amount = rng.choice((old.amount, max(old.amount // 2, 1), old.amount + 1))
        priority = rng.choice((0, 0, 1, 2))
        return old.give_back(id_, amount, value_date=self.today(), priority=priority)

    def _old(self, rng: random.Random, made: str) -> Row:
        """What a row is about: what was accepted for returns, what waits or was accepted for cancellations …"""
        waiting = {p.id for p in self.books.waiting}
        accepted = {id_ for id_, seen in self.books.seen.items() if seen.code == Code.ACCEPTED}
        ids = {
            "cancel": waiting if waiting and rng.random() < 0.4 else accepted,
            "prioritise": waiting,
            "answer": self.books.requests.keys(),
            "give_back": accepted,
        }[made]
        late = [row for row in self.sent[-60:] if row.kind in MONEY or made == "answer"]
        fitting = [row for row in late if row.id in ids]
        return rng.choice(fitting if fitting and rng.random() < 0.8 else late or self.sent)

    def _leg(self, rng: random.Random) -> Row:
        """The next leg of a link, or one that is wrong."""
        leg = self.legs.pop(rng.randrange(len(self.legs)))
        wrong = (
            {"terms": leg.terms + 1},
            {"partial": not leg.partial},
            {"leg": (leg.leg + 1) % leg.legs},
            {"expires_at_ms": self.log.time_ms - 1},
            {"creditor": STRANGER},
        )
        if rng.random() < 0.1:
            if rng.random() < 0.7:
                self.legs.append(replace(leg, id=self.id(rng)))  # the right one may follow
            return replace(leg, **rng.choice(wrong))
        return replace(leg, value_date=self.today())

    def _link(self, rng: random.Random) -> None:
        """Two or three legs: mostly a payment each way in two assets that are paired, or any."""
        one, other = rng.choice(self.world.pairs())
        if rng.random() < 0.1:
            one, other = (rng.choice(self.world.assets) for _ in range(2))
        parties = rng.sample(self.world.participants, 3)
        legs = [
            self._payment(rng, asset=one, debtor=parties[0], creditor=parties[1]),
            self._payment(rng, asset=other, debtor=parties[1], creditor=parties[0]),
        ]
        if rng.random() < 0.25:
            sides = rng.choice(((2, 0), (0, 2), (1, 2), (0, 1)))
            debtor, creditor = (parties[side] for side in sides)
            asset = rng.choice((one, other))
            legs.append(self._payment(rng, asset=asset, debtor=debtor, creditor=creditor))
        link = self.id(rng)
        self.legs += linked(*legs, link=link, partial=rng.random() < 0.5)

    def _payment(self, rng: random.Random, **fixed: object) -> Row:
        world = self.world
        name = str(fixed.get("asset", "")) or rng.choice(world.assets)
        scale = ASSETS[name].scale
        decimals = rng.randint(0, min(scale, 2) + (rng.random() < 0.03))
        whole = 10**decimals
        amount = rng.choice(
            (rng.randint(1, world.most) * whole, rng.randint(1, world.most * whole))
        )
        if name == "TOK" and rng.random() < 0.2:
            decimals, amount = 0, rng.randint(1, 10**9)
        debtor = rng.choice(world.participants if rng.random() < 0.97 else (STRANGER, LEFT, NOBODY))
        others = [bank for bank in world.participants if bank != debtor]
        odd = (debtor, STRANGER, LEFT, NOBODY)
        now = self.log.time_ms
        row = Row(
            id=self.id(rng),
            debtor=debtor,
            creditor=rng.choice(others if rng.random() < 0.97 else odd),
            amount=amount,
            asset=name if rng.random() < 0.98 else "XYZ",
            decimals=decimals,
            value_date=self.today() + rng.choice((0,) * 16 + (1, 1, 5, -1)),
            window=self._window(rng, name),
            expires_at_ms=rng.choice((0,) * 12 + (now - 1, now + 20_000, now + 90_000)),
            reject=rng.choice((0,) * 60 + (12,)),
            kind=rng.choice((Kind.PAYMENT, Kind.PAYMENT, Kind.TOKEN_TRANSFER)),
            priority=rng.choice((0, 0, 0, 0, 1, 2)),
        )
        return replace(row, **fixed)

    def _window(self, rng: random.Random, asset: str) -> int:
        """Mostly any; at times the open one, or another."""
        number = self.books.assets[asset].window.number if asset in self.books.assets else 1
        return rng.choice((0,) * 12 + (number, number, number + 1))
