"""Looks into a copy of a netting set: a payment's life, queues, drills, the best release. Nothing is changed."""
