"""What the replicas on screen make use of, a few at a time.

A server reports metrics of one job per request. So only replicas that somebody looks at are asked
for, in turn, and few at each poll: a screen full of them is known after some polls, and what one
screen costs the server does not grow with the service.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from datetime import datetime

from dstack_api_client.attempts import Attempts, Failure
from dstack_api_client.clock import seconds_since, utc_now
from dstack_api_client.model.replica import Replica, ReplicaKey
from dstack_api_client.replica.metrics import Use, metrics_of, use_of
from dstack_api_client.transport.client import Client

#: Requests at each poll.
_AT_ONCE = 4
#: Seconds after which a replica is asked for again; the server takes a value every ten.
_AGAIN = 10.0
#: Values of each metric: the use of CPUs is a difference of two.
_VALUES = 2


class Turns:
    """When replicas were read, to read those that were not for longest."""

    def __init__(self) -> None:
        self._read_at: dict[str, datetime] = {}

    def __len__(self) -> int:
        return len(self._read_at)

    def __contains__(self, replica: Replica) -> bool:
        return replica.submission_id in self._read_at

    def read(self, replica: Replica, now: datetime) -> None:
        """Notes that a replica is read now."""
        self._read_at[replica.submission_id] = now

    def due(self, replicas: Sequence[Replica], now: datetime, *, again: float) -> list[Replica]:
        """Those that are to be read, the longest unread first; all others are forgotten.

        Args:
            replicas: Those that are read at all.
            now: The time.
            again: Seconds after which one is read again.
        """
        known = self._read_at
        self._read_at = {
            each.submission_id: known[each.submission_id] for each in replicas if each in self
        }

        def unread(replica: Replica) -> float:
            at = self._read_at.get(replica.submission_id)
            return float("inf") if at is None else seconds_since(at, now)

        due = [replica for replica in replicas if unread(replica) >= again]
        return sorted(due, key=unread, reverse=True)


class UseWatch:
    """Reads what the replicas on screen make use of.

    Args:
        client: The client to read with.
        project: The project's name.
        on_screen: Gives the replicas that are on screen, in their order.
        now: The clock.
        past: Gives how many values of each metric are read of a replica at first.
    """

    def __init__(
        self,
        client: Client,
        project: str,
        on_screen: Callable[[], Sequence[Replica]],
        *,
        now: Callable[[], datetime] = utc_now,
        past: Callable[[], int] = lambda: 0,
    ) -> None:
        self._client = client
        self._project = project
        self._on_screen = on_screen
        self._now = now
        self._past = past
        self._turns = Turns()
        self._attempts = Attempts(now)

    @property
    def failure(self) -> Failure | None:
        """Why nothing can be read now."""
        return self._attempts.failure

    async def poll(self, *, full: bool = False) -> AsyncIterator[Mapping[ReplicaKey, Use | None]]:
        """Reads of the replicas on screen those that were not read for longest.

        Args:
            full: Whether those count too that were read a moment ago.

        Yields:
            What was read, None for replicas without metrics; once, and nothing where nothing was.
        """
        read: dict[ReplicaKey, Use | None] = {}
        for replica in self._due(full=full)[:_AT_ONCE]:
            first = self._past() if replica not in self._turns else 0
            self._turns.read(replica, self._now())
            answer = await self._attempts.of(
                metrics_of(
                    self._client,
                    self._project,
                    replica.run_name,
                    replica.key,
                    limit=max(first, _VALUES),
                )
            )
            if answer is None:
                break
            read[replica.key] = use_of(answer)
        if read or self.failure is not None:
            yield read

    def _due(self, *, full: bool) -> list[Replica]:
        """The running replicas on screen that are to be read, the longest unread first."""
        running = [replica for replica in self._on_screen() if replica.status == "running"]
        return self._turns.due(running, self._now(), again=float("-inf") if full else _AGAIN)
