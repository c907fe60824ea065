"""An edit as text: the configuration in YAML, with secrets masked, and back.

What stays as it was in the text stays as it was received. What was written anew may have dstack's
short forms (`3..10`, `1h`): the server itself reads them, by its plan, which changes nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import yaml

from dstack_api_client.cleaning import one_line
from dstack_api_client.client import Client
from dstack_api_client.configuration import MASK, as_yaml, readable
from dstack_api_client.edits import fields
from dstack_api_client.edits.asking import ask_run
from dstack_api_client.edits.errors import InvalidEditError, NotInPlaceError
from dstack_api_client.edits.fields import lane_name
from dstack_api_client.edits.service import LANE_FIELDS, ServiceEdit, what_is_missing

#: What begins the lines that `with_note` puts on top.
_NOTE = "# ! "


def as_text(edit: ServiceEdit) -> str:
    """The edited configuration as the YAML of a `.dstack.yml` file, secrets masked."""
    return as_yaml(edit.configuration)


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
        data = yaml.safe_load(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f" in line {mark.line + 1}" if mark is not None else ""
        what = one_line(str(getattr(error, "problem", None) or "it can't be read"))
        raise InvalidEditError([f"The text is not valid YAML{where}: {what}."]) from None
    if not isinstance(data, dict):
        raise InvalidEditError(["The text is not a list of `name: value`."])
    return {str(key): value for key, value in data.items()}


async def with_text(client: Client, edit: ServiceEdit, text: str) -> ServiceEdit:
    """The edit with the configuration that somebody made of `as_text`.

    A masked secret that was left alone stays what it was.

    Returns:
        The same edit where nothing was changed.

    Raises:
        InvalidEditError: The text can't be read, or the server does not accept it.
        NotInPlaceError: The text has lanes, and the server knows none.
        ApiError: The server could not be asked.
    """
    written = parsed(text)
    shown = readable(edit.configuration)
    if written == shown:
        return edit
    _refuse_other(edit, written)
    return await _normal(client, edit, merged(edit.configuration, shown, written))


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
    written = parsed(text)
    written.setdefault("name", edit.base.target.name)
    _refuse_other(edit, written)
    if "env" in written:
        known = edit.base.configuration.get("env") or {}
        written["env"] = variables(written["env"], environment, known)
    return await _normal(client, edit, written)


def _refuse_other(edit: ServiceEdit, written: Mapping[str, Any]) -> None:
    name = edit.base.target.name
    if written.get("type", "service") != "service" or written.get("name", name) != name:
        raise InvalidEditError(
            [f"The text is not of the service {one_line(name)}. Leave `type` and `name` alone."]
        )
    base = edit.base.configuration
    for key in ("files", "repos"):
        mine, theirs = written.get(key) or [], readable(base).get(key) or []
        if mine != theirs:
            raise NotInPlaceError(
                f"`{key}` can't be changed here: what they name has to be sent along.",
                "Use `dstack apply`.",
            )
    if not edit.capabilities.lanes and _has_lanes(written):
        raise NotInPlaceError(*what_is_missing(edit.capabilities))


def _has_lanes(written: Mapping[str, Any]) -> bool:
    groups = written.get("groups")
    owners = [written, *(groups if isinstance(groups, list) else ())]
    for owner in owners:
        if not isinstance(owner, Mapping):
            continue
        if owner is not written and owner.get("fleets") is not None:
            return True
        entries = owner.get("fleets")
        for entry in entries if isinstance(entries, list) else ():
            if isinstance(entry, Mapping) and any(key in entry for key in LANE_FIELDS):
                return True
    return False


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
        whole = {key: value for key, value in raw.items() if key not in shown or key in written}
        for key, value in written.items():
            whole[key] = merged(raw.get(key), shown.get(key), value)
        return whole
    if isinstance(raw, list) and isinstance(shown, list) and isinstance(written, list):
        return _merged_list(raw, shown, written)
    _refuse_masks(written)
    return written


def _merged_list(raw: list[Any], shown: list[Any], written: list[Any]) -> list[Any]:
    """Entries keep what they had by name, where they have names."""
    known = {
        _name(was): (entry, was)
        for entry, was in zip(raw, shown, strict=False)
        if _name(was) is not None
    }
    result = []
    for entry in written:
        pair = known.get(_name(entry))
        result.append(merged(*pair, entry) if pair is not None else entry)
        if pair is None:
            _refuse_masks(entry)
    return result


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
            raise InvalidEditError(
                [f"{MASK} stands where no secret was. Write the value itself there."]
            )


def variables(
    written: Any, environment: Mapping[str, str], known: Mapping[str, Any]
) -> dict[str, Any]:
    """Variables with their values; of those that are only named, the client's own."""
    found: dict[str, Any] = {}
    if isinstance(written, Mapping):
        found = {str(name): value for name, value in written.items()}
    else:
        for item in written or ():
            name, equals, value = str(item).partition("=")
            found[name] = value if equals else None
    for name, value in found.items():
        if value is None:
            found[name] = environment.get(name, known.get(name))
            if found[name] is None:
                raise InvalidEditError(
                    [f"The variable {one_line(name)} of `env` has no value. Set it, or export it."]
                )
        else:
            found[name] = str(value)
    return found
