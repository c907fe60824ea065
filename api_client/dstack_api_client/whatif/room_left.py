"""The room that a loss leaves, and what of it is taken already."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace

from dstack_api_client.analysis.lane_input import members
from dstack_api_client.analysis.requirements import Requirements
from dstack_api_client.analysis.room_input import room
from dstack_api_client.model.fleet import Fleet, Instance
from dstack_api_client.model.snapshot import Snapshot
from dstack_api_client.whatif.loss import Loss
from dstack_placement import engine

#: Why a fleet whose nodes are limited creates none in the place of one that is lost.
_STILL_COUNTS = "what is lost counts as a node until dstack gives it up, for 20 minutes"


class Left:
    """What is left of a project, and what of that is taken already.

    Attributes:
        snapshot: The project without what is lost, with what is taken.
        whole: The project as it is.
        loss: What is lost.
        taken: Replicas that services have placed, less those that they have taken away, by fleet.
    """

    def __init__(self, snapshot: Snapshot, loss: Loss) -> None:
        self.snapshot = loss.left(snapshot)
        self.loss = loss
        self.taken: Counter[str] = Counter()
        self.whole = snapshot

    def rooms(
        self, known: Mapping[str, engine.Room], needs: Mapping[str, Requirements]
    ) -> dict[str, engine.Room]:
        """The room in fleets, as far as it is left.

        Args:
            known: The same as it is now, by the names of fleets.
            needs: What a replica of each group asks for.
        """
        return {name: self._room(name, now, needs) for name, now in known.items()}

    def _room(self, name: str, now: engine.Room, needs: Mapping[str, Requirements]) -> engine.Room:
        fleet = self.whole.fleet_named(name)
        if fleet is None:
            return now
        if fleet.id in self.loss.fleets:
            return engine.Room(0, why=self.loss.why_closed(fleet))
        if now.more is not None and not self.loss.touches(fleet):
            return self._less(name, now, needs) if name in self.taken else now
        here = members(self.snapshot).get(fleet.id, [])
        why = self.loss.why_closed(fleet)
        if not why:
            # dstack counts a host that it can't reach as a node until it gives it up.
            lost = len(self.loss.instances.intersection(fleet.instance_ids))
            left = self.snapshot.fleet_named(name)
            if lost and left is not None and left.nodes_max is not None:
                left = replace(left, nodes_max=max(left.nodes_max - lost, 0))
            found = room(left, here, needs, cordons=self.snapshot.cordons)
            # Hosts of one's own are no nodes that another could take the place of.
            if lost and not found.more and fleet.kind != "ssh":
                return replace(found, why=_STILL_COUNTS, why_of={})
            return found
        found = room(
            replace(fleet, nodes_max=len(here)), here, needs, cordons=self.snapshot.cordons
        )
        return replace(found, why=why, why_of={})

    def _less(self, name: str, now: engine.Room, needs: Mapping[str, Requirements]) -> engine.Room:
        """The room of a fleet that loses nothing, less what was taken of it.

        What was taken counts for the groups that could have had it, as far as instances tell.
        """
        before, after = (_seen_in(each, name, needs) for each in (self.whole, self.snapshot))
        if now == before:
            return after

        def left(group: str | None) -> int | None:
            known, was, is_now = (_limit(each, group) for each in (now, before, after))
            if known is None:
                return None
            gone = self.taken[name] if was is None or is_now is None else was - is_now
            return max(known - gone, 0)

        found = {group: left(group) for group in {*needs, *now.more_of}}
        return replace(
            now,
            more=left(None),
            more_of={group: more for group, more in found.items() if more is not None},
        )

    def take(self, name: str, need: Requirements) -> str | None:
        """Notes that a replica starts in a fleet: on an idle instance that fits, or a new one.

        Returns:
            The id of the instance; None for a new one.
        """
        self.taken[name] += 1
        fleet = self.snapshot.fleet_named(name)
        if fleet is None:
            return None
        idle = next(
            (
                each
                for each in members(self.snapshot).get(fleet.id, [])
                if need.idle_places(each) and self.snapshot.cordon_of(each) is None
            ),
            None,
        )
        if idle is not None:
            blocks = idle.busy_blocks + (need.blocks_in(idle) or idle.total_blocks)
            self._put(replace(idle, busy_blocks=min(blocks, idle.total_blocks), status="busy"))
            return idle.id
        self._add_nodes(fleet, -1)
        return None

    def give(self, name: str, instance_id: str | None, need: Requirements) -> None:
        """Notes that a replica is gone from a fleet: others may have its place.

        Args:
            name: The fleet.
            instance_id: Where it was; None for an instance that was created in thought.
            need: What it asked for.
        """
        fleet = self.snapshot.fleet_named(name)
        if instance_id is None:
            self.taken[name] -= 1
            if fleet is not None:
                self._add_nodes(fleet, 1)
            return
        instance = self.snapshot.instances.get(instance_id)
        if instance is None or self.snapshot.cordon_of(instance) is not None:
            return
        self.taken[name] -= 1
        blocks = instance.busy_blocks - (need.blocks_in(instance) or instance.total_blocks)
        status = "busy" if blocks > 0 else "idle"
        self._put(replace(instance, busy_blocks=max(blocks, 0), status=status))

    def _put(self, instance: Instance) -> None:
        instances = {**self.snapshot.instances, instance.id: instance}
        self.snapshot = replace(self.snapshot, instances=instances)

    def _add_nodes(self, fleet: Fleet, number: int) -> None:
        if fleet.nodes_max is not None:
            new = replace(fleet, nodes_max=max(fleet.nodes_max + number, 0))
            self.snapshot = replace(self.snapshot, fleets={**self.snapshot.fleets, fleet.id: new})


def _seen_in(snapshot: Snapshot, name: str, needs: Mapping[str, Requirements]) -> engine.Room:
    """The room that a fleet's instances show."""
    fleet = snapshot.fleet_named(name)
    here = members(snapshot).get(fleet.id, []) if fleet is not None else []
    return room(fleet, here, needs, cordons=snapshot.cordons)


def _limit(found: engine.Room, group: str | None) -> int | None:
    """How many more of a group a room takes, or of all of them."""
    return found.more if group is None else found.more_of.get(group, found.more)
