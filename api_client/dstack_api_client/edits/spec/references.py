"""References in a configuration file, `${{ env.TOKEN }}`, filled in as dstack's CLI does."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from dstack_api_client.text import one_line

_OPENING, _CLOSING = "${{", "}}"
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\.[A-Za-z_][A-Za-z0-9_]*")
_ADDRESS = re.compile(r"groups\[\d+\]\.(nodes|replicas)\[\d+\]\.IP_ADDRESS")

#: By the first word of a name whether the whole is well-formed: such a reference is left alone.
Left = Mapping[str, Callable[[str], bool]]


class BadReferenceError(ValueError):
    """A reference that can't be filled in; the text is a sentence without any value."""


class NoValueError(BadReferenceError):
    """A well-formed reference to what has no value."""


def _is_name(name: str) -> bool:
    return _NAME.fullmatch(name) is not None


def _is_address(name: str) -> bool:
    return _ADDRESS.fullmatch(name) is not None


#: What the server fills in, anywhere and in commands.
SECRETS: Left = {"secrets": _is_name}
SECRETS_AND_ADDRESSES: Left = {**SECRETS, "groups": _is_address}


def filled(text: str, values: Mapping[str, str], left: Left) -> str:
    """A text with its references replaced by values, and `$$` by `$`.

    As in dstack, `$$` after a dollar sign that stands alone is not touched.

    Args:
        text: The text as it stands in the file.
        values: By name, such as `env.TOKEN`.
        left: References that somebody else fills in.

    Raises:
        BadReferenceError: A reference has no end, no proper name, or no value.
    """
    parts: list[str] = []
    start = 0
    while (dollar := text.find("$", start)) not in (-1, len(text) - 1):
        if text[dollar + 1] == "$":
            parts.append(text[start : dollar + 1])
            start = dollar + 2
            continue
        opening = text.find(_OPENING, start)
        if opening == -1:
            break
        closing = text.find(_CLOSING, opening)
        if closing == -1:
            raise BadReferenceError("A reference begins with ${{ and does not end with }}.")
        end = closing + len(_CLOSING)
        name = text[opening + len(_OPENING) : closing].strip()
        value = text[opening:end] if _is_left(name, left) else _value(name, values)
        parts += (text[start:opening], value)
        start = end
    return "".join((*parts, text[start:]))


def _is_left(name: str, left: Left) -> bool:
    well_formed = left.get(name.partition(".")[0].partition("[")[0])
    if well_formed is not None and not well_formed(name):
        raise BadReferenceError(f"{_shown(name)} is not a reference that dstack knows.")
    return well_formed is not None


def _value(name: str, values: Mapping[str, str]) -> str:
    if not _is_name(name):
        raise BadReferenceError(f"{_shown(name)} is not a reference that dstack knows.")
    if name not in values:
        raise NoValueError(f"{_shown(name)} has no value.")
    return values[name]


def _shown(name: str) -> str:
    return one_line(f"{_OPENING} {name} {_CLOSING}")
