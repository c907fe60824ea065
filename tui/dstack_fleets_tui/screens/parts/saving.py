"""Saving what a screen shows to a file."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path

from textual.screen import Screen
from textual.widget import Widget

from dstack_api_client.secrets import masked
from dstack_api_client.text import one_line
from dstack_fleets_tui.actions.commands import CommandError
from dstack_fleets_tui.host.host import Host
from dstack_fleets_tui.output.table import Column
from dstack_fleets_tui.screens.parts import view_text
from dstack_fleets_tui.screens.parts.asking import PickScreen
from dstack_fleets_tui.screens.parts.view_text import Document, Facts, Lines, Table, View
from dstack_fleets_tui.tables.trends import COLUMN_KEYS
from dstack_widgets.drawing.glyphs import ASCII, UNICODE, Glyphs
from dstack_widgets.panels import facts, lines
from dstack_widgets.panels.charts import Charts
from dstack_widgets.panels.detail_pane import DetailPane
from dstack_widgets.panels.findings import Findings
from dstack_widgets.panels.flow import Flow
from dstack_widgets.table.cells import Cell, plain_text
from dstack_widgets.table.live_table import LiveTable

#: What is written, by its form.
_WRITERS: dict[str, Callable[[View], str | None]] = {
    "md": view_text.as_document,
    "txt": view_text.as_text,
    "csv": view_text.as_rows,
    "json": view_text.as_object,
}
#: The forms, with what each is for.
FORMS = {
    "md": "Markdown, for an issue or a chat",
    "txt": "plain text",
    "csv": "the table for a spreadsheet",
    "json": "the same for programs",
    "svg": "a picture of the whole screen",
}
_ODD = re.compile(r"[^A-Za-z0-9_.-]+")


def _bars(glyphs: Glyphs) -> re.Pattern[str]:
    """What is drawn before the texts of a cell; a single sign with one space says something."""
    parts = glyphs.bar_busy, glyphs.bar_idle, glyphs.bar_starting, glyphs.bar_ending
    drawn = re.escape("".join((*parts, glyphs.bar_empty, glyphs.cross, glyphs.fills)))
    return re.compile(rf"^(?:[{drawn}]{{2,}}\s+|[{drawn}]?\s{{2,}})(?=\S)")


_BARS = {glyphs: _bars(glyphs) for glyphs in (UNICODE, ASCII)}
#: Between texts that a cell parts by space alone; before a share, the sign of its part of a bar.
_BETWEEN = re.compile(r"\s{2,}")
_FILLS = re.compile(rf"[{UNICODE.fills}] ")


def save_view(app: Host, screen: Screen[None], title: str, argument: str) -> None:
    """Saves what is in front; lets the form be picked where none is named.

    Args:
        app: The app.
        screen: The screen in front.
        title: What it shows.
        argument: A form, then a file or a folder if it is not to be where the dashboard was
            started; or a file alone, whose name ends with the form.

    Raises:
        CommandError: There is no such form, or nothing that can be written in it.
    """
    if argument:
        form, _, place = argument.partition(" ")
        if form not in FORMS:
            form, place = Path(argument).suffix.removeprefix("."), argument
        if form not in FORMS:
            raise CommandError(f"No form is named {argument}. Forms: {', '.join(FORMS)}.")
        _save(app, screen, title, form, place.strip())
        return

    def picked(form: str | None) -> None:
        if form is not None:
            try:
                _save(app, screen, title, form, "")
            except CommandError as error:
                app.warn(str(error))

    app.push_screen(PickScreen("Save as", [*FORMS.items()], ascii_only=app.ascii), picked)


def _save(app: Host, screen: Screen[None], title: str, form: str, place: str) -> None:
    path = _path(app, title, form, place)
    if form == "svg":
        # The line that it was typed in is gone from the picture.
        screen.call_after_refresh(lambda: _write(app, path, app.export_screenshot(title=title)))
        return
    text = _WRITERS[form](_view(app, screen, title))
    if text is None:
        raise CommandError("There is no table here. Save it as md, txt, json or svg.")
    _write(app, path, text)


def _path(app: Host, title: str, form: str, place: str) -> Path:
    name = f"{_ODD.sub('-', title)}-{app.now().astimezone():%Y%m%d-%H%M%S}.{form}"
    path = Path(place).expanduser() if place else Path()
    return (path / name if path.is_dir() else path).resolve()


def _write(app: Host, path: Path, text: str) -> None:
    """Writes a new file; what is there stays as it is."""
    shown = one_line(str(path))
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        app.warn(f"{shown} can't be written: {error.strerror}. Nothing was saved.")
    else:
        app.notify(f"Saved to {shown}", markup=False)


def _view(app: Host, screen: Screen[None], title: str) -> View:
    at = app.snapshot.observed_at if app.snapshot is not None else app.now()
    parts = [part for widget in _in_front(screen) for part in _parts(widget, app)]
    return View(one_line(title), app.project, at, parts)


def _in_front(widget: Widget) -> Iterator[Widget]:
    """Widgets that are shown, from the top, without what details a row."""
    for child in widget.children:
        # Findings are there too where the terminal has no line for them.
        if (child.display or isinstance(child, Findings)) and not isinstance(child, DetailPane):
            yield child
            yield from _in_front(child)


def _parts(widget: Widget, app: Host) -> Iterator[Lines | Table | Facts | Document]:
    if isinstance(widget, LiveTable):
        if widget.filter_text:
            yield Lines([f"filter: {one_line(widget.filter_text)}"])
        yield _table(widget, app.glyphs)
    elif isinstance(widget, facts.Facts):
        yield Facts([_fact(each) for each in widget.facts])
    elif isinstance(widget, facts.YamlView):
        yield Document(widget.text)
    elif isinstance(widget, Findings):
        if widget.findings:
            yield Lines([masked(f"{each.subject}: {each.text}" if each.subject else each.text)
                         for each in widget.findings])  # fmt: skip
    elif isinstance(widget, Flow):
        if widget.text:
            yield Lines([masked(widget.text)])
    elif isinstance(widget, lines.Lines) and isinstance(widget.parent, Charts):
        yield Lines([line.plain for line in widget.lines(widget.size.width)], drawn=True)


def _fact(fact: facts.Fact | facts.Heading) -> tuple[str, str | None]:
    if isinstance(fact, facts.Heading):
        return one_line(fact.title), None
    return one_line(fact.name), masked(one_line(plain_text(fact.value)))


def _table(table: LiveTable, glyphs: Glyphs) -> Table:
    """The table with all columns that it may show: those too that the terminal has no room for."""
    shown = [
        (number, column)
        for number, column in enumerate(table.columns)
        if not (column.hidden or column.key in COLUMN_KEYS)
    ]
    return Table(
        [column.key for _, column in shown],
        [Column(column.title, column.justify == "right") for _, column in shown],
        [
            [_told(cells[number], glyphs) for number, _ in shown]
            for cells in map(table.get_cells, table.keys)
        ],
    )


def _told(cell: Cell, glyphs: Glyphs) -> str:
    """The text of a cell, without the bar beside it, and without secrets: files are handed on."""
    text = _FILLS.sub("", _BARS[glyphs].sub("", one_line(plain_text(cell))))
    return masked(_BETWEEN.sub(", ", text.strip()))
