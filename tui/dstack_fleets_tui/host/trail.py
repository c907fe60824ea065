"""Where one has been in the dashboard, for going back and forth as in a browser."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dstack_api_client.model.replica import ReplicaKey
    from dstack_api_client.trends.trend import Subject

#: So many places are remembered.
_MOST = 100


@dataclass(frozen=True)
class Place:
    """A view that one can come back to.

    Attributes:
        screen: The screen's name in the registry of actions.
        mode: The list that it is opened over.
        key: What it is of; None for a list.
        view: Which of its views.
    """

    screen: str
    mode: str
    key: str | ReplicaKey | Subject | None = None
    view: str = ""

    def same_screen(self, other: Place) -> bool:
        """Whether another place is a view of the same screen."""
        return (self.screen, self.mode, self.key) == (other.screen, other.mode, other.key)


class Trail:
    """The places, in the order in which one came to them."""

    def __init__(self) -> None:
        self._places: list[Place] = []
        self._at = -1
        self._before: Place | None = None

    @property
    def here(self) -> Place | None:
        """Where one is."""
        return self._places[self._at] if self._places else None

    @property
    def before(self) -> Place | None:
        """Where one was last."""
        return self._before

    def visit(self, place: Place) -> None:
        """Comes to a place; what was ahead is forgotten, unless it is a neighbour on the trail."""
        here = self.here
        if place == here:
            return
        self._before = here
        if self.beside(-1) == place:
            self._at -= 1
        elif self.beside(1) == place:
            self._at += 1
        else:
            self._places = [*self._places[: self._at + 1], place][-_MOST:]
            self._at = len(self._places) - 1

    def beside(self, by: int) -> Place | None:
        """The place before (-1) or after (1) this one on the trail."""
        at = self._at + by
        return self._places[at] if 0 <= at < len(self._places) else None

    def forget(self) -> None:
        """Forgets all: they were of another project."""
        self._places, self._at, self._before = [], -1, None
