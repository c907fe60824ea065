"""Each thing that can be wrong, as a snapshot with it and one without it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta

from dstack_api_client.model.router import RouterStatus, Sync
from dstack_api_client.model.snapshot import Snapshot
from dstack_api_client.problems.watch import (
    Kind,
    Severity,
)
from tests.builders.projects import (
    ago,
    chat,
    fleet_of,
    group,
    hosts,
    lane,
    placed,
    placement,
    replica,
    router,
    stuck,
    with_lanes,
    worker,
)

NOTICE, WARNING, CRITICAL = Severity.NOTICE, Severity.WARNING, Severity.CRITICAL
LONG = timedelta(hours=1)
NO_PLACE = "failed_to_start_due_to_no_capacity"
#: A replica whose host is gone.
LOST = {
    "termination_reason": "instance_unreachable",
    "termination_message": "Instance is unreachable",
}
#: Groups of a disaggregated service.
PARTS = [replace(group("0"), role="decode"), replace(group("prefill"), role="prefill")]
RETRIED = {"configuration": {"type": "service", "retry": True}}

READY = replica(0)
IDLE = {"idle_since": ago(minutes=30)}


@dataclass(frozen=True)
class Case:
    """One thing that is wrong, and the same project without its cause."""

    wrong: Snapshot
    right: Snapshot
    kind: Kind
    severity: Severity
    subject: str
    words: str
    view: str


CASES = {
    "baseline": Case(
        chat(READY, placements=[placement(
            lane("a", min_replicas=2, deficit=1, reason="baseline 1 of 2: a has no room",
                 cause="a has no room"),
            desired={"0": 2})]),
        chat(READY, placements=[placement(lane("a", min_replicas=2), desired={"0": 2})]),
        Kind.BASELINE, CRITICAL, "chat", "a: baseline 1 of 2: a has no room", "distribution"),
    "baseline, as fewer are wanted": Case(
        chat(READY, placements=[placement(
            lane("a", min_replicas=2, deficit=1, reason="baseline 1 of 2: only 1 desired",
                 cause="only 1 desired"),
            desired={"0": 1})]),
        chat(READY, placements=[placement(lane("a", min_replicas=1), desired={"0": 1})]),
        Kind.BASELINE, WARNING, "chat", "a: baseline 1 of 2: only 1 desired", "distribution"),
    "baseline, worked out here": Case(
        chat(READY, spec=with_lanes([{"name": "a", "min_replicas": 1}, "gpu"], 1), has_lanes=True),
        chat(READY, spec=with_lanes([{"name": "gpu", "min_replicas": 1}], 1), has_lanes=True),
        Kind.BASELINE, CRITICAL, "chat", "a: baseline 0 of 1", "distribution"),
    "placement fails": Case(
        chat(READY, placements=[replace(placement(), fault="moving replicas fails (KeyError)")]),
        chat(READY, placements=[placement()]),
        Kind.SERVICE, WARNING, "chat", "placement: moving replicas fails (KeyError)",
        "distribution"),
    "a server without the add-on": Case(
        chat(READY, placements=[placement(replicas=[
            replace(placed(0, "gpu", "other-server"), since=ago(minutes=5)),
            replace(placed(1, "gpu", "other-server"), since=ago(minutes=2)),
            replace(placed(2, "gpu", "other-server"), since=ago(hours=2))])]),
        chat(READY, placements=[placement(replicas=[
            replace(placed(0, "gpu", "other-server"), since=ago(hours=2)),
            replace(placed(1, "gpu", "priority"), since=ago(minutes=2))])]),
        Kind.SERVICE, WARNING, "chat",
        "replicas 0, 1 were placed by a server without the placement add-on", "distribution"),
    "router down": Case(
        chat(READY, routers=[router(worker(0), status=RouterStatus.DOWN, message="Gone.")]),
        chat(READY, routers=[router(worker(0))]),
        Kind.ROUTER, CRITICAL, "chat", "the router does not answer", "router"),
    "router not ready": Case(
        chat(READY, routers=[router(
            worker(0, Sync.MISSING, router_health=None, wrong=80),
            worker(1, Sync.MISSING, router_health=None, wrong=80, probes_passed=True),
            worker(2, router_health="failed", wrong=100), status=RouterStatus.NOT_READY)]),
        chat(READY, routers=[router(worker(0), worker(1))]),
        Kind.ROUTER, CRITICAL, "chat",
        "the router has no worker that it calls ready: 0 of 3 (1 failed, 2 missing)", "router"),
    "router refuses": Case(
        chat(READY, routers=[router(status=RouterStatus.REFUSES)]),
        chat(READY, routers=[router(status=RouterStatus.UNKNOWN)]),
        Kind.ROUTER, WARNING, "chat", "the router refuses dstack", "router"),
    "worker failed": Case(
        chat(READY, replica(1, group="decode"), routers=[
            router(worker(0), worker(1, router_health="failed", wrong=100, message="No."))]),
        chat(READY, replica(1, group="decode"), routers=[router(worker(0), worker(1))]),
        Kind.WORKER, CRITICAL, "chat",
        "decode 1: failed for the router, and running for dstack", "router"),
    "worker missing": Case(
        chat(READY, routers=[router(
            worker(0, Sync.MISSING, router_health=None, wrong=80), ready=1)]),
        chat(READY, routers=[router(worker(0, Sync.PENDING, router_health=None, wrong=2))]),
        Kind.WORKER, WARNING, "chat", "0: not in the router's list", "router"),
    "worker ready and failing its probes": Case(
        chat(READY, routers=[router(worker(0, probes_passed=False, wrong=30), worker(1))]),
        chat(READY, routers=[router(worker(0, probes_passed=True), worker(1))]),
        Kind.WORKER, WARNING, "chat", "0: ready for the router while dstack's probes fail",
        "router"),
    "the only prefill worker fails its probes": Case(
        chat(READY, routers=[router(
            worker(0, probes_passed=False, wrong=30, role="prefill"), worker(1, role="decode"))]),
        chat(READY, routers=[router(worker(0, role="prefill"), worker(1, role="decode"))]),
        Kind.WORKER, CRITICAL, "chat",
        "0: ready for the router while dstack's probes fail, and no other prefill worker can"
        " take over",
        "router"),
    "worker let go": Case(
        chat(READY, routers=[router(worker(0, Sync.DRAINING, router_health="draining", wrong=45))]),
        chat(READY, routers=[router(worker(0, Sync.DRAINING, router_health="draining", wrong=5))]),
        Kind.WORKER, NOTICE, "chat", "0: dropped by the router though they run", "router"),
    "worker stale": Case(
        chat(READY, routers=[router(worker(0, Sync.STALE, wrong=50))]),
        chat(READY, routers=[router(worker(0, Sync.STALE, wrong=5))]),
        Kind.WORKER, WARNING, "chat", "0: listed, and no longer there", "router"),
    "worker at another address, and failed": Case(
        chat(READY, routers=[router(worker(0, Sync.DRIFT, router_health="failed", wrong=100))]),
        chat(READY, routers=[router(worker(0))]),
        Kind.WORKER, CRITICAL, "chat", "0: failed for the router", "router"),
    "worker of nobody": Case(
        chat(READY, routers=[router(worker(0), worker(
            9, Sync.FOREIGN, replica=None, job_status=None, url="http://h:8000", wrong=40))]),
        chat(READY, routers=[router(worker(0))]),
        Kind.WORKER, NOTICE, "chat", "http://h:8000: listed, and no replica", "router"),
    "instance unreachable": Case(
        fleet_of("idle", "busy", changes={"nodes_min": 2}, unreachable=True),
        fleet_of("idle", "busy", changes={"nodes_min": 2}),
        Kind.INSTANCE, WARNING, "gpu", "2 of 2 instances unreachable: 0, 1", "instances"),
    "instance failing": Case(
        fleet_of("busy", health="failure"),
        fleet_of("busy"),
        Kind.INSTANCE, WARNING, "gpu/0", "health failure", "instances"),
    "instance warned": Case(
        fleet_of("busy", health="warning"),
        fleet_of("busy"),
        Kind.INSTANCE, NOTICE, "gpu/0", "health warning", "instances"),
    "instance not up": Case(
        fleet_of("provisioning", created_at=ago(minutes=16)),
        fleet_of("provisioning", created_at=ago(minutes=14)),
        Kind.INSTANCE, WARNING, "gpu/0", "not up yet", "instances"),
    "replica pending": Case(
        chat(READY, stuck(1, "submitted", status_message="no capacity")),
        chat(READY, replica(1)),
        Kind.REPLICA, WARNING, "chat", "1: no place yet: no capacity", "replicas"),
    "replica that finds no place": Case(
        chat(READY, stuck(1, "failed", termination_reason=NO_PLACE, submitted_at=ago(seconds=9),
                          termination_message="No H100."), low=2, spec=RETRIED),
        chat(READY, stuck(1, "failed", termination_reason=NO_PLACE), low=1),
        Kind.REPLICA, WARNING, "chat", "1: no place yet: no capacity (No H100)", "replicas"),
    "replica starting": Case(
        chat(READY, stuck(1, "pulling")),
        chat(READY, replica(1)),
        Kind.REPLICA, WARNING, "chat", "1: not ready: pulling", "replicas"),
    "replica not ready": Case(
        chat(READY, stuck(1, "running")),
        chat(READY, replica(1)),
        Kind.REPLICA, WARNING, "chat", "1: not ready: it runs, and probe 1 has 1 of 3", "replicas"),
    "replica restarting": Case(
        chat(READY, replica(1, submission_num=4, submitted_at=ago(minutes=2))),
        chat(READY, replica(1, submission_num=4, submitted_at=ago(minutes=11))),
        Kind.REPLICA, WARNING, "chat", "1: started 5 times, and running now", "replicas"),
    "replica that finds no place, and no retry": Case(
        chat(READY, stuck(1, "failed", termination_reason=NO_PLACE, submitted_at=ago(seconds=9),
                          termination_message="Fleet is at capacity"), low=2),
        chat(READY, stuck(1, "submitted", submitted_at=ago(seconds=9)), low=2),
        Kind.REPLICA, CRITICAL, "chat",
        "1: no place yet: no capacity (Fleet is at capacity)", "replicas"),
    "replica failed": Case(
        chat(READY, stuck(1, "failed", termination_message="out of memory"), low=2, spec=RETRIED),
        chat(READY, replica(1), low=2),
        Kind.REPLICA, WARNING, "chat", "1: failed: out of memory", "replicas"),
    "replica that stops after a failure": Case(
        chat(READY, stuck(1, "terminating", **LOST), low=2, spec=RETRIED),
        chat(READY, stuck(1, "terminating", termination_reason="scaled_down"), low=2),
        Kind.REPLICA, WARNING, "chat", "1: failed: Instance is unreachable", "replicas"),
    "no replica ready": Case(
        chat(stuck(0, "running")),
        chat(READY),
        Kind.REPLICA, CRITICAL, "chat", "0: not ready", "replicas"),
    "no prefill worker ready": Case(
        chat(READY, stuck(1, "running", group="prefill"), groups=PARTS, router="smg"),
        chat(READY, replica(1, group="prefill"), groups=PARTS, router="smg"),
        Kind.REPLICA, CRITICAL, "chat", "prefill 1: not ready", "replicas"),
    "the router's replica": Case(
        chat(READY, stuck(1, "running", is_router=True, group="router"),
             groups=[group("0"), group("router", router="smg")]),
        chat(READY, replica(1, is_router=True, group="router"),
             groups=[group("0"), group("router", router="smg")]),
        Kind.REPLICA, CRITICAL, "chat", "router 1: not ready", "replicas"),
    "service failed": Case(
        chat(stuck(0, "failed"), status="failed", error="It broke.", ended_at=ago(hours=1)),
        chat(stuck(0, "failed"), status="failed", error="It broke.", ended_at=ago(hours=25)),
        Kind.SERVICE, CRITICAL, "chat", "failed: It broke.", "replicas"),
    "service that is being ended after a failure": Case(
        chat(stuck(0, "failed"), status="terminating", termination_reason="job_failed",
             submitted_at=ago(hours=30)),
        chat(stuck(0, "failed"), status="terminating", termination_reason="stopped_by_user"),
        Kind.SERVICE, CRITICAL, "chat", "is being ended after a failure", "replicas"),
    "service waiting": Case(
        chat(low=2, status="pending"),
        chat(low=0, status="pending"),
        Kind.SERVICE, CRITICAL, "chat", "pending: none of at least 2 replicas", "replicas"),
    "service waiting, with a schedule that is none": Case(
        chat(low=2, status="pending", spec={"configuration": {"schedule": None}}),
        chat(low=2, status="pending", spec={"configuration": {"schedule": {"cron": "0 8 * * *"}}}),
        Kind.SERVICE, CRITICAL, "chat", "pending: none of at least 2 replicas", "replicas"),
    "rollout stuck": Case(
        chat(READY, stuck(1, "running", deployment_num=1), deployment_num=1),
        chat(replica(0, deployment_num=1), replica(1, deployment_num=1), deployment_num=1),
        Kind.ROLLOUT, WARNING, "chat", "rollout stuck at 1 of 2: 1 is not ready: it runs",
        "rollout"),
    "rollout that goes on": Case(
        chat(READY, replica(1, deployment_num=1), deployment_num=1),
        chat(READY, replica(1, deployment_num=1, submitted_at=ago(minutes=9)), deployment_num=1),
        Kind.ROLLOUT, WARNING, "chat", "all replicas of it are ready, and the older ones stay",
        "rollout"),
    "fleet failed": Case(
        fleet_of(changes={"status": "failed", "status_message": "no offers"}),
        fleet_of(),
        Kind.FLEET, WARNING, "gpu", "the fleet failed: no offers", "instances"),
    "fleet short of nodes": Case(
        fleet_of("busy", changes={"nodes_min": 2}),
        fleet_of("busy", "provisioning", changes={"nodes_min": 2}, created_at=ago(minutes=1)),
        Kind.FLEET, WARNING, "gpu", "1 of at least 2 nodes", "instances"),
    "hosts that could not be set up": Case(
        hosts("10.0.0.1", "10.0.0.2", failed=2),
        hosts("10.0.0.1", "10.0.0.2", up=2),
        Kind.FLEET, WARNING, "lab",
        "2 of 2 hosts could not be set up: 10.0.0.1, 10.0.0.2 (Failed to add SSH instance in 600s)",
        "instances"),
    "host without an instance": Case(
        hosts("10.0.0.1", "10.0.0.2", up=1),
        hosts("10.0.0.1", "10.0.0.2", up=1, created_at=ago(minutes=1)),
        Kind.FLEET, NOTICE, "lab", "1 of 2 hosts has no instance: 10.0.0.2", "instances"),
    "idle": Case(
        fleet_of("idle", "idle", "busy", changes={"nodes_min": 1}, **IDLE),
        fleet_of("idle", "idle", "busy", changes={"nodes_min": 1}, idle_since=ago(minutes=4)),
        Kind.IDLE, NOTICE, "gpu", "2 instances idle above the minimum of 1", "instances"),
}  # fmt: skip
