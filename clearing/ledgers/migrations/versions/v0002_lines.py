"""Several lines an account and batch: bilateral and gross batches, parts of a window, accounts of the scheme."""

from clearing.ledgers.schema import run_sql_beside

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Run the SQL file of the same name."""
    run_sql_beside(__file__)
