"""Intake: bytes from banks, watchers, operators and ledgers to records of the clearing log.

Stateless and parallel. What it writes is a pure function of the bytes it read and where they stood;
it decides nothing about money, and what it cannot read it writes to the log as a reject row.
"""
