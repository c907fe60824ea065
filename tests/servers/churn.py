"""A project in which something happens all the time, and never more of it than there was."""

from __future__ import annotations

import random
from collections.abc import Callable

import httpx

from dstack_api_client.model.replica import FINISHED
from tests.builders import answers
from tests.servers.addon_answers import lane
from tests.servers.networked_server import NetworkedServer
from tests.servers.random_life import Life

#: How many there are of each at most; more of them end than begin then.
_RUNS, _ENDED, _INSTANCES, _FLEETS = 10, 60, 20, 6
#: Events that the server keeps.
_EVENTS = 400
#: Times that it has read at most, several times what there are.
_TIMES = 4_000
#: Of a hundred polls, how many find that the connection is lost.
_LOST = 2
_BROKEN = ("runs", "fleets", "events", "instances", "projects", "placement", "")


class ChurningServer(NetworkedServer):
    """A server with the add-on that keeps no more events than it may."""

    def __init__(self) -> None:
        super().__init__()
        self._happened = 1000

    def happens(self, message: str, *targets: tuple[str, str, str], late: float = 0.0) -> None:
        self._happened += 1
        self.events.append(
            answers.event(self._happened, message, *targets, seconds=self.now - late)
        )
        del self.events[:-_EVENTS]


class Churn(Life):
    """What happens between two polls.

    Attributes:
        lost: How many polls found no connection.
        happened: How many things happened.
    """

    def __init__(self, server: ChurningServer, rng: random.Random) -> None:
        super().__init__(server, rng)
        self.lost = 0
        self.happened = 0
        self._lost_for = 0
        self._kept = server.runs[0]["id"]

    def between_polls(self) -> None:
        """Changes some things, and loses the connection or finds it again."""
        for _ in range(self.rng.randint(0, 6)):
            self.step()
            self.happened += 1
        self._place()
        self._forget()
        self._lost_for -= 1
        if self._lost_for > 0:
            self.lost += 1
        elif self.rng.randrange(100) < _LOST:
            self._lost_for = self.rng.randint(1, 5)
            self.lost += 1
            self.server.fail = self._failure()
        else:
            self.server.fail = lambda path: None

    def step(self) -> None:
        """Does something of what there is room for."""
        server = self.server
        ended = [run for run in server.runs if run["status"] in FINISHED]
        alive = [each for each in server.instances if each["status"] != "terminated"]
        actions: list[Callable[[], None]] = [
            self.move_job,
            self.change_job,
            self.change_job,
            self.change_instance,
            self.retry_job,
            self.submit_run if len(server.runs) - len(ended) < _RUNS else self.end_run,
            self.delete_run if len(ended) > _ENDED else self.end_run,
            self.add_instance if len(alive) < _INSTANCES else self.remove_instance,
            self.remove_instance,
            self.add_fleet if len(server.fleets) < _FLEETS else self.remove_fleet,
        ]
        self.rng.choice(actions)()
        for run in server.runs:
            if run["id"] == self._kept:  # the one that is looked at stays
                run["status"], run["deleted"] = "running", False

    def _forget(self) -> None:
        """Drops what a server shows no more, and what it would pile up in the dashboard's process.

        It is the dashboard's memory that is measured: by 14,400 polls it had 30,000 times that
        were read, and as many lists of what was asked for.
        """
        server = self.server
        assert isinstance(server, ChurningServer)
        server.wanted.clear()
        if answers.seconds.cache_info().currsize > _TIMES:
            answers.seconds.cache_clear()
        server.runs = [run for run in server.runs if not run["deleted"]]
        server.instances = [each for each in server.instances if each["status"] != "terminated"]
        for run in server.runs:
            for job in run["jobs"]:
                del job["job_submissions"][:-10]

    def _place(self) -> None:
        """Has the add-on say something else of the service that it knows."""
        assert isinstance(self.server, ChurningServer)
        placed = self.server.placements["chat"]
        placed["observed_at"] = answers.at(self.server.now)
        placed["lanes"] = [
            lane("fleet-1", min_replicas=1, priority=10, deficit=self.rng.randint(0, 1)),
            lane("fleet-2", running=self.rng.randint(0, 3)),
        ]

    def _failure(self) -> Callable[[str], httpx.Response | Exception | None]:
        what = self.rng.choice(_BROKEN)
        kind = self.rng.randrange(3)

        def fail(path: str) -> httpx.Response | Exception | None:
            if what not in path:
                return None
            if kind == 0:
                return httpx.ConnectError("refused")
            return httpx.Response(502, text="<html>") if kind == 1 else httpx.Response(500)

        return fail
