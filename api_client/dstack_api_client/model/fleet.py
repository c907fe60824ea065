"""A fleet and its instances."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from dstack_api_client.model.gpus import Gpus
from dstack_api_client.model.replica import ReplicaKey

#: Statuses of an instance that is going or gone.
INSTANCE_GONE = frozenset({"terminating", "terminated"})
#: Why an instance ends that a user deleted.
BY_USER = "terminated_by_user"
#: Why an instance ends that never came up.
SETUP_FAILED = frozenset({"error", "provisioning_timeout"})


@dataclass(frozen=True, slots=True)
class Instance:
    """An instance of a fleet, with the jobs that run on it."""

    id: str
    name: str
    num: int
    fleet_id: str | None
    fleet_name: str | None
    status: str
    """pending, provisioning, idle, busy, terminating or terminated."""
    unreachable: bool
    health: str
    """healthy, warning or failure."""
    hostname: str | None
    backend: str | None
    region: str | None
    availability_zone: str | None
    instance_type: str | None
    cpus: int
    memory_mib: int
    disk_mib: int
    gpus: Gpus | None
    gpu_driver: str | None
    spot: bool
    price: float | None
    """Dollars per hour."""
    total_blocks: int
    busy_blocks: int
    created_at: datetime
    finished_at: datetime | None
    termination_reason: str | None
    termination_message: str | None
    idle_since: datetime | None
    """When it became idle, from the event feed; None when busy or not seen."""
    jobs: tuple[ReplicaKey, ...]
    """Jobs that run here now, services' and others'."""
    cpu_arch: str | None = None
    """`x86` or `arm`; None where the server does not say."""
    project: str | None = None
    """The project that it was made for: of a fleet that is lent, maybe the borrower."""

    @property
    def state(self) -> str:
        """The status, or `unreachable`, which counts more than the status."""
        if self.unreachable and self.status not in INSTANCE_GONE:
            return "unreachable"
        return self.status

    @property
    def gpus_busy(self) -> float:
        """GPUs in use: the instance's, times its share of busy blocks."""
        if self.gpus is None or not self.total_blocks:
            return 0.0
        return self.gpus.count * self.busy_blocks / self.total_blocks


@dataclass(frozen=True, slots=True)
class Fleet:
    """A fleet with what its instances add up to (terminated ones left out)."""

    id: str
    name: str
    """`project/name` for one that another project lends, as lanes name it."""
    project: str
    status: str
    status_message: str | None
    created_at: datetime
    kind: str
    """`cloud` (the server provisions) or `ssh` (hosts that exist)."""
    nodes_min: int | None
    nodes_target: int | None
    nodes_max: int | None
    """None without a limit; for SSH fleets all three are the number of hosts."""
    spot_policy: str | None
    backends: tuple[str, ...]
    """As configured, else as its instances show."""
    placement: str | None
    reservation: str | None
    idle_duration: str | None
    instance_ids: tuple[str, ...]
    """In the order of their numbers; terminated ones left out."""
    states: Mapping[str, int]
    """Instances by `Instance.state`."""
    unhealthy: int
    gpu_name: str | None
    """None without GPUs; names joined by a comma where they differ."""
    gpus_busy: float
    gpus_total: int
    blocks_busy: int
    blocks_total: int
    price: float
    """Dollars per hour of all its instances that cost something now."""
    replicas: int
    """Replicas of services that have an instance here or are being started here."""
    other_jobs: int
    """Jobs of tasks and dev environments here."""
    spec: Mapping[str, Any] = field(repr=False, compare=False)
    """The whole spec as received (cleaned, not masked)."""
    spec_digest: bytes = field(repr=False)
    """Stands for `spec` in comparisons."""
    unplaced: int = 0
    """Jobs here of which it is not known on which instance they are."""
    shared_numbers: frozenset[int] = frozenset()
    """Numbers that more than one of its instances has, hosts that failed among them."""
    failed: tuple[Instance, ...] = ()
    """Hosts of an SSH fleet that could not be set up: the server lists them, terminated, until
    somebody deletes them."""
