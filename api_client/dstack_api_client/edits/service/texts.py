"""An edit as text: the configuration in YAML, with secrets masked, and back.

What stays as it was in the text stays as it was received. What is written again may have dstack's
short forms (`3..10`, `1h`): the server itself reads them, by its plan, which changes nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from dstack_api_client.edits.base.base import Target
from dstack_api_client.edits.base.difference import NotInPlaceError
from dstack_api_client.edits.errors import InvalidEditError
from dstack_api_client.edits.offers.asking import ask_run
from dstack_api_client.edits.service.service import ServiceEdit, what_is_missing
from dstack_api_client.edits.spec import fields
from dstack_api_client.edits.spec.configuration_file import (
    as_sent,
    changed_locals,
    variables,
    with_references,
)
from dstack_api_client.edits.spec.fields import lane_name
from dstack_api_client.model.configuration import MASK, readable
from dstack_api_client.model.profile import spec_yaml
from dstack_api_client.secrets import unmasked
from dstack_api_client.text import clean, one_line
from dstack_api_client.transport.client import Client
from dstack_api_client.yaml_text import YamlError, read_yaml
from dstack_placement.engine import ServiceSpec

#: What begins the lines that `with_note` puts on top.
_NOTE = "# ! "
_NO_SECRET = f"{MASK} stands where no secret was. Write the value itself there."


def as_text(edit: ServiceEdit) -> str:
    """The edited configuration as the YAML of a `.dstack.yml` file, secrets masked."""
    return spec_yaml(edit.spec)


def with_note(text: str, lines: Sequence[str]) -> str:
    """The text with lines about what is wrong on top, in place of earlier ones."""
    kept = [line for line in text.splitlines() if not line.startswith(_NOTE)]
    return "\n".join([*(f"{_NOTE}{one_line(line)}" for line in lines), *kept]) + "\n"


def parsed(text: str) -> dict[str, Any]:
    """Reads YAML that somebody wrote.

    Raises:
        InvalidEditError: It is not YAML, or no mapping.
    """
    try:
        data = read_yaml(text)
    except YamlError as error:
        raise InvalidEditError([f"The text is {error}."]) from None
    if not isinstance(data, dict):
        raise InvalidEditError(["The text is not a list of `name: value`."])
    return data


def parsed_for(target: Target, text: str) -> dict[str, Any]:
    """Reads YAML that somebody wrote for a service or a fleet.

    Raises:
        InvalidEditError: It is not YAML, no mapping, or of something else.
    """
    written = parsed(text)
    named = (written.get("type", target.kind), written.get("name", target.name))
    if named != (target.kind, target.name):
        what = f"the {target.kind} {one_line(target.name)}"
        raise InvalidEditError([f"The text is not of {what}. Leave `type` and `name` alone."])
    return written


async def with_text(
    client: Client, edit: ServiceEdit, text: str, environment: Mapping[str, str] | None = None
) -> ServiceEdit:
    """The edit with the configuration that somebody made of `as_text`.

    A masked secret that was left alone stays what it was. References in what is new are filled in
    as in a file.

    Args:
        client: Where.
        edit: The edit.
        text: What was made of it.
        environment: Where variables that the text only names are looked up; one that is not there
            keeps the value that the service has.

    Returns:
        The same edit where nothing was changed.

    Raises:
        InvalidEditError: The text can't be read, or the server does not accept it.
        NotInPlaceError: The text has lanes, and the server knows none.
        ApiError: The server could not be asked.
    """
    written = parsed_for(edit.base.target, text)
    shown = readable(edit.configuration)
    if written == shown:
        return edit
    _refuse_locals(edit, written)
    whole = merged(edit.configuration, shown, written)
    if whole.get("env") != edit.configuration.get("env"):
        stored = edit.configuration.get("env")
        whole["env"] = variables(whole.get("env"), environment or {}, stored)
    known = frozenset(_texts(edit.configuration))
    whole = with_references(whole, keep=lambda text: "${{" not in text or text in known)
    return await _normal(client, edit, whole)


async def with_file(
    client: Client, edit: ServiceEdit, text: str, environment: Mapping[str, str]
) -> ServiceEdit:
    """The edit with a whole configuration file, as `dstack apply -f` takes it.

    Args:
        client: Where.
        edit: The edit; the file replaces its configuration.
        text: The file's text.
        environment: Where variables that the file only names are looked up; one that is not there
            keeps the value that the service has.

    Raises:
        InvalidEditError: The text can't be read, or the server does not accept it.
        NotInPlaceError: The text has lanes, and the server knows none.
        ApiError: The server could not be asked.
    """
    written = parsed_for(edit.base.target, text)
    written.setdefault("name", edit.base.target.name)
    _refuse_locals(edit, written)
    return await _normal(client, edit, as_sent(written, edit.base.configuration, environment))


def _refuse_locals(edit: ServiceEdit, written: Mapping[str, Any]) -> None:
    for key in changed_locals(written, edit.base.configuration):
        raise NotInPlaceError(
            f"`{key}` can't be changed here: what they name has to be sent along.",
            "Use `dstack apply`.",
        )
    if not edit.capabilities.lanes and ServiceSpec.read(written).has_lanes:
        raise NotInPlaceError(*what_is_missing(edit.capabilities))


def _texts(value: Any) -> Iterator[str]:
    """All texts in a value."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping | list):
        for each in value.values() if isinstance(value, Mapping) else value:
            yield from _texts(each)


