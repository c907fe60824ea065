"""The keys of a screen and what they do."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TypeAlias

from rich.cells import cell_len

from dstack_fleets_tui.actions import action, key_names, places
from dstack_fleets_tui.screens.parts.reading import ReadingScreen
from dstack_widgets.drawing.glyphs import ASCII, UNICODE
from dstack_widgets.panels.facts import Fact, Heading
from dstack_widgets.table.cells import CellValue

Keys: TypeAlias = "Sequence[tuple[str, str]]"

#: Cells of an argument up to which it stands beside its command.
_BRIEF = 8
#: What the table itself listens to, for every screen, and what its filter takes.
TABLE_KEYS = (
    ("↑ ↓ j k", "up and down"),
    ("PgUp PgDn g G", "a page; the first and the last row"),
    ("← →", "scroll columns that do not fit"),
    ("/", "a text, !text, ~letters in order, /expression/; of one column: state:running"),
)
_ASCII_TABLE_KEYS = (
    ("up down j k", TABLE_KEYS[0][1]),
    TABLE_KEYS[1],
    ("left right", "scroll"),
    TABLE_KEYS[3],
)
#: What the lines of logs listen to.
LOG_KEYS = (
    ("↑ ↓ j k", "up and down"),
    ("PgUp PgDn g G", "a page; the first and the last line"),
    ("← →", "half a screen sideways, where lines are not wrapped"),
    ("/", "a part of a line, !what it must not have, ~letters in order, or an /expression/"),
)
_ASCII_LOG_KEYS = (("up down j k", LOG_KEYS[0][1]), LOG_KEYS[1], ("left right", LOG_KEYS[2][1]),
                   LOG_KEYS[3])  # fmt: skip
#: What the fields of an editor listen to.
FIELD_KEYS = (
    ("0-9 - .", "type a number; any other key ends it and acts"),
    ("+ -", "step a number up and down"),
    ("enter", "change the field, or end what is typed"),
    ("esc", "discard what is typed"),
    ("tab shift+tab", "the next and the previous field"),
)
#: What the answers below a plan listen to.
ANSWER_KEYS = (("left right", "choose"), ("enter", "choose the answer under the cursor"))
#: What is the same on every screen and no action of one.
GENERAL_KEYS = (("^c", "Copy what the mouse selected; else ask whether to quit."),)
#: What each sign means, by its name among the glyphs.
SIGNS = (
    ("cross", "bad", "critical: failed, or can't be used"),
    ("warning", "warn", "needs attention"),
    ("bullet", "ok", "working"),
    ("circle", "", "not working: not yet, or no longer"),
    ("check", "ok", "as it should be"),
    ("dot", "dim", "a note"),
    ("mark", "accent", "selected"),
    ("bar_busy", "busy", "in a bar of instances: busy"),
    ("bar_idle", "idle", "in a bar of instances: idle"),
    ("bar_starting", "starting", "in a bar of instances: starting"),
    ("bar_ending", "ending", "in a bar of instances: ending"),
)
#: Only where the palette can be drawn.
PALETTE_KEYS = (("^p", "Search for a command, or choose a theme."),)


class HelpScreen(ReadingScreen):
    """Lists the actions of one screen.

    Args:
        screen: The screen.
        offered: Its actions.
        own: The user's own keys, by the id of an action.
        ascii_only: Whether only ASCII is drawn.
    """

    def __init__(
        self,
        screen: str,
        offered: Sequence[action.Action],
        own: Mapping[str, tuple[str, ...]],
        *,
        ascii_only: bool = False,
    ) -> None:
        super().__init__(ascii_only=ascii_only)
        self._screen_name = screen
        self._offered = offered
        self._own_keys = own
        self._glyphs = ASCII if ascii_only else UNICODE

    def facts(self) -> Iterator[Fact | Heading]:
        """The keys, with their commands."""
        rows = [(self._keys(action), *_command(action)) for action in self._offered]
        moves: Keys = _ASCII_TABLE_KEYS if self._ascii else TABLE_KEYS
        general = GENERAL_KEYS if self._ascii else (*PALETTE_KEYS, *GENERAL_KEYS)
        title, moves = self._own(moves)
        wide = max(cell_len(keys) for keys, *_ in (*rows, *moves)) + 2
        yield Heading(f"{'KEY':<{wide}}COMMAND")
        for keys, command, text in rows:
            yield Fact(f"{keys:<{wide}}{command}", text)
        yield from (Fact(keys, text) for keys, text in general)
        if moves:
            yield Heading(title)
            yield from (Fact(keys, text) for keys, text in moves)
        yield Heading("Signs")
        for name, style, text in SIGNS:
            yield Fact(getattr(self._glyphs, name), CellValue(text, style))

    def _keys(self, action: action.Action) -> str:
        """The keys that an action has on this screen, where it has any."""
        here = action.on(self._screen_name)
        keys = self._own_keys.get(action.id, action.keys) if here else ()
        return " ".join(key_names.key_name(key, ascii_only=self._ascii) for key in keys)

    def _own(self, of_table: Keys) -> tuple[str, Keys]:
        """The keys of what has the focus on this screen, with their heading."""
        if self._screen_name in places.EDITORS:
            return "In a field", FIELD_KEYS
        if self._screen_name == places.PLAN:
            return "On the answers", ANSWER_KEYS
        if self._screen_name == places.LOGS:
            return "In the lines", _ASCII_LOG_KEYS if self._ascii else LOG_KEYS
        return "In a table", of_table if self._screen_name in places.TABLES else ()


def _command(action: action.Action) -> tuple[str, str]:
    """An action's command, and what it does; a long argument would take the room of all texts."""
    if len(action.argument) <= _BRIEF:
        return f":{action.id} {action.argument}".rstrip(), action.help
    return f":{action.id}", f"{action.help} Takes {action.argument}."
