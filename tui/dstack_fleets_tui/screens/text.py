"""A text to be edited: in the user's own editor, or here where there is none."""

from __future__ import annotations

import importlib.util
import os
import shlex
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from textual.app import App, ComposeResult, SuspendNotSupported
from textual.binding import Binding
from textual.containers import Vertical
from textual.screen import ModalScreen
from textual.widgets import Static, TextArea

from dstack_widgets.text import literal


class EditorError(Exception):
    """The user's editor could not be used; the text says why."""


def editor_of(environ: Mapping[str, str]) -> list[str] | None:
    """The command of the user's editor; None where none is set."""
    for name in ("VISUAL", "EDITOR"):
        words = shlex.split(environ.get(name, ""))
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
    """
    with tempfile.TemporaryDirectory(prefix="dstack-fleets-") as folder:  # 0700
        path = Path(folder) / "edit.dstack.yml"
        path.write_text(text, encoding="utf-8")
        failed = ""
        try:
            with app.suspend():
                # What is raised here would leave the terminal to nobody.
                try:
                    status = subprocess.run([*command, str(path)], check=False).returncode
                except OSError as error:
                    failed = f"{command[0]} can't be started: {error.strerror}"
                else:
                    failed = f"{command[0]} ended with status {status}" if status else ""
        except SuspendNotSupported:
            return None
        if failed:
            raise EditorError(f"{failed}. Nothing was taken over.")
        return path.read_text(encoding="utf-8", errors="replace")


def environment_editor() -> list[str] | None:
    """The editor that the environment names."""
    return editor_of(os.environ)


class TextScreen(ModalScreen[str | None]):
    """A text area over the whole screen.

    Args:
        title: What is edited.
        text: The text.
        ascii_only: Whether only ASCII is drawn.
    """

    CSS_PATH = "text.tcss"
    BINDINGS = [
        Binding("ctrl+s", "done", "Done", show=False, priority=True, id="text.done"),
        Binding("escape", "cancel", "Cancel", show=False, priority=True, id="text.cancel"),
    ]

    def __init__(self, title: str, text: str, *, ascii_only: bool = False) -> None:
        super().__init__(classes="-ascii" if ascii_only else None)
        self._title = title
        self._text = text

    def compose(self) -> ComposeResult:
        """The area."""
        area = TextArea(self._text, tab_behavior="indent", show_line_numbers=True)
        if "yaml" in area.available_languages and _has_highlighting():
            area.language = "yaml"
        area.cursor_blink = False
        with Vertical(id="box"):
            yield Static(literal(self._title), id="title")
            yield area
            yield Static(literal("Ctrl+S takes it over   Esc leaves it", "dim"))

    def action_done(self) -> None:
        """Takes the text over."""
        self.dismiss(self.query_one(TextArea).text)

    def action_cancel(self) -> None:
        """Leaves everything as it was."""
        self.dismiss(None)


def _has_highlighting() -> bool:
    """Whether the parsers are installed, which the extra `editor` brings."""
    return all(importlib.util.find_spec(name) for name in ("tree_sitter", "tree_sitter_yaml"))
