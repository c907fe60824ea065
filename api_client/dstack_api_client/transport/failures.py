"""The errors that stand for what libraries raise while something is sent, read or decoded."""

from __future__ import annotations

import os
import ssl

import httpx
import msgspec

from dstack_api_client import errors
from dstack_api_client.connect.connection import ConfigError
from dstack_api_client.text import one_line

#: Where httpx looks for a proxy.
_PROXY_VARIABLES = ("ALL_PROXY", "HTTPS_PROXY", "HTTP_PROXY", "NO_PROXY")
#: What httpx raises over a connection that stood.
_BROKEN_OFF = (httpx.ReadError, httpx.WriteError, httpx.CloseError, httpx.RemoteProtocolError)
#: What decoders raise for data that is not what it should be.
NOT_DECODED = (msgspec.MsgspecError, ValueError, TypeError, OverflowError, RecursionError)
#: Characters of a library's reason that are put into a message.
_LONGEST_REASON = 200


def connection_error(url: str, error: Exception, *, begun: bool) -> errors.ApiError:
    """What kept an answer from coming, TLS told from all else.

    Args:
        url: The server's address.
        error: What was raised.
        begun: Whether the request was being sent by then, over a connection that stood.
    """
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return errors.CertificateError(
                f"The TLS certificate of {url} could not be verified: {cause.verify_message}.",
                "Name the CA file that signed it, or fix the certificate.",
            )
        if isinstance(cause, ssl.SSLError) and begun:
            return errors.CannotConnectError(
                f"The TLS connection to {url} broke off: {one_line(cause.reason or str(cause))}.",
                "Check the network, and what is in front of the server.",
            )
        if isinstance(cause, ssl.SSLError):
            return errors.CertificateError(
                f"No TLS connection to {url}: {one_line(cause.reason or str(cause))}.",
                "Check whether the address must begin with http:// or https://.",
            )
        cause = cause.__cause__ or cause.__context__
    if isinstance(error, _BROKEN_OFF):
        return errors.CannotConnectError(
            f"The connection to {url} was closed before the answer was there.",
            "Check that the server still runs, and what is in front of it.",
        )
    said = one_line(str(error)) or "it could not be opened"
    return errors.CannotConnectError(
        f"No connection to {url}: {said.rstrip('.')}.",
        "Check that the server runs and that the address is right.",
    )


def unusable(url: str, error: Exception, *, proxies: bool) -> ConfigError:
    """What keeps a client from being made, without a proxy's address: it may hold a password."""
    names = [
        name
        for variable in _PROXY_VARIABLES
        for name in (variable, variable.lower())
        if proxies and os.environ.get(name)
    ]
    if not names:
        return ConfigError(
            f"No client for {url} can be made: {reason_of(error)}.",
            "Check the address, and SSL_CERT_FILE and SSL_CERT_DIR if they are set.",
        )
    return ConfigError(
        f"The proxy of the environment can't be used ({', '.join(names)}).",
        "Set an http:// or https:// proxy, or unset it; SOCKS needs the package socksio.",
    )


def unreadable(url: str, what: str, body: bytes, error: Exception) -> errors.ApiError:
    """An answer that can't be decoded.

    Args:
        url: The server's address.
        what: What the answer is about.
        body: The answer.
        error: What the decoder raised.

    Returns:
        A `WrongShapeError` where it holds something that a server may have said, else a
        `ForeignAnswerError`.
    """
    kind = errors.WrongShapeError if _is_json(body) else errors.ForeignAnswerError
    return kind(
        f"The answer of {url} about {what} could not be read: {reason_of(error)}.",
        "Check that the address is a dstack server's; if it is, its version may be too new.",
    )


def _is_json(body: bytes) -> bool:
    """Whether an answer holds something that a server may have said."""
    try:
        return msgspec.json.decode(body) is not None
    except RecursionError:
        return True
    except (msgspec.DecodeError, UnicodeDecodeError):
        return False


def reason_of(error: Exception) -> str:
    """A library's reason on one line, short, without a full stop."""
    if isinstance(error, RecursionError):
        return "it is nested too deeply"
    return one_line(str(error)).rstrip(".")[:_LONGEST_REASON] or type(error).__name__


def unanswered(error: errors.ApiError, what: str) -> errors.UnansweredError:
    """The error of a change that was sent, and may have been made."""
    return errors.UnansweredError(
        f"{what[:1].upper()}{what[1:]} was sent, and no answer says whether it was made:"
        f" {error.message}",
        "Look at it again before you repeat anything.",
    )
