"""Polls, boxes, keys and resizes in any order: the terminal shows what a full repaint would."""

from __future__ import annotations

import asyncio
import random
import sys
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from textual.geometry import Region
from textual.pilot import Pilot
from textual.screen import Screen
from textual.widgets import Input

from dstack_api_client.model.snapshot import Snapshot
from dstack_fleets_tui.app.app import FleetsApp
from dstack_fleets_tui.screens.parts.asking import AskScreen, PickScreen
from dstack_fleets_tui.screens.parts.base import LiveScreen
from dstack_fleets_tui.screens.parts.palette import Palette
from dstack_widgets.drawing.text import literal
from dstack_widgets.inputs.choices import Choice
from tests.builders.apps import CONNECTION, GivenFeed, app_on, live
from tests.builders.changing_dashboard import storm
from tests.builders.generation import PARTS, seeds
from tests.builders.snapshots import NOW, fleet, instance, replica, service, snapshot
from tests.builders.terminal_driver import Terminal, drawn_whole
from tests.screens import filled
from tests.waiting import until

SIZES = [(120, 30), (120, 30), (80, 24), (60, 16), (40, 10), (160, 40)]
STEPS = 6
KEYS = [
    *("up", "down", "pagedown", "end", "home", "enter", "escape", "tab", "shift+tab", "left"),
    *("1", "2", "3", "4", "d", "r", "y", "v", "s", "S", "slash", "colon", "question_mark"),
    *("x", "ctrl+p", "right", "space"),
]


def _at_random(source: random.Random) -> Snapshot:
    """A snapshot with some number of everything."""
    count = source.choice([1, 2, 5, 40])
    state = source.choice(["busy", "idle", "provisioning", "terminating"])
    return snapshot(
        fleets=[fleet(), fleet("other", status_message=source.choice(["", "no capacity"]))],
        instances=[instance(f"gpu-{num}", num=num, status=state) for num in range(count)],
        services=[
            service(
                "chat" if num == 0 else f"chat-{num}",
                ready=source.randrange(3),
                error=source.choice([None, "it failed", "宽" * 30]),
                status=source.choice(["running", "provisioning"]),
            )
            for num in range(count)
        ],
        replicas=[replica(ready=source.choice([True, False]))],
    )


