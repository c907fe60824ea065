"""The room that a loss leaves, and what of it is taken already."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace

from dstack_api_client.analysis.lane_input import members
from dstack_api_client.analysis.requirements import Requirements
from dstack_api_client.analysis.room_input import room
from dstack_api_client.model.snapshot import Snapshot
from dstack_api_client.whatif.loss import Loss
from dstack_placement import engine

#: Why a fleet whose nodes are limited creates none in the place of one that is lost.
_STILL_COUNTS = "what is lost counts as a node until dstack gives it up, for 20 minutes"


class Left:
    """What is left of a project, and what of that is taken already.

    Attributes:
        snapshot: The project without what is lost, with what is taken.
        loss: What is lost.
        taken: Replicas that services before have placed, by fleet.
    """

    def __init__(self, snapshot: Snapshot, loss: Loss) -> None:
        self.snapshot = loss.left(snapshot)
        self.loss = loss
        self.taken: Counter[str] = Counter()
        self._whole = snapshot

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
        fleet = self._whole.fleet_named(name)
        if fleet is None:
            return now
        if fleet.id in self.loss.fleets:
            return engine.Room(0, why=self.loss.why_closed(fleet))
        if now.more is not None and not self.loss.touches(fleet):
            return replace(now, more=max(now.more - self.taken[name], 0))
        here = members(self.snapshot).get(fleet.id, [])
        why = self.loss.why_closed(fleet)
        if not why:
            # dstack counts a host that it can't reach as a node until it gives it up.
            lost = len(self.loss.instances.intersection(fleet.instance_ids))
            left = self.snapshot.fleet_named(name)
            if lost and left is not None and left.nodes_max is not None:
                left = replace(left, nodes_max=max(left.nodes_max - lost, 0))
            found = room(left, here, needs, cordons=self.snapshot.cordons)
            return (
                replace(found, why=_STILL_COUNTS, why_of={}) if lost and not found.more else found
            )
        found = room(
            replace(fleet, nodes_max=len(here)), here, needs, cordons=self.snapshot.cordons
        )
        return replace(found, why=why, why_of={})

    def take(self, name: str, need: Requirements) -> None:
        """Notes that a replica starts in a fleet: on an idle instance that fits, or a new one."""
        self.taken[name] += 1
        fleet = self.snapshot.fleet_named(name)
        if fleet is None:
            return
        idle = next(
            (each for each in members(self.snapshot).get(fleet.id, []) if need.idle_places(each)),
            None,
        )
        if idle is not None:
            blocks = idle.busy_blocks + (need.blocks_in(idle) or idle.total_blocks)
            new = replace(idle, busy_blocks=min(blocks, idle.total_blocks), status="busy")
            instances = {**self.snapshot.instances, new.id: new}
            self.snapshot = replace(self.snapshot, instances=instances)
        elif fleet.nodes_max is not None:
            new_fleet = replace(fleet, nodes_max=max(fleet.nodes_max - 1, 0))
            fleets = {**self.snapshot.fleets, fleet.id: new_fleet}
            self.snapshot = replace(self.snapshot, fleets=fleets)
