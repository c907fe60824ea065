"""Requests to one server over kept-alive connections, and which of them change something.

Reads are tried again on trouble that passes. A change is sent once, and never in read-only mode.
"""

from __future__ import annotations

import asyncio
import copy
import logging
import math
import random
import ssl
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

import anyio
import httpx
import msgspec

from dstack_api_client import errors
from dstack_api_client.clock import ClockSteps, utc_now
from dstack_api_client.connect.connection import ConfigError, is_loopback, trust
from dstack_api_client.text import one_line, whole_characters
from dstack_api_client.transport import resolving
from dstack_api_client.transport.failures import (
    NOT_DECODED,
    connection_error,
    reason_of,
    unanswered,
    unusable,
)
from dstack_api_client.transport.sending import Sending
from dstack_api_client.transport.server_dates import ServerDates

#: Everything in a project that changes something; all else is read.
WRITES = frozenset(
    {
        "fleets/apply",
        "fleets/delete",
        "fleets/delete_instances",
        "placement/cordon",
        "placement/drain",
        "placement/rebalance",
        "placement/uncordon",
        "runs/apply",
        "runs/delete",
        "runs/stop",
    }
)
_PROJECT = "/api/project/"
_LOG = logging.getLogger(__name__)

#: Most requests at once.
_AT_ONCE = 4
#: Seconds that an idle connection is used again for. dstack's server closes it after 5 s, uvicorn's
#: default, and a change that was on its way by then would be lost.
_KEPT = 4.0
#: Addresses of requests that are kept as they were taken apart.
_ADDRESSES = 64
#: How often a read is tried.
_TRIES = 3
#: Seconds before the second try, and what the wait grows by.
_FIRST_WAIT, _GROWTH = 0.2, 3.0
#: How many times the seconds for one step a whole request may take.
_STEPS = 4
#: Bytes of the largest answer that is read, unpacked: 10,000 replicas in one run are 90 MB.
LARGEST = 128 * 1024 * 1024
#: How answers may be packed: one of these, and once, so that a small answer can't become a huge
#: one before its size is seen.
_PACKINGS = ("gzip", "deflate")
#: The server's clock is not further from this machine's, in seconds: else what it said is no time.
_FURTHEST = 100 * 366 * 86400.0


@dataclass
class Meter:
    """What all requests so far cost."""

    requests: int = 0
    bytes: int = 0
    seconds: float = 0.0
    """From sending to the last byte, summed over requests."""
    fastest: float = math.inf
    """The shortest of them that was answered: about what the way there and back takes."""

    def add(self, size: int, seconds: float, *, answered: bool) -> None:
        """Counts a request."""
        self.requests += 1
        self.bytes += size
        self.seconds += seconds
        if answered:
            self.fastest = min(self.fastest, seconds)


def in_project(project: str, path: str) -> str:
    """The address of something in a project."""
    return f"{_PROJECT}{quote(project, safe='')}/{path}"


def _changes(address: str) -> bool:
    """Whether a request to an address changes something."""
    return address.startswith(_PROJECT) and address[len(_PROJECT) :].partition("/")[2] in WRITES


