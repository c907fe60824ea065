"""What can keep an edit from being planned, applied or confirmed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from dstack_api_client.errors import ApiError

if TYPE_CHECKING:
    from dstack_api_client.edits.applying import Check
    from dstack_api_client.edits.difference import FieldChange
    from dstack_api_client.edits.merging import ThreeWay


class EditError(ApiError):
    """An edit that can't be made, planned or applied."""


class InvalidEditError(EditError):
    """An edit with something wrong in it.

    Attributes:
        lines: One line for each thing that is wrong.
    """

    def __init__(self, lines: Sequence[str]) -> None:
        self.lines = tuple(lines)
        super().__init__(" ".join(self.lines), "")


class NotInPlaceError(EditError):
    """A change that the server can't make while the run or the fleet goes on.

    Attributes:
        changes: All fields of the edit with their kinds, where there was something to compare.
    """

    def __init__(self, message: str, hint: str, changes: Sequence[FieldChange] = ()) -> None:
        super().__init__(message, hint)
        self.changes = tuple(changes)


class EndedError(EditError):
    """The run has ended or is being stopped, or the fleet is going: there is nothing to update."""


class ConflictError(EditError):
    """Somebody else changed it since the edit began.

    Attributes:
        three_way: What they changed, what this edit changes, and what it was.
    """

    def __init__(self, message: str, hint: str, three_way: ThreeWay) -> None:
        super().__init__(message, hint)
        self.three_way = three_way


class NotAppliedError(EditError):
    """It was sent, no answer came, and what was read since shows that nothing was changed."""


class UnknownOutcomeError(EditError):
    """It was sent, no answer came, and the server could not be read since.

    Attributes:
        check: What to compare with what is read later; None where only people can look.
    """

    def __init__(self, message: str, hint: str, check: Check | None = None) -> None:
        super().__init__(message, hint)
        self.check = check


class ReplacedError(EditError):
    """What is there now is not what was sent, or not the run that was meant."""


class NotKeptError(EditError):
    """There is nothing to undo, or it could not be kept."""
