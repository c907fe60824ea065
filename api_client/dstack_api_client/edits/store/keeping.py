"""What is kept on this machine: the last applied change of each target, drafts, and an audit log.

All of it lies in the user's state folder, readable by its owner only, and holds no secret: fields
that may have one are left out, and named. Files are replaced whole, and locked while they
are read and replaced, so that several dashboards can run at once.

A change that is sent is kept before the request goes out, so that no end of the program loses the
way back from it.
"""

from __future__ import annotations

import getpass
import hashlib
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast, get_args

import msgspec

from dstack_api_client.clock import utc_now
from dstack_api_client.edits.base.base import Base, Kind, Target
from dstack_api_client.edits.base.difference import NOTHING, FieldChange
from dstack_api_client.edits.store import audit_log, deployments
from dstack_api_client.edits.store.audit_log import AuditLine, ChangedField
from dstack_api_client.edits.store.deployments import KeptSpec
from dstack_api_client.edits.store.files import locked, replace_whole, state_folder, telling, unkept
from dstack_api_client.edits.store.kept import Kept, Sent, is_done, is_like, kept_as, kept_of
from dstack_api_client.model.configuration import MASK
from dstack_api_client.secrets import may_be_kept

#: Drafts of one target that are kept, the newest; each is of another program or time.
_DRAFTS = 8
#: Changes of one target that were sent and whose end is not known, the newest; each is of another
#: program or time.
_SENT = 8


class _File(msgspec.Struct, omit_defaults=True):
    server: str
    project: str
    kind: str
    name: str
    applied: Kept | None = None
    draft: Kept | None = None
    sent: Sent | None = None
    earlier: tuple[Kept, ...] = ()
    """Drafts from before `draft`, begun by others or at other times: they wait until it is gone."""
    sent_earlier: tuple[Sent, ...] = ()
    """What was sent before `sent`, by others or at other times, and has no known end either."""

    @property
    def drafts(self) -> tuple[Kept, ...]:
        """All drafts, the newest first."""
        return self.earlier if self.draft is None else (self.draft, *self.earlier)

    @property
    def open(self) -> tuple[Sent, ...]:
        """All that was sent and has no known end, the newest first."""
        return self.sent_earlier if self.sent is None else (self.sent, *self.sent_earlier)

    def keep_open(self, sent: Sequence[Sent]) -> None:
        """Keeps these as sent, and no others."""
        self.sent, self.sent_earlier = next(iter(sent), None), tuple(sent[1:_SENT])

    def has_ended(self, sent: Sent) -> None:
        """Forgets what was sent, since its end is known."""
        self.keep_open([each for each in self.open if each.id != sent.id])

    def keep_way_back(self, kept: Kept) -> None:
        """Keeps the way back from a change, unless that from a later one is there."""
        applied = self.applied
        if applied is None or applied.id != kept.id or applied.deployment <= kept.deployment:
            self.applied = kept

    def keep(self, drafts: Sequence[Kept]) -> None:
        """Keeps these drafts and no others."""
        self.draft, self.earlier = next(iter(drafts), None), tuple(drafts[1:_DRAFTS])


