"""Every command in the documents is one that the program takes."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from dstack_fleets_tui.actions import actions
from dstack_fleets_tui.actions.commands import CommandError, parse
from dstack_fleets_tui.cli.main import command_parser, main
from dstack_fleets_tui.output.notices import PROGRAM
from tests.builders.documented_commands import (
    COMMANDS,
    DOCUMENTS,
    arguments,
    codes,
    shell_commands,
)


def _taken(words: list[str]) -> bool:
    """Whether they are taken, with a name where a sentence leaves it out."""
    command, *rest = words or ["--help"]
    if command in COMMANDS and not rest:
        return True
    return _parsed(words) or (command in COMMANDS and _parsed([command, "chat", *rest]))


def _parsed(words: list[str]) -> bool:
    try:
        _, unknown = command_parser().parse_known_args(words)
    except SystemExit as error:
        return error.code == 0
    return not unknown


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_commands_of_the_shell(document: Path, capsys: pytest.CaptureFixture[str]) -> None:
    commands = dict.fromkeys(shell_commands(document.read_text("utf-8")))
    asked = {command: arguments(command) for command in commands}
    wrong = [command for command, words in asked.items() if words is not None and not _taken(words)]
    assert wrong == [], capsys.readouterr().err


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_commands_of_the_dashboard(document: Path) -> None:
    typed = {
        code[1:]
        for code in codes(document.read_text("utf-8"))
        if re.fullmatch(r":[a-z][a-z_-]*(?: [^|…]*)?", code)
    }
    screens = {screen for action in actions.ACTIONS for screen in action.screens}
    # Aliases of the examples in the documents.
    typed -= {"oncall"}
    assert [each for each in sorted(typed) if not any(_is_typed(each, on) for on in screens)] == []


def _is_typed(text: str, screen: str) -> bool:
    try:
        parse(text, screen)
    except CommandError:
        return False
    return True


@pytest.mark.parametrize(
    ("command", "says"),
    [
        ("completion bash", "complete -o"),
        ("completion zsh", "compdef"),
        ("completion fish", "complete --command"),
        ("schema", '"additionalProperties": false'),
        ("--version", f"{PROGRAM} 0."),
    ],
)
def test_commands_that_need_no_server(
    command: str, says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code: object = 0
    try:
        code = main(command.split())
    except SystemExit as error:
        code = error.code
    assert code == 0
    assert says in capsys.readouterr().out
