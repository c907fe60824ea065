"""A text to be edited: in the user's own editor, or here where there is none."""

from __future__ import annotations

import importlib.util
import os
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from textual.app import App, ComposeResult, SuspendNotSupported
from textual.binding import Binding
from textual.containers import Vertical
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Static, TextArea

from dstack_api_client.private_folder import PrivateFolder
from dstack_api_client.text import one_line
from dstack_fleets_tui.host.host import Host
from dstack_fleets_tui.screens.parts.outside import Signalled, run_outside
from dstack_fleets_tui.screens.parts.questions import Asking
from dstack_fleets_tui.screens.parts.said_line import said_content
from dstack_widgets.drawing.glyphs import ASCII, UNICODE
from dstack_widgets.drawing.text import literal


class EditorError(Exception):
    """The user's editor could not be used.

    Attributes:
        failure: What happened, without a full stop.
        text: What the editor left, where it left something.
    """

    def __init__(self, failure: str, what_to_do: str, text: str | None = None) -> None:
        super().__init__(f"{failure}. {what_to_do}")
        self.failure = failure
        self.text = text


@dataclass(frozen=True, slots=True)
class Written:
    """What somebody made of a text.

    Attributes:
        text: The text.
        used: Whether it is to be used; else the editor was left without that.
        failure: Why not, where something failed, without a full stop.
    """

    text: str
    used: bool
    failure: str = ""


class StoppedError(Exception):
    """This program was asked to end while the editor ran.

    Attributes:
        signal: By which signal.
        text: The text, as far as the editor had saved it.
    """

    def __init__(self, signal: int, text: str) -> None:
        super().__init__(f"signal {signal}")
        self.signal = signal
        self.text = text


def editor_of(environ: Mapping[str, str]) -> list[str] | None:
    """The command of the user's editor; None where none is set.

    Raises:
        EditorError: It is not a command.
    """
    for name in ("VISUAL", "EDITOR"):
        try:
            words = shlex.split(environ.get(name, ""))
        except ValueError as error:
            said = one_line(str(error)).rstrip(".")
            raise EditorError(f"{name} is not a command: {said}", "Fix it, or unset it.") from None
        if words:
            return words
    return None


def edit_outside(app: App[Any], command: list[str], text: str) -> str | None:
    """Has the user's editor edit a text, with the terminal to itself.

    Args:
        app: The app, which steps back meanwhile.
        command: The editor.
        text: What to edit.

    Returns:
        The text as it was left; None where the app can't step back.

    Raises:
        EditorError: The editor could not be started, or ended with an error.
        StoppedError: This program was asked to end meanwhile.
    """
    failed, ended = "", 0
    left: str | None
    try:
        folder = PrivateFolder()
        try:
            path = folder.write("edit.dstack.yml", text.encode("utf-8", "replace").decode())
            try:
                with app.suspend():
                    # What is raised here would leave the terminal to nobody.
                    try:
                        status = run_outside([*command, str(path)])
                    except Signalled as signalled:
                        ended = signalled.signal
                    except (OSError, ValueError) as error:
                        failed = f"{command[0]} can't be started: {_said(error)}"
                    else:
                        failed = f"{command[0]} ended with status {status}" if status else ""
            except SuspendNotSupported:
                return None
            left = path.read_text(encoding="utf-8", errors="replace")
        finally:
            folder.close()
    except OSError as error:
        failed, left = f"The file for {command[0]} can't be used: {_said(error)}", None
    if ended and left is not None:
        raise StoppedError(ended, left)
    if failed:
        raise EditorError(failed, "The text was not saved.", left)
    return left


def _said(error: Exception) -> str:
    said = error.strerror if isinstance(error, OSError) else None
    return one_line(said or str(error)).rstrip(".")


def environment_editor() -> list[str] | None:
    """The editor that the environment names."""
    return editor_of(os.environ)


class TextScreen(Asking, ModalScreen[Written]):
    """A text area over the whole screen.

    Args:
        subject: What it is the text of.
        place: Where that is.
        text: The text.
        ascii_only: Whether only ASCII is drawn.

    """

    CSS_PATH = Path(__file__).with_name("text.tcss")
    # It asks nothing that a key too early could answer, only what was meant for another screen.
    guard = 0.0
    BINDINGS = [
        Binding("ctrl+s", "done", "Done", show=False, priority=True, id="text.done"),
        Binding("escape", "cancel", "Cancel", show=False, priority=True, id="text.cancel"),
    ]

    def __init__(self, subject: str, place: str, text: str, *, ascii_only: bool = False) -> None:
        super().__init__(classes="-ascii" if ascii_only else None)
        self.subject = subject
        self._title = f"{subject} in {place}"
        self._text = text
        self._dot = (ASCII if ascii_only else UNICODE).dot

    @property
    def changed(self) -> bool:
        """Whether something was typed."""
        return self.is_mounted and self.text != self._text

    @property
    def text(self) -> str:
        """The text as it is now."""
        return self.query_one(TextArea).text

    def compose(self) -> ComposeResult:
        """The area."""
        area = TextArea(self._text, tab_behavior="indent", show_line_numbers=True)
        if "yaml" in area.available_languages and _has_highlighting():
            area.language = "yaml"
        area.cursor_blink = False
        with Vertical(id="box"):
            yield Static(literal(self._title), id="title")
            yield area
            yield Static(Content(), id="said", markup=False)
            yield Static(literal(f"Ctrl+S save {self._dot} Esc cancel", "dim"))

    def on_mount(self) -> None:
        """Shows messages until they have had their time."""
        self.set_interval(1, self.show_said)

    def show_said(self) -> None:
        """Shows the message that stands now above the keys."""
        for line in self.query("#said").results(Static):
            message = said_content(cast("Host", self.app))
            line.display = message is not None
            if message is not None and not message.is_same(cast("Content", line.content)):
                line.update(message)

    def action_done(self) -> None:
        """Has the text used."""
        self.answer(Written(self.text, used=True))

    def action_cancel(self) -> None:
        """Leaves the text, which is not used."""
        self.answer(Written(self.text, used=False))


def _has_highlighting() -> bool:
    """Whether the parsers are installed, which the extra `editor` brings."""
    return all(importlib.util.find_spec(name) for name in ("tree_sitter", "tree_sitter_yaml"))
