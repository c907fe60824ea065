"""Reads from one server over one kept-alive connection.

Reads are tried again on trouble that passes; nothing else is. Long lists are asked for page by
page and decoded item by item, so that neither the server nor the event loop stalls.
"""

from __future__ import annotations

import asyncio
import copy
import math
import random
import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from email.utils import parsedate_to_datetime
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

import anyio
import httpx
import msgspec

from dstack_api_client import errors
from dstack_api_client.clock import utc_now
from dstack_api_client.connect.connection import ConfigError, is_loopback, trust
from dstack_api_client.text import clean_json, one_line
from dstack_api_client.transport import resolving, wire
from dstack_api_client.transport.failures import connection_error, reason_of, unreadable, unusable
from dstack_api_client.transport.records import Records, Unreadable, Unreadables, named
from dstack_api_client.transport.sending import Sending
from dstack_api_client.transport.server_dates import ServerDates

T = TypeVar("T")
R = TypeVar("R", bound="Transport")

#: No list is longer: a server that pages for ever is stopped here.
_MOST_PAGES = 10_000
#: Seconds that decoding may hold the event loop before it lets others run.
_SLICE = 0.01
#: Most requests at once.
_AT_ONCE = 4
#: Seconds that an idle connection is used again for. dstack's server closes it after 5 s, uvicorn's
#: default, and a change that was on its way by then would be lost.
_KEPT = 4.0
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
#: What decoders raise for data that is not what it should be.
_NOT_DECODED = (msgspec.MsgspecError, ValueError, TypeError, OverflowError, RecursionError)


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


