"""Screens over one another: all is painted that was asked to be painted."""

from __future__ import annotations

import gc
import sys
from collections import Counter
from typing import Any

import pytest
from textual import events
from textual._compositor import Compositor
from textual.app import App, ComposeResult
from textual.content import Content
from textual.css.stylesheet import Stylesheet
from textual.dom import DOMNode
from textual.geometry import Region, Size
from textual.screen import ModalScreen, Screen
from textual.widgets import Static

from dstack_widgets import screen
from dstack_widgets.screen import lean_compositor
from dstack_widgets.screen.lean_screen import LeanScreen
from dstack_widgets.screen.painting import LeavesFront, PaintsAll
from tests.builders.terminal_driver import Terminal
from tests.painting import all_painted

SIZE = (40, 8)


class Whole(LeanScreen[None]):
    """Covers what is behind it."""

    def compose(self) -> ComposeResult:
        yield Static("text", id="text")


class Box(PaintsAll, ModalScreen[None]):
    """Stands in the middle of what is behind it."""

    CSS = """
    Box { align: center middle; }
    Box Static { width: 10; height: 1; }
    """

    def compose(self) -> ComposeResult:
        yield Static("text", id="text")


class Stack(App[None]):
    def __init__(self) -> None:
        super().__init__(driver_class=Terminal)

    @property
    def terminal(self) -> Terminal:
        assert isinstance(self._driver, Terminal)
        return self._driver


@pytest.mark.parametrize("kind", [Whole, Box])
async def test_a_region_of_the_screen_leaves_nothing_else_out(kind: type[Screen[None]]) -> None:
    app = Stack()
    async with app.run_test(size=SIZE, headless=False) as pilot:
        front = kind()
        await app.push_screen(front)
        await all_painted(app, pilot)
        front.query_one("#text", Static).update(Content("changed"), layout=False)
        front.refresh(Region(0, 0, 3, 1))
        await all_painted(app, pilot)
        assert "changed" in "".join(app.terminal.lines)


async def test_no_region_cuts_a_wide_sign_in_half() -> None:
    app = Stack()
    async with app.run_test(size=SIZE, headless=False) as pilot:
        front = Whole()
        await app.push_screen(front)
        text = front.query_one("#text", Static)
        text.update(Content("a宽b宽c"))
        await all_painted(app, pilot)
        for first, last in [(0, 2), (2, 4), (2, 3), (3, 9), (0, 9)]:
            text.refresh(Region(first, 0, last - first, 1))
            await all_painted(app, pilot)
            assert app.terminal.lines[0].rstrip() == "a宽b宽c", (first, last)


async def test_a_size_is_laid_out_once(monkeypatch: pytest.MonkeyPatch) -> None:
    app, laid_out = Stack(), list[Size]()
    refresh = Whole._refresh_layout

    def note(screen: Whole, size: Size | None = None, scroll: bool = False) -> None:
        laid_out.extend([] if size is None else [size])
        refresh(screen, size, scroll)

    monkeypatch.setattr(Whole, "_refresh_layout", note)
    async with app.run_test(size=SIZE, headless=False) as pilot:
        front = Whole()
        await app.push_screen(front)
        await all_painted(app, pilot)
        front.post_message(events.Resize(Size(*SIZE), Size(*SIZE)))
        for width, height in (SIZE, (20, 4), (20, 4), SIZE):
            await pilot.resize_terminal(width, height)
            await all_painted(app, pilot)
            assert front.query_one("#text").size.width == width
    assert laid_out == [Size(*SIZE), Size(20, 4), Size(*SIZE)]


async def test_what_is_to_be_painted_whole_is_painted_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    app, painted = Stack(), list[Screen[Any]]()
    display = app._display

    def note(screen: Screen[Any], renderable: Any) -> None:
        painted.append(screen)
        display(screen, renderable)

    async with app.run_test(size=SIZE, headless=False) as pilot:
        front = Whole()
        await app.push_screen(front)
        await all_painted(app, pilot)
        monkeypatch.setattr(app, "_display", note)
        front.refresh()
        front._compositor_refresh()  # as a layout does that ends before
        assert painted == []
        await all_painted(app, pilot)
        assert painted == [front]


