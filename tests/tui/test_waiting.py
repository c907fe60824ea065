"""A screen that is in front before it has made its widgets: what waits for it looks again."""

from __future__ import annotations

import pytest
from textual.app import App, ComposeResult
from textual.css.query import NoMatches
from textual.screen import Screen
from textual.widgets import Label

from tests.waiting import until


class Late(Screen[None]):
    def compose(self) -> ComposeResult:
        yield Label("here")


async def test_a_screen_without_its_widgets_is_looked_at_again() -> None:
    app: App[None] = App()
    async with app.run_test():
        app.push_screen(Late())
        with pytest.raises(NoMatches):
            app.screen.query_one(Label)
        assert await until(lambda: app.screen.query_one(Label)) is app.screen.query_one(Label)


async def test_what_never_comes_is_named_at_the_end() -> None:
    app: App[None] = App()
    async with app.run_test():
        with pytest.raises(AssertionError, match="that label") as failure:
            await until(lambda: app.screen.query_one(Label), limit=0.01, what="that label")
        assert isinstance(failure.value.__cause__, NoMatches)
