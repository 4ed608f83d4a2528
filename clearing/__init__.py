"""Event-sourced clearing on Kafka: payments in, finalised settlement batches out, each once.

Importing this package starts nothing and reads nothing. The way in for people is the `clearing`
command; the way in for programs is `clearing.client`.
"""

__version__ = "0.1.0"
