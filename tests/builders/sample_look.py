"""What `get` reads besides the snapshot of `things`: placement, routers, problems, events."""

from __future__ import annotations

from dataclasses import replace

from dstack_api_client.edits.store.audit_log import AuditLine, ChangedField
from dstack_api_client.events.stream import Event, Target
from dstack_api_client.model.capabilities import Capabilities
from dstack_api_client.model.placement import Drain, LanePlacement, Placement, ReplicaPlacement
from dstack_api_client.model.replica import ReplicaKey
from dstack_api_client.model.router import RouterStatus, RouterView, Source, Sync, Worker
from dstack_api_client.model.traffic import Traffic
from dstack_api_client.problems.model import Affected
from dstack_api_client.problems.watch import Kind as ProblemKind
from dstack_api_client.problems.watch import Problem, Severity, problems_of
from dstack_api_client.replica.logs import LogLine
from dstack_fleets_tui.headless.looking import Asked, Look, Written
from dstack_placement.engine import Cause, Code, Lane, LaneWhy
from tests.builders import sample_project
from tests.builders.sample_project import NOW, ago

_CAUSES = (
    Cause(Code.FULL, "gpu-reserved"),
    Cause(Code.MORE_TO_COME, number=1),
    Cause(Code.COOLDOWN, "gpu-reserved", until=ago(minutes=-1)),
)
_PLACEMENT = Placement(
    run_id="chat-id",
    managed=True,
    observed_at=NOW,
    desired={},
    pools={"router": "", "prefill": "", "decode": "decode"},
    lanes=(
        LanePlacement("", Lane("gpu-reserved", 3, 4, 10), 3, 2, 2, 0, 1, ago(minutes=3), 0, 0,
                      ago(minutes=-1), "baseline 2 of 3: gpu-reserved has no room",
                      code="below_minimum", cause="gpu-reserved has no room",
                      why=LaneWhy(Code.BELOW_MINIMUM, 2, 3, _CAUSES)),
        LanePlacement("decode", Lane("gpu-spot"), 2, 1, 0, 0, 0, None, 1, 3, None,
                      "gpu-spot has room for 3 more"),
    ),
    replicas=(
        ReplicaPlacement(2, "decode", "j-chat-2", "gpu-spot", "fallback",
                         "gpu-reserved has no room", ago(minutes=3)),
        ReplicaPlacement(3, "decode", "j-chat-3", None, None, "every lane is full", None),
    ),
    notes=("Group decode is in a rolling deployment.",),
    rebalancing_since=ago(minutes=4),
    rebalancing_left=2,
    draining=(
        Drain("j-chat-4", ago(seconds=41), 60, 3),
        Drain("j-chat-5", ago(seconds=2), 1800, None),
    ),
)  # fmt: skip
#: Replicas that drain.
_GOING = {
    replica.key: replica
    for replica in (
        sample_project.replica("chat", number, group="decode", status="terminating",
                               status_message="terminating", ready=False,
                               termination_reason="scaled_down", instance_id=None,
                               fleet_id="gpu-spot-id", fleet_name="gpu-spot")
        for number in (4, 5)
    )
}  # fmt: skip
_CHAT = sample_project.SNAPSHOT.services["chat-id"]
_ROUTER = RouterView(
    run_id="chat-id",
    kind="smg",
    status=RouterStatus.READY,
    source=Source.SERVER,
    observed_at=ago(seconds=2),
    last_sync_at=ago(seconds=4),
    ready=1,
    expected=2,
    workers=(
        Worker("2", Sync.IN_SYNC, "failed", "running", "decode", 0, "llama-70b",
               "http://10.0.0.7:8000", ReplicaKey("chat-id", 2, 0), "decode", "gpu-spot", False,
               ago(minutes=2), "dstack will not repair this.", 100),
        Worker("1", Sync.IN_SYNC, "ready", "running", "prefill", 12, "llama-70b",
               "http://10.0.1.7:8000", ReplicaKey("chat-id", 1, 0), "prefill", "gpu-reserved",
               True),
        Worker("x", Sync.FOREIGN, message="No replica of this service.", wrong=40),
        Worker("9", Sync.STALE, "draining", url="http://10.0.9.7:8000",
               replica=ReplicaKey("chat-id", 9, 0), wrong=50),
    ),
)  # fmt: skip
_SELF_MANAGED = RouterView(
    "plain-id", "dynamo", RouterStatus.NOT_MANAGED, Source.NONE, "It finds its workers itself."
)
SNAPSHOT = replace(
    sample_project.SNAPSHOT,
    services={
        **sample_project.SNAPSHOT.services,
        "chat-id": replace(_CHAT, replica_keys=(*_CHAT.replica_keys, *_GOING)),
    },
    replicas={**sample_project.SNAPSHOT.replicas, **_GOING},
    capabilities=Capabilities("0.22.5", True, "1.0", frozenset({"placement", "router"})),
    placements={"chat-id": _PLACEMENT},
    routers={"chat-id": _ROUTER, "plain-id": _SELF_MANAGED},
    traffic={"chat-id": Traffic(192, 60, 0.41)},
)
LOOK = Look(
    SNAPSHOT,
    (
        *problems_of(SNAPSHOT, NOW),
        Problem("k", ProblemKind.FLEET, Severity.NOTICE, "gone", "odd", price=9.5,
                affects=(Affected("chat"),)),
    ),
    (
        Event("e-1", ago(minutes=9), "Run submitted. Status: SUBMITTED", "admin",
              (Target("run", "chat-id", "chat"),)),
        Event("e-2", ago(minutes=8), "Job assigned to instance", None,
              (Target("job", "j-chat-2", "chat-0-2"), Target("instance", "i", "gpu-spot-0"))),
        Event("e-3", ago(minutes=7),
              "Run updated. Deployment: 7. Changed fields: replicas, priority", "ada",
              (Target("run", "chat-id", "chat"),)),
        Event("e-4", ago(minutes=6), "Run status changed SUBMITTED -> RUNNING", None,
              (Target("run", "chat-id", "chat"),)),
    ),
    changes=(
        AuditLine(ago(minutes=7), "ada", "ada", "http://127.0.0.1:3000", "main", "service", "chat",
                  "apply", (ChangedField("priority", "40", "50"),), "applied"),
    ),
    lines=(
        Written(LogLine(0, ago(minutes=2), "INFO ready", of="decode 2"),
                SNAPSHOT.replicas[ReplicaKey("chat-id", 2, 0)]),
        Written(LogLine(1, ago(minutes=1), "out of memory", left_out=True, of="decode 9"), None),
    ),
)  # fmt: skip
#: The same where no way led to the router of `plain`.
UNREAD = replace(
    LOOK,
    snapshot=replace(
        SNAPSHOT,
        routers={
            "chat-id": _ROUTER,
            "plain-id": RouterView(
                "plain-id", "smg", RouterStatus.UNKNOWN, Source.NONE, "No way there."
            ),
        },
    ),
)


def asked(kind: str, name: str | None = None, *, ended: bool = False) -> Asked:
    return Asked(kind, name, ended)
