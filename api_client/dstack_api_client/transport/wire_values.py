"""What all shapes of answers are made of: numbers, times, and specs that are decoded late."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime, timezone
from typing import Annotated, Any, ClassVar

import msgspec

#: Numbers as they can be: others are slips of a server, and would make sums and lists of this
#: client endless.
Count = Annotated[int, msgspec.Meta(ge=0, le=1_000_000)]
Amount = Annotated[int, msgspec.Meta(ge=0, le=2**53)]
Whole = Annotated[int, msgspec.Meta(ge=-(2**31), le=2**31)]
Port = Annotated[int, msgspec.Meta(ge=0, le=65535)]
Dollars = Annotated[float, msgspec.Meta(ge=0, le=1e9)]
#: Years that a time can be of: others can't be reckoned with in every zone.
_YEARS = range(1970, 2200)
#: Numbers that may be out of range, which shows only when a spec is decoded: each digit as 0. A
#: regular expression takes fifteen times as long.
_HUGE = (b"0e000", b"0e+000", b"0" * 300)
_DIGITS = bytes.maketrans(b"123456789E", b"000000000e")
#: Levels of a spec: what is deeper can't be walked.
_DEEPEST = 64


class LazySpec(Mapping[str, Any]):
    """A spec as received, decoded when something of it is read.

    A configuration or a profile that is not an object is an empty one.
    """

    __slots__ = ("_decoded", "raw")

    def __init__(self, raw: bytes) -> None:
        self.raw = raw
        self._decoded: dict[str, Any] | None = None

    def _mapping(self) -> dict[str, Any]:
        if self._decoded is None:
            decoded = msgspec.json.decode(self.raw)
            self._decoded = decoded if isinstance(decoded, dict) else {}
            for part in ("configuration", "profile"):
                if not isinstance(self._decoded.get(part), dict | None):
                    self._decoded[part] = {}
        return self._decoded

    def __getitem__(self, key: str) -> Any:
        return self._mapping()[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._mapping())

    def __len__(self) -> int:
        return len(self._mapping())

    def __repr__(self) -> str:
        return f"LazySpec({len(self.raw)} bytes)"

    def digest(self) -> bytes:
        """What stands for the spec in comparisons."""
        return hashlib.blake2b(self.raw, digest_size=16).digest()


class Answer(msgspec.Struct, gc=False):
    """Part of an answer; never in a cycle, so the garbage collector need not look at it."""


class Parted(Answer):
    """An answer with lists of records in it, each of which can be read without the others."""

    parts: ClassVar[Mapping[str, type[Answer]]] = {}
    """The names of its fields with them, and what they hold."""


class Timed(Answer):
    """Part of an answer with times.

    A time without a zone is UTC, as dstack keeps its times; one that can't be is refused.
    """

    times: ClassVar[tuple[str, ...]] = ()
    """The names of its fields with times."""

    def __post_init__(self) -> None:
        """Checks the times."""
        for name in self.times:
            moment = getattr(self, name)
            if moment is None or (moment.tzinfo is not None and moment.year in _YEARS):
                continue
            setattr(self, name, a_time(moment))


def a_time(moment: datetime) -> datetime:
    """A time with its zone.

    Raises:
        ValueError: It is of a year that can't be.
    """
    if moment.year not in _YEARS:
        raise ValueError(f"the year {moment.year} can't be")
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=timezone.utc)


def known_time(moment: datetime) -> datetime:
    """A time of this program's own making, which has its zone.

    Raises:
        ValueError: It has none, or is of a year that can't be.
    """
    if moment.tzinfo is None:
        raise ValueError("a time has no zone")
    return a_time(moment)


def refuse_odd(raw: bytes) -> None:
    """Makes sure that a spec can be decoded later, and that what walks through it comes to its end.

    Raises:
        msgspec.DecodeError: The spec is not a mapping, too deep, or has a number out of range.
    """
    if not raw.startswith(b"{"):
        raise msgspec.DecodeError("its spec is not a mapping")
    digits = raw.translate(_DIGITS)
    if any(huge in digits for huge in _HUGE):
        msgspec.json.decode(raw)
    if raw.count(b"{") + raw.count(b"[") <= _DEEPEST:
        return
    level: list[Any] = [msgspec.json.decode(raw)]
    for _ in range(_DEEPEST):
        level = [item for each in level for item in _inside(each)]
        if not level:
            return
    raise msgspec.DecodeError("its spec is nested too deeply")


def _inside(value: Any) -> Iterable[Any]:
    """The mappings and lists right below a value."""
    below = value.values() if isinstance(value, dict) else value
    return [item for item in below if isinstance(item, dict | list)]
