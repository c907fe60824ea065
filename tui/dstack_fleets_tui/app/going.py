"""Going to what a command names, from any screen."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from dstack_api_client.model.every_run import Run
from dstack_api_client.model.fleet import Fleet, Instance
from dstack_api_client.model.replica import Replica, ReplicaKey
from dstack_api_client.model.service import OtherRun, Service
from dstack_api_client.model.snapshot import Snapshot
from dstack_api_client.replica.service_logs import writer_name
from dstack_api_client.text import one_line
from dstack_api_client.trends.trend import Subject
from dstack_fleets_tui.actions import places
from dstack_fleets_tui.actions.commands import CommandError
from dstack_fleets_tui.host.host import Host
from dstack_fleets_tui.host.trail import Place
from dstack_fleets_tui.names import finding
from dstack_fleets_tui.names.selection import NoSuchNameError
from dstack_fleets_tui.screens.charts import ChartsScreen
from dstack_fleets_tui.screens.parts.base import LiveScreen
from dstack_fleets_tui.screens.parts.detail import DetailScreen
from dstack_fleets_tui.screens.parts.with_events import EVENTS_VIEW
from dstack_fleets_tui.screens.runs import RunsScreen, open_run

_T = TypeVar("_T")


class Going:
    """Opens screens by the names of things.

    Each raises `NoSuchNameError` where there is nothing of a name, and `CommandError` while nothing
    was read.

    Args:
        app: The app.
    """

    def __init__(self, app: Host) -> None:
        self._app = app

    def fleet(self, name: str) -> None:
        """Opens a fleet."""
        self._open(self._found(finding.fleet_named, name))

    def service(self, name: str) -> None:
        """Opens a service."""
        self._open(self._found(finding.service_named, name))

    def replica(self, text: str) -> None:
        """Opens a replica: `chat/5`, or `5` of the service at hand."""
        if not text:
            raise CommandError("Write SERVICE/NUMBER after it, such as :replica chat/0.")
        self._open(self.replica_meant(text))

    def thing(self, name: str) -> None:
        """Opens whatever has the name."""
        if not name:
            raise CommandError("Write what to open after it, such as :open chat.")
        self._open(self._found(finding.thing_named, name))

    def events(self, name: str) -> None:
        """Shows what happened to something."""
        self._open(self._found(finding.thing_named, name), EVENTS_VIEW)

    def history(self, name: str) -> None:
        """Shows the deployments of the service that is named, or of the one at hand."""
        service = self._found(finding.service_named, name) if name else self._run_at_hand()
        if not isinstance(service, Service):
            raise CommandError("Write the service after it, such as :history chat.")
        self._open(service, "history")

    def logs(self, text: str) -> None:
        """Shows the logs of a run, `chat`, or of one of its replicas, `chat/5` or `5` here."""
        if "/" in text or text.isdigit():
            replica = self.replica_meant(text)
            self._app.open_logs(replica.key.run_id, writer_name(replica))
        else:
            self._app.open_logs(self._found(finding.run_named, text).id)

    def back_or_forth(self, by: int) -> None:
        """Goes to the view before (-1) or after (1) this one on the trail."""
        trail, front = self._app.trail, self._app.front
        way = "before" if by < 0 else "after"
        # What is no place on the trail is over the one where one came from.
        over = by < 0 and isinstance(front, LiveScreen) and front.place is None
        self._to(trail.here if over else trail.beside(by), f"There is no view {way} this one.")

    def last(self) -> None:
        """Goes to the view that was in front before this one."""
        self._to(self._app.trail.before, "There is no last view.")

    def _to(self, place: Place | None, none: str) -> None:
        app, front = self._app, self._app.front
        if place is None or not isinstance(front, LiveScreen):
            app.notify(none, markup=False)
            return
        if place.mode != app.current_mode:
            app.switch_mode(place.mode)
        for depth, screen in enumerate(reversed(app.screen_stack)):
            # What is being changed is not left by itself.
            if not isinstance(screen, LiveScreen) or screen.name_of_screen not in places.WATCHING:
                break
            if screen.place is not None and place.same_screen(screen.place):
                for _ in range(depth):
                    app.pop_screen()
                if isinstance(screen, DetailScreen) and screen.view != place.view:
                    screen.show_view(place.view)
                return
        self._push(place, front)

    def _push(self, place: Place, front: LiveScreen) -> None:
        app, key = self._app, place.key
        if isinstance(key, ReplicaKey):
            app.open_replica(key, place.view)
        elif isinstance(key, Subject):
            self._charts(key, front)
        elif place.screen == places.RUNS:
            app.push_screen(RunsScreen())
        elif key is not None and place.screen == places.LOGS:
            app.open_logs(key)
        elif key is not None and place.screen == places.FLEET:
            app.open_fleet(key, place.view)
        elif key is not None:
            app.open_service(key, place.view)
        else:
            front.action_do(place.screen)

    def _charts(self, subject: Subject, front: LiveScreen) -> None:
        if isinstance(front, ChartsScreen):
            front.show_of(subject)
        else:
            self._app.push_screen(ChartsScreen(subject))

    @property
    def _snapshot(self) -> Snapshot:
        if self._app.snapshot is None:
            raise CommandError("Nothing was read yet.")
        return self._app.snapshot

    def _found(self, find: Callable[[Snapshot, str], _T], name: str) -> _T:
        """What has a name, in what was read."""
        snapshot = self._snapshot
        try:
            return find(snapshot, name)
        except NoSuchNameError:
            if snapshot.complete:
                raise
            text = (
                f"{one_line(name)} is not in what was read of {one_line(snapshot.project)} so far."
            )
            raise NoSuchNameError(text, "Try again once all is read.") from None

    def replica_meant(self, text: str) -> Replica:
        """The replica that is named, or the one that is open or under the cursor.

        Raises:
            CommandError: None is.
        """
        if not text:
            return self._at_hand()
        here = self._run_at_hand()
        return self._found(lambda snapshot, name: finding.replica_named(snapshot, name, here), text)

    def run_meant(self, text: str) -> Run:
        """The service or other run that is named, or the one that is open or under the cursor.

        Raises:
            CommandError: None is.
        """
        if text:
            return self._found(finding.run_named, text)
        found = self._run_at_hand()
        if found is None:
            raise CommandError("There is no run under the cursor. Name one.")
        return found

    def _run_at_hand(self) -> Run | None:
        snapshot, screen = self._snapshot, self._app.front
        run_id = screen.run_of_logs() if isinstance(screen, LiveScreen) else None
        return snapshot.services.get(run_id or "") or snapshot.other_runs.get(run_id or "")

    def _at_hand(self) -> Replica:
        screen = self._app.front
        key = screen.replica_at_hand() if isinstance(screen, LiveScreen) else None
        found = self._snapshot.replicas.get(key) if key is not None else None
        if found is None:
            raise CommandError("There is no replica under the cursor. Name one: chat/0.")
        return found

    def _open(self, thing: finding.Thing, view: str = "") -> None:
        app, front = self._app, self._app.front
        if isinstance(front, DetailScreen) and front.is_of(thing):
            if view:
                front.show_view(view)
        elif isinstance(thing, Service):
            app.open_service(thing.id, view)
        elif isinstance(thing, Fleet):
            app.open_fleet(thing.id, view)
        elif isinstance(thing, Replica):
            app.open_replica(thing.key, view)
        elif isinstance(thing, Instance):
            self._open_instance(thing)
        elif isinstance(front, LiveScreen):
            self._open_run(front, thing, view)

    def _open_instance(self, instance: Instance) -> None:
        if instance.fleet_id is None:
            raise CommandError(f"{instance.name} is in no fleet.")
        self._app.open_fleet(instance.fleet_id, "instances", instance.id)

    def _open_run(self, front: LiveScreen, run: OtherRun, view: str) -> None:
        """Shows what happened to the first job of a run, or goes where it is."""
        jobs = self._snapshot.replicas_of(run)
        if view and jobs:
            self._app.open_replica(jobs[0].key, view)
        else:
            open_run(front, run)
