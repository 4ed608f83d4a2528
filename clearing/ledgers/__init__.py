"""Ledgers: each settlement batch posted once, and the engine told. See clearing.ledgers.ledger."""
