"""The commands of the shell that the documents show."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator

from markdown_it import MarkdownIt

from dstack_fleets_tui.output.notices import PROGRAM
from tests import ROOT

DOCUMENTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
#: Commands that sentences name without the program.
COMMANDS = ("get", "plan", "apply", "undo", "rebalance", "cordon", "drain", "uncordon", "whatif")
_MARKDOWN = MarkdownIt("commonmark").enable("table")
#: What ends a command in a shell.
_END = re.compile(r"\s(?:\|\|?|&&?|;|[0-9]?>{1,2}|<|#)(?:\s.*)?$|[`)].*$")
#: What stands for a file with the output of another program.
_OUTPUT_OF = re.compile(r"<\(.*?\)")
#: Shown in place of what one has to fill in.
_FILLED = {"KIND": "services", "COMMAND": "undo", "SHELL": "bash"}


def codes(text: str) -> Iterator[str]:
    """The lines of blocks, and what stands in code within sentences."""
    for block in _MARKDOWN.parse(text):
        if block.type == "fence":
            yield from block.content.replace("\\\n", " ").splitlines()
        for token in block.children or ():
            if token.type == "code_inline":
                yield token.content


def shell_commands(text: str) -> Iterator[str]:
    """What follows the program's name in each command of a document."""
    for code in codes(text):
        found = re.search(rf"(?:^|[\s(]){PROGRAM}((?: .*)?)$", code)
        if found is not None and not code.startswith(("#", "man ", "pip", "alias")):
            yield found[1]
        elif code.partition(" ")[0] in COMMANDS and " " in code:
            yield f" {code}"


def arguments(command: str) -> list[str] | None:
    """The words of a command; None for what only sketches one."""
    words = shlex.split(_END.sub("", _OUTPUT_OF.sub("FILE", command)))
    if any(set(word) & set("[]…") or word == "..." for word in words):
        return None
    return [_FILLED.get(word, word) for word in words]
