"""The records of a list, with those that could not be read."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, TypeVar

import msgspec

from dstack_api_client.text import clean, one_line

T = TypeVar("T")

#: Most records that are noted: a server that sends nothing else is not to fill the memory.
_MOST = 100
#: Longest name of a record in a notice.
_LONGEST = 80


@dataclass(frozen=True, slots=True)
class Name:
    """What can be made out of a record that can't be read as a whole."""

    id: str = ""
    name: str = ""
    at: datetime | None = None
    """When it was made or submitted."""


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A record that could not be read."""

    name: Name
    message: str
    """Which one and why, one sentence."""


class Records(list[T]):
    """The records of a list that could be read.

    Attributes:
        unreadable: Those that could not.
        ends_unreadable: Whether the last one could not.
    """

    def __init__(self) -> None:
        super().__init__()
        self.unreadable: list[Unreadable] = []
        self.ends_unreadable = False

    @property
    def given(self) -> int:
        """How many the server gave."""
        return len(self) + len(self.unreadable)

    @property
    def end(self) -> tuple[datetime, str] | None:
        """Time and id of the last one, where it could not be read and still tells them."""
        if not self.ends_unreadable:
            return None
        name = self.unreadable[-1].name
        return (name.at, name.id) if name.at is not None and name.id else None


@dataclass
class Unreadables:
    """What could not be read, until it can or is not there any more."""

    _known: dict[str, Unreadable] = field(default_factory=dict)
    _fresh: set[str] = field(default_factory=set)

    def __bool__(self) -> bool:
        return bool(self._known)

    @property
    def messages(self) -> tuple[str, ...]:
        """A sentence for each."""
        return tuple(each.message for each in self._known.values())

    def add(self, name: Name, what: str, reason: str) -> Unreadable:
        """Notes a record.

        Args:
            name: What is known of it.
            what: What it was to be one of.
            reason: Why it can't be read.
        """
        called = name.name or name.id or "one without a name"
        found = Unreadable(name, f"Of {what}, {called} can't be read: {reason}.")
        key = name.id or found.message
        if key in self._known or len(self._known) < _MOST:
            self._known[key] = found
            self._fresh.add(key)
        return found

    def forget(self, key: str) -> None:
        """Forgets a record that was read."""
        self._known.pop(key, None)

    def sweep(self) -> None:
        """Forgets what was not seen again since the last sweep, when everything was read."""
        self._known = {key: each for key, each in self._known.items() if key in self._fresh}
        self._fresh.clear()


def named(item: bytes) -> Name:
    """What can be made out of a record, whatever else is wrong with it."""
    try:
        record = msgspec.json.decode(item, type=dict[str, msgspec.Raw])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return Name()
    spec = _value(record.get("run_spec"), dict[str, msgspec.Raw]) or {}
    name = _value(record.get("name"), str) or _value(spec.get("run_name"), str)
    moment = next(
        (
            at
            for key in ("submitted_at", "created_at", "created", "recorded_at")
            if (at := _value(record.get(key), datetime)) is not None and at.tzinfo is not None
        ),
        None,
    )
    return Name(clean(_value(record.get("id"), str) or ""), one_line(name or "")[:_LONGEST], moment)


def _value(raw: msgspec.Raw | None, kind: type[T]) -> T | None:
    if raw is None:
        return None
    try:
        found: Any = msgspec.json.decode(raw, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    return found  # type: ignore[no-any-return]
