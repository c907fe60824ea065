"""What can go wrong with a server, each with a sentence a person can act on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from dstack_api_client.text import one_line

#: Longest text of a server that is put into a message.
_LONGEST = 400


class ApiError(Exception):
    """A request that did not give what was asked for.

    Attributes:
        message: One sentence on what happened.
        hint: One sentence on what to do.
        said_by_server: Whether a dstack server said so in its own form, and not something in
            front of it.
        unsent: Whether it is known that the request did not go out.
        says_unsent: Whether its hint says that.
        status: The HTTP status of the answer; None where it is not about that.
    """

    said_by_server = False
    unsent = False
    says_unsent = False
    status: int | None = None

    def __init__(self, message: str, hint: str) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message} {self.hint}".strip()


class CannotConnectError(ApiError):
    """No connection, or one that broke off."""


class CertificateError(CannotConnectError):
    """No TLS connection came about, above all as a certificate could not be verified."""


class TimedOutError(CannotConnectError):
    """The server did not answer in time."""


class BrokenAnswerError(CannotConnectError):
    """An answer that can't be unpacked."""


class TooLargeError(CannotConnectError):
    """An answer that was given up because it is too large."""


class ForeignAnswerError(ApiError):
    """An answer in no form of a dstack server's: a gateway's page, a redirect, an empty one.

    It says nothing about what was asked for.
    """


class UnexpectedError(ApiError):
    """A fault of this client: answers that it could read, and could not use."""


class UnauthorisedError(ApiError):
    """The token is missing, wrong or revoked."""


class ForbiddenError(ApiError):
    """The token is right, but its user may not do this."""


class NotFoundError(ApiError):
    """A project, run, fleet or path that is not there or can't be seen."""


class NoProjectError(NotFoundError):
    """A project that is not there, or that its user may not see."""


class WrongShapeError(ApiError):
    """A request the server could not read, or an answer that this client could not."""


class ServerFailedError(ApiError):
    """The server failed, or something in front of it did (5xx)."""


class BusyError(ServerFailedError):
    """The server, or something in front of it, asks to come back later (429, 502, 503, 504)."""


class ReadOnlyError(ApiError):
    """Something was to be changed, and this client only reads."""


class RecordingError(ApiError):
    """A recording that can't be written or played."""

    unsent = True


class NotRecordedError(ApiError):
    """Something was to be read that a recording does not hold."""

    unsent = True


class UnansweredError(ApiError):
    """A change was sent and no answer came: whether it was made is not known."""


class VersionUnsupportedError(ApiError):
    """A server too old (or too new) for this client."""


@dataclass(frozen=True)
class Detail:
    """One of the reasons a server gives for a refusal."""

    message: str
    code: str | None


class RefusedError(ApiError):
    """The server understood and said no (400).

    Attributes:
        details: The server's reasons, in its order.
    """

    def __init__(self, message: str, hint: str, details: Sequence[Detail]) -> None:
        super().__init__(message, hint)
        self.details = tuple(details)

    @property
    def codes(self) -> frozenset[str]:
        """The server's codes, such as `resource_not_exists`."""
        return frozenset(detail.code for detail in self.details if detail.code)


#: What only a server can say of what was asked for; without its words nobody has said it.
_OF_WHAT_WAS_ASKED = (ForbiddenError, NotFoundError, RefusedError, WrongShapeError)


def details_of(body: bytes) -> list[Detail]:
    """Reads the reasons out of an error's body, whichever of the server's shapes it has.

    Args:
        body: The body of an answer with a status of 400 or more.

    Returns:
        The reasons; none where the body is not a server's JSON.
    """
    try:
        answer = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return []
    if isinstance(answer, dict) and "detail" in answer:
        answer = answer["detail"]
    return [
        detail
        for item in (answer if isinstance(answer, list) else [answer])
        if (detail := _detail(item)) is not None
    ]


def _detail(item: object) -> Detail | None:
    if isinstance(item, str):
        return Detail(one_line(item)[:_LONGEST], None)
    if not isinstance(item, dict) or not isinstance(item.get("msg"), str):
        return None
    message = one_line(item["msg"])[:_LONGEST]
    code = item.get("code")
    place = item.get("loc")
    if isinstance(place, list):  # what a body of the wrong shape is answered with
        path = ".".join(str(step) for step in place if step != "body")
        message = f"{one_line(path)[:_LONGEST]}: {message}" if path else message
    return Detail(message, one_line(code) if isinstance(code, str) else None)


def from_answer(status: int, body: bytes, *, what: str, url: str) -> ApiError:
    """Makes the error that stands for an answer.

    Args:
        status: The HTTP status, 300 or more.
        body: The answer's body.
        what: What was asked for, to be read after "while reading".
        url: The server's address.
    """
    details = details_of(body)
    error = _from_details(status, details, what=what, url=url)
    if not details and isinstance(error, _OF_WHAT_WAS_ASKED):
        error = ForeignAnswerError(error.message, error.hint)
    error.said_by_server, error.status = bool(details), status
    return error


def _from_details(status: int, details: Sequence[Detail], *, what: str, url: str) -> ApiError:
    from dstack_api_client.sentences import ACCESS_DENIED, NOT_FOUND, refuses_token

    said = "; ".join(detail.message for detail in details if detail.message)
    codes = {detail.code for detail in details}
    if status == 401 or (status == 403 and refuses_token(said)):
        return UnauthorisedError(
            f"The server at {url} does not accept the token.",
            "Copy a fresh token from the server's user page into ~/.dstack/config.yml"
            " or DSTACK_TOKEN.",
        )
    if status == 403:
        return ForbiddenError(
            f"The server at {url} does not let this user read {what}"
            f"{_because(said, unless=ACCESS_DENIED)}.",
            "Ask an administrator of the project to add you, or choose another project.",
        )
    if status == 404 or (status == 400 and "resource_not_exists" in codes):
        if not details and status == 404:
            return NotFoundError(
                f"Nothing at {url} answers for {what}.",
                "Check that the address is a dstack server's, without a path behind it.",
            )
        return NotFoundError(
            f"The server has no such thing as {what}{_because(said, unless=NOT_FOUND)}.",
            "Check the name, and that you are a member of the project.",
        )
    if status == 400:
        return RefusedError(
            f"The server refused {what}{_because(said)}.",
            "Change what it names and try again.",
            details,
        )
    if status == 422:
        return WrongShapeError(
            f"The server did not understand the request for {what}{_because(said)}.",
            "This version of the client and the server's may not fit: update the older one.",
        )
    if status in (429, 502, 503, 504):
        return BusyError(
            f"The server at {url} is too busy or restarting (HTTP {status}).",
            "It is tried again by itself; look at the server if it stays so.",
        )
    if status >= 500:
        return ServerFailedError(
            f"The server failed at {what} (HTTP {status}){_because(said)}.",
            "Look at the server's log.",
        )
    return WrongShapeError(
        f"The server at {url} answered with HTTP {status} for {what}.",
        "Check that the address is a dstack server's own and is not redirected.",
    )


def _because(said: str, *, unless: str = "") -> str:
    if not said or said.lower().rstrip(".") == unless:
        return ""
    return f": {said.rstrip('.')}"