class Transport:
    """Sends requests, and gives the bodies of their answers.

    Args:
        url: The server's address.
        token: The user's token.
        read_only: Whether every change is refused before anything is sent.
        changes_only: The project that may be changed; any without it.
        verify: Whether TLS is verified; or the path of a CA file, or a context of one's own.
        timeout: Seconds to wait for each step of a request; all of it may take four times as long.
        largest: Bytes of the largest answer that is read.
        transport: A transport in place of the network.
        sleep: How to wait between tries.
        monotonic: A clock for durations.
        rng: Where jitter comes from.

    Attributes:
        url: The server's address, without a slash at its end.
        read_only: Whether every change is refused.
        meter: What all requests so far cost.
        clock_offset: The server's clock less this machine's, in seconds; None until it told.
    """

    def __init__(
        self,
        url: str,
        token: str,
        *,
        read_only: bool = False,
        changes_only: str | None = None,
        verify: bool | ssl.SSLContext | str | Path = True,
        timeout: float = 30.0,
        largest: int = LARGEST,
        transport: httpx.AsyncBaseTransport | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        monotonic: Callable[[], float] = time.monotonic,
        rng: random.Random | None = None,
    ) -> None:
        self.url = url.rstrip("/")
        self.read_only = read_only
        self._changes_only = changes_only
        self._addresses: dict[str, httpx.URL] = {}
        self.meter = Meter()
        self.clock_offset: float | None = None
        self._dates = ServerDates()
        self._steps = ClockSteps()
        if isinstance(verify, (str, Path)):
            verify = trust(Path(verify))
        if verify is True and self.url.startswith("http:"):
            # To read all authorities takes longer than many an answer. None is needed here; one
            # that were would not be found.
            verify = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        self._sleep = sleep
        self._monotonic = monotonic
        self._rng = rng or random.Random()
        self._slots = asyncio.Semaphore(_AT_ONCE)
        self._largest = largest
        self._longest = timeout * _STEPS
        self._http: httpx.AsyncClient | None = None
        self._unusable: ConfigError | None = None
        # A proxy of the environment would be handed the token of a plain HTTP request, and what
        # goes to this machine is not to leave it.
        trust_env = not is_loopback(self.url)
        try:
            self._http = httpx.AsyncClient(
                base_url=self.url,
                headers={
                    "Authorization": f"Bearer {token}",
                    "Accept": "application/json",
                    "Accept-Encoding": ", ".join(_PACKINGS),
                },
                verify=verify,
                timeout=httpx.Timeout(timeout, connect=min(timeout, 10.0)),
                limits=httpx.Limits(
                    max_connections=_AT_ONCE,
                    max_keepalive_connections=_AT_ONCE,
                    keepalive_expiry=_KEPT,
                ),
                transport=transport,
                trust_env=trust_env,
            )
        except (ImportError, ValueError, OSError, httpx.InvalidURL) as error:
            # A state of the connection, found when it is used.
            self._unusable = unusable(self.url, error, proxies=trust_env)

    def beside(self) -> Transport:
        """The same transport, over the same connections, with a meter of its own."""
        other = copy.copy(self)
        other.meter = Meter()
        return other

    async def close(self) -> None:
        """Closes the connections."""
        if self._http is not None:
            await self._http.aclose()

    async def read(
        self,
        path: str,
        query: Mapping[str, Any] | None,
        what: str,
        *,
        params: Mapping[str, Any] | None = None,
    ) -> bytes:
        """Sends a request that changes nothing, again if need be, and gives the answer's body.

        Args:
            path: Where to ask.
            query: What to ask; None to get what is there.
            what: What is asked for, to be named in errors.
            params: What to ask of what is got.
        """
        if _changes(path):
            raise AssertionError(f"{path} changes something: it is never tried again")
        wait = _FIRST_WAIT
        for attempt in range(1, _TRIES + 1):
            try:
                async with self._slots:  # so that waiting for a connection is not measured
                    return whole_characters(await self._send(path, query, what, params))
            except (errors.CertificateError, errors.TimedOutError):
                raise
            except (errors.CannotConnectError, errors.BusyError):
                if attempt == _TRIES:
                    raise
            await self._sleep(wait * self._rng.uniform(0.5, 1.5))
            wait *= _GROWTH
        raise AssertionError("unreachable")

    async def write(self, path: str, body: Mapping[str, Any], what: str) -> bytes:
        """Sends a request that changes something, once: it is never tried again.

        Every change goes through here.

        Args:
            path: Where to send it: one of `WRITES`.
            body: What to send.
            what: What is changed, to be named in errors after "refused" or "change".

        Returns:
            The answer's body.

        Raises:
            ReadOnlyError: The client only reads, or changes another project; nothing was sent.
            UnansweredError: It was sent, and whether it was done is not known.
            UnauthorisedError, ForbiddenError, NotFoundError: The server says so; whether that is
                its answer to this request only a look at what is there can tell.
            ApiError: The server refused it, or it could not be sent; nothing was changed.
        """
        if not _changes(path):
            raise AssertionError(f"{path} is not among what changes something")
        self.refuse_read_only()
        self._refuse_other_project(path)
        try:
            async with self._slots:
                return whole_characters(await self._send(path, body, what, None))
        except (errors.CannotConnectError, errors.ServerFailedError) as error:
            if error.unsent:
                raise
            raise unanswered(error, what) from error
        except errors.ApiError as error:
            if error.unsent:
                raise
            # What is in front of a server may answer in its place when it has done its part.
            if not error.said_by_server:
                raise unanswered(error, what) from error
            if isinstance(error, errors.ForbiddenError):
                forbidden = errors.ForbiddenError(
                    f"The server at {self.url} does not let this user change {what}.",
                    "Ask an administrator of the project for the role that may.",
                )
                forbidden.said_by_server, forbidden.status = True, error.status
                raise forbidden from error
            raise

    def refuse_read_only(self) -> None:
        """Makes sure that something may be changed.

        Raises:
            ReadOnlyError: The client only reads.
        """
        if self.read_only:
            raise errors.ReadOnlyError(
                "Nothing is changed in read-only mode.",
                "Leave out --read-only, and see `read_only` in the settings file.",
            )

    def _refuse_other_project(self, path: str) -> None:
        only = self._changes_only
        if only is not None and not path.startswith(in_project(only, "")):
            raise errors.ReadOnlyError(
                f"This is of another project than {one_line(only)}. Nothing was sent.",
                "Go back to the list and ask for it again.",
            )

    async def _send(
        self,
        path: str,
        query: Mapping[str, Any] | None,
        what: str,
        params: Mapping[str, Any] | None,
    ) -> bytes:
        if self._http is None:
            raise self._unusable or AssertionError("a client that is there, or why it is not")
        request = self._request(self._http, path, query, what, params)
        sending = Sending()
        request.extensions["trace"] = sending.trace
        resolving.use(asyncio.get_running_loop())
        start, sent_at = self._monotonic(), utc_now()
        size, answered = 0, False
        try:
            with anyio.fail_after(self._longest):
                response = await self._http.send(request, stream=True)
                try:
                    answered = True
                    body = await self._body(response, what)
                finally:
                    size = response.num_bytes_downloaded
                    await response.aclose()
        except (httpx.TimeoutException, TimeoutError) as error:
            late = errors.TimedOutError(
                f"The server at {self.url} did not answer in time.",
                "Check the network; a server under load answers later.",
            )
            late.unsent = sending.unsent(error)
            raise late from error
        except httpx.DecodingError as error:
            raise errors.BrokenAnswerError(
                f"The answer of {self.url} about {what} could not be unpacked.",
                "Look at what is in front of the server: it sends broken gzip.",
            ) from error
        except (httpx.HTTPError, httpx.StreamError, httpx.InvalidURL, OSError) as error:
            broken = connection_error(self.url, error, begun=sending.begun)
            broken.unsent = sending.unsent(error)
            raise broken from error
        finally:
            seconds = self._monotonic() - start
            self.meter.add(size, seconds, answered=answered)
            status = response.status_code if answered else "no answer"
            _LOG.info("%s: %s, %d bytes, %.3f s", path, status, size, seconds)
        self._look_at_clock(response, sent_at)
        if response.status_code != 200:
            raise errors.from_answer(response.status_code, body, what=what, url=self.url)
        return body

    def _request(
        self,
        http: httpx.AsyncClient,
        path: str,
        query: Mapping[str, Any] | None,
        what: str,
        params: Mapping[str, Any] | None,
    ) -> httpx.Request:
        try:
            if query is None:
                return http.build_request("GET", path, params=dict(params or {}))
            request = http.build_request(
                "POST",
                self._addresses.get(path, path),
                content=msgspec.json.encode(query),
                headers={"Content-Type": "application/json"},
            )
            if len(self._addresses) < _ADDRESSES:
                self._addresses[path] = request.url  # to take one apart is dear
            return request
        except (*NOT_DECODED, httpx.InvalidURL) as error:
            refused = errors.WrongShapeError(
                f"The request for {what} can't be written: {reason_of(error)}.",
                "Nothing was sent. Change the value that it names.",
            )
            refused.unsent = refused.says_unsent = True
            raise refused from error

    async def _body(self, response: httpx.Response, what: str) -> bytes:
        """The answer's body, unpacked, if it is no larger than one may be."""
        packing = response.headers.get("Content-Encoding", "identity").strip().lower()
        if packing not in ("", "identity", *_PACKINGS):
            raise errors.BrokenAnswerError(
                f"The answer of {self.url} about {what} is packed in a way that was not asked for"
                f" ({one_line(packing)[:40]}).",
                "Look at what is in front of the server.",
            )
        body = bytearray()
        async for chunk in response.aiter_bytes():
            body += chunk
            if len(body) > self._largest:
                raise errors.TooLargeError(
                    f"The answer of {self.url} about {what} is larger than"
                    f" {self._largest // 1024**2} MB, and was not read to its end.",
                    "Check that the address is a dstack server's.",
                )
        return bytes(body)

    def _look_at_clock(self, response: httpx.Response, sent_at: datetime) -> None:
        """Notes what the server's clock was at some moment before an answer, to a whole second.

        It says only between which limits the difference is: what was known of it stays while it
        is between them.
        """
        try:
            said = parsedate_to_datetime(response.headers.get("Date", ""))
            if said.tzinfo is None:  # `-0000`: UTC, of a clock that knows no zone
                said = said.replace(tzinfo=timezone.utc)
            least = (said - utc_now()).total_seconds()
            most = (said - sent_at).total_seconds() + 1
        except (ValueError, TypeError, IndexError, OverflowError):
            return
        if abs(least) < _FURTHEST:
            forward = self._steps.seconds()
            if forward:
                # Dates say how far apart the clocks are, which they were before it was set.
                self._dates = ServerDates()
                self.clock_offset = (self.clock_offset or 0.0) - forward
            most = self._dates.most(said, most)
            self.clock_offset = min(max(self.clock_offset or 0.0, least), most)
