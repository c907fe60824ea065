"""Writes a data set: `python -m dstack_simulator.seeds NAME`, in the server's environment."""

from __future__ import annotations

import asyncio
import sys

from dstack_simulator.processes import when_input_ends


def main() -> None:
    """Writes the data set that the first argument names."""
    import os

    when_input_ends(lambda: os._exit(1))
    from dstack._internal.server import bootstrap

    bootstrap.set_up_process()
    from dstack_simulator.seeds.writer import write

    asyncio.run(write(sys.argv[1]))


if __name__ == "__main__":
    main()
