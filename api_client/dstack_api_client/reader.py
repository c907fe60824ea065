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
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

import httpx
import msgspec

from dstack_api_client import errors, wire
from dstack_api_client.cleaning import clean_json, one_line
from dstack_api_client.connection import is_loopback, trust

T = TypeVar("T")
R = TypeVar("R", bound="Reader")

#: No list is longer: a server that pages for ever is stopped here.
_MOST_PAGES = 10_000
#: Seconds that decoding may hold the event loop before it lets others run.
_SLICE = 0.01
#: Most requests at once.
_AT_ONCE = 4
#: How often a read is tried.
_TRIES = 3
#: Seconds before the second try, and what the wait grows by.
_FIRST_WAIT, _GROWTH = 0.2, 3.0


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


class Reader:
    """Sends requests that change nothing, and decodes what comes back.

    Args:
        url: The server's address.
        token: The user's token.
        verify: Whether TLS is verified; or the path of a CA file, or a context of one's own.
        timeout: Seconds to wait for each step of a request.
        transport: A transport in place of the network.
        sleep: How to wait between tries.
        monotonic: A clock for durations.
        rng: Where jitter comes from.

    Attributes:
        url: The server's address, without a slash at its end.
        meter: What all requests so far cost.
        clock_offset: The server's clock less this machine's, in seconds; None until it told.
    """

    def __init__(
        self,
        url: str,
        token: str,
        *,
        verify: bool | ssl.SSLContext | str | Path = True,
        timeout: float = 30.0,
        transport: httpx.AsyncBaseTransport | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        monotonic: Callable[[], float] = time.monotonic,
        rng: random.Random | None = None,
    ) -> None:
        self.url = url.rstrip("/")
        self.meter = Meter()
        self.clock_offset: float | None = None
        if isinstance(verify, (str, Path)):
            verify = trust(Path(verify))
        self._sleep = sleep
        self._monotonic = monotonic
        self._rng = rng or random.Random()
        self._slots = asyncio.Semaphore(_AT_ONCE)
        self._http = httpx.AsyncClient(
            base_url=self.url,
            headers={"Authorization": f"Bearer {token}", "Accept": "application/json"},
            verify=verify,
            timeout=httpx.Timeout(timeout, connect=min(timeout, 10.0)),
            limits=httpx.Limits(max_connections=_AT_ONCE, max_keepalive_connections=_AT_ONCE),
            transport=transport,
            # A proxy of the environment would be handed the token of a plain HTTP request, and
            # what goes to this machine is not to leave it.
            trust_env=not is_loopback(self.url),
        )

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

    async def all(self, path: str, query: Mapping[str, Any], kind: type[T], what: str) -> list[T]:
        """Asks for a list that comes in one piece; as `one` otherwise."""
        return await self.decode_list(await self.read(path, query, what), decoder(kind), what)

    async def pages(
        self,
        path: str,
        query: dict[str, Any],
        decode: Callable[[bytes], T],
        next_page: Callable[[T], dict[str, Any]],
        what: str,
    ) -> AsyncIterator[list[T]]:
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
            if len(items) < query["limit"]:
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
        """Decodes an answer; one that can't be is a `WrongShapeError`."""
        try:
            return decode(body)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise _unreadable(self.url, what, error) from error

    async def decode_list(self, body: bytes, decode: Callable[[bytes], T], what: str) -> list[T]:
        """Decodes a list item by item, letting others run in between."""
        items = self.decode(body, wire.decode_items, what)
        decoded = []
        slice_end = self._monotonic() + _SLICE
        for item in items:
            decoded.append(self.decode(item, decode, what))
            if self._monotonic() > slice_end:
                await asyncio.sleep(0)
                slice_end = self._monotonic() + _SLICE
        return decoded

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
        start = self._monotonic()
        size, answered = 0, False
        try:
            request = (
                self._http.build_request("GET", path, params=dict(params or {}))
                if query is None
                else self._http.build_request(
                    "POST",
                    path,
                    content=msgspec.json.encode(query),
                    headers={"Content-Type": "application/json"},
                )
            )
            response = await self._http.send(request)
            size, answered = response.num_bytes_downloaded, True
        except httpx.TimeoutException as error:
            raise errors.TimedOutError(
                f"The server at {self.url} did not answer in time.",
                "Check the network; a server under load answers later.",
            ) from error
        except (httpx.TransportError, ssl.SSLError, OSError) as error:
            raise _connection_error(self.url, error) from error
        finally:
            self.meter.add(size, self._monotonic() - start, answered=answered)
        self._look_at_clock(response)
        if response.status_code != 200:
            raise errors.from_answer(
                response.status_code, response.content, what=what, url=self.url
            )
        return response.content

    def _look_at_clock(self, response: httpx.Response) -> None:
        try:
            told = parsedate_to_datetime(response.headers["Date"])
        except (KeyError, ValueError):
            return
        self.clock_offset = (told - datetime.now(timezone.utc)).total_seconds()


def _connection_error(url: str, error: Exception) -> errors.ApiError:
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return errors.CertificateError(
                f"The TLS certificate of {url} could not be verified: {cause.verify_message}.",
                "Name the CA file that signed it, or mend the certificate.",
            )
        if isinstance(cause, ssl.SSLError):
            return errors.CertificateError(
                f"No TLS connection to {url}: {one_line(cause.reason or str(cause))}.",
                "Check whether the address must begin with http:// or https://.",
            )
        cause = cause.__cause__ or cause.__context__
    said = one_line(str(error)) or type(error).__name__
    return errors.CannotConnectError(
        f"No connection to {url}: {said.rstrip('.')}.",
        "Check that the server runs and that the address is right.",
    )


def _unreadable(url: str, what: str, error: Exception) -> errors.WrongShapeError:
    return errors.WrongShapeError(
        f"The answer of {url} about {what} could not be read: {one_line(str(error))}.",
        "Check that the address is a dstack server's; if it is, its version may be too new.",
    )


_decoders: dict[Any, Callable[[bytes], Any]] = {}


def decoder(kind: type[T]) -> Callable[[bytes], T]:
    """A function that cleans and decodes one item."""
    if kind not in _decoders:
        decode = msgspec.json.Decoder(kind).decode
        _decoders[kind] = lambda raw: decode(clean_json(raw))
    return _decoders[kind]