class Transport:
    """Sends requests that change nothing, and decodes what comes back.

    Args:
        url: The server's address.
        token: The user's token.
        verify: Whether TLS is verified; or the path of a CA file, or a context of one's own.
        timeout: Seconds to wait for each step of a request; all of it may take four times as long.
        largest: Bytes of the largest answer that is read.
        transport: A transport in place of the network.
        sleep: How to wait between tries.
        monotonic: A clock for durations.
        rng: Where jitter comes from.

    Attributes:
        url: The server's address, without a slash at its end.
        meter: What all requests so far cost.
        clock_offset: The server's clock less this machine's, in seconds; None until it told.
        unreadable: What lists held that could not be read.
    """

    def __init__(
        self,
        url: str,
        token: str,
        *,
        verify: bool | ssl.SSLContext | str | Path = True,
        timeout: float = 30.0,
        largest: int = LARGEST,
        transport: httpx.AsyncBaseTransport | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        monotonic: Callable[[], float] = time.monotonic,
        rng: random.Random | None = None,
    ) -> None:
        self.url = url.rstrip("/")
        self.meter = Meter()
        self.clock_offset: float | None = None
        self._dates = ServerDates()
        self.unreadable = Unreadables()
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

    async def __aenter__(self: R) -> R:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    def beside(self: R) -> R:
        """The same reader, over the same connections, with a meter of its own."""
        other = copy.copy(self)
        other.meter = Meter()
        return other

    async def close(self) -> None:
        """Closes the connections."""
        if self._http is not None:
            await self._http.aclose()

    async def one(self, path: str, query: Mapping[str, Any], kind: type[T], what: str) -> T:
        """Asks for one thing.

        Args:
            path: Where to ask.
            query: What to ask.
            kind: The struct that the answer becomes.
            what: What is asked for, to be named in errors.
        """
        return self.decode(await self.read(path, query, what), decoder(kind), what)

    async def all(
        self, path: str, query: Mapping[str, Any], kind: type[T], what: str
    ) -> Records[T]:
        """Asks for a list that comes in one piece; as `one` otherwise."""
        return await self.decode_list(await self.read(path, query, what), decoder(kind), what)

    async def pages(
        self,
        path: str,
        query: dict[str, Any],
        decode: Callable[[bytes], T],
        next_page: Callable[[T], dict[str, Any]],
        what: str,
    ) -> AsyncIterator[Records[T]]:
        """Asks for a list that comes in pages, until one is not full.

        Args:
            path: Where to ask.
            query: What to ask, with the `limit` of a page.
            decode: Makes an item of its JSON.
            next_page: What to add to the query to go on after an item.
            what: What is asked for, to be named in errors.

        Raises:
            WrongShapeError: The server gives the same page again and again.
        """
        previous: dict[str, Any] = {}
        for _ in range(_MOST_PAGES):
            items = await self.decode_list(await self.read(path, query, what), decode, what)
            yield items
            if items.given < query["limit"] or not items:
                return
            step = next_page(items[-1])
            if step == previous:
                break
            previous = step
            query = {**query, **step}
        raise errors.WrongShapeError(
            f"The server repeats itself when asked for more of {what}.",
            "Report this with the server's version; a restart of the server may help.",
        )

    def decode(self, body: bytes, decode: Callable[[bytes], T], what: str) -> T:
        """Decodes an answer.

        Raises:
            WrongShapeError: It holds something else than it should.
            ForeignAnswerError: It holds nothing that a server may have said.
        """
        try:
            return decode(body)
        except _NOT_DECODED as error:
            raise unreadable(self.url, what, body, error) from error

    async def decode_list(self, body: bytes, decode: Callable[[bytes], T], what: str) -> Records[T]:
        """Decodes a list item by item, letting others run in between.

        An item that can't be decoded costs only itself: it is left out, and noted.
        """
        items = self.decode(body, wire.decode_items, what)
        decoded: Records[T] = Records()
        slice_end = self._monotonic() + _SLICE
        for item in items:
            try:
                decoded.append(decode(item))
            except _NOT_DECODED as error:
                decoded.unreadable.append(self.note(item, what, error))
                decoded.ends_unreadable = True
            else:
                decoded.ends_unreadable = False
                if self.unreadable:
                    self.unreadable.forget(named(item).id)
            if self._monotonic() > slice_end:
                await asyncio.sleep(0)
                slice_end = self._monotonic() + _SLICE
        return decoded

    def note(self, item: bytes, what: str, error: Exception) -> Unreadable:
        """Notes that an item of an answer could not be read."""
        return self.unreadable.add(named(item), what, reason_of(error))

    async def read(
        self,
        path: str,
        query: Mapping[str, Any] | None,
        what: str,
        *,
        params: Mapping[str, Any] | None = None,
    ) -> bytes:
        """Sends a request that changes nothing, again if need be, and gives the answer's body."""
        wait = _FIRST_WAIT
        for attempt in range(1, _TRIES + 1):
            try:
                async with self._slots:  # so that waiting for a connection is not measured
                    return await self._send(path, query, what, params)
            except (errors.CertificateError, errors.TimedOutError):
                raise
            except (errors.CannotConnectError, errors.BusyError):
                if attempt == _TRIES:
                    raise
            await self._sleep(wait * self._rng.uniform(0.5, 1.5))
            wait *= _GROWTH
        raise AssertionError("unreachable")

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
                "Look at what stands before the server: it sends broken gzip.",
            ) from error
        except (httpx.HTTPError, httpx.StreamError, httpx.InvalidURL, OSError) as error:
            broken = connection_error(self.url, error, begun=sending.begun)
            broken.unsent = sending.unsent(error)
            raise broken from error
        finally:
            self.meter.add(size, self._monotonic() - start, answered=answered)
        self._look_at_clock(response, sent_at)
        if response.status_code != 200:
            raise errors.from_answer(response.status_code, body, what=what, url=self.url)
        return body

    @staticmethod
    def _request(
        http: httpx.AsyncClient,
        path: str,
        query: Mapping[str, Any] | None,
        what: str,
        params: Mapping[str, Any] | None,
    ) -> httpx.Request:
        try:
            if query is None:
                return http.build_request("GET", path, params=dict(params or {}))
            return http.build_request(
                "POST",
                path,
                content=msgspec.json.encode(query),
                headers={"Content-Type": "application/json"},
            )
        except (*_NOT_DECODED, httpx.InvalidURL) as error:
            refused = errors.WrongShapeError(
                f"The request for {what} can't be written: {reason_of(error)}.",
                "Nothing was sent. Change the value that it names.",
            )
            refused.unsent = True
            raise refused from error

    async def _body(self, response: httpx.Response, what: str) -> bytes:
        """The answer's body, unpacked, if it is no larger than one may be."""
        packing = response.headers.get("Content-Encoding", "identity").strip().lower()
        if packing not in ("", "identity", *_PACKINGS):
            raise errors.BrokenAnswerError(
                f"The answer of {self.url} about {what} is packed in a way that was not asked for"
                f" ({one_line(packing)[:40]}).",
                "Look at what stands before the server.",
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

    def server_time(self, here: datetime) -> datetime:
        """A moment of this machine's clock by the server's, as far as an answer told it."""
        return here + timedelta(seconds=self.clock_offset or 0.0)

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
            most = self._dates.most(said, most)
            self.clock_offset = min(max(self.clock_offset or 0.0, least), most)


_decoders: dict[Any, Callable[[bytes], Any]] = {}


def decoder(kind: type[T]) -> Callable[[bytes], T]:
    """A function that cleans and decodes one item."""
    if kind not in _decoders:
        decode = msgspec.json.Decoder(kind).decode
        _decoders[kind] = lambda raw: decode(clean_json(raw))
    return _decoders[kind]
