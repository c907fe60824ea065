"""Three ways to look at a conflict: what it was, what others made of it, what this edit makes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from dstack_api_client.edits.base.base import Base
from dstack_api_client.edits.base.difference import shown
from dstack_api_client.edits.errors import EditError
from dstack_api_client.edits.spec import fields
from dstack_api_client.edits.spec.fields import ABSENT, Path
from dstack_api_client.edits.spec.group_roles import label_of, labels_in


@dataclass(frozen=True, slots=True)
class Row:
    """One field that differs; `ABSENT` stands where it is not there."""

    path: Path
    label: str
    """Its name for people, by `group_roles.label_of`."""
    base: Any
    theirs: Any
    mine: Any
    texts: tuple[str, str, str]
    """The three as they are shown."""

    @property
    def changed_here(self) -> bool:
        """Whether this edit changes it."""
        return not fields.same(self.base, self.mine)

    @property
    def changed_there(self) -> bool:
        """Whether somebody else changed it."""
        return not fields.same(self.base, self.theirs)

    @property
    def conflict(self) -> bool:
        """Whether both changed it, and not to the same."""
        return self.changed_here and self.changed_there and not fields.same(self.theirs, self.mine)


@dataclass(frozen=True)
class ThreeWay:
    """A conflict.

    Attributes:
        base: What the edit began with.
        theirs: What is there now.
        rows: Every field that anybody changed.
    """

    base: Base
    theirs: Base
    rows: tuple[Row, ...]

    @property
    def conflicts(self) -> tuple[Row, ...]:
        """The fields that both changed, to different values."""
        return tuple(row for row in self.rows if row.conflict)

    def merged(self, *, keep: str = "mine") -> dict[str, Any]:
        """Their spec with this edit's changes.

        Args:
            keep: What a field has that both changed: `mine` or `theirs`.
        """
        values = {
            row.path: row.mine
            for row in self.rows
            if row.changed_here and (keep == "mine" or not row.conflict)
        }
        return fields.with_fields(self.theirs.spec, values)


class ConflictError(EditError):
    """Somebody else changed it since the edit began.

    Attributes:
        three_way: What they changed, what this edit changes, and what it was.
    """

    def __init__(self, message: str, hint: str, three_way: ThreeWay) -> None:
        super().__init__(message, hint)
        self.three_way = three_way


def three_way(base: Base, theirs: Base, mine: Mapping[str, Any]) -> ThreeWay:
    """Compares what was, what is and what is wanted, field by field."""
    specs = base.spec, theirs.spec, mine
    was, now, wanted = map(fields.fields_of, specs)
    labels = labels_in(*specs)
    rows = []
    for path in dict.fromkeys((*was, *now, *wanted)):
        old, there, here = (known.get(path, ABSENT) for known in (was, now, wanted))
        if fields.same(old, there) and fields.same(old, here):
            continue
        pairs = zip((old, there, here), specs, strict=True)
        one, two, three = (shown(path, value, spec) for value, spec in pairs)
        rows.append(Row(path, label_of(path, labels), old, there, here, (one, two, three)))
    return ThreeWay(base, theirs, tuple(rows))
