"""`get replicas`."""

from __future__ import annotations

from collections.abc import Sequence

from dstack_api_client.analysis.reach import out_of_reach
from dstack_api_client.model.labels import group_label, labels_of
from dstack_api_client.model.placement import Drain
from dstack_api_client.model.pulls import Pull
from dstack_api_client.model.purchases import replica_purchase
from dstack_api_client.model.replica import Replica
from dstack_api_client.model.snapshot import Snapshot
from dstack_fleets_tui.headless.kinds.record import Kind
from dstack_fleets_tui.headless.looking import Asked, Look, read_service
from dstack_fleets_tui.names import selection
from dstack_fleets_tui.output.colours import colour
from dstack_fleets_tui.output.payload import Item, gpu, optional_number, optional_time, time
from dstack_fleets_tui.output.table import Column
from dstack_fleets_tui.words.formatting import NOTHING, age, price

COLUMNS = (
    Column("SERVICE"),
    Column("REPLICA", right=True),
    Column("GROUP"),
    Column("FLEET"),
    Column("INSTANCE"),
    Column("HOST"),
    Column("STATE", paint=colour),
    Column("PROBES", paint=colour),
    Column("PURCHASE"),
    Column("GPU"),
    Column("DEPLOYMENT", right=True),
    Column("$/H", right=True),
    Column("AGE", right=True),
    Column("MESSAGE"),
)


def _choose(look: Look, asked: Asked) -> list[Replica]:
    """The replicas of services, in the order of services and of replica numbers."""
    services = selection.services(look.snapshot, asked.name, ended=asked.ended)
    return [replica for service in services for replica in look.snapshot.replicas_of(service)]


def cells(replica: Replica, snapshot: Snapshot) -> Sequence[str]:
    """One cell per column of `COLUMNS`."""
    instance = snapshot.instances.get(replica.instance_id or "")
    drain = snapshot.drain_of(replica)
    return (
        replica.run_name,
        str(replica.key.replica_num),
        _group(replica, snapshot),
        replica.fleet_name or replica.tried_in or NOTHING,
        instance.name if instance else NOTHING,
        replica.hostname or NOTHING,
        drain.told(snapshot.observed_at) if drain is not None else _state(replica, snapshot),
        _probes(replica),
        replica_purchase(replica) or NOTHING,
        str(replica.gpus or NOTHING),
        str(replica.deployment_num),
        price(replica.price or None),
        age(replica.since, snapshot.observed_at) + ("+" if replica.since_earlier else ""),
        replica.message,
    )


def _state(replica: Replica, snapshot: Snapshot) -> str:
    """Its status; what is said of one that can't be reached is from before."""
    return "unreachable" if replica.active and out_of_reach(snapshot, replica) else replica.status


def _group(replica: Replica, snapshot: Snapshot) -> str:
    service = snapshot.services.get(replica.key.run_id)
    if service is None or not labels_of(service.groups):
        return NOTHING
    return group_label(replica.group, replica.role)


def _probes(replica: Replica) -> str:
    if replica.status != "running":
        return NOTHING
    if replica.ready:
        return "ready"
    if replica.unreached:
        return "no requests yet"
    return " ".join(f"{probe.streak}/{probe.ready_after}" for probe in replica.probes)


def item(replica: Replica, snapshot: Snapshot) -> Item:
    """A replica at its latest submission."""
    instance = snapshot.instances.get(replica.instance_id or "")
    return {
        "service": replica.run_name,
        "replica": replica.key.replica_num,
        "job": replica.key.job_num,
        "group": replica.group,
        "router": replica.is_router,
        "status": replica.status,
        "ready": replica.ready,
        "message": replica.message or None,
        "probes": [
            {"streak": probe.streak, "ready_after": probe.ready_after, "passed": probe.passed}
            for probe in replica.probes
        ],
        "deployment": replica.deployment_num,
        "submission": replica.submission_num,
        "restarts": replica.restarts,
        "fleet": replica.fleet_name or replica.tried_in,
        "instance": instance.name if instance else None,
        "link": replica.link.value,
        "hostname": replica.hostname,
        "backend": replica.backend,
        "region": replica.region,
        "spot": replica.spot,
        "reservation": replica.reservation,
        "image_pull": _pull(replica.pull),
        "gpu": gpu(replica.gpus),
        "price_per_hour": optional_number(replica.price),
        "submitted_at": time(replica.submitted_at),
        "since": time(replica.since),
        "since_is_least": replica.since_earlier,
        "finished_at": optional_time(replica.finished_at),
        "drain": _drain(snapshot.drain_of(replica)),
        "termination_reason": replica.termination_reason,
        "exit_status": replica.exit_status,
    }


def _drain(drain: Drain | None) -> Item | None:
    if drain is None:
        return None
    return {
        "since": time(drain.since),
        "limit_seconds": drain.limit,
        "open_requests": drain.open,
    }


def _pull(pull: Pull | None) -> Item | None:
    if pull is None:
        return None
    return {
        "downloaded_bytes": pull.downloaded,
        "extracted_bytes": pull.extracted,
        "total_bytes": pull.total,
        "is_total_final": pull.is_final,
    }


KIND = Kind(
    choose=_choose,
    columns=COLUMNS,
    rows=lambda replica, snapshot: [cells(replica, snapshot)],
    item=item,
    read=read_service,
    placed=True,
    named=lambda item: f"{item['service']}-{item['job']}-{item['replica']}",
    identity=lambda item: (item["service"], item["job"], item["replica"]),
    wide=("job", "submission", "restarts", "backend", "region", "exit_status"),
)
