"""A small project in which everything occurs once: what is set, what is missing, what is odd."""

from __future__ import annotations

from collections import Counter
from datetime import datetime, timedelta, timezone
from typing import Any

from dstack_api_client.model.fleet import Fleet, Instance
from dstack_api_client.model.gpus import Gpus
from dstack_api_client.model.pulls import Pull
from dstack_api_client.model.replica import Link, Probe, Replica, ReplicaKey
from dstack_api_client.model.service import FleetShare, Group, OtherRun, Service
from dstack_api_client.model.snapshot import ServerInfo, Snapshot
from tests.builders import snapshots

NOW = datetime(2026, 5, 1, 12, 0, 0, 250_000, timezone.utc)
#: Stands in specs, and must never be printed.
SECRET = "hunter2-is-the-password"


def ago(**span: float) -> datetime:
    return NOW.replace(microsecond=0) - timedelta(**span)


def instance(fleet: str, num: int, **changes: Any) -> Instance:
    """A busy instance, named as the server names those of a fleet."""
    values: dict[str, Any] = {
        "id": f"{fleet}-{num}-id",
        "num": num,
        "fleet_id": f"{fleet}-id",
        "fleet_name": fleet,
        "hostname": f"10.0.{num}.7",
        "availability_zone": "us-east-1a",
        "gpu_driver": "570.1",
        "created_at": ago(days=2),
    }
    return snapshots.instance(f"{fleet}-{num}", **{**values, **changes})


def fleet(name: str, members: list[Instance], **changes: Any) -> Fleet:
    """A fleet that adds its members up."""
    here = [each for each in members if each.status != "terminated"]
    values: dict[str, Any] = {
        "id": f"{name}-id",
        "created_at": ago(days=12),
        "nodes_min": 2,
        "nodes_target": 2,
        "idle_duration": None,
        "instance_ids": tuple(each.id for each in here),
        "states": Counter(each.state for each in here),
        "unhealthy": sum(each.health != "healthy" for each in here),
        "gpu_name": "H100" if any(each.gpus for each in here) else None,
        "gpus_busy": sum(each.gpus_busy for each in here),
        "gpus_total": sum(each.gpus.count for each in here if each.gpus),
        "blocks_busy": sum(each.busy_blocks for each in here),
        "blocks_total": sum(each.total_blocks for each in here),
        "price": sum(each.price or 0 for each in here),
        "replicas": 0,
        "spec": {"configuration": {"env": {"PASSWORD": SECRET}}},
    }
    return snapshots.fleet(name, **{**values, **changes})


def replica(service: str, num: int, **changes: Any) -> Replica:
    """A replica that runs on the first instance of gpu-reserved."""
    values: dict[str, Any] = {
        "key": ReplicaKey(f"{service}-id", num, 0),
        "deployment_num": 7,
        "submitted_at": ago(hours=5),
        "probes": (Probe(3, 3),),
        "hostname": "10.0.0.7",
        "instance_id": "gpu-reserved-0-id",
        "fleet_id": "gpu-reserved-id",
        "fleet_name": "gpu-reserved",
    }
    return snapshots.replica(service, num, **{**values, **changes})


def service(name: str, replicas: list[Replica], **changes: Any) -> Service:
    """A service whose replicas all run."""
    values: dict[str, Any] = {
        "id": f"{name}-id",
        "submitted_at": ago(hours=6),
        "at_deployment": len(replicas),
        "active": len(replicas),
        "running": len(replicas),
        "ready": len(replicas),
        "groups": (),
        "fleet_name": None,
        "shares": (),
        "price": sum(each.price or 0 for each in replicas),
        "url": None,
        "replica_keys": tuple(each.key for each in replicas),
        "spec": {"configuration": {"env": {"PASSWORD": SECRET}}},
    }
    return snapshots.service(name, **{**values, **changes})


