"""How a service's process manages its memory: what is read passes through it by the gigabyte and stays nowhere."""

import ctypes
import gc

COLLECT_AFTER_OBJECTS = 50_000

# mallopt(3) of the GNU C library. Blocks from its threshold on are mapped by themselves and given back at once:
# what a fetch or a batch takes would be fresh pages every time, which the kernel has to clear, for a third of what
# reading costs. The one is as high as it may be; what is free at the end of the heap beyond the other is still
# given back.
_M_TRIM_THRESHOLD, TRIM_BYTES = -1, 256 << 20
_M_MMAP_THRESHOLD, MAP_BYTES = -3, 32 << 20


def tune_memory() -> None:
    """Process-wide; each service calls it once, when all it needs is imported."""
    _collect_seldom()
    _keep_what_is_freed()


def _collect_seldom() -> None:
    """Look for garbage in cycles after so many new objects, and never again among what was imported.

    Every record that is read is some objects, which live until their batch is packed: by default the collector
    would look at them again and again, for a third of what it costs to pack them. What is freed by counting
    references is none of its concern.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(COLLECT_AFTER_OBJECTS, 20, 20)


def _keep_what_is_freed() -> None:
    """Where the C library is another one it has no such settings, and nothing is changed."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_MMAP_THRESHOLD, MAP_BYTES)
        mallopt(_M_TRIM_THRESHOLD, TRIM_BYTES)
