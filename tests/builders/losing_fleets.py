"""Several services on fleets of hosts that lose some, as a client sees them and as they play on."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace

from hypothesis import strategies as st

from dstack_api_client.model.snapshot import Snapshot
from dstack_placement.engine import Lane, Reclaim
from tests.builders import projects
from tests.builders.contended_fleets import ContendedFleets
from tests.builders.placement_services import service
from tests.builders.projects import ADDON

_FLEETS = ("a", "b", "c")


@dataclass(frozen=True)
class LosingFleets:
    """Services at rest, and hosts that are lost.

    Attributes:
        fleets: The services and their fleets.
        hosts: By fleet, who is on each of its hosts: the key of a replica, or nobody.
        lost: By fleet, the numbers of the hosts that are lost.
        claimed_before: How many replicas have given way by then.
    """

    fleets: ContendedFleets
    hosts: Mapping[str, list[str]]
    lost: Mapping[str, Collection[int]]
    claimed_before: int = 0

    @property
    def names(self) -> list[str]:
        """What is lost, as `--without` names it."""
        return [f"{fleet}/{number}" for fleet, numbers in self.lost.items() for number in numbers]

    @property
    def there(self) -> Collection[str]:
        """The keys of the replicas on those hosts."""
        found = {self.hosts[fleet][number] for fleet in self.lost for number in self.lost[fleet]}
        return found - {""}

    def play(self) -> None:
        """Loses the hosts; then what can start does, and then who is short takes places."""
        for name, state in self.fleets.services.items():
            left = (each for each in state.replicas if each.key not in self.there)
            self.fleets.services[name] = replace(state, replicas=tuple(left))
        self._settle_without_hosts()

    def drain(self) -> None:
        """Drains the hosts; then what can move does, and then who is short takes places."""
        for name, state in self.fleets.services.items():
            replicas = (replace(each, leaves=each.key in self.there) for each in state.replicas)
            self.fleets.services[name] = replace(state, replicas=tuple(replicas))
        self._settle_without_hosts()

    def _settle_without_hosts(self) -> None:
        for fleet, numbers in self.lost.items():
            self.fleets.sizes[fleet] -= len(numbers)
        _settle(self.fleets)

    def snapshot(self) -> Snapshot:
        """What a client reads of it before anything is lost."""
        number = {
            (fleet, key): at
            for fleet, there in self.hosts.items()
            for at, key in enumerate(there)
            if key
        }
        services = []
        for name, state in self.fleets.services.items():
            replicas = [
                projects.replica(
                    each.number,
                    each.fleet,
                    service=name,
                    submission_id=each.key,
                    instance_id=f"i-{each.fleet}-{number[str(each.fleet), each.key]}",
                )
                if each.fleet is not None
                else projects.replica(
                    each.number, None, "submitted", service=name, submission_id=each.key
                )
                for each in state.replicas
            ]
            wanted = state.groups[0].wanted
            spec = _spec(state.lanes, wanted, self.fleets.reclaims[name])
            made = projects.service(
                replicas,
                [projects.group("0", wanted)],
                name=name,
                spec=spec,
                has_lanes=True,
                priority=self.fleets.priorities[name],
            )
            services.append((made, replicas))
        hosts = [
            one
            for fleet, there in self.hosts.items()
            for one in projects.instances(fleet, *("busy" if key else "idle" for key in there))
        ]
        fleets = [
            projects.fleet(
                name, kind="ssh", instance_ids=tuple(f"i-{name}-{at}" for at in range(len(there)))
            )
            for name, there in self.hosts.items()
        ]
        return projects.project(*services, fleets=fleets, hosts=hosts, capabilities=ADDON)


def _spec(lanes: Collection[Lane], wanted: int, reclaim: Reclaim) -> Mapping[str, object]:
    entries = [
        {"name": each.fleet, "min_replicas": each.min_replicas, "priority": each.priority}
        for each in lanes
    ]
    configuration = {
        "type": "service",
        "retry": True,
        "replicas": wanted,
        "fleets": entries,
        "reclaim": reclaim.value,
    }
    return {"configuration": configuration}


def _settle(played: ContendedFleets) -> None:
    """Lets all start that can; then who is short takes places."""
    reclaims = played.reclaims
    played.reclaims = dict.fromkeys(reclaims, Reclaim.OFF)
    played.settle()
    played.reclaims = reclaims
    played.settle()


@st.composite
def losing_fleets(draw: st.DrawFn, *, whole_or_one: bool = False) -> LosingFleets:
    """Services at rest on three fleets, of which one loses some of its hosts.

    Args:
        draw: What is drawn with.
        whole_or_one: Whether it loses all of them or one.
    """
    names = [f"s{number}" for number in range(draw(st.integers(2, 4)))]
    services, priorities = {}, {}
    # In the order in which dstack looks at them.
    for name in sorted(names, key=lambda _: draw(st.integers(0, 9))):
        lanes = tuple(
            Lane(fleet, draw(st.integers(0, 2)), None, draw(st.integers(0, 2)))
            for fleet in draw(st.permutations(_FLEETS))[: draw(st.integers(2, 3))]
        )
        services[name] = service(lanes, draw(st.integers(1, 4)))
        priorities[name] = len(names) - len(services)
    reclaims = {name: draw(st.sampled_from([Reclaim.ANY, Reclaim.ANY, *Reclaim])) for name in names}
    total = sum(each.groups[0].wanted for each in services.values())
    sizes = {fleet: draw(st.integers(1, max(total // 2, 1))) for fleet in _FLEETS}
    if draw(st.booleans()):  # who gives way has somewhere to go
        sizes["c"] = total
    fleets = ContendedFleets(sizes, services, reclaims, priorities)
    _settle(fleets)
    there: dict[str, list[str]] = defaultdict(list)
    for name, settled in fleets.services.items():
        keyed = [replace(each, key=f"{name}-{each.number}") for each in settled.replicas]
        fleets.services[name] = replace(settled, replicas=tuple(keyed))
        for replica in keyed:
            there[str(replica.fleet)].append(replica.key)
    hosts = {
        name: [*there[name], *[""] * (size - len(there[name]))] for name, size in sizes.items()
    }
    contended = [(fleet, key) for fleet in _FLEETS for key in _reclaiming(fleets, fleet)]
    if contended and draw(st.booleans()):
        loser, key = draw(st.sampled_from(contended))
        lost = {hosts[loser].index(key)}
    else:
        loser = draw(st.sampled_from(_FLEETS))
        lost = draw(st.sets(st.integers(0, sizes[loser] - 1), min_size=1))
        if whole_or_one and len(lost) > 1:
            lost = {*range(sizes[loser])}
    return LosingFleets(fleets, hosts, {loser: sorted(lost)}, len(fleets.claimed))


def _reclaiming(fleets: ContendedFleets, fleet: str) -> list[str]:
    """The replicas in a fleet without which their minimum takes a place there from another."""
    spare, held = [], []
    for name, state in fleets.services.items():
        here = [each.key for each in state.replicas if each.fleet == fleet]
        least = next((each.min_replicas for each in state.lanes if each.fleet == fleet), 0)
        if len(here) > least:
            spare.append(name)
        elif fleets.reclaims[name] is Reclaim.ANY:
            held += here
    return held if spare else []
