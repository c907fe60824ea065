"""One incident, key by key, with a picture after each (part of `make screenshots`).

Alone: `python -m screenshots.incident`.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from dataclasses import dataclass

from textual.widgets import Static

from dstack_api_client.model.replica import Replica
from dstack_fleets_tui.screens.edit.applying import ApplyScreen
from dstack_fleets_tui.screens.edit.plan import PlanScreen
from dstack_fleets_tui.screens.edit.service import EditScreen
from dstack_fleets_tui.screens.logs import LogsScreen
from dstack_fleets_tui.screens.service.service import ServiceScreen
from dstack_simulator import Simulator
from screenshots.picture import HERE
from screenshots.walk import Walk, walking

PAGE = HERE.parent / "docs" / "incident.md"
#: Columns and rows of the numbered pictures, and of those in other sizes.
_SIZE, _SIZES = (120, 30), ((80, 24), (160, 45))
#: The service, and its decode replicas, as the scenario says.
_SERVICE, _DECODING = "chat-70b", 5
#: Seconds that a fault may take to be noticed, or a change to come about.
_LIMIT = 180.0


@dataclass(frozen=True)
class Step:
    """A key that was pressed."""

    key: str
    says: str
    """What is seen then."""


class Incident:
    """The keys of one incident, with a picture of each.

    Args:
        walk: The dashboard.
    """

    def __init__(self, walk: Walk) -> None:
        self._walk = walk
        self.steps: list[Step] = []
        self.sized = ["problems"]

    async def press(
        self, key: str, shown: str, says: str, ready: Callable[[], bool], *, also: str = ""
    ) -> None:
        """Presses a key, waits, and takes its picture.

        Args:
            key: The key.
            shown: The key as people write it.
            says: What is seen then.
            ready: Whether that is shown.
            also: The name of a picture in other sizes, if there is to be one.
        """
        walk = self._walk
        await walk.press(key)
        await walk.until(lambda: ready() and "late since" not in walk.text, says, _LIMIT)
        self.steps.append(Step(shown, says))
        self.sized += [also] if also else []
        walk.picture(f"incident-{len(self.steps):02}", drawn=False)
        for size in _SIZES if also else ():
            await walk.pilot.resize_terminal(*size)
            walk.picture(f"{also}-{size[0]}x{size[1]}", drawn=False)
        await walk.pilot.resize_terminal(*_SIZE)

    def page(self) -> str:
        """The page with all of it."""
        rows = [
            f"{number}. `{step.key}` {step.says}\n\n"
            f"   ![After key {number}](../screenshots/incident-{number:02}.svg)\n"
            for number, step in enumerate(self.steps, 1)
        ]
        names = [f"{each}-{wide}x{high}" for each in self.sized for wide, high in _SIZES]
        links = ", ".join(f"[{each}](../screenshots/{each}.svg)" for each in names)
        return "\n".join([_HEAD.format(keys=len(self.steps)), *rows, f"In other sizes: {links}.\n"])


_HEAD = """# An incident, key by key

