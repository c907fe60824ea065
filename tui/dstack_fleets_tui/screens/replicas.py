"""The view of a service's replicas."""

from __future__ import annotations

from collections.abc import Iterable

from dstack_api_client.naming import replica_row
from dstack_api_client.placement import ReplicaPlacement
from dstack_api_client.routers.view import Worker
from dstack_api_client.snapshot import ReplicaKey, Service, Snapshot
from dstack_fleets_tui.screens.service_view import ServiceView
from dstack_fleets_tui.tables import replicas as table
from dstack_fleets_tui.tables.looks import Looks


class ReplicasView(ServiceView):
    """A row per replica; on request only of those with which something is wrong."""

    only_wrong = False
    _run_id = ""
    _snapshot: Snapshot | None = None
    _placed: dict[str, ReplicaPlacement]
    _wrong: int = 0
    _every: int = 0

    def fill(self, service: Service, snapshot: Snapshot, looks: Looks) -> None:
        """Shows the replicas."""
        columns = table.columns(service)
        if columns != self.table.columns:
            self.table.set_columns(columns)
        self._run_id, self._snapshot = service.id, snapshot
        placement = snapshot.placements.get(service.id)
        self._placed = {each.job_id: each for each in placement.replicas} if placement else {}
        router = snapshot.routers.get(service.id)
        workers: dict[ReplicaKey, Worker] = (
            {worker.replica: worker for worker in router.workers if worker.replica}
            if router
            else {}
        )
        rows = {}
        wrong = 0
        every = [snapshot.replicas[k] for k in service.replica_keys if k in snapshot.replicas]
        for replica in every:
            worker = workers.get(replica.key)
            is_wrong = table.is_wrong(replica, service, worker)
            wrong += is_wrong
            if is_wrong or not self.only_wrong:
                seen = table.Seen(
                    replica, service, snapshot, worker, self._placed.get(replica.submission_id)
                )
                rows[replica_row(replica.key)] = table.cells(seen, looks)
        self._wrong, self._every = wrong, len(every)
        self.table.empty_text = self._empty_text(service)
        self.table.set_rows(rows)
        self.show_line()

    def _empty_text(self, service: Service) -> str:
        if not service.jobs_known:
            return "Reading the replicas."
        if self._every:
            return "Nothing is wrong with any replica. Press w to see them all."
        return "No replicas."

    def notes(self) -> Iterable[str]:
        """Tells that only some are shown."""
        if self.only_wrong:
            yield f"only what is wrong: {self._wrong} of {self._every}, w shows all"

    def summary(self, key: str) -> str:
        """What the server last said of the replica, in full."""
        replica = (
            self._snapshot.replicas.get(replica_key(self._run_id, key)) if self._snapshot else None
        )
        if replica is None:
            return ""
        return table.summary(replica, self._placed.get(replica.submission_id))

    def open(self, key: str) -> None:
        """Opens the replica."""
        self.fleets_app.open_replica(replica_key(self._run_id, key))

    def named(self) -> dict[str, str]:
        """Rows by the numbers of their replicas."""
        return {key.partition(".")[0]: key for key in self.table.keys}


def replica_key(run_id: str, row: str) -> ReplicaKey:
    """The replica of a row."""
    number, _, job = row.partition(".")
    return ReplicaKey(run_id, int(number), int(job or 0))
