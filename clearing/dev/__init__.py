"""Real parts for development and tests: embedded Kafka and PostgreSQL, as our own child processes.

Nothing here is on the path of money, and nothing outside of `clearing.cli` and tests imports it.
"""
