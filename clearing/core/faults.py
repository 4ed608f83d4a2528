"""Faults that stop a netting set: something is wrong that must not be papered over (FAULTS.md F14, R1, R29)."""


class Halt(Exception):
    """The netting set stops here and settles nothing more; the message says why, in one sentence."""
