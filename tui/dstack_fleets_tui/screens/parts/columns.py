"""Which columns of a list are shown, by the settings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from dstack_api_client.text import one_line
from dstack_fleets_tui.host.host import Host
from dstack_fleets_tui.tables import trends
from dstack_widgets.table.cells import Column

#: What stands for all columns, which scroll where they do not fit.
WIDE = "wide"
#: Of a column that was asked for: it never goes, the list scrolls instead.
_NEVER_GOES = 100


def chosen(columns: Sequence[Column], names: Sequence[str]) -> tuple[Column, ...]:
    """The columns with those that are not named hidden; the filter finds what is in them.

    Args:
        columns: The columns of a list; the first one is always shown.
        names: Their keys, or titles.
    """
    wanted = {name.casefold() for name in names}
    first, *others = columns

    def shown(column: Column) -> Column:
        if wanted.isdisjoint((column.key.casefold(), column.title.casefold())):
            return replace(column, hidden=True)
        return replace(column, priority=_NEVER_GOES)

    return (replace(first, priority=_NEVER_GOES), *map(shown, others))


def columns_of(
    app: Host, name: str, columns: Sequence[Column], known: Sequence[Column] = ()
) -> Sequence[Column]:
    """The columns of a list as the settings want them; a name that none has is told once.

    Args:
        app: The app.
        name: The list, as the settings name it.
        columns: All of its columns.
        known: Those that it may have at another time too.
    """
    wish = app.columns.get(name)
    if wish is None or isinstance(wish, str) or not columns:
        return columns
    every = [*columns, *(each for each in known if each not in columns)]
    names = {name.casefold() for each in every for name in (each.key, each.title)}
    unknown = [one_line(each) for each in wish if each.casefold() not in names]
    if unknown:
        keys = ", ".join(dict.fromkeys(each.key for each in every))
        app.notice_once(
            f"`columns` in the settings: {name} has no column {', '.join(unknown)}. It has: {keys}."
        )
    return chosen(columns, wish)


def has_trends(app: Host, name: str, *, wide: bool) -> bool:
    """Whether a list may show sparklines: where it has room, and where the settings say columns."""
    return wide or app.columns.get(name) is not None


def fitting_columns(
    app: Host,
    name: str,
    columns: Sequence[Column],
    known: Sequence[Column] = (),
    *,
    wide: bool,
    widest: bool = False,
) -> tuple[Column, ...]:
    """As `columns_of`, without sparklines where there is no room for them.

    Args:
        app: The app.
        name: The list, as the settings name it.
        columns: All of its columns.
        known: Those that it may have at another time too.
        wide: Whether there is room for sparklines.
        widest: Whether there is also room for that of the price.
    """
    shown = trends.columns_for(
        (*columns,),
        wide=has_trends(app, name, wide=wide),
        widest=has_trends(app, name, wide=widest),
    )
    return (*columns_of(app, name, shown, known),)


def is_wide(app: Host, name: str) -> bool:
    """Whether the settings want all columns of a list."""
    return app.columns.get(name) == WIDE
