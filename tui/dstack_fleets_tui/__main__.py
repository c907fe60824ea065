"""`python -m dstack_fleets_tui`."""

import sys

from dstack_fleets_tui.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
