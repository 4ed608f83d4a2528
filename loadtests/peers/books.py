"""The work itself for the peers in Python, one payment at a time, as plain as it is: no I/O, no arrays.

The same refusals in the same order as in kafka_streams/peer/ClearingProcessor.java.
"""

from collections.abc import Mapping, MutableMapping

import msgspec

from loadtests.peers.work import AssetRule


class Payment(msgspec.Struct):
    """What is read of a payment or token transfer."""

    id: str
    debtor: str
    creditor: str
    asset: str
    amount: str


class Status(msgspec.Struct):
    """The answer to one payment."""

    id: str | None
    status: str
    reason: str | None = None


class Net(msgspec.Struct):
    """An entry of a settlement batch, minor units."""

    participant: str
    asset: str
    net: int


class Settlement(msgspec.Struct):
    """All nets of a window; of each asset they sum to zero."""

    window: int
    positions: list[Net]


_read = msgspec.json.Decoder(Payment).decode


class Books:
    """Ids seen and net positions (bank|asset → minor units) of the open window, in mappings that may be more than
    a dict: Faust's tables."""

    def __init__(
        self,
        banks: list[str],
        assets: Mapping[str, AssetRule],
        seen: MutableMapping[str, bool],
        nets: MutableMapping[str, int],
    ) -> None:
        self._banks = frozenset(banks)
        self._assets = assets
        self._seen = seen
        self._nets = nets
        self._window = 0

    def clear(self, value: bytes) -> Status:
        """What becomes of one record."""
        try:
            payment = _read(value)
        except (msgspec.DecodeError, UnicodeDecodeError):
            return Status(None, "RJCT", "FF01")
        reason = self._refusal(payment)
        return Status(payment.id, "RJCT", reason) if reason else Status(payment.id, "ACSP")

    def _refusal(self, payment: Payment) -> str:
        if payment.id in self._seen:
            return "AM05"
        self._seen[payment.id] = True
        debtor, creditor, asset = payment.debtor, payment.creditor, payment.asset
        if debtor not in self._banks or creditor not in self._banks:
            return "RC01"
        rule = self._assets.get(asset)
        if rule is None:
            return "AM03"
        units = minor_units(payment.amount, rule.scale)
        if units <= 0:
            return "AM12"
        if debtor == creditor:
            return "AG01"
        debited, credited = f"{debtor}|{asset}", f"{creditor}|{asset}"
        left = self._nets.get(debited, 0) - units
        if left < -rule.floor:
            return "AM04"
        self._nets[debited] = left
        self._nets[credited] = self._nets.get(credited, 0) + units
        return ""

    def close(self) -> Settlement | None:
        """The window's settlement batch, None if nobody paid; the next window is open."""
        nets = [Net(*_split(place), net) for place, net in self._nets.items() if net]
        if not nets:
            return None
        for net in nets:
            self._nets[f"{net.participant}|{net.asset}"] = 0
        self._window += 1
        return Settlement(self._window - 1, nets)


def _split(place: str) -> tuple[str, str]:
    bank, _, asset = place.partition("|")
    return bank, asset


def minor_units(amount: str, scale: int) -> int:
    """ "123.45" as 12345 where scale is 2; -1 for anything that is no plain amount of at most 18 characters."""
    whole, point, part = amount.partition(".")
    if len(amount) > 18 or len(part) > scale or (point and not part):
        return -1
    digits = whole + part
    if not (whole and digits.isascii() and digits.isdigit()):
        return -1
    return int(digits) * 10 ** (scale - len(part))
