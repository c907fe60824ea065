"""A change as it is kept, without what may be a secret."""

from __future__ import annotations

import os
from collections.abc import Mapping
from datetime import datetime
from typing import Any

import msgspec

from dstack_api_client.clock import utc_now
from dstack_api_client.edits.base.base import Base
from dstack_api_client.edits.spec import fields
from dstack_api_client.edits.spec.fields import ABSENT
from dstack_api_client.edits.spec.group_roles import label_of, labels_in
from dstack_api_client.secrets import keepable, may_be_kept, names_secret


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


class Sent(msgspec.Struct, frozen=True, omit_defaults=True):
    """A change that was sent, as long as it is not known what became of it.

    Attributes:
        id: What its lines in the audit log have in common.
        at: When.
        by: The process that waits for the answer; 0 once none does.
        user: The server's user.
        action: What was done.
        kept: The way back; None of what has none.
    """

    id: str
    at: datetime
    by: int
    user: str
    action: str
    kept: Kept | None = None

    @property
    def is_open(self) -> bool:
        """Whether nobody waits for its end any more."""
        return not (self.by and _lives(self.by))


def kept_of(before: Base, after: Base) -> Kept:
    """The way back from a change."""
    return kept_as(before, after.spec, deployment=after.deployment)


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
    known, labels = fields.fields_of(now.spec), labels_in(now.spec)
    return [
        label_of(step.path, labels)
        for step in kept.steps
        if not fields.same(known.get(step.path, ABSENT), _value(step.new))
    ]


def kept_as(before: Base, spec: Mapping[str, Any], *, deployment: int) -> Kept:
    """A change from a base to a spec.

    Args:
        before: The base.
        spec: The spec.
        deployment: The number to keep it with.
    """
    steps, left_out = [], []
    labels = labels_in(before.spec, spec)
    for path, (old, new) in fields.changes(before.spec, spec).items():
        if may_be_kept(path) and not (names_secret(old) or names_secret(new)):
            steps.append(Step(path, _written(old), _written(new)))
        else:
            left_out.append(label_of(path, labels))
    return Kept(
        id=before.id,
        deployment=deployment,
        digest=_fingerprint(before.spec),
        at=utc_now(),
        steps=tuple(steps),
        left_out=tuple(left_out),
    )


def is_like(kept: Kept | None, other: Kept) -> bool:
    """Whether two ways back, kept at different times, are from the same change."""
    return kept is not None and (kept.id, kept.digest, kept.steps) == (
        other.id,
        other.digest,
        other.steps,
    )


def is_done(draft: Kept, applied: Kept) -> bool:
    """Whether nothing of a draft is left to be applied."""
    done = values_of(applied, back=False)
    return set(draft.left_out) <= set(applied.left_out) and all(
        path in done and fields.same(value, done[path])
        for path, value in values_of(draft, back=False).items()
    )


def _fingerprint(spec: Mapping[str, Any]) -> str:
    # Of secrets not even a hash is kept; a change of them alone shows in the deployment number.
    known = keepable(fields.fields_of(spec))
    return fields.digest({"\0".join(path): value for path, value in known.items()})


def _written(value: Any) -> Any:
    return msgspec.UNSET if value is ABSENT else value


def _value(value: Any) -> Any:
    return ABSENT if value is msgspec.UNSET else value


def _lives(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:  # another user's
        return True
    return True
