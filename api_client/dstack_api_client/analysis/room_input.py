"""How many more replicas of each group a fleet can take, as far as the API shows it.

An idle instance counts for what it holds, by `requirements`; what the fleet may still create counts
only where neither its policies nor the server's offers rule it out. What can't be known is None.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping, Sequence

from dstack_api_client.analysis.requirements import (
    Requirements,
    UnreadableError,
    idle_blocks,
    span,
)
from dstack_api_client.analysis.spot_policies import SpotPolicy, policy_named
from dstack_api_client.model.cordon import Cordon
from dstack_api_client.model.fleet import Fleet, Instance
from dstack_api_client.model.labels import counted
from dstack_placement import engine
from dstack_placement.engine import mapping

NO_OFFER = "the server has no offer there that fits"
#: What a host holds is told once it has been connected to.
_NOT_UP = frozenset({"pending", "provisioning"})
_TAKES_ANY = Requirements(spot=SpotPolicy.AUTO)


def room(
    fleet: Fleet | None,
    here: Sequence[Instance],
    needs: Mapping[str, Requirements],
    offered: Mapping[str, bool] | None = None,
    cordons: Mapping[str, Cordon] | None = None,
) -> engine.Room:
    """The room in a fleet.

    Args:
        fleet: The fleet; None where it does not exist, or was not read.
        here: Its instances that are not going.
        needs: By replica group, what one asks for.
        offered: By group whether the server offers a new instance there, as far as it was asked.
        cordons: What is cordoned, by the id of the instance or the fleet: that is no room.
    """
    if fleet is None:
        return engine.Room()
    closed = cordons or {}
    if fleet.id in closed:
        return engine.Room(0, why=closed[fleet.id].line)
    open_here = [instance for instance in here if instance.id not in closed]
    if not needs:
        needs = {"": _TAKES_ANY}
    parts, unknown = idle_parts(open_here, needs)
    whys, new = {}, {}
    for group, need in needs.items():
        new[group], whys[group] = _creatable(fleet, here, need, (offered or {}).get(group), closed)
    takers = {group: 1 for group, more in new.items() if more != 0}
    if takers:  # one number for all that can have any: what `nodes` leaves
        parts.append(engine.Part(next(new[group] for group in takers), takers))
    why = next(filter(None, whys.values()), "")
    return engine.Room.of_parts(parts, needs, unknown=unknown, why=why, why_of=whys)


def idle_parts(
    here: Iterable[Instance], needs: Mapping[str, Requirements]
) -> tuple[list[engine.Part], set[str]]:
    """The instances that hold a replica now, the cheapest first, as dstack fills them.

    Args:
        here: The instances.
        needs: By replica group, what one asks for.

    Returns:
        They, and the groups of which it is not known what holds them.
    """
    parts: list[engine.Part] = []
    unknown: set[str] = set()
    for instance in sorted(here, key=lambda each: (each.price or 0.0, each.num)):
        left = idle_blocks(instance)
        taken = {group: need.blocks_in(instance) for group, need in needs.items()} if left else {}
        unknown.update(group for group, blocks in taken.items() if blocks is None)
        takes = {group: blocks for group, blocks in taken.items() if blocks and blocks <= left}
        if takes:
            parts.append(engine.Part(left, takes))
    return parts, unknown


def _creatable(
    fleet: Fleet,
    here: Sequence[Instance],
    need: Requirements,
    offered: bool | None,
    closed: Container[str],
) -> tuple[int | None, str]:
    """Instances that may still be created, None for no limit; and why there are no more."""
    if fleet.kind == "ssh":
        return 0, _of_hosts(here, need, closed)
    if need.reuse:
        return 0, "no idle instance fits, and the service creates none"
    ruled_out = _ruled_out(fleet, need)
    if ruled_out:
        return 0, ruled_out
    exist, left = "", None
    if fleet.nodes_max is not None:
        left = max(fleet.nodes_max - len(here), 0)
        verb = "exists" if fleet.nodes_max == 1 else "exist"
        nodes = counted(fleet.nodes_max, "node")
        free = [each for each in here if _is_idle(each) and each.id not in closed]
        unfit = any(need.blocks_in(each) == 0 for each in free)
        none = "no idle one fits a replica" if unfit else "none is idle"
        lost = sum(each.unreachable for each in here)
        exist = f"{len(here)} of at most {nodes} {verb}, {none}"
        exist += f", {lost} unreachable" if lost else ""
        barred = sum(each.id in closed for each in here)
        exist += f", {barred} cordoned" if barred else ""
        if not left:
            return 0, exist
    if offered is False:
        return 0, NO_OFFER
    return left, exist


def _ruled_out(fleet: Fleet, need: Requirements) -> str:
    """Why dstack can't combine what fleet and group ask for; empty where it can.

    As `combine_fleet_and_run_profiles` and `combine_fleet_and_run_requirements` do in dstack's
    `server/services/requirements/combine.py`.
    """
    policy = policy_named(fleet.spot_policy)
    if policy is not None and not need.spot.meets(policy):
        return f"it is {policy.value} only, and {need.spot.value} is asked for"
    gpu = mapping(mapping(mapping(fleet.spec.get("configuration")).get("resources")).get("gpu"))
    if need.gpu is None:
        return ""
    try:
        count = span(gpu.get("count"))
    except UnreadableError:
        return ""
    if need.gpu.count.apart(count):
        return "its instances have another number of GPUs than a replica takes"
    return ""


def _of_hosts(here: Sequence[Instance], need: Requirements, closed: Container[str]) -> str:
    blocks = [need.blocks_in(instance) for instance in here]
    sizes = {
        (number, instance.total_blocks)
        for number, instance in zip(blocks, here, strict=True)
        if number
    }
    told = [each for each in here if each.status not in _NOT_UP]
    if told and not any(number != 0 for number in blocks):
        return "its host fits no replica" if len(here) == 1 else "none of its hosts fits a replica"
    parts = [(taken, total) for taken, total in sizes if total > taken]
    if parts:
        taken, total = min(parts)
        return f"a replica takes {taken} of a host's {counted(total, 'block')}"
    if any(_is_idle(instance) and instance.id not in closed for instance in here):
        return "no idle host fits a replica"
    return engine.none_idle(
        ["cordoned" if instance.id in closed else _state(instance) for instance in here]
    )


def _state(instance: Instance) -> str:
    is_unhealthy = instance.health == "failure" and not instance.unreachable
    return "unhealthy" if is_unhealthy else instance.state


def _is_idle(instance: Instance) -> bool:
    usable = not instance.unreachable and instance.health != "failure"
    return usable and instance.status == "idle"
