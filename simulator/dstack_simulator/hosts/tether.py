"""Started as a program: runs `smg` until it ends, or until the process above goes away."""

from __future__ import annotations

import os
import runpy
import sys

from dstack_simulator.processes import when_input_ends


def main() -> None:
    """Runs `smg` with this program's arguments."""
    when_input_ends(lambda: os._exit(1))
    sys.argv[0] = "smg"
    runpy.run_module("smg", run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
