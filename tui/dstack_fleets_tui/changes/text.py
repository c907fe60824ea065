"""Texts that are edited: what was typed is used, or kept until somebody discards it."""

from __future__ import annotations

import asyncio
from typing import Any, TypeVar

from dstack_api_client.edits.errors import InvalidEditError, NotKeptError
from dstack_api_client.edits.service import texts
from dstack_api_client.errors import ApiError
from dstack_fleets_tui.editing.texts import Editing
from dstack_fleets_tui.host.host import Host
from dstack_fleets_tui.live.source import Source
from dstack_fleets_tui.screens.edit.text import (
    EditorError,
    StoppedError,
    TextScreen,
    Written,
    edit_outside,
    environment_editor,
)
from dstack_fleets_tui.screens.parts.asking import AskScreen
from dstack_fleets_tui.screens.parts.questions import Question, ask
from dstack_widgets.drawing.text import literal
from dstack_widgets.inputs.choices import Choice

T = TypeVar("T")

#: Seconds that reading a text may take when this program is asked to end.
_READ_WITHIN = 2.0
_KEEP, _AGAIN, _DISCARD = "keep", "again", "discard"


class TextChanges:
    """Has texts edited, again and again until they can be read.

    Args:
        app: The app.

    Attributes:
        is_keeping: Whether what an editor left, when this program was asked to end, is being kept.
    """

    def __init__(self, app: Host) -> None:
        self._app = app
        self._kept: dict[str, tuple[str, str]] = {}
        self._typed: tuple[Editing[Any], TextScreen] | None = None
        self.is_keeping = False

    @property
    def unused(self) -> tuple[str, ...]:
        """Names of the texts that are kept, and of one that is being typed."""
        typed = (s for s in self._app.screen_stack if isinstance(s, TextScreen) and s.changed)
        names = [name for name, _ in self._kept.values()]
        return tuple(dict.fromkeys((*names, *(screen.subject for screen in typed))))

    def discard(self, key: str) -> None:
        """Forgets a text that is kept."""
        self._kept.pop(key, None)

    async def edit(self, editing: Editing[T], question: Question) -> None:
        """Has a text edited until it can be read, or somebody gives up.

        Where the screen it was asked for on is left meanwhile, the text is kept and nothing opens.

        Args:
            editing: The text; one that is kept of it is gone on with.
            question: What asked for it.
        """
        self._take_left(editing)
        kept = self._kept.get(editing.key)
        shown = editing.text if kept is None else kept[1]
        as_it_is = editing.as_it_is or kept is not None
        first = editing.first or kept is not None
        written = Written(shown, used=True)
        screen = question.screen
        while (source := self._app.source) is not None:
            if first:
                if question.refuse_late(f"The text of {editing.name}"):
                    return
                try:
                    written = await self._written(editing, shown)
                except StoppedError as stopped:
                    await self._keep_ended(editing, source, stopped.text)
                    self.keep_all()
                    self._app.end(stopped.signal)
                    return
                question = ask(self._app)
                if question.screen is not screen:
                    self._keep(editing, written.text)
                    return
                if not written.used or (written.text == shown and not as_it_is):
                    if not await self._goes_on(editing, written):
                        return
                    shown, question = written.text, ask(self._app)
                    if question.screen is not screen:
                        return
                    continue
            # It is nowhere else until something has come of it.
            self._keep(editing, written.text)
            try:
                made = await editing.read(source, written.text)
            except InvalidEditError as error:
                shown = texts.with_note(written.text, error.lines)
            except ApiError as error:
                shown = texts.with_note(written.text, [str(error)])
            else:
                if not question.refuse_late(f"The outcome of the text of {editing.name}"):
                    if not editing.until_applied:
                        self.discard(editing.key)
                    editing.done(made)
                return
            first, as_it_is = True, False

    def _take_left(self, editing: Editing[Any]) -> None:
        """Takes the text that a program left when it was ended."""
        try:
            left = self._app.changing.store.take_text(self._place_of(editing.key))
        except NotKeptError as error:
            self._app.warn(str(error))
        else:
            if left is not None:
                self._keep(editing, left)

    async def _keep_ended(self, editing: Editing[Any], source: Source, text: str) -> None:
        """Keeps what was written when this program is asked to end, as a draft if that can be."""
        if self._is_original(editing, text):
            return
        # It is nowhere else if the program ends before that.
        self._keep(editing, text)
        if editing.drafted:
            self.is_keeping = True
            try:
                made = await asyncio.wait_for(editing.read(source, text), _READ_WITHIN)
            except (ApiError, asyncio.TimeoutError):
                return  # what can't be read now is kept as it is
            finally:
                self.is_keeping = False
            self.discard(editing.key)
            editing.done(made)

    def keep_all(self) -> None:
        """Keeps what is typed and not used, for the next time: this program is asked to end.

        What can't be kept is said once the terminal is back.
        """
        if self._typed is not None and self._typed[1].changed:
            editing, screen = self._typed
            self._keep(editing, screen.text)
        kept, self._kept = self._kept, {}
        for key, (_, text) in kept.items():
            self._keep_on_disk(key, text)

    def _keep_on_disk(self, key: str, text: str) -> None:
        try:
            self._app.changing.store.keep_text(self._place_of(key), text)
        except NotKeptError as error:
            self._app.last_words.append(str(error))

    def _place_of(self, key: str) -> str:
        return "\0".join((self._app.place, key))

    async def _goes_on(self, editing: Editing[T], written: Written) -> bool:
        """Asks what becomes of a text that is not used; whether it is edited again."""
        name = editing.name
        if self._is_original(editing, written.text):
            self.discard(editing.key)
            self._app.notify("The text was not changed.", markup=False)
            return False
        self._keep(editing, written.text)
        lines = [f"{written.failure}."] if written.failure else []
        lines.append("Text that you keep is there when you edit it again, until you quit.")
        answer = await self._app.push_screen_wait(
            AskScreen(
                f"Your changes to the text of {name} are not saved",
                [literal(line) for line in lines],
                (
                    Choice(_KEEP, "Keep it"),
                    Choice(_AGAIN, "Edit it again"),
                    Choice(_DISCARD, "Discard it"),
                ),
                ascii_only=self._app.ascii,
            )
        )
        if answer == _DISCARD:
            self.discard(editing.key)
        return bool(answer == _AGAIN)

    def _keep(self, editing: Editing[T], text: str) -> None:
        if self._is_original(editing, text):
            self.discard(editing.key)
        else:
            self._kept[editing.key] = (editing.name, text)

    @staticmethod
    def _is_original(editing: Editing[T], text: str) -> bool:
        return texts.with_note(text, ()) == texts.with_note(editing.text, ())

    async def _written(self, editing: Editing[Any], text: str) -> Written:
        """What somebody made of a text."""
        try:
            command = environment_editor()
        except EditorError as error:
            self._app.warn(str(error))
            command = None  # the text area here needs none
        if command is not None:
            try:
                written = edit_outside(self._app, command, text)
            except EditorError as error:
                self._app.warn(str(error))
                return Written(text if error.text is None else error.text, False, error.failure)
            if written is not None:
                return Written(written, used=True)
        screen = TextScreen(editing.name, self._app.place, text, ascii_only=self._app.ascii)
        self._typed = editing, screen
        try:
            return await self._app.push_screen_wait(screen)
        finally:
            self._typed = None
