"""`python -m dstack_placement.server` is the `dstack-fleets` command."""

from dstack_placement.server.command import main

if __name__ == "__main__":
    main()