async def _normal(
    client: Client, edit: ServiceEdit, configuration: Mapping[str, Any]
) -> ServiceEdit:
    """The edit with a configuration as the server reads it."""
    changed = edit.with_configuration({**configuration, "type": "service"})
    answer = await ask_run(client, edit.base.target.project, changed.spec, offers=1)
    if answer.effective_run_spec is None:
        return changed
    effective = answer.effective_run_spec.get("configuration")
    return edit.with_configuration(effective) if isinstance(effective, dict) else changed


def merged(raw: Any, shown: Any, written: Any) -> Any:
    """What was written, with all that was not touched as it was received.

    Args:
        raw: What was received.
        shown: The same as `readable` made it.
        written: What somebody made of that.

    Raises:
        InvalidEditError: A mask stands where no secret was.
    """
    if written == shown:
        return raw
    if isinstance(raw, Mapping) and isinstance(shown, Mapping) and isinstance(written, Mapping):
        names = {clean(key): key for key in raw}  # as they are shown
        whole = {
            key: value
            for key, value in raw.items()
            if clean(key) not in shown or clean(key) in written
        }
        for name, value in written.items():
            key = names.get(name, name)
            whole[key] = merged(raw.get(key), shown.get(name), value)
        return whole
    if isinstance(raw, list) and isinstance(shown, list) and isinstance(written, list):
        return _merged_list(raw, shown, written)
    if isinstance(written, str) and MASK in written and isinstance(raw, str):
        return _unmasked(written, [raw])
    _refuse_masks(written)
    return written


def _merged_list(raw: list[Any], shown: list[Any], written: list[Any]) -> list[Any]:
    """Entries keep what they had: those that stayed as they are, then those of the same name.

    Of entries without names, such as probes, the one at the same place counts as the same.
    """
    pairs = list(zip(raw, shown, strict=False))
    left = list(range(len(pairs)))
    known = {_name(was): pair for pair in pairs if _name(was := pair[1]) is not None}
    lines = [each for each in raw if isinstance(each, str)]
    result: list[Any] = []
    for place, entry in enumerate(written):
        same = next((number for number in left if pairs[number][1] == entry), None)
        if same is not None:
            left.remove(same)
            result.append(pairs[same][0])
        elif _name(entry) in known:
            result.append(merged(*known[_name(entry)], entry))
        elif isinstance(entry, str) and MASK in entry:
            result.append(_unmasked(entry, lines))
        elif isinstance(entry, Mapping) and _name(entry) is None and place in left:
            result.append(merged(*pairs[place], entry))
        else:
            _refuse_masks(entry)
            result.append(entry)
    return result


def _unmasked(written: str, known: Sequence[str]) -> str:
    """A text in which masks were left alone, with what they stand for."""
    found = unmasked(written, known)
    if found is None:
        raise InvalidEditError([_NO_SECRET])
    return found


def _name(entry: Any) -> str | None:
    if isinstance(entry, str):
        return entry.partition("=")[0] if entry.endswith(MASK) else entry
    if isinstance(entry, Mapping) and isinstance(entry.get("name"), str):
        return lane_name(entry)
    return None


def _refuse_masks(written: Any) -> None:
    values = fields.fields_of(written).values() if isinstance(written, Mapping) else [written]
    for value in values:
        if MASK in str(value):
            raise InvalidEditError([_NO_SECRET])
