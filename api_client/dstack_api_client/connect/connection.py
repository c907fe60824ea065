"""Where a client connects, and whether it is safe to send a token there."""

from __future__ import annotations

import ipaddress
import os
import ssl
import stat
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from urllib.parse import SplitResult, urlsplit

from dstack_api_client.errors import ApiError
from dstack_api_client.text import one_line


class ConfigError(ApiError):
    """Where to connect is not known, or it is not safe to."""

    unsent = True


@dataclass(frozen=True, slots=True)
class Sources:
    """Which flag, variable or file each value of a `Connection` came from."""

    url: str
    project: str
    token: str


@dataclass(frozen=True, slots=True)
class Connection:
    """One project of one server, with the token that opens it."""

    url: str
    """Without a slash at its end."""
    project: str
    token: str = field(repr=False)
    sources: Sources
    ca_file: Path | None = None
    """Certificates to trust instead of the usual ones."""
    warnings: tuple[str, ...] = ()
    """What the user should know, each a sentence or two."""

    @property
    def verify(self) -> ssl.SSLContext | bool:
        """What a client verifies TLS with: True for the usual authorities.

        Raises:
            ConfigError: The CA file can't be used.
        """
        return True if self.ca_file is None else trust(self.ca_file)


def refuse_shared_token(connections: Iterable[Connection]) -> None:
    """Keeps one token from being sent to several servers.

    One that comes from where its address does, as in dstack's configuration, is of that server.

    Raises:
        ConfigError: It would be.
    """
    to: dict[str, dict[tuple[object, ...], str]] = {}
    for each in connections:
        if each.sources.token != each.sources.url:
            to.setdefault(each.sources.token, {})[origin(each.url)] = each.url
    for source, urls in to.items():
        if len(urls) > 1:
            raise ConfigError(
                f"The token from {one_line(source)} would be sent to several servers:"
                f" {', '.join(map(one_line, sorted(urls.values())))}.",
                "Name one with --server-url, or leave the token to dstack's configuration.",
            )


def trust(ca_file: Path) -> ssl.SSLContext:
    """A TLS context that verifies against the certificates of a file.

    Raises:
        ConfigError: The file can't be read, or holds no certificate.
    """
    hint = "Name a PEM file with --ca-file, or leave it out to trust the usual authorities."
    try:
        info = ca_file.stat()
        return _context(ca_file, info.st_dev, info.st_ino, info.st_mtime_ns, info.st_size)
    except ssl.SSLError:
        message = f"There is no usable certificate in {one_line(str(ca_file))}."
    except OSError as error:
        message = f"The CA file {one_line(str(ca_file))} can't be read: {error.strerror}."
    raise ConfigError(message, hint)


@lru_cache(maxsize=4)
def _context(ca_file: Path, *_stamp: int) -> ssl.SSLContext:
    """The context of a file as it is now: to read all authorities takes longer than an answer."""
    return ssl.create_default_context(cafile=str(ca_file))


def server_url(text: str, source: str) -> str:
    """Checks a server's address and brings it into the form that clients append paths to.

    Args:
        text: As written by the user.
        source: Where it was written, for the message.

    Returns:
        The address without a slash at its end.

    Raises:
        ConfigError: It is not the address of an HTTP server.
    """
    url = text.strip().rstrip("/")
    problem = _url_problem(url)
    if problem is not None:
        raise ConfigError(
            f"The server's address {one_line(_without_user(url))!r} ({source}) {problem}.",
            "It looks like https://dstack.example.com or http://127.0.0.1:3000.",
        )
    return url


def origin(url: str) -> tuple[str, str, int | None, str]:
    """What makes two addresses the same server: scheme, host, port and path."""
    try:
        parts = urlsplit(url.strip())
        port = parts.port or {"http": 80, "https": 443}.get(parts.scheme)
    except ValueError:
        return ("", "", None, url)
    return (parts.scheme, parts.hostname or "", port, parts.path.rstrip("/"))


def is_loopback(url: str) -> bool:
    """Whether what is sent to an address stays on this machine."""
    host = (urlsplit(url).hostname or "").rstrip(".")
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def refuse_plain_http(url: str, source: str) -> None:
    """Keeps a token from being sent where others can read it on the way.

    Raises:
        ConfigError: The address is plain HTTP and not on this machine.
    """
    if urlsplit(url).scheme == "http" and not is_loopback(url):
        raise ConfigError(
            f"The token would be sent to {one_line(url)} ({source}) unencrypted.",
            "Use https://, or give --insecure-http if you trust every network on the way.",
        )


def exposure(path: Path) -> str | None:
    """Who besides its owner can read a file that holds a token.

    A readable file in a folder that others can't enter is safe, and so is one whose group has the
    owner as its only member; neither is worth a warning.

    Returns:
        A sentence or two for the user, or None.
    """
    if os.name != "posix":
        return None
    info = path.stat()
    if not stat.S_ISREG(info.st_mode):
        return None
    folders = [parent.stat() for parent in path.resolve().parents]
    if info.st_mode & stat.S_IROTH and all(f.st_mode & stat.S_IXOTH for f in folders):
        readers = "Every user of this machine"
    elif (
        info.st_mode & stat.S_IRGRP
        and all(
            f.st_mode & (stat.S_IXGRP if f.st_gid == info.st_gid else stat.S_IXOTH) for f in folders
        )
        and not _private_group(info.st_uid, info.st_gid)
    ):
        readers = "Every user of its group"
    else:
        return None
    return f"{readers} can read the token in {path}. Run: chmod 600 {path}"


def _private_group(uid: int, gid: int) -> bool:
    import grp
    import pwd

    try:
        owner, group = pwd.getpwuid(uid), grp.getgrgid(gid)
    except KeyError:
        return False
    return owner.pw_gid == gid and group.gr_name == owner.pw_name and not group.gr_mem


def _url_problem(url: str) -> str | None:
    if not url:
        return "is empty"
    if not url.isprintable() or " " in url:
        return "has spaces or control characters in it"
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return "is not an address"
    return _part_problem(parts, port)


def _part_problem(parts: SplitResult, port: int | None) -> str | None:
    if parts.scheme not in ("http", "https"):
        return "does not begin with https:// or http://"
    if not parts.hostname:
        return "names no host"
    if port == 0:
        return "has no usable port"
    if parts.username is not None or parts.password is not None:
        return "carries a user name or password, which a dstack server does not accept"
    if parts.query or parts.fragment:
        return "has a query or a fragment"
    return None


def _without_user(url: str) -> str:
    """The address without what may be a password."""
    scheme, mark, rest = url.rpartition("://")
    return f"{scheme}{mark}{rest.rpartition('@')[2]}"
