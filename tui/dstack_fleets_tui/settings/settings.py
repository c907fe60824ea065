"""The user's settings, and where each of them came from.

In the order of weight: the command line, the environment (`DSTACK_FLEETS_TUI_` and the name of the
setting in capitals), the settings file, the default. What is wrong in the environment or in the
file is a notice, and the next source counts: a slip in a file must not keep anyone from looking at
their fleets. It does keep them from changing anything where what guards them can't be read.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from difflib import get_close_matches
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, TypeAlias

from annotated_types import Interval
from platformdirs import user_config_path

from dstack_api_client.private_folder import is_missing
from dstack_api_client.text import one_line

if TYPE_CHECKING:
    from pydantic import TypeAdapter, ValidationError

#: What the name of every variable begins with.
ENVIRONMENT = "DSTACK_FLEETS_TUI_"
#: Lists whose columns can be chosen.
ListName: TypeAlias = Literal[
    "fleets", "services", "problems", "events", "runs", "instances", "replicas", "workers"
]
#: Settings that keep things from being changed: a slip in one must not open the way.
_GUARDS = ("read_only", "projects")
#: What a guard may be meant by, and how alike a name has to be to it.
_GUARD_WORDS = ("readonly", "projects", "protected", "protect")
_ALIKE = 0.75
_GUARDED = "Until then nothing can be changed."


@dataclass(frozen=True)
class ProjectValues:
    """What can be set for one project."""

    __pydantic_config__: ClassVar = {"extra": "forbid", "use_attribute_docstrings": True}

    read_only: bool = False
    """Refuse every change of this project."""
    protected: bool = False
    """Ask for the name of a service or fleet before it is changed."""


@dataclass(frozen=True)
class Values:
    """What can be set."""

    __pydantic_config__: ClassVar = {"use_attribute_docstrings": True}

    ascii: bool = False
    """Draw with plain ASCII characters."""
    interval: Annotated[float, Interval(ge=0.5, le=3600)] = 2.0
    """Seconds from the end of one poll to the next, 0.5 to 3600."""
    theme: str | None = None
    """The name of a theme: of Textual, of this program, or of a file in the folder `themes`."""
    mouse: Literal["on", "off", "auto"] = "auto"
    """Whether the mouse is used; `auto` is off in GNU screen, which swallows Esc where it is."""
    alert: Literal["off", "bell", "notify"] = "bell"
    """What a new critical problem does: ring the bell, or send a notification (OSC 9) too."""
    insecure_http: bool = False
    """Send the token over plain HTTP to other machines."""
    ca_file: Path | None = None
    """Certificates (PEM) to trust instead of the usual ones; here a path counts from this file."""

    dashboard_projects: str | None = None
    """What the dashboard opens without `--project`: a project, several as `a,b`, or `all`."""
    routers_over_ssh: Literal["none", "opened", "all"] = "opened"
    """Which routers are read over SSH on a server without the add-on."""
    loss_problems: bool = False
    """Show services with minimums that would not survive the loss of a fleet as notices."""

    columns: dict[ListName, Literal["wide"] | list[str]] = field(default_factory=dict)
    """By a list, the columns that it shows beside its first, or `wide` for all of them."""
    aliases: dict[str, str] = field(default_factory=dict)
    """Short forms of commands, with or without an argument: `oncall: services chat-70b`."""

    read_only: bool = False
    """Refuse every change."""
    projects: dict[str, ProjectValues] = field(default_factory=dict)
    """By project name, what applies to it alone."""


@dataclass(frozen=True)
class Settings(Values):
    """The settings that count, with what was wrong on the way."""

    sources: dict[str, str] = field(default_factory=dict)
    """Per setting where its value came from; `default` where nobody set it."""
    notices: tuple[str, ...] = ()
    """What was wrong, each a sentence or two."""
    guard_notices: tuple[str, ...] = ()
    """Those of them for which it is not known what keeps things from being changed."""

    def read_only_in(self, project: str) -> bool:
        """Whether every change of a project is refused."""
        return (
            self.read_only
            or bool(self.guard_notices)
            or self.projects.get(project, ProjectValues()).read_only
        )

    def protected_in(self, project: str) -> bool:
        """Whether a name has to be typed before something of a project is changed."""
        return self.projects.get(project, ProjectValues()).protected


def settings_path() -> Path:
    """Where the settings file is looked for."""
    return user_config_path("dstack-fleets-tui", appauthor=False) / "settings.yml"


def load(
    arguments: Mapping[str, Any] | None = None,
    environ: Mapping[str, str] | None = None,
    path: Path | None = None,
) -> Settings:
    """Reads the settings from all their sources.

    Args:
        arguments: By name, what the command line set; None counts as not set.
        environ: The environment, if not the process's.
        path: The settings file, if not the usual one.
    """
    env = os.environ if environ is None else environ
    file = settings_path() if path is None else path
    notices: list[str] = []
    in_file, problem = _read(file)
    guards: list[str] = []
    if problem is not None:
        guards.append(f"{problem} {_GUARDED}")
        notices.append(guards[-1])
    values: dict[str, Any] = {}
    sources = dict.fromkeys((each.name for each in fields(Values)), "default")
    layers: tuple[tuple[Iterator[tuple[str, str, Any]], str], ...] = (
        (_from_file(in_file, file), "Fix the settings file."),
        (_from_environment(env), "Fix or unset it."),
        (((name, "command line", v) for name, v in (arguments or {}).items()), "Fix it."),
    )
    for layer, advice in layers:
        for name, source, value in layer:
            if value is None:
                continue
            if name not in sources:
                known = ", ".join(sources)
                notice = f"There is no setting {one_line(name)} ({source}). Known: {known}."
                if _may_be_guard(name):
                    notice += f" It may be meant to keep things from being changed. {_GUARDED}"
                    guards.append(notice)
                notices.append(notice)
                continue
            try:
                values[name] = checked(name, value)
            except ValueError as error:
                notice = f"{source}: {name} is not used ({error}). {advice}"
                if name in _GUARDS:
                    notice += f" {_GUARDED}"
                    guards.append(notice)
                notices.append(notice)
            else:
                sources[name] = source
    return Settings(**values, sources=sources, notices=tuple(notices), guard_notices=tuple(guards))


def with_known_projects(settings: Settings, project: str, known: Collection[str]) -> Settings:
    """The settings, refusing changes where they guard a project that nobody knows.

    Args:
        settings: As they were read.
        project: The project that is connected to.
        known: The other projects that are known; where there are none, only a name much like the
            project's is taken for a slip.
    """
    guarded = [
        name
        for name, values in settings.projects.items()
        if (values.read_only or values.protected) and name != project
    ]
    unknown = [
        name
        for name in guarded
        if (name not in known if known else get_close_matches(name, [project], cutoff=_ALIKE))
    ]
    if not unknown:
        return settings
    names = ", ".join(map(one_line, unknown))
    notice = (
        f"`projects` in the settings guards {names}, and no project of that name is in dstack's"
        f" configuration. Fix the name, or take it out. {_GUARDED}"
    )
    if notice in settings.guard_notices:
        return settings
    return replace(
        settings,
        notices=(*settings.notices, notice),
        guard_notices=(*settings.guard_notices, notice),
    )


def _may_be_guard(name: str) -> bool:
    word = "".join(sign for sign in name.lower() if sign.isalpha())
    return bool(get_close_matches(word, _GUARD_WORDS, cutoff=_ALIKE))


@cache
def adapter() -> TypeAdapter[Values]:
    """What checks the values; most people set none, so it is loaded when there is one."""
    from pydantic import TypeAdapter

    return TypeAdapter(Values)


def checked(name: str, value: Any) -> Any:
    """The value of a setting, in the form that it has to be in.

    Raises:
        ValueError: It can't be used.
    """
    from pydantic import ValidationError

    try:
        found: Any = getattr(adapter().validate_python({name: _plain(name, value)}), name)
    except ValidationError as error:
        raise ValueError(_what(error)) from None
    return found.expanduser() if isinstance(found, Path) else found


def _plain(name: str, value: Any) -> Any:
    if isinstance(value, str) and name in ("projects", "aliases", "columns"):
        from dstack_api_client.yaml_text import read_yaml

        return read_yaml(value)
    if isinstance(value, bool) and name in ("mouse", "alert"):
        return "on" if value else "off"  # YAML's own reading of the words
    return value


def _what(error: ValidationError) -> str:
    message: str = error.errors(include_url=False, include_input=False)[0]["msg"]
    return message.removeprefix("Value error, ").lower()


def _read(path: Path) -> tuple[dict[str, Any], str | None]:
    if is_missing(path):
        return {}, None
    from dstack_api_client.yaml_text import YamlError, read_yaml_file

    name = one_line(str(path))
    try:
        data = read_yaml_file(path, names_once=True)
    except OSError as error:
        return {}, f"The settings file {name} can't be read: {error.strerror}. It is not used."
    except YamlError as error:
        return {}, f"The settings file {name} is {error}. It is not used."
    if data is None:
        return {}, None
    if not isinstance(data, dict):
        return {}, f"The settings file {name} is not a list of `name: value`. It is not used."
    return {str(key): value for key, value in data.items()}, None


def _from_file(data: Mapping[str, Any], path: Path) -> Iterator[tuple[str, str, Any]]:
    for name, value in data.items():
        if name == "ca_file" and isinstance(value, str):
            yield name, one_line(str(path)), path.parent / Path(value).expanduser()
        else:
            yield name, one_line(str(path)), value


def _from_environment(env: Mapping[str, str]) -> Iterator[tuple[str, str, Any]]:
    for variable, value in env.items():
        if variable.startswith(ENVIRONMENT) and value:
            yield variable.removeprefix(ENVIRONMENT).lower(), variable, value
