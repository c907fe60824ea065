"""Reading the audit log."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


def lines(path: Path) -> list[dict[str, Any]]:
    """All lines of a log; none where there is no log."""
    if not path.exists():
        return []
    return [json.loads(line) for line in path.read_text().splitlines()]


def ends(path: Path) -> list[dict[str, Any]]:
    """What came of each change: the lines but those that were written before a request."""
    return [line for line in lines(path) if line["result"] != "sent"]
