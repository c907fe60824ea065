"""What is wrong, looked for beside the polls, and whether it is shown before all else."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime

from dstack_api_client.analysis.health import Health
from dstack_api_client.analysis.since import Event, Since
from dstack_api_client.clock import seconds_since
from dstack_api_client.feed.update import Update
from dstack_api_client.model.snapshot import Snapshot
from dstack_api_client.problems.model import Problem
from dstack_api_client.problems.watch import ProblemWatch
from dstack_api_client.whatif import Survival
from dstack_fleets_tui.live.news import News

#: Seconds after which it is looked again although nothing is due: for news of events, and losses.
_LOOK_AGAIN = 10.0


class Lookout:
    """Looks for problems, and chooses once whether they are the first screen.

    Args:
        losses: Whether services are problems that would not survive the loss of a fleet.

    Attributes:
        somebody_is_there: Somebody is at the keys: from then on no screen comes up by itself.
        news: Which problems are new.
    """

    def __init__(self, *, losses: bool = False) -> None:
        self._losses = losses
        self.somebody_is_there = False
        self.begin()

    def begin(self) -> None:
        """Starts over, for another server or project."""
        self._watch = ProblemWatch(Survival()) if self._losses else ProblemWatch()
        self.news = News()
        self._looked_at: datetime | None = None
        self._choosing = False

    @property
    def problems(self) -> Sequence[Problem]:
        """What is wrong in the latest snapshot, worst first."""
        return self._watch.problems

    @property
    def healths(self) -> Mapping[str, Health]:
        """How the services of the latest snapshot are, by the id of their run."""
        return self._watch.healths

    @property
    def looks(self) -> int:
        """How often all was looked through."""
        return self._watch.looks

    @property
    def since(self) -> Since:
        """Since when things are as they are, as far as events told."""
        return self._watch.since

    def look(
        self, update: Update, before: Snapshot | None, now: datetime, events: Collection[Event]
    ) -> Sequence[Problem]:
        """Looks once per change, and when something may have taken too long.

        Args:
            update: What a poll brought.
            before: The snapshot before it.
            now: The time.
            events: All that were read so far.

        Returns:
            The critical problems that are new.
        """
        if update.snapshot is None:
            return ()
        due = self._looked_at is None or seconds_since(self._looked_at, now) >= _LOOK_AGAIN
        grown = before is None or before.complete != update.snapshot.complete
        if update.difference or grown or due or self._watch.is_due(update.snapshot, now):
            self._looked_at = now
            self._watch.look(update.snapshot, now, events)
        return self.news.look(self.problems, update.snapshot, now)

    def all_was_read(self) -> None:
        """Everything was read for the first time: now it is chosen."""
        self._choosing = True

    def wants_to_the_front(self, snapshot: Snapshot | None) -> bool:
        """Whether the problems are to come up now.

        Routers are looked at beside the polls: it is chosen as long as one was not.
        """
        if not self._choosing or snapshot is None:
            return False
        wanted = bool(self.problems) and not self.somebody_is_there
        awaited = any(view.awaited for view in snapshot.routers.values())
        self._choosing = awaited and not self.problems and not self.somebody_is_there
        return wanted
