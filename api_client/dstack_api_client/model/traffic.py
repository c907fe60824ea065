"""The requests of a service that its gateway counted."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Traffic:
    """What was counted lately."""

    requests: int
    window: int
    """Over how many seconds."""
    request_time: float | None
    """Seconds that a request took on average; None where there was none."""

    @property
    def per_second(self) -> float:
        """Requests per second."""
        return self.requests / self.window