def _snapshot() -> Snapshot:
    chat = [
        replica("chat", 0, group="router", is_router=True, gpus=None, instance_id=None,
                hostname="10.0.9.9", link=Link.RUN_FLEET, probes=()),
        replica("chat", 1, group="prefill", reservation="cr-0f3a"),
        replica("chat", 2, group="decode", ready=False, probes=(Probe(1, 3), Probe(0, 2)),
                spot=True, price=31.05, deployment_num=6, instance_id="gpu-spot-0-id",
                fleet_id="gpu-spot-id", fleet_name="gpu-spot", link=Link.HOST),
        replica("chat", 3, group="decode", status="submitted", status_message="submitted",
                ready=False, hostname=None, backend=None, region=None, spot=None, gpus=None,
                price=None, instance_id=None, fleet_id=None, fleet_name=None,
                link=Link.UNKNOWN),
    ]  # fmt: skip
    plain = [replica("plain", 0, fleet_name="edge-l4", fleet_id="edge-l4-id",
                     instance_id="edge-l4-0-id", gpus=Gpus("L4", 1, 24576), price=0.81,
                     deployment_num=0)]  # fmt: skip
    broken = [replica("broken", 0, status="failed", status_message="failed", ready=False,
                      finished_at=ago(minutes=7), exit_status=137, submission_num=2,
                      termination_reason="container_exited_with_error",
                      termination_message="out of\nmemory", price=None, deployment_num=0,
                      pull=Pull(3_435_973_837, 1_181_116_006, 12_884_901_888, True))]  # fmt: skip
    train = replica("train", 0, run_type="task", user="ann", nodes=2, node_group="trainer",
                    instance_id="lab-0-id", fleet_id="lab-id",
                    fleet_name="lab", deployment_num=0)  # fmt: skip
    instances = [
        instance("edge-l4", 0, gpus=Gpus("L4", 8, 24576), total_blocks=8, busy_blocks=5,
                 price=6.5, jobs=(plain[0].key,)),
        instance("gpu-reserved", 0, jobs=(chat[1].key,)),
        instance("gpu-reserved", 1, status="idle", busy_blocks=0, idle_since=ago(minutes=20)),
        instance("gpu-reserved", 2, status="terminated", busy_blocks=0,
                 finished_at=ago(days=1), termination_reason="idle_timeout"),
        instance("gpu-spot", 0, spot=True, price=31.05, total_blocks=16, busy_blocks=9,
                 jobs=(chat[2].key,)),
        instance("gpu-spot", 1, status="idle", unreachable=True, health="warning", price=0.0,
                 busy_blocks=0),
        instance("gpu-spot", 2, status="provisioning", hostname=None, region=None, price=None,
                 availability_zone=None, instance_type=None, backend=None, gpu_driver=None,
                 busy_blocks=0),
        instance("lab", 0, backend="ssh", region="remote", price=0.0, jobs=(train.key,)),
        instance("lab", 1, backend="ssh", region="remote", price=0.0, project="other"),
        instance("old", 0, fleet_id=None, fleet_name=None, gpus=None, status="terminating",
                 termination_reason="terminated_by_user", finished_at=ago(minutes=1),
                 termination_message="stopped by admin"),
    ]  # fmt: skip

    def members(name: str) -> list[Instance]:
        return [each for each in instances if each.fleet_name == name]

    fleets = [
        fleet("cpu", [], nodes_min=0, nodes_target=0, nodes_max=3, spot_policy=None, backends=()),
        fleet("edge-l4", members("edge-l4"), gpu_name="L4", replicas=1, idle_duration="1h"),
        fleet("gpu-reserved", members("gpu-reserved"), replicas=2, placement="cluster",
              reservation="cr-0f3a"),
        fleet("gpu-spot", members("gpu-spot"), nodes_min=0, nodes_target=1, nodes_max=None,
              replicas=1, spot_policy="spot"),
        fleet("lab", members("lab"), kind="ssh", nodes_min=None, nodes_target=None,
              nodes_max=None, backends=("ssh",), other_jobs=1, status="terminating",
              status_message="being deleted"),
    ]  # fmt: skip
    services = [
        service("plain", plain, fleet_name="edge-l4", shares=(
            FleetShare("edge-l4", "edge-l4-id", 1, 1, 0, 0, 1, 0.81),),
            groups=(Group("0", 1, 1, None, 1, 1, 1),)),
        service("chat", chat, priority=50, deployment_num=7, at_deployment=3, running=3, ready=2,
                replicas_min=3, replicas_max=6, autoscaled=True, router="smg",
                url="https://chat.example", model="llama-70b",
                groups=(Group("router", 1, 1, "smg", 1, 1, 1),
                        Group("prefill", 1, 1, None, 1, 1, 1, "prefill", "on-demand", "cr-0f3a"),
                        Group("decode", 1, None, None, 2, 1, 0, "decode", "spot")),
                shares=(FleetShare("gpu-reserved", "gpu-reserved-id", 2, 2, 0, 0, 1, 196.64),
                        FleetShare("gpu-spot", "gpu-spot-id", 1, 0, 0, 1, 1, 31.05),
                        FleetShare(None, None, 0, 0, 1, 0, 0, 0.0))),
        service("broken", broken, status="failed", status_message="failed", active=0, running=0,
                ready=0, at_deployment=0, error="Replica failed: out of memory",
                replicas_max=None),
        service("finished", [], status="done", status_message="done",
                groups=(Group("0", 1, 1, None, 0, 0, 0, None, "on-demand", "cr-0f3a"),
                        Group("1", 0, None, None, 0, 0, 0, None, "spot"))),
    ]  # fmt: skip
    task = OtherRun("train-id", "train", "task", "admin", "running", ago(hours=1), "lab", 0.0,
                    (train.key,))  # fmt: skip
    return Snapshot(
        server=ServerInfo("https://dstack.example", "0.22.5"),
        project="main",
        observed_at=NOW,
        fleets={each.id: each for each in fleets},
        instances={each.id: each for each in instances},
        services={each.id: each for each in services},
        other_runs={task.id: task},
        replicas={each.key: each for each in (*chat, *plain, *broken, train)},
    )


SNAPSHOT = _snapshot()
