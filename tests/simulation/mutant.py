"""What a mutant is: a broken variant of one module of the product."""

from typing import NamedTuple


class Mutant(NamedTuple):
    """What is wrong with it is its name. edits: what stands there, and what stands there instead.

    only: faults under which it shows soonest, see faults.draw_plan; none: it shows whatever happens.
    """

    name: str
    module: str
    edits: tuple[tuple[str, str], ...]
    only: tuple[str, ...]
