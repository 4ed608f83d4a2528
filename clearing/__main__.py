"""`python -m clearing`: the `clearing` command where it is not on the path."""

from clearing.cli import main

if __name__ == "__main__":
    main()
