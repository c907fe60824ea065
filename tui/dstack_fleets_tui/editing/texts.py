"""A text that is edited, and what is made of it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from dstack_fleets_tui.live.source import Source

T = TypeVar("T")


@dataclass(frozen=True)
class Editing(Generic[T]):
    """A text that is edited.

    Attributes:
        name: What it is the text of.
        key: What tells it from other texts.
        text: The text as it is before anybody types.
        read: Makes something of what was written.
        done: Takes what came of it; not called where nothing was changed.
        first: Whether it is edited before it is read for the first time.
        as_it_is: Whether it may be left as it is; else that is a cancel.
        until_applied: Whether it is kept until `discard` is called, though it could be read.
        drafted: Whether `done` keeps a draft.
    """

    name: str
    key: str
    text: str
    read: Callable[[Source, str], Awaitable[T]]
    done: Callable[[T], object]
    first: bool = True
    as_it_is: bool = False
    until_applied: bool = False
    drafted: bool = False
