"""The specs of deployments that were applied from this machine, kept without secrets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec

from dstack_api_client.edits.base.base import Base
from dstack_api_client.edits.spec import fields
from dstack_api_client.edits.store.files import replace_whole, telling
from dstack_api_client.secrets import keepable, may_be_kept

#: Values that hide nothing.
_EMPTY: tuple[Any, ...] = (None, "", [], {})
#: Specs of one run that are kept, the newest.
_MOST = 20


class KeptSpec(msgspec.Struct, frozen=True, omit_defaults=True):
    """The configuration of one deployment.

    Attributes:
        deployment: Its number.
        at: When it was read.
        known: Each field with its value.
        left_out: Fields that it has too and that are not kept, since they may hold a secret.
    """

    deployment: int
    at: datetime
    known: tuple[tuple[fields.Path, Any], ...]
    left_out: tuple[fields.Path, ...] = ()

    @property
    def values(self) -> dict[fields.Path, Any]:
        """The values by field."""
        return dict(self.known)


class _File(msgspec.Struct):
    run_id: str
    specs: tuple[KeptSpec, ...] = ()


def keep(path: Path, bases: Sequence[Base]) -> None:
    """Keeps the specs of some deployments of one run; those of an earlier run are dropped.

    The caller has locked the file.

    Args:
        path: The file.
        bases: The run at each.

    Raises:
        NotKeptError: It could not be written.
    """
    known = kept(path, bases[-1].id)
    known |= {
        base.deployment: spec_of(base.spec, base.deployment, base.read_at)
        for base in bases
        if base.id == bases[-1].id
    }
    newest = tuple(known[number] for number in sorted(known)[-_MOST:])
    with telling(str(path)):
        replace_whole(path, msgspec.json.encode(_File(bases[-1].id, newest)))


def kept(path: Path, run_id: str) -> dict[int, KeptSpec]:
    """The kept specs of a run by the number of their deployment."""
    try:
        file = msgspec.json.decode(path.read_bytes(), type=_File)
    except (OSError, msgspec.DecodeError, UnicodeDecodeError):
        return {}  # none yet, of another version, or damaged: nothing is known
    return {each.deployment: each for each in file.specs} if file.run_id == run_id else {}


def spec_of(spec: Mapping[str, Any], deployment: int, at: datetime) -> KeptSpec:
    """What may be kept of the configuration in a run's spec.

    Args:
        spec: The spec.
        deployment: The number of the deployment that it is of.
        at: When it was read.
    """
    every = {
        path: value for path, value in fields.fields_of(spec).items() if path[0] == "configuration"
    }
    known = keepable(every)
    left_out = dict.fromkeys(
        _unkept(path) for path, value in every.items() if path not in known and value not in _EMPTY
    )
    return KeptSpec(deployment, at, tuple(known.items()), tuple(left_out))


def changes(old: KeptSpec, new: KeptSpec) -> Mapping[fields.Path, tuple[Any, Any]]:
    """The fields that differ, with the old and the new value, each `ABSENT` where there is none."""
    before, after = old.values, new.values
    unknown = {*old.left_out, *new.left_out}
    found = {}
    for path in dict.fromkeys((*before, *after)):
        was, now = before.get(path, fields.ABSENT), after.get(path, fields.ABSENT)
        if not fields.same(was, now) and _unkept(path) not in unknown:
            found[path] = (was, now)
    return found


def _unkept(path: fields.Path) -> fields.Path:
    """The part of a path down to what may not be kept; all of it where only the value may not."""
    ends = (path[:end] for end in range(1, len(path)))
    return next((each for each in ends if not may_be_kept(each)), path)
