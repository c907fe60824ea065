"""What is kept on this machine: the last applied change of each target, drafts, and an audit log.

All of it lies in the user's state folder, readable by its owner only, and holds no secret: fields
that may have one are left out, and told by name. Files are replaced whole, and locked while they
are read and replaced, so that several dashboards can run at once.
"""

from __future__ import annotations

import fcntl
import getpass
import hashlib
import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import msgspec
from platformdirs import user_state_path

from dstack_api_client.cleaning import one_line
from dstack_api_client.configuration import MASK
from dstack_api_client.edits import fields
from dstack_api_client.edits.base import Base, Target
from dstack_api_client.edits.difference import NOTHING, FieldChange
from dstack_api_client.edits.errors import NotKeptError
from dstack_api_client.edits.fields import ABSENT
from dstack_api_client.edits.secrets import keepable, may_be_kept

#: Bytes after which the audit log is put aside; one older one is kept.
_LOG_LIMIT = 8 << 20


class Step(msgspec.Struct, frozen=True, omit_defaults=True):
    """One field of a kept change; a value that was not there is not written down."""

    path: tuple[str, ...]
    old: Any = msgspec.UNSET
    new: Any = msgspec.UNSET


class Kept(msgspec.Struct, frozen=True, omit_defaults=True):
    """A change as it is kept.

    Attributes:
        id: The id of the run or the fleet.
        deployment: Its deployment number before a draft, or after what was applied.
        digest: What stands for the spec before, secrets left out.
        at: When.
        steps: The fields that change.
        left_out: Fields that change too and are not kept, since they may hold a secret.
    """

    id: str
    deployment: int
    digest: str
    at: datetime
    steps: tuple[Step, ...] = ()
    left_out: tuple[str, ...] = ()


class _File(msgspec.Struct, omit_defaults=True):
    server: str
    project: str
    kind: str
    name: str
    applied: Kept | None = None
    draft: Kept | None = None


