"""The log of what was changed from this machine: a line before each request, and one after."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import msgspec

from dstack_api_client.edits.store.files import append_line, locked, telling

#: Bytes after which the log is put aside; one older one is kept.
_LIMIT = 8 << 20
_NAME = "audit.jsonl"
_OLDER = "audit.1.jsonl"


class ChangedField(msgspec.Struct, frozen=True):
    """A field as it was and as it is, in words; of one that may hold a secret, neither."""

    field: str
    old: str
    new: str


class AuditLine(msgspec.Struct, frozen=True, omit_defaults=True):
    """One line of the log.

    Attributes:
        at: When, by this machine's clock.
        user: The server's user, or what is known of who did it.
        local_user: The user of this machine.
        server: The server's address.
        project: The project.
        kind: What was changed: a service or a fleet.
        name: Its name.
        action: What was done.
        changes: The fields.
        result: What came of it.
        sent: What the lines before and after one request have in common; empty where none was sent.
    """

    at: datetime
    user: str
    local_user: str
    server: str
    project: str
    kind: str
    name: str
    action: str
    changes: tuple[ChangedField, ...]
    result: str
    sent: str = ""


def path_in(folder: Path) -> Path:
    """Where the log of a state folder is."""
    return folder / _NAME


def append(folder: Path, line: AuditLine) -> None:
    """Writes a line.

    Raises:
        NotKeptError: It could not be written.
    """
    with locked(folder, "audit"), telling("the audit log"):
        path = path_in(folder)
        if path.exists() and path.stat().st_size > _LIMIT:
            path.replace(folder / _OLDER)
        append_line(path, msgspec.json.encode(line))


def read(folder: Path) -> tuple[list[AuditLine], int]:
    """The lines that are there, the oldest first, and how many can't be read.

    Of one request there is one line: when it was sent, and what came of it.

    Raises:
        NotKeptError: The log can't be read.
    """
    lines: dict[object, AuditLine] = {}
    broken = 0
    with telling("the audit log"):
        for text in _texts(folder / _OLDER, path_in(folder)):
            try:
                line = msgspec.json.decode(text, type=AuditLine)
            except msgspec.MsgspecError:
                broken += 1
                continue
            key = line.sent or len(lines)
            first = lines.get(key, line)
            lines[key] = msgspec.structs.replace(line, at=first.at)
    return [*lines.values()], broken


def _texts(*paths: Path) -> Iterator[bytes]:
    for path in paths:
        if path.exists():
            yield from filter(bytes.strip, path.read_bytes().splitlines())
