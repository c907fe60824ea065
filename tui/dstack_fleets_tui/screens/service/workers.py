"""The view of a service's router and its workers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from dstack_api_client.analysis.health import lost_parts
from dstack_api_client.clock import seconds_since
from dstack_api_client.model.replica import ReplicaKey
from dstack_api_client.model.router import RouterView, Worker
from dstack_api_client.model.service import Service
from dstack_api_client.model.snapshot import Snapshot
from dstack_fleets_tui.screens.parts.columns import has_trends
from dstack_fleets_tui.screens.parts.only_wrong import OnlyWrong
from dstack_fleets_tui.screens.service.view import ServiceView
from dstack_fleets_tui.tables import trends
from dstack_fleets_tui.tables import workers as table
from dstack_fleets_tui.tables.looks import Looks
from dstack_widgets.drawing.glyphs import Glyphs
from dstack_widgets.table.cells import CellValue

#: So many polls after a look, nothing counts as in sync any more.
_POLLS = 3


class WorkersView(ServiceView):
    """The router, and a row per worker with what the router and dstack say of it."""

    _view: RouterView | None = None
    _snapshot: Snapshot | None = None
    _drawn: tuple[object, Mapping[str, CellValue]] | None = None

    def __init__(
        self,
        *,
        glyphs: Glyphs,
        awake: bool,
        id: str,  # noqa: A002 (the name that every widget gives it)
    ) -> None:
        super().__init__(glyphs=glyphs, awake=awake, id=id)
        self.only_wrong = OnlyWrong()

    def on_mount(self) -> None:
        """Lets the ages go on, and the view become too old, while no poll brings another."""
        self.set_interval(1, self._grow_old)

    def _grow_old(self) -> None:
        screen = self.service_screen
        if self._view is not None and self.display and screen.is_in_sight and not self._is_live:
            screen.fill()

    @property
    def _is_live(self) -> bool:
        """Whether polls come, so that whoever reads the router's list says how old it may be."""
        return self.fleets_app.header_state().connection == "live"

    def _too_old(self, view: RouterView) -> bool:
        """Whether nobody looks at the router any more, and for how long not."""
        app = self.fleets_app
        if view.observed_at is None or self._is_live:
            return False
        return seconds_since(view.observed_at, app.server_now()) > _POLLS * app.interval

    def fill(self, service: Service, snapshot: Snapshot, looks: Looks) -> None:
        """Shows the router's view beside dstack's."""
        self.show_columns("workers", table.COLUMNS)
        self._snapshot = snapshot
        view = self._view = snapshot.routers.get(service.id)
        if view is None:
            self.empty(
                "The router has not been read yet."
                if service.router
                else "This service has no replica group that routes."
            )
            return
        old = self._too_old(view)
        if old:
            view = self._view = table.aged(view)
        names = snapshot.replicas
        self.line.show(table.head(view, looks, lost_parts(snapshot, service)))
        shown = has_trends(self.fleets_app, "workers", wide=self.fits_trends)
        drawn = self._loads(view, looks) if shown else {}
        rows = {
            worker.key: table.cells(worker, names, looks, drawn.get(worker.key, ""))
            for worker in view.workers
        }
        wrong = {each.key for each in view.workers if each.wrong}
        self.table.set_rows(self.only_wrong.of(rows, lambda: wrong))
        none = "The router has no workers, and none are expected."
        self.table.empty_text = self.only_wrong.empty_text("worker", none)
        self.findings.show(table.findings(view, names, old=old))
        self.show_line()

    def notes(self) -> Iterable[str]:
        """Tells that only some are shown."""
        yield from self.only_wrong.notes()

    def _loads(self, view: RouterView, looks: Looks) -> Mapping[str, CellValue]:
        """What the workers worked on; that of the last time where no step has ended since."""
        watch = self.fleets_app.trends
        of = (watch, watch.step, tuple(worker.key for worker in view.workers))
        if self._drawn is None or self._drawn[0] != of:
            self._drawn = of, trends.loads(view.workers, watch, looks.glyphs)
        return self._drawn[1]

    def _worker(self, key: str) -> Worker | None:
        workers = self._view.workers if self._view else ()
        return next((worker for worker in workers if worker.key == key), None)

    def summary(self, key: str) -> str:
        """What the state of a worker means."""
        worker = self._worker(key)
        return table.summary(worker, self._snapshot.replicas) if worker and self._snapshot else ""

    def open(self, key: str) -> None:
        """Opens the replica of a worker that is one."""
        worker = self._worker(key)
        if worker is not None and worker.replica is not None:
            self.fleets_app.open_replica(worker.replica)

    def replica_of(self, key: str) -> ReplicaKey | None:
        """The replica that a worker is."""
        worker = self._worker(key)
        return worker.replica if worker is not None else None
