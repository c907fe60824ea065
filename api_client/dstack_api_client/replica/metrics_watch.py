"""What the replicas on screen make use of, a few at a time.

A server tells metrics of one job per request. So only replicas that somebody looks at are asked
for, in turn, and few at each poll: a screen full of them is known after some polls, and what one
screen costs the server does not grow with the service.
"""

from __future__ import annotations

import math
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from datetime import datetime

from dstack_api_client.attempts import Attempts, Failure
from dstack_api_client.clock import seconds_since, utc_now
from dstack_api_client.model.replica import Replica, ReplicaKey
from dstack_api_client.replica.metrics import Use, use_of
from dstack_api_client.transport.client import Client

#: Requests at each poll.
_AT_ONCE = 4
#: Seconds after which a replica is asked for again; the server takes a value every ten.
_AGAIN = 10.0
#: Values of each metric: the use of CPUs is a difference of two.
_VALUES = 2


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
        self._read_at: dict[str, datetime] = {}
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
            first = self._past() if replica.submission_id not in self._read_at else 0
            self._read_at[replica.submission_id] = self._now()
            answer = await self._attempts.of(
                self._client.metrics.job(
                    self._project,
                    replica.run_name,
                    run_id=replica.key.run_id,
                    replica_num=replica.key.replica_num,
                    job_num=replica.key.job_num,
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
        known = self._read_at
        self._read_at = {
            each.submission_id: known[each.submission_id]
            for each in running
            if each.submission_id in known
        }
        now = self._now()
        due = [replica for replica in running if full or self._unread(replica, now) >= _AGAIN]
        return sorted(due, key=lambda replica: -self._unread(replica, now))

    def _unread(self, replica: Replica, now: datetime) -> float:
        """Seconds since a replica was read."""
        at = self._read_at.get(replica.submission_id)
        return math.inf if at is None else seconds_since(at, now)
