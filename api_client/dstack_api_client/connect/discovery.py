"""Finding the server, the project and the token: flags, environment, then dstack's own file.

The environment is read as dstack's client reads it: `DSTACK_SERVER_URL` with `DSTACK_TOKEN` stands
for the file, which is then not opened; `DSTACK_TOKEN` alone replaces the file's token; and
`DSTACK_PROJECT` names the project. A variable that is set but empty counts as not set.
"""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import msgspec

from dstack_api_client.connect.connection import (
    ConfigError,
    Connection,
    Sources,
    exposure,
    origin,
    refuse_plain_http,
    server_url,
    trust,
)
from dstack_api_client.text import one_line

_ADD = "Add one with: dstack project add --name NAME --url URL --token TOKEN"
#: Bytes of a token file that are read; a token has a few dozen.
_TOKEN_LIMIT = 4096
_MISSING = re.compile(r"Object missing required field `(.*)`")


@dataclass(frozen=True, slots=True)
class Flags:
    """What the command line says about where to connect.

    Attributes:
        project: The project.
        project_source: What names it, for messages.
        server_url: The server's address.
        token_file: A file with the token.
        ca_file: Certificates to trust.
        insecure_http: Whether the token may be sent over plain HTTP.
    """

    project: str | None = None
    project_source: str = "--project"
    server_url: str | None = None
    token_file: Path | None = None
    ca_file: Path | None = None
    insecure_http: bool = False


@dataclass(frozen=True, slots=True)
class ProjectEntry:
    """One project of dstack's configuration file."""

    name: str
    url: str
    token: str = field(repr=False)
    default: bool | None = None


@dataclass(frozen=True, slots=True)
class ConfigFile:
    """dstack's configuration file, as far as it matters here."""

    projects: Sequence[ProjectEntry] = ()

    def select(self, name: str | None, url: str | None) -> ProjectEntry | None:
        """The entry that dstack's client would take.

        Args:
            name: The project; None for the default one.
            url: Only entries of this server, if given.
        """
        entries = self.projects
        if url is not None:
            entries = [e for e in entries if origin(e.url) == origin(url)]
        if name is not None:
            return next((e for e in entries if e.name == name), None)
        default = next((e for e in entries if e.default), None)
        if default is None and url is not None and len(entries) == 1:
            return entries[0]
        return default


class _Value(NamedTuple):
    text: str
    source: str


def config_path() -> Path:
    """Where dstack's client keeps its configuration.

    Raises:
        ConfigError: The user has no home folder.
    """
    try:
        return Path.home() / ".dstack" / "config.yml"
    except RuntimeError:
        raise ConfigError(
            "Your home folder is not known, so dstack's configuration can't be found.",
            "Set HOME, or DSTACK_SERVER_URL, DSTACK_TOKEN and DSTACK_PROJECT.",
        ) from None


def load(path: Path) -> ConfigFile:
    """Reads and checks dstack's configuration file.

    Raises:
        ConfigError: It is missing, can't be read, or is not what dstack writes.
    """
    from dstack_api_client.yaml_text import YamlError, read_yaml_file

    name = one_line(str(path))
    try:
        data = read_yaml_file(path)
        return msgspec.convert({} if data is None else data, ConfigFile)
    except FileNotFoundError:
        raise ConfigError(
            f"There is no dstack configuration at {name}.",
            f"{_ADD}; or set DSTACK_SERVER_URL, DSTACK_TOKEN and DSTACK_PROJECT.",
        ) from None
    except OSError as error:
        raise ConfigError(
            f"{name} can't be read: {error.strerror}.", "Fix its permissions, or set DSTACK_*."
        ) from None
    except YamlError as error:
        line = f", line {error.line}" if error.line is not None else ""
        raise ConfigError(
            f"{name} is not valid YAML{line}: {error.problem}.",
            "Fix the file, or move it away and add the project again.",
        ) from None
    except msgspec.ValidationError as error:
        where, why = _wrong(str(error))
        raise ConfigError(
            f"{name} is not a dstack configuration: {one_line(where)} is wrong ({one_line(why)}).",
            "Fix the file, or move it away and add the project again.",
        ) from None


def connect(
    flags: Flags, environ: Mapping[str, str] | None = None, path: Path | None = None
) -> Connection:
    """Decides where to connect.

    A token is sent only to the server it was given for: the file's to the server of its entry,
    the environment's to `DSTACK_SERVER_URL` where that is set.

    Args:
        flags: The command line.
        environ: The environment, if not the process's.
        path: dstack's configuration file, if not the usual one.

    Raises:
        ConfigError: Something is missing, wrong or unsafe; its hint says what to do.
    """
    env = os.environ if environ is None else environ
    project = _first(
        (flags.project, flags.project_source), (env.get("DSTACK_PROJECT"), "DSTACK_PROJECT")
    )
    flag_url = _first((flags.server_url, "--server-url"))
    env_url = _first((env.get("DSTACK_SERVER_URL"), "DSTACK_SERVER_URL"))
    token = _read_token(flags.token_file)
    env_token = _first((env.get("DSTACK_TOKEN"), "DSTACK_TOKEN"))
    if token is None and env_token is not None and _may_go(env_url, flag_url):
        token = env_token
    url = flag_url or (env_url if token is not None else None)
    warnings: list[str] = []
    if flags.token_file is not None:
        warnings += filter(None, [exposure(flags.token_file)])
    if url is not None:
        url = _Value(server_url(*url), url.source)
    if url is None or token is None or (project is None and flag_url is not None):
        file = config_path() if path is None else path
        entry = _entry(file, project, url, needs_token=token is None)
        source = one_line(str(file))
        if url is None:
            url = _Value(server_url(entry.url, source), source)
            if env_url is not None:
                warnings.append(
                    "DSTACK_SERVER_URL is not used, as in dstack's own client: "
                    "DSTACK_TOKEN has to be set with it."
                )
        if token is None:
            token = _Value(entry.token, source)
            warnings += filter(None, [exposure(file)])
        if project is None:
            project = _Value(entry.name, source)
    if project is None:
        raise ConfigError(
            "DSTACK_SERVER_URL and DSTACK_TOKEN are set, but no project is named.",
            "Set DSTACK_PROJECT, or use --project NAME.",
        )
    return _checked(flags, env, url, project, token, warnings)