@dataclass(frozen=True)
class Store:
    """The folder with all of it.

    Attributes:
        folder: Where it is; the user's state folder by `Store.default()`.
    """

    folder: Path

    @classmethod
    def default(cls) -> Store:
        """The store of this user."""
        return cls(user_state_path("dstack-fleets-tui", appauthor=False))

    def applied(self, target: Target) -> Kept | None:
        """The last change that was applied to a target."""
        return self._read(target).applied

    def draft(self, target: Target) -> Kept | None:
        """The change of a target that was begun and not applied."""
        return self._read(target).draft

    def keep_applied(self, before: Base, after: Base, *, certain: bool = True) -> Kept:
        """Keeps what was applied, for the way back.

        Args:
            before: What was there before.
            after: What is there now.
            certain: Whether it was; else its draft stays, which is dropped otherwise.

        Raises:
            NotKeptError: It could not be written.
        """
        kept = _kept(before, after.spec, deployment=after.deployment)
        with self._changing(before.target) as file:
            file.applied = kept
            if certain:
                file.draft = None
        return kept

    def keep_draft(self, base: Base, spec: Mapping[str, Any]) -> Kept:
        """Keeps an edit that is not applied.

        Args:
            base: What the edit began with.
            spec: The spec with its changes.

        Raises:
            NotKeptError: It could not be written.
        """
        kept = _kept(base, spec, deployment=base.deployment)
        with self._changing(base.target) as file:
            file.draft = kept
        return kept

    def drop_draft(self, target: Target) -> None:
        """Forgets the draft of a target."""
        if self.draft(target) is not None:
            with self._changing(target) as file:
                file.draft = None

    def audit(
        self,
        target: Target,
        changes: Sequence[FieldChange],
        result: str,
        *,
        user: str,
        action: str = "apply",
    ) -> None:
        """Writes one line to the audit log.

        Args:
            target: What was changed.
            changes: The fields; of those that may hold a secret, no value is written down.
            result: What came of it.
            user: The server's user, or what is known of who did it.
            action: What was done.

        Raises:
            NotKeptError: It could not be written.
        """
        entry = {
            "at": datetime.now(timezone.utc).isoformat(timespec="milliseconds"),
            "user": user,
            "local_user": _local_user(),
            "server": target.server,
            "project": target.project,
            "kind": target.kind,
            "name": target.name,
            "action": action,
            "changes": [
                {
                    "field": change.name,
                    "old": _logged(change, change.old),
                    "new": _logged(change, change.new),
                }
                for change in changes
            ],
            "result": result,
        }
        with self._locked("audit"), _telling("the audit log"):
            path = self.audit_path
            if path.exists() and path.stat().st_size > _LOG_LIMIT:
                path.replace(path.with_suffix(".1.jsonl"))
            handle = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
            try:
                os.write(handle, msgspec.json.encode(entry) + b"\n")
                os.fsync(handle)
            finally:
                os.close(handle)

    @property
    def audit_path(self) -> Path:
        """Where the audit log is."""
        return self.folder / "audit.jsonl"

    def _path(self, target: Target) -> Path:
        text = "\0".join((target.server, target.project, target.kind, target.name))
        digest = hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=12)
        return self.folder / "edits" / f"{digest.hexdigest()}.json"

    def _read(self, target: Target) -> _File:
        path = self._path(target)
        empty = _File(target.server, target.project, target.kind, target.name)
        try:
            file = msgspec.json.decode(path.read_bytes(), type=_File)
        except FileNotFoundError:
            return empty
        except OSError as error:
            raise _unkept(f"{path} can't be read: {error.strerror}.") from error
        except (msgspec.DecodeError, UnicodeDecodeError):
            # Of another version, or damaged: the next change writes it anew.
            return empty
        same = (file.server, file.project, file.kind, file.name) == (
            target.server,
            target.project,
            target.kind,
            target.name,
        )
        return file if same else empty

    @contextmanager
    def _changing(self, target: Target) -> Iterator[_File]:
        path = self._path(target)
        with self._locked(path.stem):
            file = self._read(target)
            yield file
            with _telling(str(path)):
                _replace(path, msgspec.json.encode(file))

    @contextmanager
    def _locked(self, name: str) -> Iterator[None]:
        with _telling(str(self.folder)):
            folder = self.folder / "edits"
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            for each in (self.folder, folder):
                if each.stat().st_mode & 0o077 and each.stat().st_uid == os.getuid():
                    each.chmod(0o700)
            handle = os.open(folder / f"{name}.lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            with _telling(str(self.folder)):
                fcntl.flock(handle, fcntl.LOCK_EX)
            yield
        finally:
            os.close(handle)  # which gives the lock back


def values_of(kept: Kept, *, back: bool) -> dict[fields.Path, Any]:
    """The fields of a kept change, to be set on a spec.

    Args:
        kept: The change.
        back: Whether the old values are wanted.
    """
    return {step.path: _value(step.old if back else step.new) for step in kept.steps}


def moved_since(kept: Kept, now: Base) -> bool:
    """Whether what a draft began with is no longer there."""
    return (kept.id, kept.deployment, kept.digest) != (
        now.id,
        now.deployment,
        _fingerprint(now.spec),
    )


def differing(kept: Kept, now: Base) -> list[str]:
    """Names of the fields that are no longer as they were applied."""
    known = fields.fields_of(now.spec)
    return [
        one_line(fields.name_of(step.path))
        for step in kept.steps
        if not fields.same(known.get(step.path, ABSENT), _value(step.new))
    ]


def _kept(before: Base, spec: Mapping[str, Any], *, deployment: int) -> Kept:
    steps, left_out = [], []
    for path, (old, new) in fields.changes(before.spec, spec).items():
        if may_be_kept(path):
            steps.append(Step(path, _written(old), _written(new)))
        else:
            left_out.append(one_line(fields.name_of(path)))
    return Kept(
        id=before.id,
        deployment=deployment,
        digest=_fingerprint(before.spec),
        at=datetime.now(timezone.utc),
        steps=tuple(steps),
        left_out=tuple(left_out),
    )


def _fingerprint(spec: Mapping[str, Any]) -> str:
    # Of secrets not even a hash is kept; a change of them alone shows in the deployment number.
    known = keepable(fields.fields_of(spec))
    return fields.digest({"\0".join(path): value for path, value in known.items()})


def _logged(change: FieldChange, value: str) -> str:
    """A value for the audit log, which is stricter than screens are: commands are shown there."""
    return value if may_be_kept(change.path) or value == NOTHING else MASK


def _written(value: Any) -> Any:
    return msgspec.UNSET if value is ABSENT else value


def _value(value: Any) -> Any:
    return ABSENT if value is msgspec.UNSET else value


def _replace(path: Path, data: bytes) -> None:
    """Replaces a file whole; a reader sees the old one or the new one."""
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.stem}-")  # 0600
    temporary = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


@contextmanager
def _telling(what: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise _unkept(f"{one_line(what)} can't be written: {error.strerror}.") from error


def _unkept(message: str) -> NotKeptError:
    return NotKeptError(message, "Mend its permissions, or free some space.")


def _local_user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a user without an entry in passwd
        return str(os.getuid())
