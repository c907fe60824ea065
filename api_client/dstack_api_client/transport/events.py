"""What is asked of the events of a server."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import datetime
from typing import Any, TypeVar

from dstack_api_client.transport import wire
from dstack_api_client.transport.records import Records
from dstack_api_client.transport.requests import PAGE, Resource, as_asked, begin_at, decoder

T = TypeVar("T")

#: Most items a filter of the events may have.
FILTER_ITEMS = 16


class Events(Resource):
    """The events of a server."""

    async def since(
        self, since: datetime, filters: Mapping[str, Sequence[str]]
    ) -> AsyncIterator[Records[wire.Event]]:
        """Events after a moment, the oldest first, page by page.

        Args:
            since: The moment, by the server's clock.
            filters: The server's filters, such as `within_projects`, each a list of ids.
        """
        query = {"limit": PAGE, "ascending": True, "prev_recorded_at": as_asked(since), **filters}
        async for events in self._requests.pages(
            "/api/events/list",
            query,
            decoder(wire.Event),
            lambda last: begin_at((last.recorded_at, last.id), "prev_recorded_at", "prev_id"),
            "the events",
        ):
            yield events

    async def newest(
        self,
        filters: Mapping[str, Sequence[str]],
        *,
        limit: int = PAGE,
        before: tuple[datetime, str] | None = None,
    ) -> Records[wire.Event]:
        """The newest events, the newest first.

        Args:
            filters: The server's filters, such as `target_jobs`, each a list of ids.
            limit: Most events in the answer.
            before: Time and id of the event after which, going back, to begin.
        """
        begin = begin_at(before, "prev_recorded_at", "prev_id")
        query: dict[str, Any] = {"limit": limit, "ascending": False, **begin, **filters}
        return await self._requests.all("/api/events/list", query, wire.Event, "the events")


def in_groups(items: Sequence[T], size: int) -> list[Sequence[T]]:
    """Items in groups of no more than a request may name."""
    return [items[start : start + size] for start in range(0, len(items), size)]
