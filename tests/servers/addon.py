"""How tests start a server with the placement add-on."""

from __future__ import annotations

#: What such a server imports before anything of dstack.
LAUNCHER = ("dstack_placement.server.autoload",)
