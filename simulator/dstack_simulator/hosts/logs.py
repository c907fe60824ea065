"""The log of one job, as the runner hands it over."""

from __future__ import annotations

import base64
import time
from collections import deque
from typing import Any

_KEPT = 2000


class LogBuffer:
    """Lines with strictly growing timestamps; the oldest ones are dropped."""

    def __init__(self) -> None:
        self._lines: deque[tuple[int, bytes]] = deque(maxlen=_KEPT)
        self._last = 0

    def stamp(self) -> int:
        """A timestamp in milliseconds, later than every one before."""
        self._last = max(self._last + 1, int(time.time() * 1000))
        return self._last

    def write(self, text: str) -> None:
        """Adds text, line by line."""
        for line in text.splitlines():
            self._lines.append((self.stamp(), line.encode() + b"\r\n"))

    def after(self, timestamp: int) -> list[dict[str, Any]]:
        """The lines later than a timestamp, as the runner's API writes them."""
        return [
            {"timestamp": stamp, "message": base64.b64encode(line).decode()}
            for stamp, line in self._lines
            if stamp > timestamp
        ]

    def text(self) -> str:
        """All that is kept, for tests and messages."""
        return b"".join(line for _, line in self._lines).decode()
