"""Services for the cockpit: with lanes, with a router in every state, in a rollout."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from typing import Any

from dstack_api_client.model.capabilities import Capabilities
from dstack_api_client.model.fleet import Fleet
from dstack_api_client.model.placement import LanePlacement, Placement, ReplicaPlacement
from dstack_api_client.model.replica import Link, Probe, Replica
from dstack_api_client.model.router import RouterStatus, RouterView, Source, Sync, Worker
from dstack_api_client.model.service import FleetShare, Group
from dstack_api_client.model.snapshot import Snapshot
from dstack_placement.engine import Cause, Code, Lane, LaneWhy
from tests.builders import snapshots
from tests.builders.snapshots import NOW

ADDON = Capabilities(
    server_version="0.22.5",
    lanes=True,
    placement_version="1.0",
    features=frozenset({"lanes", "placement", "router"}),
)
#: The service, and its group that is rolled out.
NAME, RUN = "chat-70b", "s-chat-70b"
_COOLS = Cause(
    Code.COOLDOWN,
    "gpu-reserved",
    until=datetime(2026, 1, 1, 14, 5, 30, tzinfo=timezone.utc),
    detail="no capacity in us-east-1",
)
NO_ROOM = "gpu-reserved is in cooldown until 14:05:30, no capacity in us-east-1"


def fleets() -> list[Fleet]:
    return [
        snapshots.fleet("edge-cpu", gpu_name=None, gpus_total=0, gpus_busy=0, price=0.4),
        snapshots.fleet("gpu-reserved", reservation="cr-0f3a"),
        snapshots.fleet("gpu-spot", nodes_min=0, nodes_max=12, spot_policy="spot"),
    ]


def replica(num: int, group: str, fleet: str | None, **changes: Any) -> Replica:
    """A replica that runs in a fleet."""
    values: dict[str, Any] = {
        "group": group,
        "deployment_num": 7,
        "fleet_name": fleet,
        "fleet_id": f"f-{fleet}" if fleet else None,
        "hostname": f"10.0.{1 if fleet == 'gpu-reserved' else 3}.{num + 4}",
        "instance_id": None,
        "spot": fleet == "gpu-spot",
        "price": {"gpu-reserved": 98.32, "gpu-spot": 24.84, "edge-cpu": 0.2}.get(fleet or ""),
        "link": Link.HOST if fleet else Link.UNKNOWN,
        "submitted_at": NOW - timedelta(hours=5, minutes=num),
    }
    return snapshots.replica(NAME, num, **{**values, **changes})


def replicas() -> list[Replica]:
    """A router, two prefill workers, and seven decode workers of which one starts."""
    return [
        replica(0, "router", "edge-cpu", is_router=True, gpus=None),
        replica(1, "prefill", "gpu-reserved"),
        replica(2, "prefill", "gpu-spot"),
        *(replica(num, "decode", "gpu-spot") for num in (3, 4, 5)),
        replica(6, "decode", "gpu-spot", ready=False, probes=(Probe(1, 3),), submission_num=2),
        replica(7, "decode", "gpu-reserved", status="provisioning", ready=False,
                submitted_at=NOW - timedelta(seconds=20), hostname=None,
                status_message="provisioning"),
        replica(8, "decode", None, status="submitted", ready=False, hostname=None, price=None,
                submitted_at=NOW - timedelta(minutes=3), backend=None, region=None, gpus=None,
                status_message="no room in any lane"),
    ]  # fmt: skip


def placement(members: Sequence[Replica]) -> Placement:
    """As the add-on tells it: a baseline that is not held, and a replica that fell back."""
    return Placement(
        run_id=RUN,
        managed=True,
        observed_at=NOW,
        desired={"router": 1, "prefill": 2, "decode": 6},
        pools={"router": "", "prefill": "", "decode": ""},
        lanes=(
            LanePlacement("", Lane("gpu-reserved", 3, 4, 10), 3, 1, 1, 1, 1,
                          NOW - timedelta(minutes=3), 0, 0, NOW + timedelta(minutes=3),
                          f"baseline 2 of 3: {NO_ROOM}", cause=NO_ROOM,
                          why=LaneWhy(Code.BELOW_MINIMUM, 2, 3, (_COOLS,))),
            LanePlacement("", Lane("gpu-spot"), 5, 5, 4, 0, 0, None, 1, 7, None,
                          "gpu-spot has room for 7 more",
                          why=_without_minimum(Cause(Code.HAS_ROOM, "gpu-spot", 7))),
            LanePlacement("", Lane("edge-cpu", 0, 1, -5), 1, 1, 1, 0, 0, None, 0, 0, None,
                          "edge-cpu is at its maximum of 1",
                          why=_without_minimum(Cause(Code.AT_MAXIMUM, "edge-cpu", 1))),
        ),
        replicas=tuple(_placed(each) for each in members),
        notes=("The room in gpu-spot is not known and counts as unlimited.",),
    )  # fmt: skip


def _without_minimum(cause: Cause) -> LaneWhy:
    return LaneWhy(cause.code, causes=(cause,))


def _placed(each: Replica) -> ReplicaPlacement:
    fell = each.key.replica_num == 6
    reason = "fallback" if fell else "priority" if each.fleet_name else None
    why = NO_ROOM if fell else "the first lane with room" if each.fleet_name else NO_ROOM
    return ReplicaPlacement(each.key.replica_num, each.group, each.submission_id, each.fleet_name,
                            reason, why, each.submitted_at)  # fmt: skip


def worker(each: Replica, sync: Sync = Sync.IN_SYNC, **changes: Any) -> Worker:
    """The row of a replica that the router has as it should."""
    address = f"http://{each.hostname}:8000" if each.hostname else None
    base = Worker(
        key=f"{each.key.replica_num}.0",
        sync=sync,
        router_health="ready",
        job_status=each.status,
        role=each.group if each.group in ("prefill", "decode") else "regular",
        load=each.key.replica_num * 4 % 13,
        model="acme/chat-70b",
        url=address,
        replica=each.key,
        group=each.group,
        fleet=each.fleet_name,
        probes_passed=each.ready,
        since=NOW - timedelta(minutes=40),
    )
    return replace(base, **changes)


FAILED = (
    "The router can't reach it as of 14:01:07 and sends it no requests. dstack will not repair"
    " this: restart the worker, or fix the network between the two."
)
MISSING = "Accepted by the router but never listed: it can't dial this address."


def router_view(members: Sequence[Replica]) -> RouterView:
    """A router whose workers are in every state that there is, worst first."""
    by_number = {each.key.replica_num: each for each in members}
    minute = timedelta(minutes=1)
    workers = (
        worker(by_number[5], router_health="failed", load=None, wrong=100, message=FAILED,
               since=NOW - 1.4 * minute),
        worker(by_number[2], Sync.MISSING, router_health=None, load=None, model=None, wrong=80,
               message=MISSING, since=NOW - timedelta(seconds=40)),
        worker(by_number[3], Sync.DRIFT, wrong=70, url="http://10.0.9.9:8000", message=(
               "The router dials 10.0.9.9:8000, but it is at 10.0.3.7:8000. dstack will not"
               " correct this: delete the entry from the router, and dstack registers it again.")),
        Worker("foreign:w-9", Sync.FOREIGN, "ready", role="regular", load=0, model="acme/other",
               url="http://10.9.9.9:8000", since=NOW - 90 * minute, wrong=40,
               message="No job of this service is there. dstack leaves it alone."),
        worker(by_number[6], router_health="ready", wrong=30, message=(
               "The router sends it requests although dstack's probes fail.")),
        worker(by_number[7], Sync.PENDING, router_health=None, load=None, model=None, url=None,
               wrong=2, message="Its job does not run yet. dstack registers it once it does.",
               since=NOW - timedelta(seconds=4)),
        worker(by_number[4]),
        worker(by_number[1]),
    )  # fmt: skip
    return RouterView(
        run_id=RUN,
        kind="smg",
        status=RouterStatus.READY,
        source=Source.SERVER,
        observed_at=NOW - timedelta(seconds=2),
        last_sync_at=NOW - timedelta(seconds=4),
        ready=4,
        expected=7,
        workers=workers,
    )


def snapshot(**changes: Any) -> Snapshot:
    """A server with the add-on, and on it the service with everything that can be wrong."""
    members = replicas()
    service = snapshots.service(
        NAME,
        submitted_at=NOW - timedelta(days=2),
        deployment_num=7,
        at_deployment=9,
        active=9,
        running=7,
        ready=6,
        replicas_min=3,
        replicas_max=12,
        autoscaled=True,
        router="smg",
        groups=(Group("router", 1, 1, "smg", 1, 1, 1), Group("prefill", 2, 2, None, 2, 2, 2),
                Group("decode", 2, 8, None, 6, 4, 3)),
        fleet_name=None,
        shares=(FleetShare("gpu-spot", "f-gpu-spot", 5, 4, 0, 0, 5, 124.2),
                FleetShare("gpu-reserved", "f-gpu-reserved", 1, 1, 1, 0, 2, 196.64),
                FleetShare("edge-cpu", "f-edge-cpu", 1, 1, 0, 0, 1, 0.2),
                FleetShare(None, None, 0, 0, 1, 0, 0, 0.0)),
        price=321.04,
        priority=50,
        model="acme/chat-70b",
        replica_keys=tuple(each.key for each in members),
        **changes,
    )  # fmt: skip
    shot = snapshots.snapshot(fleets=fleets(), instances=(), services=[service], replicas=members)
    return replace(
        shot,
        capabilities=ADDON,
        placements={RUN: placement(members)},
        routers={RUN: router_view(members)},
    )


def stock(shot: Snapshot) -> Snapshot:
    """The same on a server without the add-on, whose router nobody can look at."""
    view = shot.routers[RUN]
    workers = tuple(
        replace(each, sync=Sync.UNKNOWN, router_health=None, load=None, model=None, wrong=1,
                message="It is not known whether the router has it: the router's list could not be"
                " read.")
        for each in view.workers
        if each.replica is not None
    )  # fmt: skip
    unknown = replace(
        view,
        status=RouterStatus.UNKNOWN,
        source=Source.NONE,
        message="The server has no placement add-on, and SSH to the router failed: no route to"
        " host. Check that this machine reaches 10.0.9.4.",
        observed_at=None,
        last_sync_at=None,
        ready=0,
        workers=workers,
    )
    return replace(
        shot,
        capabilities=Capabilities(server_version="0.22.5"),
        placements={},
        routers={RUN: unknown},
    )


def rolling() -> Snapshot:
    """A rollout under way: four replicas of deployment 8, of which one is not ready, five of 7."""
    shot = snapshot()
    members = {}
    for key, each in shot.replicas.items():
        latest = key.replica_num in (0, 1, 6, 7)
        members[key] = replace(each, deployment_num=8) if latest else each
    service = replace(shot.services[RUN], deployment_num=8, at_deployment=4)
    return replace(shot, services={RUN: service}, replicas=members)
