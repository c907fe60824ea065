"""What can keep an edit from being planned, applied or confirmed."""

from __future__ import annotations

from collections.abc import Sequence

from dstack_api_client.errors import ApiError


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


class EndedError(EditError):
    """The run has ended or is being stopped, or the fleet is going: there is nothing to update."""


class NotAppliedError(EditError):
    """It was sent, no answer came, and what was read since shows that nothing was changed."""


class ReplacedError(EditError):
    """What is there now is not what was sent, or not the run that was meant."""


class NotKeptError(EditError):
    """There is nothing to undo, or it could not be kept."""
