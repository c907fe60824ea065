"""What is said beside the output proper."""

from __future__ import annotations

import sys
from contextlib import suppress

PROGRAM = "dstack-fleets-tui"


def say(text: str) -> None:
    """Tells something beside the output proper; that nobody can be told ends nothing."""
    with suppress(OSError):
        print(f"{PROGRAM}: {text}", file=sys.stderr)  # noqa: T201
