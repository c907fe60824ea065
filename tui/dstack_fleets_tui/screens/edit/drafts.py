"""What was begun in an editor and not applied: kept, and offered again."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any, Generic, TypeVar

from textual.content import Content

from dstack_api_client.edits.base.base import Kind, Target
from dstack_api_client.edits.base.difference import difference
from dstack_api_client.edits.errors import NotKeptError
from dstack_api_client.edits.fleet.fleet import FleetEdit
from dstack_api_client.edits.perform.undoing import Draft
from dstack_api_client.edits.service.service import ServiceEdit
from dstack_api_client.edits.store.kept import Kept
from dstack_api_client.model.capabilities import UNKNOWN
from dstack_fleets_tui.host.host import Host
from dstack_fleets_tui.screens.parts.asking import AskScreen
from dstack_widgets.drawing.palette import style_of
from dstack_widgets.drawing.text import literal
from dstack_widgets.inputs.choices import Choice

E = TypeVar("E", bound=ServiceEdit | FleetEdit)


class Drafts(Generic[E]):
    """The draft of one service or fleet.

    Args:
        app: The app, whose store keeps it.
        name: What it is of.
        kind: What that is.

    Attributes:
        kept_at: When it was kept here; None where there is nothing to keep, or it could not be.
    """

    def __init__(self, app: Host, name: str, kind: Kind) -> None:
        self._app = app
        self._store = app.changing.store
        self._name = name
        self._kind: Kind = kind
        self.kept_at: datetime | None = None

    def keep(self, edit: E) -> None:
        """Keeps an edit; one that changes nothing leaves no draft."""
        self.kept_at = None
        try:
            if edit.changed:
                self._store.keep_draft(edit.base, edit.spec)
                self.kept_at = self._app.now().astimezone()
            else:
                self._store.drop_draft(edit.base.target)
        except NotKeptError as error:
            self._app.warn(f"The draft could not be kept. {error}")

    def found(self, read: Callable[[], Draft[Any] | None]) -> Draft[Any] | None:
        """The draft that is kept; none where it can't be read, which is said.

        Args:
            read: Reads it.
        """
        try:
            return read()
        except NotKeptError as error:
            self._app.warn(f"It is not known whether a draft is kept. {error}")
            return None

    def offer(self, draft: Draft[Any], go_on: Callable[[E], object]) -> None:
        """Offers to go on with what was begun earlier.

        Args:
            draft: The draft.
            go_on: What to do with its edit then.
        """

        def answered(key: str | None) -> None:
            target = draft.edit.base.target
            if key == "continue":
                self._store.take_draft(target, draft.kept)
                go_on(draft.edit)
            elif key == "drop":
                self._drop(target, draft.kept)

        choices = (Choice("continue", "Go on with it"), Choice("drop", "Discard draft"))
        title = f"A draft of {self._name} is kept"
        lines = list(self._about(draft))
        screen = AskScreen(title, lines, choices, ascii_only=self._app.ascii)
        self._app.push_screen(screen, answered)

    def _about(self, draft: Draft[Any]) -> Iterator[Content]:
        at = draft.kept.at.astimezone()
        yield literal(f"It was left at {at:%Y-%m-%d %H:%M:%S}.")
        edit = draft.edit
        known = edit.capabilities if isinstance(edit, ServiceEdit) else UNKNOWN
        for change in difference(edit.base.spec, edit.spec, self._kind, known):
            text = f"~ {change.label}  {change.old} to {change.new}"
            yield literal(text, style_of("accent"))
        if draft.base_moved:
            text = "It was changed since: the draft is put on top of what is there now."
            yield literal(text, style_of("warn"))
        if draft.left_out:
            names = ", ".join(draft.left_out)
            yield literal(f"Not kept, since it may hold a secret: {names}.", style_of("dim"))

    def _drop(self, target: Target, kept: Kept) -> None:
        try:
            self._store.drop_draft(target, kept)
        except NotKeptError as error:
            self._app.warn(str(error))
