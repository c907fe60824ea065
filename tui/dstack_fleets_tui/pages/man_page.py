"""The manual page, written from the parser: `python -m dstack_fleets_tui.pages.man_page`."""

from __future__ import annotations

import os
import sys

from dstack_fleets_tui.cli.main import command_parser
from dstack_fleets_tui.output.notices import PROGRAM

_SUMMARY = "terminal dashboard for the fleets, services and replicas of a dstack server"
#: Columns for the lines of usage, which `man` indents; argparse would ask the terminal.
_WIDTH = "70"


def page() -> str:
    """The page, in the language of `man`. It names no version and no date: those of a package do.

    Needs the packages for development.
    """
    from argparse_manpage.manpage import Manpage

    os.environ["COLUMNS"] = _WIDTH
    parser = command_parser()
    parser.man_short_description = _SUMMARY  # type: ignore[attr-defined]
    data = {
        "project_name": PROGRAM,
        "prog": PROGRAM,
        "manual_title": "User Commands",
        "manual_section": 1,
        "version": "",
        "date": " ",  # today's without one
        "format": "pretty",
        "authors": [],
    }
    return f"{str(Manpage(parser, _data=data)).rstrip()}\n"


if __name__ == "__main__":
    sys.stdout.write(page())
