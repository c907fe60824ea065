"""Run in a process of its own: an app that ends as soon as it has painted.

`python -m tests.servers.timed_start` is a minimal Textual app; with `dashboard` and the dashboard's
arguments, that. Both write through `FirstPaint`, which the environment names.
"""

from __future__ import annotations

import os
import sys

from textual.drivers.headless_driver import HeadlessDriver


class FirstPaint(HeadlessDriver):
    """Ends the process once what is written shows text."""

    @property
    def is_headless(self) -> bool:
        return False

    def write(self, data: str) -> None:
        if _shows_text(data):
            os._exit(0)


def _shows_text(data: str) -> bool:
    """Whether there is a word behind the sequences of a terminal."""
    return any(len(word) > 3 and word.isalpha() for word in data.split())


def _minimal() -> None:
    from textual.app import App, ComposeResult
    from textual.widgets import Footer, Header, Static

    class Minimal(App[None]):
        """A header, a line, a footer."""

        def compose(self) -> ComposeResult:
            yield Header()
            yield Static("Hello from a minimal app")
            yield Footer()

    Minimal().run()


def _dashboard(arguments: list[str]) -> None:
    from dstack_fleets_tui.cli.main import main

    for stream in (sys.stdin, sys.stdout, sys.stderr):
        stream.isatty = lambda: True  # type: ignore[method-assign]
    main(arguments)


if __name__ == "__main__":
    if sys.argv[1:2] == ["dashboard"]:
        _dashboard(sys.argv[2:])
    else:
        _minimal()
