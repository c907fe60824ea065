"""A service's configuration file as dstack's CLI sends it.

Most short forms are read by the server. What `dstack apply` does before it sends a file is done
here: variables and references are filled in, and files and repos are known in either form.
"""

from __future__ import annotations

import string
from collections.abc import Callable, Iterable, Mapping
from pathlib import PurePath
from typing import Any

from dstack_api_client.edits.errors import InvalidEditError
from dstack_api_client.edits.spec.references import (
    SECRETS,
    SECRETS_AND_ADDRESSES,
    BadReferenceError,
    Left,
    NoValueError,
    filled,
)
from dstack_api_client.text import one_line
from dstack_placement.engine import mapping

_Fill = Callable[[str], str]

#: Fields that name what is on the machine of the person who applies; it is sent along.
LOCAL = ("files", "repos")
_FORMS = "Write it as ${{ env.NAME }} or ${{ secrets.NAME }}."
_REPO: Mapping[str, Any] = {
    "local_path": None,
    "url": None,
    "branch": None,
    "hash": None,
    "path": ".",
    "if_exists": "error",
}


def as_sent(
    written: Mapping[str, Any], stored: Mapping[str, Any], environment: Mapping[str, str]
) -> dict[str, Any]:
    """A configuration as `dstack apply -f` sends it.

    Args:
        written: What stands in the file.
        stored: The configuration that the service has. A variable that the file only names and the
            environment lacks keeps the value that it has there; files and repos that are the same
            keep the form that they have there.
        environment: The variables of the shell.

    Raises:
        InvalidEditError: A variable or a reference has no value, or a path can't be read.
    """
    sent = dict(written)
    if "env" in sent:
        sent["env"] = variables(sent["env"], environment, stored.get("env"))
    sent = with_references(sent)
    kept = [key for key in LOCAL if key in sent and key in stored and _same(key, sent, stored)]
    return {**sent, **{key: stored[key] for key in kept}}


def changed_locals(written: Mapping[str, Any], stored: Mapping[str, Any]) -> tuple[str, ...]:
    """Which of `files` and `repos` are others than those that the service has.

    Raises:
        InvalidEditError: An entry can't be read.
    """
    return tuple(key for key in LOCAL if not _same(key, written, stored))


def variables(written: Any, environment: Mapping[str, str], stored: Any = None) -> dict[str, Any]:
    """Variables with their values; of those that are only named, the client's own.

    Args:
        written: `env` as it is written, a mapping or a list.
        environment: The variables of the shell.
        stored: Those that the service has, for names that the environment lacks.

    Raises:
        InvalidEditError: One has no value, one that is no text, or it stands there twice.
    """
    found: dict[str, Any] = {}
    if isinstance(written, Mapping):
        found = {str(name): value for name, value in written.items()}
    else:
        for item in written or ():
            name, equals, value = str(item).partition("=")
            if name in found:
                raise InvalidEditError(
                    [f"The variable {one_line(name)} stands in `env` twice. Leave one of them."]
                )
            found[name] = value if equals else None
    known = mapping(stored)
    return {name: _variable(name, value, environment, known) for name, value in found.items()}


def _variable(
    name: str, value: Any, environment: Mapping[str, str], known: Mapping[str, Any]
) -> Any:
    if isinstance(value, Mapping) and value == known.get(name):
        return value  # a name without a value, as the server keeps one
    if value is None:
        value = environment.get(name, known.get(name))
        if value is None:
            raise InvalidEditError(
                [f"The variable {one_line(name)} of `env` has no value. Set it, or export it."]
            )
        return value
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise InvalidEditError(
            [f"The value of {one_line(name)} in `env` is not text. Put it in quotes."]
        )
    return str(value)


def with_references(
    configuration: Mapping[str, Any], *, keep: Callable[[str], bool] = lambda _: False
) -> dict[str, Any]:
    """A configuration with its references filled in where dstack's CLI fills them in.

    Args:
        configuration: With values in `env`.
        keep: Which texts are left as they are.

    Raises:
        InvalidEditError: A reference can't be filled in.
    """
    whole = dict(configuration)
    env = whole.get("env")
    names = {f"env.{name}": v for name, v in env.items()} if isinstance(env, Mapping) else {}
    fix = "Add the variable to `env`."
    if isinstance(auth := whole.get("registry_auth"), Mapping):
        fill = _filler("registry_auth", names, SECRETS, fix, keep)
        whole["registry_auth"] = _texts_filled(auth, ("username", "password"), fill)
    if isinstance(probes := whole.get("probes"), list):
        fill = _filler("probes", names, SECRETS, fix, keep)
        whole["probes"] = [_probe_filled(probe, fill) for probe in probes]
    # What stands behind `--` on dstack's command line, which is nothing here.
    run = {"run.args": ""}
    fill = _filler(
        "commands", run, SECRETS_AND_ADDRESSES, "Commands have the variables as $NAME.", keep
    )
    if "commands" in whole:
        whole["commands"] = _each_filled(whole["commands"], fill)
    for key in ("groups", "replicas"):
        if isinstance(groups := whole.get(key), list):
            whole[key] = [
                {**group, "commands": _each_filled(group["commands"], fill)}
                if isinstance(group, Mapping) and "commands" in group
                else group
                for group in groups
            ]
    return whole


