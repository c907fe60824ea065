"""What is kept in memory of things that seldom change, within a number of bytes."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from typing import Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")


class Kept(Generic[Key, Value]):
    """Values of which each stands for one version of a thing; the least used go first.

    Args:
        most_bytes: How large they may be together.
    """

    def __init__(self, most_bytes: int) -> None:
        self._most_bytes = most_bytes
        self._entries: OrderedDict[Key, tuple[Hashable, Value, int]] = OrderedDict()
        self.bytes = 0

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, key: Key, version: Hashable) -> Value | None:
        """The value of a thing in a version; None when it is not kept."""
        entry = self._entries.get(key)
        if entry is None or entry[0] != version:
            return None
        self._entries.move_to_end(key)
        return entry[1]

    def put(self, key: Key, version: Hashable, value: Value, size: int) -> None:
        """Keeps a value in the place of any other version.

        Args:
            key: What it is of.
            version: Which version of that.
            value: The value.
            size: Its size in bytes, as near as is worth knowing.
        """
        if key in self._entries:
            self.bytes -= self._entries.pop(key)[2]
        self._entries[key] = (version, value, size)
        self.bytes += size
        while self.bytes > self._most_bytes:
            self.bytes -= self._entries.popitem(last=False)[1][2]