@dataclass(frozen=True)
class Store:
    """The folder with all of it.

    Attributes:
        folder: Where it is; the user's state folder by `Store.default()`.
    """

    folder: Path
    _own: dict[Target, Kept] = field(default_factory=dict, repr=False, compare=False)
    """The draft of each target that this program works on; others may have theirs."""

    @classmethod
    def default(cls) -> Store:
        """The store of this user."""
        return cls(state_folder())

    def applied(self, target: Target) -> Kept | None:
        """The last change that was applied to a target, or sent and may have been."""
        file = self._read(target)
        sent = next((each.kept for each in file.open if each.kept is not None), None)
        return sent or file.applied

    def sent(self, target: Target, like: Kept | None = None) -> Sent | None:
        """The change of a target of which it is not known what became, of several the newest.

        Args:
            target: What was changed.
            like: The way back from it; where none has that, the newest is meant.
        """
        found = self._read(target).open
        alike = (each for each in found if like is not None and is_like(each.kept, like))
        return next(alike, next(iter(found), None))

    def draft(self, target: Target) -> Kept | None:
        """A change of a target that was begun and not applied: of this program, else the newest."""
        file, own = self._read(target), self._own.get(target)
        mine = [each for each in file.drafts if own is not None and each.at == own.at]
        return mine[0] if mine else file.draft

    def take_draft(self, target: Target, draft: Kept) -> None:
        """Goes on with a draft that was found: the next one that is kept replaces it."""
        self._own[target] = draft

    def keep_applied(self, before: Base, after: Base, sent: Sent | None = None) -> Kept:
        """Keeps what was applied, for the way back, and drops its draft.

        Args:
            before: What was there before.
            after: What is there now.
            sent: As it was kept when it was sent.

        Raises:
            NotKeptError: It could not be written.
        """
        kept = kept_of(before, after)
        with self._changing(before.target) as file:
            file.keep_way_back(kept)
            if sent is not None:
                file.has_ended(sent)
            self._drop_applied(file, before.target, kept)
            if before.target.kind == "service":
                deployments.keep(self._deployments_path(before.target), (before, after))
        return kept

    def deployments(self, target: Target, run_id: str) -> Mapping[int, KeptSpec]:
        """The specs of a service that are kept, by the number of the deployment."""
        return deployments.kept(self._deployments_path(target), run_id)

    def keep_sent(self, target: Target, sent: Sent) -> None:
        """Keeps a change that is being sent; the way back of the one before stays.

        So does what others have sent and wait for.

        Raises:
            NotKeptError: It could not be written.
        """
        with self._changing(target) as file:
            file.keep_open([sent, *file.open])

    def end_sent(self, target: Target, sent: Sent, *, applied: bool | None) -> None:
        """Keeps what became of a change that was sent.

        Args:
            target: What was changed.
            sent: As it was kept.
            applied: Whether it was applied; None while that is not known.

        Raises:
            NotKeptError: It could not be written.
        """
        with self._changing(target) as file:
            if applied is None:
                open_now = msgspec.structs.replace(sent, by=0)
                others = [each for each in file.open if each.id != sent.id]
                file.keep_open(sorted([open_now, *others], key=lambda each: each.at, reverse=True))
                return
            file.has_ended(sent)
            if applied and sent.kept is not None:
                file.keep_way_back(sent.kept)
                self._drop_applied(file, target, sent.kept)

    def open_changes(self, server: str, project: str) -> list[tuple[Target, Sent]]:
        """What was sent by programs that have ended since without knowing what became of it."""
        found = []
        for path in sorted((self.folder / "edits").glob("*.json")):
            try:
                file = msgspec.json.decode(path.read_bytes(), type=_File)
            except (OSError, msgspec.DecodeError, UnicodeDecodeError):
                continue  # of another version, or damaged: nothing is known of it
            if (file.server, file.project) != (server, project):
                continue
            if file.kind not in get_args(Kind):
                continue
            target = Target(server, project, cast("Kind", file.kind), file.name)
            found += [(target, each) for each in reversed(file.open) if each.is_open]
        return found

    def keep_draft(self, base: Base, spec: Mapping[str, Any]) -> Kept:
        """Keeps an edit that is not applied.

        Args:
            base: What the edit began with.
            spec: The spec with its changes.

        Raises:
            NotKeptError: It could not be written.
        """
        kept = kept_as(base, spec, deployment=base.deployment)
        with self._changing(base.target) as file:
            file.keep([kept, *_others(file.drafts, self._own.get(base.target))])
        self._own[base.target] = kept
        return kept

    def drop_draft(self, target: Target, draft: Kept | None = None) -> None:
        """Forgets a draft of a target.

        Args:
            target: What it is of.
            draft: Which; that of this program without it.
        """
        dropped, drafts = draft or self._own.get(target), self._read(target).drafts
        if len(_others(drafts, dropped)) < len(drafts):
            with self._changing(target) as file:
                file.keep(_others(file.drafts, dropped))

    def _drop_applied(self, file: _File, target: Target, applied: Kept) -> None:
        """Drops the draft that was applied: this program's, or one that says the same."""
        others = _others(file.drafts, self._own.get(target))
        file.keep([each for each in others if not is_done(each, applied)])

    def keep_text(self, key: str, text: str) -> None:
        """Keeps text that was being written when the program was ended.

        Args:
            key: What it is the text of, and where.
            text: The text, as it was left.

        Raises:
            NotKeptError: It could not be written.
        """
        path = self._text_path(key)
        with locked(self.folder, path.stem), telling(str(path)):
            replace_whole(path, text.encode("utf-8", "replace"))

    def take_text(self, key: str) -> str | None:
        """The text that was kept, which is removed here; None where there is none.

        Raises:
            NotKeptError: It can't be read or removed.
        """
        path = self._text_path(key)
        if not path.exists():
            return None
        with locked(self.folder, path.stem), telling(str(path)):
            text = path.read_text(encoding="utf-8", errors="replace")
            path.unlink()
        return text

    def audit(
        self,
        target: Target,
        changes: Sequence[FieldChange],
        result: str,
        *,
        user: str,
        action: str = "apply",
        sent: str = "",
    ) -> None:
        """Writes one line to the audit log.

        Args:
            target: What was changed.
            changes: The fields; of those that may hold a secret, no value is written down.
            result: What came of it.
            user: The server's user, or what is known of who did it.
            action: What was done.
            sent: What this line has in common with the one that was written before the request.

        Raises:
            NotKeptError: It could not be written.
        """
        line = AuditLine(
            at=utc_now(),
            user=user,
            local_user=_local_user(),
            server=target.server,
            project=target.project,
            kind=target.kind,
            name=target.name,
            action=action,
            changes=tuple(
                ChangedField(each.name, _logged(each, each.old), _logged(each, each.new))
                for each in changes
            ),
            result=result,
            sent=sent,
        )
        audit_log.append(self.folder, line)

    @property
    def audit_path(self) -> Path:
        """Where the audit log is."""
        return audit_log.path_in(self.folder)

    def _path(self, target: Target) -> Path:
        text = "\0".join((target.server, target.project, target.kind, target.name))
        digest = hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=12)
        return self.folder / "edits" / f"{digest.hexdigest()}.json"

    def _deployments_path(self, target: Target) -> Path:
        return self._path(target).with_suffix(".deployments")

    def _text_path(self, key: str) -> Path:
        digest = hashlib.blake2b(key.encode("utf-8", "surrogatepass"), digest_size=12)
        return self.folder / "edits" / f"{digest.hexdigest()}.yml"

    def _read(self, target: Target) -> _File:
        path = self._path(target)
        empty = _File(target.server, target.project, target.kind, target.name)
        try:
            file = msgspec.json.decode(path.read_bytes(), type=_File)
        except FileNotFoundError:
            return empty
        except OSError as error:
            raise unkept(f"{path} can't be read: {error.strerror}.") from error
        except (msgspec.DecodeError, UnicodeDecodeError):
            # Of another version, or damaged: the next change writes it again.
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
        with locked(self.folder, path.stem):
            file = self._read(target)
            yield file
            with telling(str(path)):
                replace_whole(path, msgspec.json.encode(file))


def _others(drafts: Sequence[Kept], one: Kept | None) -> list[Kept]:
    """All drafts but one: it is known by when it was kept."""
    return [each for each in drafts if one is None or each.at != one.at]


def _logged(change: FieldChange, value: str) -> str:
    """A value for the audit log, which is stricter than screens are: commands are shown there."""
    return value if may_be_kept(change.path) or value == NOTHING else MASK


def _local_user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a user without an entry in passwd
        return str(os.getuid())
