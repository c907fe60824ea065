"""What is said beside the output proper."""

from __future__ import annotations

import sys

PROGRAM = "dstack-fleets-tui"


def say(text: str) -> None:
    """Tells something beside the output proper."""
    print(f"{PROGRAM}: {text}", file=sys.stderr)  # noqa: T201
