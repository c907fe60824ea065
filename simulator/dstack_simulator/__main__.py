"""The command `python -m dstack_simulator`."""

from __future__ import annotations

import sys

from dstack_simulator.cli import main

if __name__ == "__main__":
    sys.exit(main())
