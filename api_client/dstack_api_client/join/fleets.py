"""Fleets and instances, made from a server's answers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from dstack_api_client.join.locate import NONE_IMPORTED, fleet_of_instance
from dstack_api_client.model.fleet import BY_USER, INSTANCE_GONE, Fleet, Instance
from dstack_api_client.model.gpus import Gpus
from dstack_api_client.model.replica import ReplicaKey
from dstack_api_client.model.short_forms import read_nodes
from dstack_api_client.text import one_line
from dstack_api_client.transport import wire
from dstack_api_client.transport.wire_values import LazySpec
from dstack_placement.engine import mapping

#: What the server takes where a fleet says nothing.
_DEFAULT_SPOT_POLICY = "on-demand"
_DURATIONS = ((86400, "d"), (3600, "h"), (60, "m"), (1, "s"))


def gpus_of(kind: wire.InstanceType | None) -> Gpus | None:
    """The GPUs of an instance type, which are all of one kind."""
    if kind is None or not kind.resources.gpus:
        return None
    gpus = kind.resources.gpus
    first = gpus[0]
    return Gpus(one_line(first.name), len(gpus), first.memory_mib, _text(first.vendor))


def instance_of(
    instance: wire.Instance,
    jobs: tuple[ReplicaKey, ...],
    idle_since: datetime | None,
    imported: Mapping[str, str] = NONE_IMPORTED,
) -> Instance:
    """Makes an instance of the server's answer and of what is known from elsewhere.

    Args:
        instance: The server's answer.
        jobs: The jobs that run on it.
        idle_since: When it became idle, if an event told.
        imported: The names of fleets of other projects, by id.
    """
    kind = instance.instance_type
    resources = kind.resources if kind else wire.Resources()
    total = instance.total_blocks or 1
    return Instance(
        id=instance.id,
        name=one_line(instance.name),
        num=instance.instance_num,
        fleet_id=instance.fleet_id,
        fleet_name=fleet_of_instance(instance, imported),
        status=instance.status,
        unreachable=bool(instance.unreachable),
        health=instance.health_status or "healthy",
        hostname=_text(instance.hostname),
        backend=_text(instance.backend),
        region=_text(instance.region),
        availability_zone=_text(instance.availability_zone),
        instance_type=_text(kind.name) if kind else None,
        cpus=resources.cpus,
        memory_mib=resources.memory_mib,
        disk_mib=resources.disk.size_mib if resources.disk else 0,
        gpus=gpus_of(kind),
        gpu_driver=_text(instance.gpu_driver.version) if instance.gpu_driver else None,
        spot=resources.spot,
        price=instance.price,
        total_blocks=total,
        busy_blocks=max(0, min(instance.busy_blocks or 0, total)),
        created_at=instance.created,
        finished_at=instance.finished_at,
        termination_reason=_text(instance.termination_reason),
        termination_message=_text(instance.termination_reason_message),
        idle_since=idle_since if instance.status == "idle" else None,
        jobs=jobs,
        cpu_arch=_text(resources.cpu_arch),
        project=_text(instance.project_name),
    )


def fleet_of(
    fleet: wire.Fleet,
    instances: Sequence[Instance],
    *,
    replicas: int,
    other_jobs: int,
    unplaced: int = 0,
    imported: Mapping[str, str] = NONE_IMPORTED,
) -> Fleet:
    """Makes a fleet of the server's answer and of its instances.

    Args:
        fleet: The server's answer.
        instances: Its instances.
        replicas: How many replicas of services are here or being started here.
        other_jobs: How many jobs of other runs are here.
        unplaced: Of how many jobs here the instance is not known.
        imported: The names of fleets of other projects, by id.
    """
    spec = LazySpec(bytes(fleet.spec))
    configuration = mapping(spec.get("configuration"))
    profile = mapping(spec.get("profile"))
    there = sorted((i for i in instances if i.status != "terminated"), key=_by_number)
    usable = [instance for instance in there if instance.status not in INSTANCE_GONE]
    hosts = mapping(configuration.get("ssh_config")).get("hosts")
    is_ssh = configuration.get("ssh_config") is not None
    low, target, high = _hosts_as_nodes(hosts) if is_ssh else _nodes(configuration.get("nodes"))

    def setting(name: str) -> Any:
        value = configuration.get(name)
        return profile.get(name) if value is None else value

    backends = setting("backends")
    failed = _failed(fleet, imported) if is_ssh else ()
    return Fleet(
        id=fleet.id,
        name=imported.get(fleet.id) or one_line(fleet.name),
        project=one_line(fleet.project_name),
        status=fleet.status,
        status_message=_text(fleet.status_message),
        created_at=fleet.created_at,
        kind="ssh" if is_ssh else "cloud",
        nodes_min=low,
        nodes_target=target,
        nodes_max=high,
        spot_policy=None if is_ssh else _word(setting("spot_policy")) or _DEFAULT_SPOT_POLICY,
        backends=(
            tuple(one_line(str(backend)) for backend in backends)
            if isinstance(backends, list) and backends
            else tuple(sorted({i.backend for i in there if i.backend}))
        ),
        placement=_word(configuration.get("placement")),
        reservation=_word(setting("reservation")),
        idle_duration=None if is_ssh else _duration(setting("idle_duration")),
        instance_ids=tuple(instance.id for instance in there),
        states=dict(sorted(Counter(instance.state for instance in there).items())),
        unhealthy=sum(instance.health != "healthy" for instance in usable),
        gpu_name=", ".join(sorted({i.gpus.name for i in usable if i.gpus})) or None,
        gpus_busy=sum((instance.gpus_busy for instance in usable), 0.0),
        gpus_total=sum(instance.gpus.count for instance in usable if instance.gpus),
        blocks_busy=sum(instance.busy_blocks for instance in usable),
        blocks_total=sum(instance.total_blocks for instance in usable),
        price=sum((i.price or 0.0 for i in there if i.status != "pending"), 0.0),
        replicas=replicas,
        other_jobs=other_jobs,
        spec=spec,
        spec_digest=spec.digest(),
        unplaced=unplaced,
        shared_numbers=frozenset(
            num for num, count in Counter(i.num for i in (*there, *failed)).items() if count > 1
        ),
        failed=failed,
    )


def _failed(fleet: wire.Fleet, imported: Mapping[str, str]) -> tuple[Instance, ...]:
    """The hosts that dstack gave up; one that a user deletes is in no list once it is gone."""
    ended = [each for each in fleet.instances or () if each.status == "terminated"]
    made = (instance_of(each, (), None, imported) for each in ended)
    return tuple(sorted((i for i in made if i.termination_reason != BY_USER), key=_by_number))


def _by_number(instance: Instance) -> tuple[int, str]:
    return (instance.num, instance.id)


def _nodes(nodes: Any) -> tuple[int | None, int | None, int | None]:
    """Smallest, wanted and largest number."""
    read = read_nodes(nodes)
    return (read.least, read.target, read.greatest) if read is not None else (None, None, None)


def _hosts_as_nodes(hosts: Any) -> tuple[int | None, int | None, int | None]:
    count = len(hosts) if isinstance(hosts, list) else None
    return count, count, count


def _duration(value: Any) -> str | None:
    """Seconds as people write them; a negative number means that idling never ends."""
    if isinstance(value, str) or value is None:
        return _word(value)
    if not isinstance(value, int) or value is False or value < 0:
        return "off"
    for unit, letter in _DURATIONS:
        if value and value % unit == 0:
            return f"{value // unit}{letter}"
    return "0s"


def _word(value: Any) -> str | None:
    return one_line(value) if isinstance(value, str) and value else None


def _text(text: str | None) -> str | None:
    return one_line(text) if text else None