def _checked(
    flags: Flags,
    env: Mapping[str, str],
    url: _Value,
    project: _Value,
    token: _Value,
    warnings: Sequence[str],
) -> Connection:
    if not flags.insecure_http:
        refuse_plain_http(*url)
    if not (token.text.isascii() and token.text.isprintable() and token.text.strip()):
        raise ConfigError(
            f"The token from {token.source} is empty or has characters that no token can have.",
            "Copy it again from the server's user page.",
        )
    if not project.text.isprintable() or "/" in project.text:
        raise ConfigError(
            f"{one_line(project.text)!r} ({project.source}) can't be the name of a project.",
            "Use the name as the server shows it.",
        )
    # httpx trusts SSL_CERT_FILE too, but fails without a clear word when it is broken.
    ca_file = flags.ca_file or (Path(env["SSL_CERT_FILE"]) if env.get("SSL_CERT_FILE") else None)
    # To read all authorities takes a tenth of a start.
    if ca_file is not None and (flags.ca_file or url.text.startswith("https:")):
        trust(ca_file)
    return Connection(
        url=url.text,
        project=project.text,
        token=token.text,
        sources=Sources(url.source, project.source, token.source),
        ca_file=ca_file,
        warnings=tuple(warnings),
    )


def _first(*values: tuple[str | None, str]) -> _Value | None:
    return next((_Value(text, source) for text, source in values if text), None)


def _may_go(home: _Value | None, target: _Value | None) -> bool:
    """Whether the environment's token may be sent to the server that a flag names."""
    return home is None or target is None or origin(home.text) == origin(target.text)


def _read_token(path: Path | None) -> _Value | None:
    if path is None:
        return None
    source = one_line(str(path))
    try:
        with path.open("rb") as file:
            text = file.read(_TOKEN_LIMIT).decode("utf-8", "replace").strip()
    except OSError as error:
        raise ConfigError(
            f"The token file {source} can't be read: {error.strerror}.",
            "Name a file that holds just the token with --token-file.",
        ) from None
    return _Value(text, source)


def _entry(
    path: Path, project: _Value | None, url: _Value | None, *, needs_token: bool
) -> ProjectEntry:
    try:
        config = load(path)
    except ConfigError as error:
        if url is None:
            raise
        what = "token" if needs_token else "project"
        raise ConfigError(
            f"No {what} is known for {one_line(url.text)}. {error.message}",
            "Set DSTACK_TOKEN or use --token-file FILE."
            if needs_token
            else "Use --project NAME, or set DSTACK_PROJECT.",
        ) from None
    entry = config.select(project and project.text, url and url.text)
    if entry is not None:
        return entry
    raise _no_entry(config, path, project, url)


def _no_entry(
    config: ConfigFile, path: Path, project: _Value | None, url: _Value | None
) -> ConfigError:
    name = one_line(str(path))
    if not config.projects:
        return ConfigError(f"No project is configured in {name}.", _ADD)
    entries = [e for e in config.projects if url is None or origin(e.url) == origin(url.text)]
    known = ", ".join(dict.fromkeys(one_line(e.name) for e in entries))
    if url is not None and not entries:
        return ConfigError(
            f"{name} has no token for {one_line(url.text)}.",
            "Set DSTACK_TOKEN or use --token-file FILE, with --project NAME.",
        )
    if project is None:
        return ConfigError(
            f"No project in {name} is the default.",
            f"Use --project NAME, one of: {known}; or run: dstack project set-default NAME",
        )
    near = difflib.get_close_matches(project.text, [e.name for e in entries], 1)
    guess = f"Did you mean {one_line(near[0])}? " if near else ""
    return ConfigError(
        f"Project {one_line(project.text)} ({project.source}) is not in {name}.",
        f"{guess}Configured: {known}.",
    )


def _wrong(text: str) -> tuple[str, str]:
    """The place and the reason in what msgspec says: `Expected ... - at `$.projects[0]``."""
    why, _, place = text.partition(" - at ")
    where = place.strip("`").removeprefix("$")
    if found := _MISSING.fullmatch(why):
        where, why = f"{where}.{found[1]}", "it is missing"
    return where.lstrip(".") or "the top level", why[:1].lower() + why[1:].replace("`", "")
