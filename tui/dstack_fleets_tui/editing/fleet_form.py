"""The edit of a fleet as rows of fields, and what is typed into a field as an edit."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Any

from dstack_api_client.configuration import readable
from dstack_api_client.edits.checks import FieldName, Problem, whole_number
from dstack_api_client.edits.fleet import FleetEdit, Nodes
from dstack_fleets_tui import formatting
from dstack_widgets.edit_grid import GridCell, GridRow, Place
from dstack_widgets.glyphs import UNICODE, Glyphs

#: Where the fleet's configuration says nothing; the server takes on-demand then.
DEFAULT = "default"
_SPOT_POLICIES = (DEFAULT, "on-demand", "spot", "auto")
_NODES = {"min": "least", "target": "target", "max": "greatest"}
_SIZES = "64GB, 32GB.. or 32GB..128GB"
_SIZE = r"\d+(\.\d+)?(MB|GB|TB)"
_SIZE_RANGE = re.compile(rf"{_SIZE}(\.\.({_SIZE})?)?|\.\.{_SIZE}", re.IGNORECASE)
_LISTS = ("backends", "regions", "availability_zones", "instance_types")
#: Parts of `resources`, with what they look like; of the GPU only the server knows all forms.
_RESOURCES: Mapping[str, tuple[re.Pattern[str], str]] = {
    "gpu": (re.compile(r"\S+"), "H100:8, 24GB.. or nvidia:80GB:2"),
    "cpu": (re.compile(r"((x86|arm):)?(\d+(\.\.\d*)?|\.\.\d+)"), "8, 4.. or arm:2..8"),
    "memory": (_SIZE_RANGE, _SIZES),
    "disk": (_SIZE_RANGE, _SIZES),
}
_PRICE = re.compile(r"\d+(\.\d*)?|\.\d+")
_ORDER = ("spot_policy", "reservation", "max_price", *_LISTS, *_RESOURCES, "tags")


def rows(
    edit: FleetEdit, problems: Collection[Problem] = (), glyphs: Glyphs = UNICODE
) -> list[GridRow]:
    """The fields of an edit.

    Args:
        edit: The edit.
        problems: What is wrong with it; the fields they are about are marked.
        glyphs: The signs to draw.
    """
    wrong = {problem.field.name for problem in problems}
    was = FleetEdit(edit.base, edit.base.spec)
    head = GridRow(
        "head",
        (
            GridCell("", "INSTANCES", left=True),
            *(GridCell(name, name.upper(), editable=True) for name in _NODES),
        ),
        "nodes",
        heading=True,
    )
    found = [head, _of_nodes(edit, was, wrong, glyphs), GridRow("gap", ())]
    return [*found, *(_of_field(name, edit, was, wrong, glyphs) for name in _ORDER)]


def typed(edit: FleetEdit, field: FieldName, text: str) -> FleetEdit | Problem:
    """The edit with what was typed into a field, or what is wrong with the text.

    Args:
        edit: The edit before.
        field: Which field.
        text: What was typed; nothing stands for the default.
    """
    text, name = text.strip(), field.name
    if name in _NODES:
        return _typed_nodes(edit, field, text)
    if text == _shown(edit, name):
        return edit
    if name in _RESOURCES:
        return _typed_resource(edit, field, text)
    if name == "spot_policy":
        return edit.with_field(name, None if text == DEFAULT else text)
    if name == "max_price":
        return _typed_price(edit, field, text)
    if name in _LISTS:
        return edit.with_field(name, _words(text) or None)
    if name == "tags":
        return _typed_tags(edit, field, text)
    return edit.with_field(name, text or None)


def place_of(field: FieldName) -> Place:
    """Where a field stands in the grid."""
    return Place("nodes" if field.name in _NODES else field.name, field.name)


def _of_nodes(edit: FleetEdit, was: FleetEdit, wrong: Collection[str], glyphs: Glyphs) -> GridRow:
    cells = [GridCell("", "nodes", left=True)]
    for name, attribute in _NODES.items():
        value = getattr(edit.nodes, attribute)
        changed = value != getattr(was.nodes, attribute)
        style = "bad" if name in wrong else "accent" if changed else ""
        cells.append(GridCell(name, _number(value, glyphs), editable=True, style=style))
    note = f"was {_counts(was.nodes)}" if was.nodes != edit.nodes else ""
    return GridRow("nodes", tuple(cells), "nodes", note=note)


def _counts(nodes: Nodes) -> str:
    """`2..6`, with the target where it is not the minimum: `2..6 (4)`."""
    target = f" ({nodes.target})" if nodes.target != nodes.least else ""
    return formatting.span(nodes.least, nodes.greatest) + target


def _number(value: int | None, glyphs: Glyphs) -> str:
    return glyphs.dash if value is None else str(value)


def _of_field(
    name: str, edit: FleetEdit, was: FleetEdit, wrong: Collection[str], glyphs: Glyphs
) -> GridRow:
    text, before = _shown(edit, name), _shown(was, name)
    style = "bad" if name in wrong else "accent" if text != before else ""
    choices = _SPOT_POLICIES if name == "spot_policy" else ()
    cell = GridCell(name, text or glyphs.dash, True, style, choices, left=True)
    note = f"was {before or glyphs.dash}" if text != before else ""
    title = name.replace("_", " ")
    return GridRow(name, (GridCell("", title, left=True), cell), "fields", note=note)


def _shown(edit: FleetEdit, name: str) -> str:
    """A field as one types it; empty where it is not set."""
    configuration = edit.configuration
    if name in _RESOURCES:
        configuration = configuration.get("resources") or {}
    value = readable({name: configuration.get(name)}).get(name)
    if name == "spot_policy":
        return str(value or DEFAULT)
    if value is None:
        return ""
    if isinstance(value, list):
        return ", ".join(map(str, value))
    if isinstance(value, Mapping):
        return ", ".join(f"{key}={item}" for key, item in value.items())
    return str(value).removesuffix(".0")


def _typed_nodes(edit: FleetEdit, field: FieldName, text: str) -> FleetEdit | Problem:
    nodes = edit.nodes
    empty = {"min": 0, "target": nodes.least, "max": None}[field.name]
    value = whole_number(text, field, empty=empty)
    if isinstance(value, Problem):
        return value
    if field.name == "min" and nodes.target == nodes.least:
        # A target of its own was not given: it goes along.
        return edit.with_nodes(Nodes(value or 0, value or 0, nodes.greatest))
    counts = {"min": nodes.least, "target": nodes.target, field.name: value or 0}
    greatest = value if field.name == "max" else nodes.greatest
    return edit.with_nodes(Nodes(counts["min"], counts["target"], greatest))


def _typed_resource(edit: FleetEdit, field: FieldName, text: str) -> FleetEdit | Problem:
    pattern, examples = _RESOURCES[field.name]
    if text and pattern.fullmatch(text.replace(" ", "")) is None:
        line = f"{text!r} is no amount of `{field.name}`. Write it as {examples}."
        return Problem(field, line)
    resources: dict[str, Any] = dict(edit.configuration.get("resources") or {})
    resources.pop(field.name, None)
    if text:
        resources[field.name] = text.replace(" ", "")
    return edit.with_field("resources", resources or None)


def _typed_price(edit: FleetEdit, field: FieldName, text: str) -> FleetEdit | Problem:
    if text and _PRICE.fullmatch(text) is None:
        return Problem(field, f"{text!r} is no price. Write dollars per hour, such as 2.5.")
    return edit.with_field(field.name, float(text) if text else None)


def _typed_tags(edit: FleetEdit, field: FieldName, text: str) -> FleetEdit | Problem:
    tags = {}
    for word in _words(text):
        key, equals, value = word.partition("=")
        if not (key and equals):
            return Problem(field, f"{word!r} is no tag. Write key=value, and commas between.")
        tags[key] = value
    return edit.with_field(field.name, tags or None)


def _words(text: str) -> list[str]:
    return [word for word in re.split(r"[,\s]+", text) if word]
