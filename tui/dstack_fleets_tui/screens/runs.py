"""All runs of the project."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from dstack_api_client.model.every_run import Run, every_run
from dstack_api_client.model.service import Service
from dstack_api_client.model.snapshot import Snapshot
from dstack_api_client.problems.model import Problem
from dstack_fleets_tui.actions import actions, places
from dstack_fleets_tui.live.session import Session
from dstack_fleets_tui.screens.lists import ListScreen
from dstack_fleets_tui.screens.parts.base import LiveScreen
from dstack_fleets_tui.screens.services import wrong_runs
from dstack_fleets_tui.tables import runs
from dstack_widgets.table.cells import Cells


class RunsScreen(ListScreen):
    """Every service, task and dev environment that runs or has failed; the others on request.

    It opens over what is in front, and so is of the project in hand.
    """

    name_of_screen = places.RUNS
    columns = runs.COLUMNS
    thing = "run"
    BINDINGS = list(actions.bindings(places.RUNS))

    _finished = False

    def rows(self, session: Session, snapshot: Snapshot) -> Mapping[str, Cells]:
        """A row per run."""
        looks = self.looks_of(session)
        return {run.id: runs.cells(run, snapshot, looks) for run in self._shown(snapshot)}

    def wrong(self, snapshot: Snapshot, problems: Sequence[Problem]) -> Collection[str]:
        """The runs that have failed, or that a problem concerns."""
        return wrong_runs(snapshot, problems)

    def summary(self, snapshot: Snapshot, key: str) -> str:
        """Whose it is, where it runs and what the server last said."""
        run = self._run(snapshot, key)
        return runs.summary(run, snapshot) if run is not None else ""

    def open(self, key: str) -> None:
        """Opens a service, or the instance that another run is on."""
        run = self._run(self.snapshot, key) if self.snapshot is not None else None
        if run is not None:
            open_run(self, run)

    def run_of_logs(self) -> str | None:
        """The run under the cursor, whatever it is."""
        return self.table.cursor_key

    def named(self, snapshot: Snapshot) -> Mapping[str, str]:
        """The runs' ids by name; of several with one name the one that runs."""
        return {run.name: run.id for run in reversed(every_run(snapshot))}

    def tell_feed(self, session: Session, snapshot: Snapshot) -> None:
        """The runs that are shown are on screen."""
        session.focus(services=[run.id for run in self._shown(snapshot)])

    def empty_text(self) -> str:
        """Tells of runs that are there and not shown."""
        snapshot = self.snapshot
        if snapshot is None or not snapshot.complete or not every_run(snapshot):
            return super().empty_text()
        return f"Nothing runs in {snapshot.project}. Press a to see what has ended."

    def do_finished(self, argument: str) -> None:
        """Shows or hides runs that have ended well."""
        self._finished = not self._finished
        self.fill()

    def _shown(self, snapshot: Snapshot) -> list[Run]:
        return [
            run
            for run in every_run(snapshot)
            if self._finished or not run.finished or run.status == "failed"
        ]

    def _run(self, snapshot: Snapshot, key: str) -> Run | None:
        return snapshot.services.get(key) or snapshot.other_runs.get(key)


def open_run(screen: LiveScreen, run: Run) -> None:
    """Opens a service, or the instance that another run is on.

    Args:
        screen: The screen in front.
        run: The run.
    """
    snapshot, app = screen.snapshot, screen.fleets_app
    if isinstance(run, Service):
        app.open_service(run.id)
        return
    jobs = snapshot.active_in(run) if snapshot is not None else ()
    placed = [job for job in jobs if snapshot is not None and job.fleet_id in snapshot.fleets]
    if placed and placed[0].fleet_id is not None:
        app.open_fleet(placed[0].fleet_id, "instances", placed[0].instance_id)
    else:
        app.warn(f"{run.name} is on no instance.")
