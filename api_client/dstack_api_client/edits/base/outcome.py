"""What is compared to see what became of a request, and the error where that is not known."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from dstack_api_client import errors
from dstack_api_client.edits.base.base import Base
from dstack_api_client.edits.errors import EditError


@dataclass(frozen=True)
class Check:
    """What is compared after a request.

    Attributes:
        base: What was there just before.
        sent: The spec that was sent.
        expected: The spec that the server said it would store.
        answered: Whether the request was answered.
        refusal: What was answered in the server's name: the request was refused if nothing has
            changed.
    """

    base: Base
    sent: Mapping[str, Any]
    expected: Mapping[str, Any]
    answered: bool
    refusal: errors.ApiError | None = None


class UnknownOutcomeError(EditError):
    """It was sent, no answer came, and the server could not be read since.

    Attributes:
        check: What to compare with what is read later; None where only people can look.
    """

    def __init__(self, message: str, hint: str, check: Check | None = None) -> None:
        super().__init__(message, hint)
        self.check = check
