"""Imported by a server's process: it gets the add-on, unless its folder says that it shall not.

So a simulator's server can go back to the stock one: on the same database, with all that runs.
"""

from __future__ import annotations

import importlib
from pathlib import Path

from tests.servers.addon import LAUNCHER
from tests.servers.lanes import STOCK

# A server's process works in its own folder.
if not Path(STOCK).exists():
    for module in LAUNCHER:
        importlib.import_module(module)
