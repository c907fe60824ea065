"""What the editor of a service looks like, its plan, and what comes of it."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from dstack_api_client.edits.base.difference import ChangeKind, FieldChange
from dstack_api_client.edits.follow.following import LaneProgress, Progress, State
from dstack_api_client.edits.perform.performing import Performed
from dstack_api_client.edits.plan.applying import Applied
from dstack_fleets_tui.screens.edit import applying
from dstack_fleets_tui.screens.edit.plan import PlanScreen
from dstack_fleets_tui.screens.edit.service import EditScreen
from dstack_widgets.panels.flow import Flow
from tests.builders import routed_service
from tests.builders.apps import GivenFeed, app_on, live
from tests.builders.memory_client import GivenClient
from tests.builders.service_edits import edit, group
from tests.builders.service_plans import plan_of, replica
from tests.builders.snapshots import NOW
from tests.pictures import sized
from tests.screens import screen_text
from tests.waiting import until

pytestmark = pytest.mark.usefixtures("frozen")

SIZES = [(80, 24), (120, 30), (200, 50)]
SHOT = routed_service.snapshot()
GROUPS = [
    group("router", router={"type": "sglang"}),
    group("prefill", replicas={"min": 1, "max": 4}),
    group("decode", replicas={"min": 2, "max": 8}),
]
EDIT = edit(groups=GROUPS, replicas=None).with_lane("", "gpu-spot", min_replicas=2)
EDIT = replace(EDIT, base=replace(EDIT.base, id=routed_service.RUN, read_at=NOW))
CHANGES = (
    FieldChange(
        ("configuration", "fleets"),
        "gpu-spot.min_replicas",
        "gpu-spot min_replicas",
        "0",
        "2",
        ChangeKind.NO_RESTART,
        "",
        "dstack",
    ),
)


async def test_editor_and_plan(pictures) -> None:
    plan = plan_of(replica("decode", "start"), replica("prefill", "keep"), changes=CHANGES)
    plan = replace(plan, base=replace(plan.base, read_at=NOW), made_at=NOW)
    app = app_on(GivenFeed(live(SHOT)))
    async with app.run_test(size=SIZES[0]) as pilot:
        await until(lambda: app.snapshot is not None)
        await app.push_screen(EditScreen("chat", routed_service.RUN, EDIT))
        for size in SIZES:
            await pilot.resize_terminal(*size)
            await pictures.take(pilot, f"editor-{sized(size)}")
            await app.push_screen(PlanScreen(plan, lambda: None))
            await pictures.take(pilot, f"plan-{sized(size)}")
            app.pop_screen()


async def test_apply(pictures, monkeypatch) -> None:
    lanes = (
        LaneProgress("", "gpu-reserved", "gpu-reserved", 3, 3, 0, 0, 3),
        LaneProgress("", "gpu-spot", "gpu-spot", 1, 2, 1, 0, 4),
        LaneProgress("prefill", "gpu-spot", "prefill/gpu-spot", 1, 1, 0, 1, 1),
    )
    waiting = ("7 replicas to be renumbered to deployment 3", "1 replica to start in gpu-spot")

    async def followed(*_, **__):
        yield Progress(State.MOVING, 12.0, lanes, 0, 7, waiting)

    monkeypatch.setattr(applying, "follow", followed)
    app = app_on(GivenFeed(live(SHOT)), client=GivenClient())

    async def done() -> Performed:
        return Performed(EDIT.base, Applied(EDIT.base.target, EDIT.base, EDIT.base, True, NOW))

    def change() -> asyncio.Future[Performed]:
        return asyncio.ensure_future(done())

    async with app.run_test(size=SIZES[0]) as pilot:
        await until(lambda: app.snapshot is not None)
        screen = applying.ApplyScreen("chat", change, key=routed_service.RUN, restarts=False)
        await app.push_screen(screen)
        await until(lambda: "12 s" in screen.query_one("#head", Flow).text, what="how far it is")
        for size in SIZES:
            await pilot.resize_terminal(*size)
            await pictures.take(pilot, sized(size))


async def test_the_editor_says_which_replicas_a_rolling_deployment_replaces() -> None:
    rolled = EDIT.with_values({("configuration", "image"): "acme/new"})
    app = app_on(GivenFeed(live(SHOT)))
    async with app.run_test(size=SIZES[2]):
        await until(lambda: app.snapshot is not None)
        await app.push_screen(EditScreen("chat", routed_service.RUN, rolled))
        await until(lambda: "replace " in screen_text(app), what="what is replaced")
        assert "stay " not in screen_text(app).split("replace ")[1]
