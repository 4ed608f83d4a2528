"""Alembic runs this: migrate over the connection that clearing.ledgers.schema handed in."""

from alembic import context

context.configure(
    connection=context.config.attributes["connection"],
    version_table_schema=context.config.attributes["schema"],
)
context.run_migrations()
