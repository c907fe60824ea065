"""Requests of one server with what their answers are decoded to.

Long lists are asked for page by page and decoded item by item, so that neither the server nor the
event loop stalls.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from datetime import datetime
from typing import Any, TypeVar

import msgspec

from dstack_api_client import errors
from dstack_api_client.slices import Slices
from dstack_api_client.text import clean_json
from dstack_api_client.transport import wire
from dstack_api_client.transport.failures import NOT_DECODED, reason_of, unanswered, unreadable
from dstack_api_client.transport.parts import without_unreadable
from dstack_api_client.transport.records import Records, Unreadable, Unreadables, named
from dstack_api_client.transport.transport import Transport
from dstack_api_client.transport.wire_values import Parted

T = TypeVar("T")

#: Most events, runs or fleets that a server gives in one page.
PAGE = 100
#: No list is longer: a server that pages for ever is stopped here.
_MOST_PAGES = 10_000


class Requests:
    """Sends requests over a transport, and decodes what comes back.

    Args:
        transport: How they are sent.
        unreadable: Where to note what lists held that could not be read.
    """

    def __init__(self, transport: Transport, unreadable: Unreadables) -> None:
        self.transport = transport
        self.unreadable = unreadable

    async def one(self, path: str, query: Mapping[str, Any], kind: type[T], what: str) -> T:
        """Asks for one thing.

        Args:
            path: Where to ask.
            query: What to ask.
            kind: The struct that the answer becomes.
            what: What is asked for, to be named in errors.
        """
        body = await self.transport.read(path, query, what)
        return self.decode(body, decoder(kind), what, _parts_of(kind))

    async def all(
        self, path: str, query: Mapping[str, Any], kind: type[T], what: str
    ) -> Records[T]:
        """Asks for a list that comes in one piece; as `one` otherwise."""
        return await self.decode_list(
            await self.transport.read(path, query, what), decoder(kind), what
        )

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
            items = await self.decode_list(
                await self.transport.read(path, query, what), decode, what
            )
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

    def decode(
        self,
        body: bytes,
        decode: Callable[[bytes], T],
        what: str,
        parts: Mapping[str, type[Any]] | None = None,
    ) -> T:
        """Decodes an answer.

        Args:
            body: The answer.
            decode: What decodes it.
            what: What it is about.
            parts: The lists in it of which a record that can't be decoded costs only itself.

        Raises:
            WrongShapeError: It holds something else than it should.
            ForeignAnswerError: It holds nothing that a server may have said.
        """
        try:
            return self._whole_or_not(body, decode, what, parts or {})
        except NOT_DECODED as error:
            raise unreadable(self.transport.url, what, body, error) from error

    def _whole_or_not(
        self,
        body: bytes,
        decode: Callable[[bytes], T],
        what: str,
        parts: Mapping[str, type[Any]],
    ) -> T:
        try:
            return decode(body)
        except NOT_DECODED:
            decoders = {name: decoder(kind) for name, kind in parts.items()}
            rest, left_out = without_unreadable(body, decoders)
            if not left_out:
                raise
        decoded = decode(rest)
        noted = [self.note(raw, f"the {name} in {what}", error) for name, raw, error in left_out]
        if isinstance(decoded, wire.Fleet):
            decoded.unread = [each.name.id for each in noted]
        return decoded

    async def decode_list(
        self,
        body: bytes,
        decode: Callable[[bytes], T],
        what: str,
        parts: Mapping[str, type[Any]] | None = None,
    ) -> Records[T]:
        """Decodes a list item by item, letting others run in between.

        An item that can't be decoded costs only itself: it is left out, and noted. So does a
        record of the lists in it that `parts` names.
        """
        items = self.decode(body, wire.decode_items, what)
        decoded: Records[T] = Records()
        slices = Slices()
        for item in items:
            try:
                decoded.append(self._whole_or_not(item, decode, what, parts or {}))
            except NOT_DECODED as error:
                decoded.unreadable.append(self.note(item, what, error))
                decoded.ends_unreadable = True
            else:
                decoded.ends_unreadable = False
                if self.unreadable:
                    self.unreadable.forget(named(item).id)
            await slices.turn()
        return decoded

    def note(self, item: bytes, what: str, error: Exception) -> Unreadable:
        """Notes that an item of an answer could not be read."""
        return self.unreadable.add(named(item), what, reason_of(error))

    async def change(self, path: str, body: Mapping[str, Any], what: str) -> bytes:
        """Sends a change that is answered with an object; anything else is no answer."""
        answer = await self.transport.write(path, body, what)
        try:
            if isinstance(msgspec.json.decode(answer), dict):
                return answer
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            pass
        raise unanswered(
            errors.WrongShapeError(
                f"The answer of {self.transport.url} is not one of a dstack server.", ""
            ),
            what,
        )

    async def change_silently(self, path: str, body: Mapping[str, Any], what: str) -> None:
        """Sends a change that is answered with nothing; text is no answer."""
        answer = await self.transport.write(path, body, what)
        if answer.strip() not in (b"", b"null"):
            raise unanswered(
                errors.WrongShapeError(
                    f"The answer of {self.transport.url} is not one of a dstack server.", ""
                ),
                what,
            )


class Resource:
    """What is asked of one kind of thing.

    Args:
        requests: How it is asked.
    """

    def __init__(self, requests: Requests) -> None:
        self._requests = requests


def _parts_of(kind: type[Any]) -> Mapping[str, type[Any]]:
    return kind.parts if issubclass(kind, Parted) else {}


_decoders: dict[Any, Callable[[bytes], Any]] = {}


def decoder(kind: type[T]) -> Callable[[bytes], T]:
    """A function that cleans and decodes one item."""
    if kind not in _decoders:
        decode = msgspec.json.Decoder(kind).decode
        _decoders[kind] = lambda raw: decode(clean_json(raw))
    return _decoders[kind]


def begin_at(last: tuple[datetime, str] | None, time: str, ident: str) -> dict[str, str]:
    """Where a page begins.

    Args:
        last: The time and the id of the last item of the page before; None for the first page.
        time: What the server calls that time.
        ident: What it calls that id.
    """
    return {} if last is None else {time: as_asked(last[0]), ident: last[1]}


def as_asked(moment: datetime) -> str:
    """A moment as a server is asked about it."""
    return moment.isoformat()
