"""The way back from what was applied last, through the same plan as any other edit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, TypeVar

from dstack_api_client.edits.base.base import Base
from dstack_api_client.edits.errors import EndedError, NotKeptError
from dstack_api_client.edits.fleet.fleet import FleetEdit
from dstack_api_client.edits.service.service import ServiceEdit
from dstack_api_client.edits.store.keeping import Store
from dstack_api_client.edits.store.kept import Kept, differing, moved_since, values_of
from dstack_api_client.model.capabilities import Capabilities
from dstack_api_client.text import one_line

E = TypeVar("E", ServiceEdit, FleetEdit)


@dataclass(frozen=True)
class Undo(Generic[E]):
    """An edit that takes back what was applied last.

    Attributes:
        edit: The edit, on what is there now.
        kept: What is taken back.
        changed_since: Fields that somebody changed after it was applied; they go back too.
        left_out: Fields that were changed and are not kept, since they may hold a secret.
    """

    edit: E
    kept: Kept
    changed_since: tuple[str, ...]
    left_out: tuple[str, ...]

    def refuse_unkept(self) -> None:
        """Makes sure that something of the change can be taken back.

        Raises:
            NotKeptError: All of it may hold secrets, and none of it was kept.
        """
        if self.left_out and not self.kept.steps:
            raise NotKeptError(
                f"Only {', '.join(self.left_out)} was changed, which may hold a secret and is not"
                " kept.",
                "Change it back by hand.",
            )


@dataclass(frozen=True)
class Draft(Generic[E]):
    """An edit that was begun earlier, on what is there now.

    Attributes:
        edit: The edit.
        kept: As it was kept.
        base_moved: Whether what it began with is no longer there.
        left_out: Fields that were changed and are not kept.
    """

    edit: E
    kept: Kept
    base_moved: bool
    left_out: tuple[str, ...]


def undo(store: Store, base: Base, capabilities: Capabilities) -> Undo[ServiceEdit]:
    """The edit that takes back what was applied last to a service.

    Args:
        store: Where that is kept.
        base: The service as it is now.
        capabilities: What its server can do.

    Raises:
        NotKeptError: Nothing is kept of it.
        EndedError: What was changed was another run of that name.
    """
    return _undo(store, base, ServiceEdit.begin(base, capabilities))


def undo_fleet(store: Store, base: Base) -> Undo[FleetEdit]:
    """The edit that takes back what was applied last to a fleet.

    Raises:
        NotKeptError: Nothing is kept of it.
        EndedError: What was changed was another fleet of that name.
        NotInPlaceError: The fleet can't be edited.
    """
    return _undo(store, base, FleetEdit.begin(base))


def reopened(store: Store, base: Base, capabilities: Capabilities) -> Draft[ServiceEdit] | None:
    """The draft of a service, on what is there now; None where there is none."""
    return _reopened(store, base, ServiceEdit.begin(base, capabilities))


def reopened_fleet(store: Store, base: Base) -> Draft[FleetEdit] | None:
    """The draft of a fleet, on what is there now; None where there is none."""
    return _reopened(store, base, FleetEdit.begin(base))


def _undo(store: Store, base: Base, edit: E) -> Undo[E]:
    name = one_line(base.target.name)
    kept = store.applied(base.target)
    if kept is None or not (kept.steps or kept.left_out):
        raise NotKeptError(
            f"No change to {name} that could be undone is known here.",
            "Changes are known on the machine and to the user that applied them.",
        )
    if kept.id != base.id:
        raise EndedError(
            f"The change that is known was made to an earlier {name}.",
            "There is nothing to undo on this one.",
        )
    edit = edit.with_values(values_of(kept, back=True))
    return Undo(edit, kept, tuple(differing(kept, base)), kept.left_out)


def _reopened(store: Store, base: Base, edit: E) -> Draft[E] | None:
    kept = store.draft(base.target)
    if kept is None:
        return None
    edit = edit.with_values(values_of(kept, back=False))
    return Draft(edit, kept, moved_since(kept, base), kept.left_out)