async def test_a_screen_that_goes_leaves_the_layout_of_the_one_in_front(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Leaving(LeavesFront, Stack):
        pass

    app, laid_out = Leaving(), list[Whole]()
    refresh = Whole._refresh_layout

    def note(screen: Whole, size: Size | None = None, scroll: bool = False) -> None:
        laid_out.append(screen)
        refresh(screen, size, scroll)

    async with app.run_test(size=SIZE, headless=False) as pilot:
        front, over = Whole(), Whole()
        for each in (front, over):
            await app.push_screen(each)
            await all_painted(app, pilot)
        monkeypatch.setattr(Whole, "_refresh_layout", note)
        await app.pop_screen()
        await all_painted(app, pilot)
        assert app.screen is front
        assert not over.is_running
        assert laid_out == []
        assert "text" in app.terminal.lines[0]


@pytest.mark.parametrize("kind", [Whole, Box])
async def test_a_new_screen_gives_its_widgets_their_styles_once(
    kind: type[Screen[None]], monkeypatch: pytest.MonkeyPatch
) -> None:
    app, styled = Stack(), Counter[str | None]()
    apply = Stylesheet.apply

    def note(stylesheet: Stylesheet, node: DOMNode, **how: Any) -> None:
        styled[node.id] += 1
        apply(stylesheet, node, **how)

    monkeypatch.setattr(Stylesheet, "apply", note)
    async with app.run_test(size=SIZE) as pilot:
        screen = kind()
        await app.push_screen(screen)
        await all_painted(app, pilot)
        assert styled["text"] == 1
        assert screen.styles.align_horizontal == ("center" if kind is Box else "left")


async def test_a_layout_is_made_once_however_many_ask_where_they_are(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    app, made = Stack(), Counter[str]()
    for name in ("reflow", "_arrange_root"):

        def note(compositor: Compositor, *more: Any, name: str = name, **how: Any) -> Any:
            made[name] += 1
            return getattr(Compositor, f"kept_{name}")(compositor, *more, **how)

        monkeypatch.setattr(Compositor, f"kept_{name}", getattr(Compositor, name), raising=False)
        monkeypatch.setattr(Compositor, name, note)
    async with app.run_test(size=SIZE) as pilot:
        await all_painted(app, pilot)
        made.clear()
        await app.push_screen(Whole())
        await all_painted(app, pilot)
        assert made["reflow"] == made["_arrange_root"] >= 1


async def test_a_screen_that_stays_keeps_few_of_the_widgets_that_were_asked_for() -> None:
    app = Stack()
    async with app.run_test(size=SIZE):
        front = Whole()
        await app.push_screen(front)
        for number in range(200):
            await front.mount(Static(id=f"new-{number}"))
            assert front.query_one(f"#new-{number}") is front.query_one(f"#new-{number}")
            await front.query_one(f"#new-{number}").remove()
        gc.collect()
        found = [each for each in gc.get_objects() if isinstance(each, Static)]
        assert len([each for each in found if str(each.id).startswith("new-")]) < 100


async def test_a_textual_that_keeps_no_such_widgets_finds_them_all_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    begin = DOMNode.__init__

    def without(node: DOMNode, *args: Any, **kwargs: Any) -> None:
        begin(node, *args, **kwargs)
        if isinstance(node, Whole):
            del node._query_one_cache

    monkeypatch.setattr(DOMNode, "__init__", without)
    assert not hasattr(Whole(), "_query_one_cache")


@pytest.mark.parametrize("lacking", ["a name", "the module"])
async def test_a_textual_of_another_shape_paints_as_it_does_itself(
    lacking: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert lean_compositor.FITS
    if lacking == "a name":
        monkeypatch.delattr(Compositor, "render_partial_update")
        assert not lean_compositor.fits()
        monkeypatch.undo()
        monkeypatch.setattr(lean_compositor, "FITS", False)
    else:
        monkeypatch.setitem(sys.modules, lean_compositor.__name__, None)
        monkeypatch.delattr(screen, "lean_compositor")
    app = Stack()
    async with app.run_test(size=SIZE, headless=False) as pilot:
        front = Whole()
        assert type(front._compositor) is Compositor
        await app.push_screen(front)
        await all_painted(app, pilot)
        front.query_one("#text", Static).update(Content("changed"))
        await all_painted(app, pilot)
        assert "changed" in "".join(app.terminal.lines)
