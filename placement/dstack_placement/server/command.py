"""`dstack-fleets`: dstack's command line with lanes.

`dstack-fleets server` runs the stock server with placement, `dstack-fleets apply` accepts lanes,
and every other command is dstack's own.
"""

from __future__ import annotations

import importlib.util
import sys

from dstack_placement.server.errors import AddonError


def prepare(*, server: bool) -> None:
    """Adds the lanes to dstack in this process, once it is known to be the dstack meant.

    Args:
        server: Whether the process is to run a server, which needs the overrides too.

    Raises:
        AddonError: dstack is missing or differs from what the add-on is made for.
    """
    if importlib.util.find_spec("dstack") is None:
        raise AddonError(
            "dstack is not installed. Install it with the add-on:"
            " pip install 'dstack-fleets-tui[server]'"
        )
    from dstack_placement.server import shapes
    from dstack_placement.server.compat import overrides, schema

    shapes.check(overrides.used())
    # dstack wants this before anything that may import grpc.
    from dstack._internal.server import bootstrap

    bootstrap.set_up_process()
    schema.install()
    if server:
        overrides.install()


def main() -> None:
    """Runs the command line."""
    try:
        prepare(server=sys.argv[1:2] == ["server"])
    except AddonError as error:
        sys.exit(f"dstack-fleets: {error}")
    from dstack._internal.cli.main import main as dstack

    sys.argv[0] = "dstack-fleets"
    dstack()
