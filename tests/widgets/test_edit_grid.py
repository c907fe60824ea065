"""A grid of fields: typing, moving, choices, and that keys keep their order."""

from __future__ import annotations

from textual.app import App

from dstack_widgets.edit_grid import EditGrid, GridCell, GridRow, Place

HEAD = GridRow("head", (GridCell("prio", "PRIO", True), GridCell("max", "MAX", True)), heading=True)


def rows(prio: str = "10", most: str = "–", policy: str = "spot") -> list[GridRow]:
    return [
        HEAD,
        GridRow("a", (GridCell("prio", prio, True), GridCell("max", most, True))),
        GridRow("gap", ()),
        GridRow("b", (GridCell("prio", "0", True), GridCell("name", "b", left=True))),
        GridRow("c", (GridCell("policy", policy, True, choices=("auto", "spot"), left=True),)),
    ]


class Host(App[None]):
    def __init__(self, refused=""):
        super().__init__()
        self.told: list[tuple[object, ...]] = []
        self.others: list[str] = []
        self._refused = refused

    def compose(self):
        yield EditGrid(take=self._take, other_key=self._other)

    def _other(self, key):
        self.others.append(key)
        return True

    def on_mount(self):
        self.grid.show(rows())
        self.grid.focus()

    @property
    def grid(self):
        return self.query_one(EditGrid)

    @property
    def lines(self):
        return [line.plain.rstrip() for line in self.grid.lines(60)]

    def on_edit_grid_typed(self, message):
        self.told.append(("typed", *message.place, message.text))

    def _take(self, place, text):
        if text == self._refused:
            return False
        self.told.append(("finished", *place, text))
        return True

    def on_edit_grid_taken_back(self, message):
        self.told.append(("back", *message.place))


async def test_the_cursor_begins_in_the_first_field_and_skips_what_is_none():
    app = Host()
    async with app.run_test() as pilot:
        assert app.grid.place == Place("a", "prio")
        await pilot.press("down")
        assert app.grid.place == Place("b", "prio")
        await pilot.press("up", "right", "right")
        assert app.grid.place == Place("a", "max")
        await pilot.press("tab")
        assert app.grid.place == Place("b", "prio")
        await pilot.press("shift+tab", "shift+tab", "shift+tab")
        assert app.grid.place == Place("c", "policy")


async def test_a_digit_begins_anew_and_enter_ends_it():
    app = Host()
    async with app.run_test() as pilot:
        await pilot.press("4", "2")
        assert app.lines[1].startswith("▸ [ 42 ]")
        await pilot.press("enter")
        assert app.told == [
            ("typed", "a", "prio", "4"),
            ("typed", "a", "prio", "42"),
            ("finished", "a", "prio", "42"),
        ]
        assert not app.grid.is_typing


async def test_enter_goes_on_with_what_is_there_and_escape_takes_it_back():
    app = Host()
    async with app.run_test() as pilot:
        await pilot.press("enter", "5", "escape")
        assert app.told == [("typed", "a", "prio", "105"), ("back", "a", "prio")]
        await pilot.press("right", "enter", "7")
        assert app.told[-1] == ("typed", "a", "max", "7"), "a dash is no text to go on with"


async def test_moving_away_ends_what_is_typed_unless_it_is_refused():
    app = Host(refused="x")
    async with app.run_test() as pilot:
        await pilot.press("3", "down")
        assert app.told[-1] == ("finished", "a", "prio", "3")
        assert app.grid.place == Place("b", "prio")
        await pilot.press("backspace", "x", "up")
        assert app.grid.is_typing
        assert app.grid.place == Place("b", "prio")
        await pilot.press("escape", "up")
        assert app.grid.place == Place("a", "prio")


async def test_letters_are_typed_while_typing_and_handed_on_otherwise():
    app = Host()
    async with app.run_test() as pilot:
        await pilot.press("p", "1", "K", "enter", "K")
        assert app.others == ["p", "K"]
        assert app.told[-1] == ("finished", "a", "prio", "1K")


async def test_a_choice_goes_round():
    app = Host()
    async with app.run_test() as pilot:
        await pilot.press("shift+tab", "enter")
        assert app.told == [("finished", "c", "policy", "auto")]
        app.grid.show(rows(policy="auto"))
        await pilot.press("space")
        assert app.told[-1] == ("finished", "c", "policy", "spot")


async def test_the_cursor_stays_with_its_field_and_goes_to_the_place_of_one_that_is_gone():
    app = Host()
    async with app.run_test() as pilot:
        await pilot.press("down")
        app.grid.show([HEAD, *reversed(rows()[1:])])
        assert app.grid.place == Place("b", "prio")
        app.grid.show(rows()[:2])
        assert app.grid.place == Place("a", "prio")
        app.grid.show([HEAD])
        assert app.grid.place is None


async def test_what_is_typed_stays_when_other_rows_are_shown():
    app = Host()
    async with app.run_test() as pilot:
        await pilot.press("4")
        app.grid.show(rows(most="9"))
        await pilot.press("2", "enter")
        assert app.told[-1] == ("finished", "a", "prio", "42")


async def test_brackets_in_a_text_stay_brackets():
    app = Host()
    async with app.run_test():
        app.grid.show([GridRow("a", (GridCell("n", "[red]x[/]", True),), note="[/foo]")])
        assert "[red]x[/]" in app.lines[0]
        assert app.lines[0].endswith("[/foo]")
