"""Outcomes of the engine to the banks' own topics: who is told what, in which order, at least once."""