"chat-70b is slow." Two things are wrong in the demo: the cloud has taken a spot instance back and
has no other, and a worker on a reserved host fails its health check. {keys} keys find it, say why,
change something and take the change back. `make screenshots` plays it and writes this page.
"""


async def incident(sim: Simulator) -> None:
    """Sets two faults, and goes through what an engineer on call does."""
    async with walking(sim, _SIZE) as walk:
        await walk.until(lambda: len(_decoding(walk)) == _DECODING, "decode replicas", _LIMIT)
        await _break(sim, walk)
        await walk.press("3")
        await walk.front("problems")
        for size in _SIZES:
            await walk.pilot.resize_terminal(*size)
            walk.picture(f"problems-{size[0]}x{size[1]}", drawn=False)
        await walk.pilot.resize_terminal(*_SIZE)
        await walk.press("1")
        await walk.front("fleets")
        played = Incident(walk)
        await _find(played, walk)
        await _change(played, walk)
        PAGE.write_text(played.page(), encoding="utf-8")
        print(PAGE.name, len(played.steps), "keys")  # noqa: T201 - it says what it made


def _decoding(walk: Walk) -> list[Replica]:
    snapshot = walk.app.snapshot
    every = snapshot.replicas.values() if snapshot is not None else ()
    return [
        each
        for each in every
        if each.run_name == _SERVICE and each.group == "decode" and each.active and each.ready
    ]


async def _break(sim: Simulator, walk: Walk) -> None:
    snapshot = walk.app.snapshot
    if snapshot is None:
        raise AssertionError("nothing was read")
    on_spot = next(each for each in _decoding(walk) if each.fleet_name == "gpu-spot")
    reserved = next(each for each in _decoding(walk) if each.fleet_name == "gpu-reserved")
    await sim.faults.no_capacity()
    # None is left idle, or the replica would move there.
    spot = [each for each in snapshot.instances.values() if each.fleet_name == "gpu-spot"]
    for instance in spot:
        is_idle = instance.status == "idle" and not instance.unreachable
        if is_idle or instance.id == on_spot.instance_id:
            await sim.faults.spot_interrupted(instance.name)
    await sim.faults.worker_unhealthy(reserved.job_name)

    def is_noticed() -> bool:
        felt = [each.affects for each in walk.app.problems]
        return sum(any(one.name == _SERVICE for one in each) for each in felt) > 1

    await walk.until(is_noticed, "problems of both faults", _LIMIT)


async def _find(played: Incident, walk: Walk) -> None:
    def service(view: str) -> Callable[[], bool]:
        return lambda: walk.app.screen.is_mounted and getattr(walk.app.screen, "view", "") == view

    def synced() -> bool:
        return service("router")() and "in sync" in walk.text

    await played.press(
        "2",
        "2",
        "The services: how each is, what is wrong with the one under the cursor, which fleet has"
        " no room for it, and what happened last.",
        lambda: "DEGRADED" in walk.text and "Last events" in walk.text,
        also="services",
    )
    await played.press(
        "enter",
        "⏎",
        "Its lanes: which fleet lacks room, and why each replica is where it is.",
        lambda: isinstance(walk.screen, ServiceScreen) and "no room" in walk.text,
    )
    await played.press("r", "r", "Its replicas: which ones, and why.", service("replicas"))
    await played.press("o", "o", "The router's view of its workers.", synced)
    await played.press(
        "l",
        "l",
        "The last lines of all of its replicas, in the order of time.",
        lambda: isinstance(walk.screen, LogsScreen) and bool(walk.screen.log_lines.passing),
        also="logs",
    )
    await played.press("escape", "esc", "Back.", service("router"))


async def _change(played: Incident, walk: Walk) -> None:
    def edits() -> bool:
        return isinstance(walk.screen, EditScreen) and walk.screen.edit is not None

    def plans() -> bool:
        return isinstance(walk.screen, PlanScreen) and walk.screen.takes_keys

    def follows(text: str) -> Callable[[], bool]:
        def is_told() -> bool:
            screen = walk.screen
            if not isinstance(screen, ApplyScreen) or not screen.is_mounted:
                return False
            return text in str(screen.query_one("#text", Static).content)

        return is_told

    await played.press("e", "e", "The editor, at the lane that is filled first.", edits)
    await played.press("right", "→", "To its minimum.", edits)
    await played.press(
        "3",
        "3",
        "Three replicas that are always there; beside the fields stands what would follow.",
        lambda: "1 change" in walk.text,
        also="editor",
    )
    await played.press("p", "p", "The plan: nothing restarts.", plans, also="plan")
    await played.press(
        "y", "y", "It is applied, and followed as long as something moves.", follows("untouched")
    )
    await played.press("u", "u", "The way back, planned in the same way.", plans)
    await played.press("y", "y", "As it was before.", follows("untouched"))


async def main() -> int:
    """Plays it on a simulator of its own."""
    async with Simulator("lanes", port=3000) as sim:
        await sim.settled()
        await incident(sim)
    return 0


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
