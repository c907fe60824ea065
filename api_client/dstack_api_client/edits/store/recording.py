"""What is written down of a change: before the request that it was sent, and then what came of it.

Nothing that ends the program in between loses the line in the audit log or the way back.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Sequence
from typing import TypeVar

from dstack_api_client import errors
from dstack_api_client.clock import utc_now
from dstack_api_client.edits.base.base import Base, Target
from dstack_api_client.edits.base.difference import FieldChange
from dstack_api_client.edits.base.outcome import UnknownOutcomeError
from dstack_api_client.edits.errors import NotKeptError, ReplacedError
from dstack_api_client.edits.store.keeping import Store
from dstack_api_client.edits.store.kept import Sent, kept_of
from dstack_api_client.errors import UnansweredError
from dstack_api_client.text import one_line

E = TypeVar("E", bound=errors.ApiError)

#: What stands in the audit log until it is known what came of a change.
SENT = "sent"


class Record:
    """The record of one change.

    Args:
        store: Where things are kept.
        target: What is changed.
        changes: The fields.
        user: The server's user, by `performing.who`.
        action: What is done: `apply`, `undo`, `create`, `delete`, `rebalance`.

    Attributes:
        notices: What could not be kept on this machine, a line each.
    """

    def __init__(
        self,
        store: Store,
        target: Target,
        changes: Sequence[FieldChange] = (),
        *,
        user: str,
        action: str,
    ) -> None:
        self.notices: list[str] = []
        self._store = store
        self._target = target
        self._changes = changes
        self._user = user
        self._action = action
        self._sent: Sent | None = None

    @property
    def was_sent(self) -> bool:
        """Whether the request may have gone out."""
        return self._sent is not None

    def send(self, before: Base | None = None, after: Base | None = None) -> None:
        """Writes down that it is sent now.

        Args:
            before: What is there; None where there is no way back.
            after: What is expected to be there then.
        """
        self._sent = Sent(
            id=uuid.uuid4().hex[:16],
            at=utc_now(),
            by=os.getpid(),
            user=self._user,
            action=self._action,
            kept=kept_of(before, after) if before is not None and after is not None else None,
        )
        try:
            self._store.keep_sent(self._target, self._sent)
        except NotKeptError as error:
            self._lost(error)
        self._note(SENT)

    def applied(self, result: str, before: Base | None = None, now: Base | None = None) -> None:
        """Writes down that it was done.

        Args:
            result: What was done.
            before: What was there; None where there is no way back.
            now: What is there.
        """
        try:
            if before is not None and now is not None:
                self._store.keep_applied(before, now, self._sent)
            elif self._sent is not None:
                self._store.end_sent(self._target, self._sent, applied=True)
        except NotKeptError as error:
            self._lost(error)
        self._note(result)

    def failed(self, error: BaseException, known: str = "not applied") -> None:
        """Writes down that it was not done, or that it is not known.

        Args:
            error: Why.
            known: What is written where it is known that it was not done.
        """
        said = error.message if isinstance(error, errors.ApiError) else _reason(error)
        word, applied = _outcome(error, known, sent=self.was_sent)
        if self._sent is not None:
            try:
                self._store.end_sent(self._target, self._sent, applied=applied)
            except NotKeptError as lost:
                self._lost(lost)
        self._note(f"{word}: {said}")

    def _lost(self, error: NotKeptError) -> None:
        notice = f"What undo needs could not be kept. {error}"
        has_one = self._sent is not None and self._sent.kept is not None
        if has_one and notice not in self.notices:
            self.notices.append(notice)

    def resume(self, before: Base, after: Base) -> None:
        """Goes on with the record of what was sent before.

        Args:
            before: What was there.
            after: What was expected to be there then.
        """
        self._sent = self._store.sent(self._target, kept_of(before, after))

    def _note(self, result: str) -> None:
        try:
            self._store.audit(
                self._target,
                self._changes,
                one_line(result),
                user=self._user,
                action=self._action,
                sent=self._sent.id if self._sent is not None else "",
            )
        except NotKeptError as error:
            notice = f"The audit log could not be written. {error}"
            if notice not in self.notices:
                self.notices.append(notice)


def _outcome(error: BaseException, known: str, *, sent: bool) -> tuple[str, bool | None]:
    if isinstance(error, UnknownOutcomeError | UnansweredError):
        return "not known", None
    if isinstance(error, ReplacedError):
        return "something else is there", None
    if isinstance(error, errors.ApiError) or not sent:
        return known, False
    return "not known", None


def _reason(error: BaseException) -> str:
    """Why something that is no answer ended it."""
    if isinstance(error, Exception):
        return f"this program failed ({type(error).__name__})"
    return "this program was ended"


def unknown_of(error: errors.ApiError, what: str) -> UnansweredError:
    """What is raised where only a person can find out what became of a request.

    Args:
        error: What was answered, if anything.
        what: What was asked for, the beginning of a sentence.
    """
    if isinstance(error, UnansweredError):
        return error
    return UnansweredError(
        f"{what} was sent, and no answer says whether it was made: {error.message}",
        "Look at it again before you repeat anything.",
    )


def doubt_of(error: BaseException, record: Record, what: str) -> UnknownOutcomeError | None:
    """What is raised where this program itself failed once the request may have gone out.

    Args:
        error: How it failed.
        record: The record of the change.
        what: What was sent, the beginning of a sentence.
    """
    if isinstance(error, errors.ApiError) or not isinstance(error, Exception):
        return None
    if not record.was_sent:
        return None
    return UnknownOutcomeError(
        f"{what} was sent, and this program failed ({type(error).__name__}): whether it was made is"
        " not known.",
        "Look at it before you repeat anything.",
    )


def told(error: E, record: Record) -> E:
    """The error, with what could not be kept on this machine."""
    error.hint = " ".join([error.hint, *record.notices]).strip()
    return error
