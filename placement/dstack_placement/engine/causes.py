"""Why a lane stands as it does: codes with what they need to be said."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from .lines import Code


@dataclass(frozen=True, slots=True)
class Cause:
    """One reason; its text is made of the rest.

    Attributes:
        code: What it is.
        fleet: The fleet that it is about, where the text names it.
        number: How many: replicas that start, or come, or are desired; a maximum; room.
        limit: The maximum that `number` is above.
        until: When a cooldown ends.
        detail: What is known of it beyond the code; of what has no arguments, all of the text. A
            `Line` where it has a code of its own.
    """

    code: Code
    fleet: str = ""
    number: int = 0
    limit: int = 0
    until: datetime | None = None
    detail: str = ""

    def __str__(self) -> str:
        """`gpu-a is in cooldown until 14:05:30`."""
        return self._said(f"{self.fleet} is ", f"{self.fleet} has ")

    @property
    def here(self) -> str:
        """The same beside the fleet's name: `in cooldown until 14:05:30`."""
        return self._said("", "")

    def _said(self, is_: str, has: str) -> str:
        number = self.number
        match self.code:
            case Code.AT_MAXIMUM:
                text = f"{is_}at its maximum of {number}"
            case Code.COOLDOWN:
                text = f"{is_}in cooldown until {clock(self.until) if self.until else '?'}"
            case Code.FULL:
                text = f"{has}room for {number} more only" if number else f"{has}no room"
            case Code.HAS_ROOM:
                text = f"{has}room for {number} more"
            case Code.NO_LIMIT:
                text = f"{has}no limit"
            case Code.ROOM_NOT_KNOWN:
                text = f"the room in {self.fleet} is not known and counts as unlimited"
            case Code.ABOVE_MAXIMUM:
                text = f"{number} of at most {self.limit}"
            case Code.RESTORING:
                text = f"being restored, {number} starting"
            case Code.MORE_TO_COME:
                text = f"{number} more to come"
            case Code.FEW_DESIRED:
                text = f"only {number} desired"
            case Code.ROLLOUT:
                text = "the rolling deployment goes first"
            case Code.NONE_TO_SPARE:
                text = "no other lane has a replica to spare"
            case _:
                return self.detail
        return f"{text}, {self.detail}" if self.detail else text


def clock(time: datetime) -> str:
    """A time of day, in the time zone that the time carries."""
    return time.strftime("%H:%M:%S")


def joined(causes: Iterable[object]) -> str:
    """Several reasons on one line."""
    return "; ".join(map(str, causes))
