"""The view of a service's replicas."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

from dstack_api_client.analysis.moment import Moment
from dstack_api_client.model.labels import replica_key, replica_row
from dstack_api_client.model.placement import ReplicaPlacement
from dstack_api_client.model.replica import Replica, ReplicaKey
from dstack_api_client.model.router import Worker
from dstack_api_client.model.service import Service
from dstack_api_client.model.snapshot import Snapshot
from dstack_api_client.problems.model import Problem
from dstack_api_client.problems.replicas import of_replicas_in
from dstack_api_client.replica.metrics import Use
from dstack_api_client.replica.metrics_watch import UseWatch
from dstack_api_client.trends.reads import PAST_VALUES
from dstack_fleets_tui.actions import key_names
from dstack_fleets_tui.live.source import Source
from dstack_fleets_tui.screens.parts.columns import has_trends
from dstack_fleets_tui.screens.parts.only_wrong import OnlyWrong
from dstack_fleets_tui.screens.parts.own_reads import OwnReads
from dstack_fleets_tui.screens.service.view import ServiceView
from dstack_fleets_tui.tables import replicas as table
from dstack_fleets_tui.tables import trends
from dstack_fleets_tui.tables.kept_rows import KeptRows
from dstack_fleets_tui.tables.looks import Looks
from dstack_fleets_tui.tables.next_steps import next_step
from dstack_fleets_tui.words import formatting
from dstack_widgets.drawing.glyphs import Glyphs
from dstack_widgets.table.cells import Cell, CellValue

#: Cells from which what comes next of a replica is never cut.
_WIDE = 110


class ReplicasView(ServiceView):
    """A row per replica; on request only of those with which something is wrong.

    What replicas make use of is read for those on screen only, by a task of its own.
    """

    def __init__(
        self,
        *,
        glyphs: Glyphs,
        awake: bool,
        id: str,  # noqa: A002 (the name that every widget gives it)
    ) -> None:
        super().__init__(glyphs=glyphs, awake=awake, id=id)
        self.only_wrong = OnlyWrong()
        self._workers: dict[ReplicaKey, Worker] = {}
        self._placed: dict[str, ReplicaPlacement] = {}
        self._uses: dict[ReplicaKey, Use | None] = {}
        self._made: KeptRows[tuple[str, table.Seen]] = KeptRows()
        self._problems: tuple[tuple[str, int], Moment, tuple[Problem, ...]] | None = None
        self._source: Source | None = None
        self._watch: UseWatch | None = None
        self._reads = OwnReads(self, self._take)

    def fill(self, service: Service, snapshot: Snapshot, looks: Looks) -> None:
        """Shows the replicas."""
        placement = snapshot.placements.get(service.id)
        self._placed = {each.job_id: each for each in placement.replicas} if placement else {}
        router = snapshot.routers.get(service.id)
        workers = router.workers if router is not None else ()
        self._workers = {worker.replica: worker for worker in workers if worker.replica}
        rows = {}
        found = 0
        waits, explained = 0, False
        every = snapshot.replicas_of(service)
        for replica in every:
            instance = snapshot.instances.get(replica.instance_id or "")
            wrong = table.is_wrong(replica, service, self._workers.get(replica.key), instance)
            found += wrong
            explained |= wrong and bool(replica.message)
            if wrong or not self.only_wrong.on:
                row = replica_row(replica.key)
                rows[row] = self._cells(replica, service, snapshot, looks)
                waits = max(waits, len(self._next_step(row)))
        wide = self.size.width >= _WIDE
        every_column = table.columns(service, waits=waits, explained=explained, wide=wide)
        self.show_columns("replicas", every_column, table.COLUMNS)
        self.only_wrong.count(found, len(every))
        if len(self._made) > len(every):
            self._made.forget_all_but(rows)
            self._uses = {key: use for key, use in self._uses.items() if replica_row(key) in rows}
        self.table.empty_text = self._empty_text(service)
        self.table.set_rows(rows)
        problems = self._problems_of(service, snapshot, looks.now)
        enter = key_names.key_name("enter", ascii_only=self.fleets_app.ascii)
        self.findings.show(table.findings(problems, router, snapshot.replicas, enter))
        self.show_line()
        self._read_use()

    def _problems_of(
        self, service: Service, snapshot: Snapshot, now: datetime
    ) -> tuple[Problem, ...]:
        """What is wrong with the replicas, found as seldom as for all that is wrong."""
        of = (service.id, self.fleets_app.lookout.looks)
        known = self._problems
        if known is None or known[0] != of or not known[1].holds_at(now):
            time = Moment(now)
            found = of_replicas_in(snapshot, service, time, self.fleets_app.since)
            self._problems = known = of, time, found
        return known[2]

    def _cells(
        self, replica: Replica, service: Service, snapshot: Snapshot, looks: Looks
    ) -> Sequence[Cell]:
        """The cells of a row; those of the last time where nothing in it changed."""
        row, drain = replica_row(replica.key), snapshot.drain_of(replica)
        instance = snapshot.instances.get(replica.instance_id or "")
        seen = table.Seen(
            replica,
            instance,
            service.deployment_num,
            service.router is not None,
            table.grouped(service),
            table.bought(service),
            self._workers.get(replica.key),
            self._placed.get(replica.submission_id),
            self._uses.get(replica.key) if replica.status == "running" else None,
            drain.told(snapshot.observed_at) if drain is not None else "",
            next_step(replica, service, instance, self.fleets_app.since, looks.now),
            self._trend(replica, looks),
        )
        told = formatting.age(replica.since, looks.now)
        return self._made.row(row, (told, seen), lambda: table.cells(seen, looks))

    def _next_step(self, row: str) -> str:
        """What comes next of the replica of a row, as it was last shown."""
        made = self._made.parts(row)
        return made[1].next_step if made is not None else ""

    @property
    def _shows_trends(self) -> bool:
        return has_trends(self.fleets_app, "replicas", wide=self.fits_trends)

    def _trend(self, replica: Replica, looks: Looks) -> CellValue | None:
        """What the GPUs of a replica did, once its metrics are read."""
        if not self._shows_trends or replica.key not in self._uses:
            return None
        return trends.gpu(replica.key, self.fleets_app.trends, looks.glyphs)

    # What replicas make use of ------------------------------------------------------------

    def _read_use(self) -> None:
        """Begins to read, on this connection."""
        source = self.fleets_app.source
        if source is not None and source is not self._source:
            self._source = source
            self._watch = UseWatch(
                source.client,
                source.project,
                self._on_screen,
                now=self.fleets_app.now,
                past=lambda: PAST_VALUES if self._shows_trends else 0,
            )
            self._reads.start(self._watch)

    def _on_screen(self) -> list[Replica]:
        replicas = (self._replica(key) for key in self.table.visible_keys)
        return [replica for replica in replicas if replica is not None]

    def _take(self, read: Mapping[ReplicaKey, Use | None]) -> None:
        """Shows what was read, in the rows that it is of."""
        self._uses.update(read)
        self.fleets_app.trends.take(read)
        if self._shown is None:
            return
        rows = {}
        for key in read:
            row = replica_row(key)
            replica = self._replica(row)
            if replica is not None and self.table.has_row(row):
                rows[row] = self._cells(replica, *self._shown)
        self.table.update_rows(rows)
        self.service_screen.show_note()

    def _replica(self, row: str) -> Replica | None:
        if self._shown is None:
            return None
        service, snapshot, _ = self._shown
        return snapshot.replicas.get(replica_key(service.id, row))

    def _empty_text(self, service: Service) -> str:
        if not service.jobs_known:
            return "Reading the replicas."
        return self.only_wrong.empty_text("replica", "No replicas.")

    def notes(self) -> Iterable[str]:
        """Tells that only some are shown, and that their use can't be read."""
        yield from self.only_wrong.notes()
        if self._watch is not None and self._watch.failure is not None:
            yield f"metrics not read: {self._watch.failure}"

    def summary(self, key: str) -> str:
        """What the server last said of the replica, in full."""
        replica = self._replica(key)
        if replica is None:
            return ""
        coming = "" if self.table.shows_whole(key, "next") else self._next_step(key)
        return table.summary(replica, self._placed.get(replica.submission_id), coming)

    def open(self, key: str) -> None:
        """Opens the replica."""
        replica = self._replica(key)
        if replica is not None:
            self.fleets_app.open_replica(replica.key)

    def replica_of(self, key: str) -> ReplicaKey | None:
        """The replica itself."""
        replica = self._replica(key)
        return replica.key if replica is not None else None

    def named(self) -> dict[str, str]:
        """Rows by the numbers of their replicas."""
        return {key.partition(".")[0]: key for key in self.table.keys}
