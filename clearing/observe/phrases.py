"""Money and time as an operator says them: HKD 1.2 bn, 4 min 10 s, two banks. Pure; for people, never for sums."""

from decimal import ROUND_HALF_EVEN, Decimal

_LARGE = ((Decimal(10) ** 12, "tn"), (Decimal(10) ** 9, "bn"), (Decimal(10) ** 6, "m"))
_NUMBERS = ("no", "one", "two", "three", "four", "five")


def money(asset: str, amount: Decimal, *, about: bool = False) -> str:
    """HKD 1.2 bn; in full below a million. about: it is an estimate (HKD ≈ 1.2 bn)."""
    return f"{asset} {'≈ ' if about else ''}{short(amount)}"


def short(amount: Decimal) -> str:
    """Two or three leading digits and the size: 1.2 bn, 35 m, 812,500, 12.50."""
    sign, size = ("−" if amount < 0 else ""), abs(amount)
    for unit, name in _LARGE:
        # 999,950,000 is a thousand million when it is rounded: the next size up has it.
        if size >= unit * Decimal("0.9995"):
            scaled = size / unit
            digits = Decimal("0.1") if scaled < Decimal("99.95") else Decimal(1)
            text = f"{scaled.quantize(digits, ROUND_HALF_EVEN):,f}"
            return f"{sign}{text.removesuffix('.0')} {name}"
    if size == size.to_integral_value():
        return f"{sign}{size:,.0f}"
    return f"{sign}{size:,.0f}" if size >= 1000 else f"{sign}{size.normalize():,f}"


def duration(seconds: float) -> str:
    """The two largest units: 38 s, 4 min 10 s, 2 h 5 min, 3 d 4 h; tenths below ten seconds."""
    if seconds < 0:
        return f"−{duration(-seconds)}"
    if round(seconds, 1) < 10:
        return f"{seconds:.1f} s".replace(".0 s", " s")
    whole = round(seconds)
    for unit, name, part, part_name in (
        (86_400, "d", 3_600, "h"),
        (3_600, "h", 60, "min"),
        (60, "min", 1, "s"),
    ):
        if whole >= unit:
            rest = whole % unit // part
            return f"{whole // unit:,} {name}" + (f" {rest} {part_name}" if rest else "")
    return f"{whole} s"


def count(number: int) -> str:
    """Small numbers in words."""
    return _NUMBERS[number] if number < len(_NUMBERS) else f"{number:,}"
