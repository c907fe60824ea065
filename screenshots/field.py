"""Pictures of what others run: blocks, reserved and spot groups, prefill and decode workers."""

from __future__ import annotations

from pathlib import Path

from dstack_fleets_tui.screens.edit.plan import PlanScreen
from dstack_fleets_tui.screens.edit.service import EditScreen
from dstack_simulator import Simulator
from screenshots.walk import Walk, walking

SCENARIO = str(Path(__file__).with_suffix(".yml"))
_LOW, _HIGH = (140, 26), (140, 34)
#: Seconds until dstack has given up a host that is out of reach.
_LOSS = 120.0


async def field(sim: Simulator) -> None:
    """A plan on a host with blocks, groups of a service, and the loss of the prefill worker."""
    async with walking(sim, _LOW) as walk:
        await walk.press("2")
        await walk.front("services")
        await walk.open("steady", "service")
        await walk.until(lambda: "cr-77aa" in walk.text and "OK" in walk.text, "groups")
        walk.picture("groups-reserved-and-spot")
        await walk.open("pd", "service")
        await walk.press("r")
        await walk.until(
            lambda: "1 prefill" in walk.text and "OK" in walk.text and "unknown" not in walk.text,
            "replicas that the router knows",
        )
        walk.picture("groups-without-names")
        await walk.open("half", "service")
        await walk.pilot.resize_terminal(*_HIGH)
        await _plan(walk)
        await walk.press("escape", "escape")
        for host in await _hosts_of(sim, walk):
            await sim.faults.host_unreachable(host)
        await walk.press("3")
        await walk.until(lambda: "no place yet" in walk.text, "loss", _LOSS)
        await walk.press("home")
        await walk.until(lambda: "prefill 1 has found no place" in walk.text, "why there is none")
        walk.picture("no-prefill-worker")


async def _plan(walk: Walk) -> None:
    await walk.press("e")
    await walk.until(
        lambda: isinstance(walk.screen, EditScreen) and walk.screen.edit is not None, "editor"
    )
    await walk.press("3", "enter", "p")
    await walk.until(lambda: isinstance(walk.screen, PlanScreen) and walk.screen.takes_keys, "plan")
    walk.picture("plan-on-blocks")


async def _hosts_of(sim: Simulator, walk: Walk) -> list[str]:
    """The host of the prefill worker: it comes back nowhere."""
    snapshot = walk.app.snapshot
    replicas = snapshot.replicas.values() if snapshot is not None else ()
    lost = {each.hostname for each in replicas if each.group == "1" and each.run_name == "pd"}
    return [host["name"] for host in await sim.hosts() if host["address"] in lost]