def _filler(
    place: str, values: Mapping[str, str], left: Left, fix: str, keep: Callable[[str], bool]
) -> _Fill:
    def fill(text: str) -> str:
        if keep(text):
            return text
        try:
            return filled(text, values, left)
        except NoValueError as error:
            raise InvalidEditError([f"In `{place}`: {error} {fix}"]) from None
        except BadReferenceError as error:
            raise InvalidEditError([f"In `{place}`: {error} {_FORMS}"]) from None

    return fill


def _each_filled(texts: Any, fill: _Fill) -> Any:
    if not isinstance(texts, list):
        return texts
    return [fill(text) if isinstance(text, str) else text for text in texts]


def _texts_filled(owner: Mapping[str, Any], keys: Iterable[str], fill: _Fill) -> dict[str, Any]:
    changed = {key: fill(owner[key]) for key in keys if isinstance(owner.get(key), str)}
    return {**owner, **changed}


def _probe_filled(probe: Any, fill: _Fill) -> Any:
    if not isinstance(probe, Mapping):
        return probe
    whole = _texts_filled(probe, ("url", "body"), fill)
    if isinstance(headers := whole.get("headers"), list):
        whole["headers"] = [
            _texts_filled(header, ("value",), fill) if isinstance(header, Mapping) else header
            for header in headers
        ]
    return whole


def _same(key: str, one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether two configurations name the same files, or the same repos."""
    pair = [_entries(key, each.get(key)) for each in (one, other)]
    if key == "files" and len(pair[0]) == len(pair[1]):
        return all(map(_is_same_file, *pair))
    return pair[0] == pair[1]


def _entries(key: str, value: Any) -> list[Any]:
    read = _file if key == "files" else _repo
    return [read(entry) for entry in value] if isinstance(value, list) else []


def _file(entry: Any) -> Any:
    if not isinstance(entry, str):
        return entry
    parts = _parts(entry)
    if len(parts) > 2:
        raise InvalidEditError(
            [f"`files` has {one_line(entry)}. Write the local path, a colon and the path there."]
        )
    return {"local_path": parts[0], "path": parts[-1]}


def _parts(entry: str) -> list[str]:
    """Splits at colons, though not behind the letter of a drive."""
    parts = entry.split(":")
    if len(parts) > 1 and _is_drive(parts[0]) and parts[1][:1] in ("\\", "/"):
        parts[:2] = [f"{parts[0]}:{parts[1]}"]
    return parts


def _is_drive(text: str) -> bool:
    return len(text) == 1 and text in string.ascii_letters


def _is_same_file(entry: Any, known: Any) -> bool:
    """Whether an entry names what was applied, be it from another folder or another machine.

    dstack stores the absolute path of that time.
    """
    if not isinstance(entry, Mapping) or not isinstance(known, Mapping):
        return bool(entry == known)
    if entry.get("path") != known.get("path"):
        return False
    here, there = _steps(entry.get("local_path")), _steps(known.get("local_path"))
    return there[len(there) - len(here) :] == here


def _steps(path: Any) -> tuple[str, ...]:
    """The steps of a path that it has on every machine."""
    steps = PurePath(str(path or "")).parts
    return tuple(step for step in steps if step not in ("~", ".."))


def _repo(entry: Any) -> Any:
    if isinstance(entry, Mapping):
        return {**_REPO, **entry}
    if not isinstance(entry, str):
        return entry
    parts = entry.split(":")
    # git@host:owner/name, https://host/owner/name
    is_url = len(parts) > 1 and ("@" in parts[0] or parts[1].startswith("//"))
    if is_url:
        parts[:2] = [f"{parts[0]}:{parts[1]}"]
    else:
        parts = _parts(entry)
    if len(parts) > 2:
        raise InvalidEditError(
            [f"`repos` has {one_line(entry)}. Write the repo, a colon and the path there."]
        )
    there = {"path": parts[1]} if len(parts) == 2 else {}
    return {**_REPO, "url" if is_url else "local_path": parts[0], **there}
