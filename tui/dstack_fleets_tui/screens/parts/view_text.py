"""What a screen shows, as a file for people or for other programs."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from dstack_api_client.yaml_text import YamlError, read_yaml
from dstack_fleets_tui.output.forms import as_csv, as_markdown, markdown
from dstack_fleets_tui.output.payload import time
from dstack_fleets_tui.output.table import Column, render

_FACTS = (Column("NAME"), Column("VALUE"))


@dataclass(frozen=True)
class Lines:
    """Lines around a table, or ones that are drawn."""

    lines: Sequence[str]
    drawn: bool = False
    """Whether they are a picture made of signs, which stays as it is."""


@dataclass(frozen=True)
class Table:
    """A table as it is filtered and sorted."""

    keys: Sequence[str]
    """Names of the columns, for JSON."""
    columns: Sequence[Column]
    rows: Sequence[Sequence[str]]


@dataclass(frozen=True)
class Facts:
    """Names with what they are; a heading has no value."""

    facts: Sequence[tuple[str, str | None]]


@dataclass(frozen=True)
class Document:
    """A YAML document."""

    text: str


@dataclass(frozen=True)
class View:
    """What a screen shows.

    Attributes:
        title: What it is of.
        project: Where it was read.
        at: When.
        parts: From the top.
    """

    title: str
    project: str
    at: datetime
    parts: Sequence[Lines | Table | Facts | Document]


def as_text(view: View) -> str:
    """Writes a view as plain text."""
    head = f"{view.title}   project {view.project}   {time(view.at)}\n"
    return "\n".join([head, *map(_text, view.parts)])


def _text(part: Lines | Table | Facts | Document) -> str:
    if isinstance(part, Table):
        return render(part.columns, part.rows)
    if isinstance(part, Document):
        return f"{part.text.rstrip()}\n"
    if isinstance(part, Lines):
        return _joined(part.lines)
    wide = max((len(name) for name, value in part.facts if value is not None), default=0)
    return _joined([name if value is None else f"{name:<{wide}}  {value}".rstrip()
                    for name, value in part.facts])  # fmt: skip


def _joined(lines: Sequence[str]) -> str:
    return "".join(f"{line.rstrip()}\n" for line in lines)


def as_document(view: View) -> str:
    """Writes a view as Markdown."""
    head = f"# {markdown(view.title)}\n\n{markdown(f'Project {view.project}, {time(view.at)}')}\n"
    return "\n".join([head, *map(_markdown, view.parts)])


def _markdown(part: Lines | Table | Facts | Document) -> str:
    if isinstance(part, Table):
        return as_markdown(part.columns, part.rows) if part.rows else "No rows.\n"
    if isinstance(part, Document):
        return f"```yaml\n{part.text.rstrip()}\n```\n"
    if isinstance(part, Lines):
        if part.drawn:
            return f"```\n{_joined(part.lines)}```\n"
        return _joined([f"- {markdown(line)}" for line in part.lines])
    return as_markdown(_FACTS, [(name, value or "") for name, value in part.facts])


def as_rows(view: View) -> str | None:
    """Writes the table of a view, or else its facts, as CSV; None where it has neither."""
    for part in view.parts:
        if isinstance(part, Table):
            return as_csv(part.columns, part.rows)
    for part in view.parts:
        if isinstance(part, Facts):
            return as_csv(_FACTS, [(name, value or "") for name, value in part.facts])
    return None


def as_object(view: View) -> str:
    """Writes a view as JSON, its cells and facts as the texts that they are shown as."""
    whole: dict[str, Any] = {
        "view": view.title,
        "project": view.project,
        "observed_at": time(view.at),
    }
    for part in view.parts:
        if isinstance(part, Table):
            whole["rows"] = [dict(zip(part.keys, row, strict=True)) for row in part.rows]
        elif isinstance(part, Facts):
            whole["facts"] = _by_heading(part)
        elif isinstance(part, Document):
            whole["document"] = _read(part.text)
        elif not part.drawn:
            whole.setdefault("lines", []).extend(part.lines)
    return json.dumps(whole, indent=2, ensure_ascii=False) + "\n"


def _by_heading(part: Facts) -> dict[str, Any]:
    """The facts by name, those below a heading by its name."""
    whole: dict[str, Any] = {}
    into = whole
    for name, value in part.facts:
        if value is None:
            into = whole.setdefault(name, {})
        else:
            into[name] = value
    return whole


def _read(text: str) -> Any:
    """A YAML document as data; as its text where it is none, or can't be told in JSON."""
    try:
        document = read_yaml(text)
        json.dumps(document)
    except (YamlError, TypeError, ValueError):
        return text
    return document
