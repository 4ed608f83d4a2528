"""`python -m clearing`: the same as the `clearing` command."""

from clearing.cli import main

main()
