"""The edit of a fleet as rows of fields, and what is typed into a field as an edit."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Any

from dstack_api_client.edits.fleet.fleet import FleetEdit
from dstack_api_client.edits.service.checks import FieldName, Problem, whole_number
from dstack_api_client.model.configuration import GPU_PARTS, MASK, gpu_parts, readable
from dstack_api_client.model.profile import MARK, in_profile
from dstack_api_client.model.short_forms import Nodes
from dstack_fleets_tui.words import formatting
from dstack_placement.engine import mapping
from dstack_widgets.drawing.glyphs import UNICODE, Glyphs
from dstack_widgets.inputs.edit_grid import GridCell, GridRow, Place

#: Where the fleet's configuration says nothing; the server takes on-demand then.
DEFAULT = "on-demand (default)"
_SPOT_POLICIES = ("on-demand", "spot", "auto")
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
#: What a text says of a part of `resources` that has fields of its own.
_KNOWN: Mapping[str, tuple[str, ...]] = {
    "gpu": GPU_PARTS,
    "cpu": ("arch", "count"),
    "disk": ("size",),
}
#: Dollars per hour that no instance costs.
_DEAREST = 1_000_000.0
_PRICE = re.compile(r"\d+(\.\d*)?|\.\d+")
#: A tag that needs no quotes: nothing in it ends it, or looks like the next one.
_PLAIN = r"""[^,"\s](?:[^,"\s]|[ \t]+(?![^,\s=]*=)[^,"\s])*"""
_PLAIN_TAG = re.compile(_PLAIN)
_TAG = re.compile(
    r"""\s*(?P<key>[^,="\s](?:[^,="]*[^,="\s])?)\s*=\s*"""
    rf"""(?:"(?P<quoted>(?:[^"\\]|\\.)*)"|(?P<plain>{_PLAIN}))[ \t]*(?:,|(?<=\s)|$)"""
)
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
    if text and text == _of_profile(edit, name):
        return edit.with_field(name, None)
    text = text.removesuffix(MARK)
    if MASK in text and name != "tags":
        return _masked(field)
    if name in _RESOURCES:
        return _typed_resource(edit, field, text)
    if name == "spot_policy":
        return edit.with_field(name, None if text in (DEFAULT, "default", "") else text)
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
        text = _number(value, glyphs)
        cells.append(GridCell(name, text, editable=True, style=style, number=True))
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
    choices: tuple[str, ...] = ()
    if name == "spot_policy":
        choices = (_of_profile(edit, name) or DEFAULT, *_SPOT_POLICIES)
    cell = GridCell(name, text or glyphs.dash, True, style, choices, left=True)
    note = f"was {before or glyphs.dash}" if text != before else _others(edit, name)
    title = name.replace("_", " ")
    return GridRow(name, (GridCell("", title, left=True), cell), "fields", note=note)


def _shown(edit: FleetEdit, name: str) -> str:
    """A field as one types it, or the profile's value; empty where neither is set."""
    text = _text(name, _part(edit, name))
    default = DEFAULT if name == "spot_policy" else ""
    return text or _of_profile(edit, name) or default


def _of_profile(edit: FleetEdit, name: str) -> str:
    """What the profile says of a field, with its mark; empty where it says nothing."""
    text = _text(name, in_profile(edit.spec, name))
    return f"{text}{MARK}" if text else ""


def _part(edit: FleetEdit, name: str) -> Any:
    """A field as received; of a part of `resources`, what a text can say of it."""
    if name not in _RESOURCES:
        return edit.configuration.get(name)
    value = mapping(edit.configuration.get("resources")).get(name)
    known = _KNOWN.get(name)
    if known is None or not isinstance(value, Mapping):
        return value
    return {key: item for key, item in value.items() if key in known}


def _unknown(edit: FleetEdit, name: str) -> dict[str, Any]:
    """What a part of `resources` says that the form does not know, as received."""
    value = mapping(edit.configuration.get("resources")).get(name)
    known = _KNOWN.get(name)
    if known is None or not isinstance(value, Mapping):
        return {}
    return {key: item for key, item in value.items() if key not in known and item is not None}


def _others(edit: FleetEdit, name: str) -> str:
    """The same for people: `compute_capability 8.0`."""
    others = readable({name: _unknown(edit, name)}).get(name) if name in _KNOWN else None
    if not isinstance(others, Mapping):
        return ""
    return f"and {', '.join(f'{key} {value}' for key, value in others.items())}"


def _text(name: str, value: Any) -> str:
    """A value as one types it."""
    value = readable({name: value}).get(name)
    if value is None:
        return ""
    if isinstance(value, list):
        return ", ".join(map(str, value))
    if isinstance(value, Mapping):
        return ", ".join(f"{key}={_tag_value(item)}" for key, item in value.items())
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
        line = f"{text!r} is not an amount of `{field.name}`. Write it as {examples}."
        return Problem(field, line)
    resources: dict[str, Any] = {**mapping(edit.configuration.get("resources"))}
    others = _unknown(edit, field.name)
    had = mapping(resources.pop(field.name, None))
    if text:
        written = text.replace(" ", "")
        parts = {
            key: had[key] if key in had and _same(field.name, key, had[key], value) else value
            for key, value in _parts(field.name, written).items()
        }
        resources[field.name] = {**others, **parts} if others else written
    return edit.with_field("resources", resources or None)


def _same(name: str, key: str, one: Any, other: Any) -> bool:
    """Whether a part of a resource is the same, as received and as typed."""
    return readable({name: {key: one}}) == readable({name: {key: other}})


def _parts(name: str, text: str) -> dict[str, Any]:
    """A part of `resources` field by field."""
    if name == "gpu":
        return gpu_parts(text)
    if name == "disk":
        return {"size": text}
    arch, colon, count = text.rpartition(":")
    return {"arch": arch, "count": count} if colon else {"count": count}


def _typed_price(edit: FleetEdit, field: FieldName, text: str) -> FleetEdit | Problem:
    if text and _PRICE.fullmatch(text) is None:
        return Problem(field, f"{text!r} is not a price. Write dollars per hour, such as 2.5.")
    if text and float(text) > _DEAREST:
        return Problem(field, f"That is not a price per hour. Write {_DEAREST:g} or less.")
    return edit.with_field(field.name, float(text) if text else None)


def _typed_tags(edit: FleetEdit, field: FieldName, text: str) -> FleetEdit | Problem:
    raw = edit.configuration.get("tags")
    known = mapping(raw)
    shown = readable({"tags": known}).get("tags", {})
    tags: dict[str, Any] = {}
    place = 0
    while place < len(text):
        match = _TAG.match(text, place)
        if match is None:
            word = text[place:].partition(",")[0].strip()
            line = f"{word!r} is not a tag. Write key=value, and commas between; text in quotes may"
            return Problem(field, f"{line} hold commas.")
        key, quoted = match["key"], match["quoted"]
        value = match["plain"] if quoted is None else re.sub(r"\\(.)", r"\1", quoted)
        # What is masked and was left alone stays what it was.
        tags[key] = known[key] if key in known and str(shown.get(key)) == value else value
        place = match.end()
    if any(MASK in str(value) for value in tags.values()):
        return _masked(field)
    return edit.with_field(field.name, tags or None)


def _tag_value(value: Any) -> str:
    """A tag's value as one types it."""
    text = str(value)
    if text and _PLAIN_TAG.fullmatch(text):
        return text
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _masked(field: FieldName) -> Problem:
    return Problem(field, f"{MASK} stands where no secret was. Write the value itself.")


def _words(text: str) -> list[str]:
    return [word for word in re.split(r"[,\s]+", text) if word]