class Course:
    """What happens to a dashboard, in an order that a seed gives."""

    def __init__(self, app: FleetsApp, source: random.Random) -> None:
        self._app = app
        self._source = source
        self._now = NOW
        app.now = lambda: self._now
        self._steps: list[tuple[int, Callable[[], object]]] = [
            (3, self._poll),
            (2, self._open_box),
            (1, self._open_screen),
            (2, self._close),
            (5, self._press),
            (2, self._resize),
            (2, self._resize_and_back),
            (2, self._refresh_region),
            (6, self._second_with_region),
        ]

    def step(self) -> str:
        """Does something; gives its name."""
        weights = [weight for weight, _ in self._steps]
        ((_, does),) = self._source.choices(self._steps, weights)
        return f"{does.__name__} {does() or ''}"

    @property
    def terminal(self) -> Terminal:
        assert isinstance(self._app._driver, Terminal)
        return self._app._driver

    def _poll(self) -> None:
        read = live(_at_random(self._source), self._app.snapshot)
        self._app.post_message(FleetsApp.Read(read, CONNECTION))

    def _open_box(self) -> str:
        choices = [Choice("keep", "Keep it"), Choice("no", "No")]
        boxes: list[Callable[[], Screen[Any]]] = [
            lambda: AskScreen("What becomes of it", [literal("line")] * 9, choices),
            lambda: PickScreen("Pick one", [("one", "the first"), ("two", "")]),
        ]
        box = self._source.choice(boxes)()
        self._app.push_screen(box)
        return type(box).__name__

    def _open_screen(self) -> None:
        if self._source.random() < 0.5:
            self._app.open_service("s-chat")
        else:
            self._app.open_fleet("f-gpu")

    def _close(self) -> None:
        front = self._app.screen
        if isinstance(front, Palette):
            if front.is_mounted:  # before, no key reaches it
                front.dismiss()
        elif len(self._app.screen_stack) > 1:
            self._app.pop_screen()

    def _press(self) -> str:
        keys = self._source.choices(KEYS, k=self._source.randrange(1, 4))
        storm(self._app, *keys)
        return " ".join(keys)

    def _resize(self) -> str:
        size = self._source.choice(SIZES)
        self.terminal.resize(*size)
        return str(size)

    def _resize_and_back(self) -> None:
        size = self._app.size
        self.terminal.resize(size.width // 2, size.height // 2)
        self.terminal.resize(*size)

    def _second_with_region(self) -> None:
        """A second goes by while something behind changes, of which the front paints a region."""
        self._now += timedelta(seconds=1)
        for screen in self._app.screen_stack:
            if isinstance(screen, LiveScreen):
                screen.show_state()
        left, right = sorted(self._source.choices(range(self._app.size.width + 1), k=2))
        row = self._source.randrange(10)
        self._app.screen.refresh(Region(left, row, max(1, right - left), 1))

    def _refresh_region(self) -> str:
        screen = self._source.choice(self._app.screen_stack)
        shown = [each for each in screen.walk_children(with_self=True) if each.size.area]
        if not shown:
            return ""
        widget = self._source.choice(shown)
        widget.refresh(Region(0, 0, widget.size.width, 1))
        return repr(widget)


async def turn() -> None:
    """Lets the loop go round once."""
    loop = asyncio.get_running_loop()
    done = loop.create_future()
    loop.call_soon(done.set_result, None)
    await done


def at_rest(app: FleetsApp) -> bool:
    """Whether nothing waits to be painted."""
    front = app.screen
    return not (
        app._batch_count
        or app._resize_timer
        or front._layout_required
        or front._repaint_required
        or front._dirty_widgets
        or front._callbacks
        or any(each._update_timer._active.is_set() for each in (front, *app._background_screens))
    )


async def settled(app: FleetsApp, pilot: Pilot[int]) -> None:
    """Waits until nothing is left to be done and to be painted."""
    rested = False
    while not rested:
        await pilot.pause()
        for field in app.screen.query(Input):
            field.cursor_blink = False
        await until(lambda: at_rest(app), what="all is painted")
        await pilot.pause()
        rested = at_rest(app)


@pytest.mark.generated
@pytest.mark.parametrize("part", PARTS)
async def test_the_terminal_shows_what_a_full_repaint_would(part: int) -> None:
    for seed in seeds(4)[part :: len(PARTS)]:
        sys.stdout.write(f"DSTACK_FLEETS_TESTS_SEED={seed}\n")
        await _course(random.Random(seed))


async def _course(source: random.Random) -> None:
    app = app_on(GivenFeed(live(snapshot())))
    app.driver_class = Terminal
    app.animation_level = "none"
    app.do_quit = lambda argument: None  # type: ignore[method-assign]  # the palette offers it
    async with app.run_test(size=SIZES[0], headless=False) as pilot:
        await filled(app)
        course = Course(app, source)
        for _ in range(STEPS):
            said = []
            for _ in range(source.randrange(1, 5)):
                said.append(course.step())
                for _ in range(source.choice([0, 0, 1, 5])):
                    await turn()
            await settled(app, pilot)
            assert app.is_running, said
            assert not course.terminal.grid.difference(drawn_whole(app)), said


async def test_a_box_is_painted_though_something_behind_it_changes_in_the_same_turn() -> None:
    """The whole box, as when it is new: once it stood there and was not to be seen."""
    app = app_on(GivenFeed(live(snapshot())))
    app.driver_class = Terminal
    app.animation_level = "none"
    async with app.run_test(size=SIZES[0], headless=False) as pilot:
        await filled(app)
        box = AskScreen("What becomes of it", [literal("as it was")], [Choice("no", "No")])
        app.push_screen(box)
        await settled(app, pilot)
        for widget in box.walk_children():
            widget.styles.background = "red"
        box.refresh(Region(0, 0, 10, 1))  # as the screen behind has it done
        await settled(app, pilot)
        assert isinstance(app._driver, Terminal)
        assert not app._driver.grid.difference(drawn_whole(app))
