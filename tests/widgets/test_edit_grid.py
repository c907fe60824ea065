"""A grid of fields: typing, moving, choices, and that keys keep their order."""

from __future__ import annotations

import pytest
from textual.app import App

from dstack_widgets.inputs.edit_grid import EditGrid, GridCell, GridRow, Place
from tests.waiting import until, until_equal

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
        await until_equal(lambda: app.grid.place, Place("b", "prio"))
        await pilot.press("up", "right", "right")
        await until_equal(lambda: app.grid.place, Place("a", "max"))
        await pilot.press("tab")
        await until_equal(lambda: app.grid.place, Place("b", "prio"))
        await pilot.press("shift+tab", "shift+tab", "shift+tab")
        await until_equal(lambda: app.grid.place, Place("c", "policy"))


async def test_a_digit_begins_anew_and_enter_ends_it():
    app = Host()
    async with app.run_test() as pilot:
        await pilot.press("4", "2")
        await until(lambda: app.lines[1].startswith("▸ [ 42 ]"))
        await pilot.press("enter")
        await until_equal(
            lambda: app.told,
            [
                ("typed", "a", "prio", "4"),
                ("typed", "a", "prio", "42"),
                ("finished", "a", "prio", "42"),
            ],
        )
        await until(lambda: not app.grid.is_typing)


async def test_enter_goes_on_with_what_is_there_and_escape_takes_it_back():
    app = Host()
    async with app.run_test() as pilot:
        await pilot.press("enter", "5", "escape")
        await until_equal(lambda: app.told, [("typed", "a", "prio", "105"), ("back", "a", "prio")])
        await pilot.press("right", "enter", "7")
        # A dash is no text to go on with.
        await until_equal(lambda: app.told[-1:], [("typed", "a", "max", "7")])


async def test_moving_away_ends_what_is_typed_unless_it_is_refused():
    app = Host(refused="x")
    async with app.run_test() as pilot:
        await pilot.press("3", "down")
        await until_equal(lambda: app.told[-1:], [("finished", "a", "prio", "3")])
        await until_equal(lambda: app.grid.place, Place("b", "prio"))
        await pilot.press("backspace", "x", "up")
        await until(lambda: app.grid.is_typing)
        await until_equal(lambda: app.grid.place, Place("b", "prio"))
        await pilot.press("escape", "up")
        await until_equal(lambda: app.grid.place, Place("a", "prio"))


async def test_letters_are_typed_while_typing_and_handed_on_otherwise():
    app = Host()
    async with app.run_test() as pilot:
        await pilot.press("p", "1", "K", "enter", "K")
        await until_equal(lambda: app.others, ["p", "K"])
        await until_equal(lambda: app.told[-1:], [("finished", "a", "prio", "1K")])


async def test_a_key_that_no_number_has_ends_it_and_acts():
    """`2p` was no whole number."""
    app = Host("-7")
    async with app.run_test() as pilot:
        app.grid.show([GridRow("n", (GridCell("min", "1", True, number=True),))])
        await pilot.press("2", ".", "p")
        await until_equal(lambda: app.others, ["p"])
        assert app.told[-1] == ("finished", "n", "min", "2.")
        # What can't be taken stays, and the key does not act on what is not there.
        await pilot.press("backspace", "-", "7", "p")
        await until_equal(lambda: app.grid.typed, "-7")
        await pilot.pause()
        assert app.others == ["p"]


async def test_plus_and_minus_step_a_number():
    app = Host()
    async with app.run_test() as pilot:
        cells = (GridCell("min", "9", True, number=True), GridCell("max", "–", True, number=True))
        app.grid.show([GridRow("n", cells)])
        await pilot.press("plus", "plus")
        await until_equal(lambda: app.grid.typed, "11")
        await pilot.press("backspace", "minus", "minus")
        await until_equal(lambda: app.grid.typed, "0")
        await pilot.press("right", "plus")
        await until_equal(lambda: (app.grid.place, app.grid.typed), (Place("n", "max"), "1"))
        # Where no whole number stands, - is the sign of none.
        await pilot.press(".", ".", "minus")
        await until_equal(lambda: app.grid.typed, "1..-")


async def test_it_says_which_keys_work_in_the_field():
    app = Host()
    async with app.run_test() as pilot:
        app.grid.show([GridRow("n", (GridCell("min", "1", True, number=True),))])
        assert [title for _, title in app.grid.hints] == ["type", "step", "change", "next"]
        await pilot.press("2")
        await until(lambda: app.grid.is_typing)
        assert [title for _, title in app.grid.hints] == [
            "type",
            "step",
            "end",
            "take back",
            "next",
        ]
        assert not app.grid.takes_text


async def test_a_choice_goes_round():
    app = Host()
    async with app.run_test() as pilot:
        await pilot.press("shift+tab", "enter")
        await until_equal(lambda: app.told, [("finished", "c", "policy", "auto")])
        app.grid.show(rows(policy="auto"))
        await pilot.press("space")
        await until_equal(lambda: app.told[-1:], [("finished", "c", "policy", "spot")])


async def test_the_cursor_stays_with_its_field_and_goes_to_the_place_of_one_that_is_gone():
    app = Host()
    async with app.run_test() as pilot:
        await pilot.press("down")
        app.grid.show([HEAD, *reversed(rows()[1:])])
        await until_equal(lambda: app.grid.place, Place("b", "prio"))
        app.grid.show(rows()[:2])
        await until_equal(lambda: app.grid.place, Place("a", "prio"))
        app.grid.show([HEAD])
        await until(lambda: app.grid.place is None)


async def test_what_is_typed_stays_when_other_rows_are_shown():
    app = Host()
    async with app.run_test() as pilot:
        await pilot.press("4")
        app.grid.show(rows(most="9"))
        await pilot.press("2", "enter")
        await until_equal(lambda: app.told[-1:], [("finished", "a", "prio", "42")])


async def test_brackets_in_a_text_stay_brackets():
    app = Host()
    async with app.run_test():
        app.grid.show([GridRow("a", (GridCell("n", "[red]x[/]", True),), note="[/foo]")])
        assert "[red]x[/]" in app.lines[0]
        assert app.lines[0].endswith("[/foo]")


def _long(text: str, note: str = "") -> list[GridRow]:
    """Rows with a text in the middle that is wider than most terminals."""
    cells = [("a", "1"), ("b", text), ("c", "3")]
    return [
        GridRow(
            key,
            (GridCell("", key, left=True), GridCell(key, value, True, left=True)),
            "fields",
            note=note if key == "b" else "",
        )
        for key, value in cells
    ]


@pytest.mark.parametrize("width", [20, 40, 60, 80, 120])
@pytest.mark.parametrize("text", ["x" * 200, "é" * 120, "漢字" * 60, ", ".join(["eu-west-1"] * 30)])
def test_a_long_field_takes_one_line_and_no_more_than_there_is(width: int, text: str) -> None:
    grid = EditGrid()
    grid.show(_long(text, note="was " + "y" * 200))
    lines = grid.lines(width)
    assert len(lines) == 3
    assert max(line.cell_length for line in lines) <= width
    assert lines[1].plain.count("…") == 2, "the text and the note are cut"
    assert lines[2].plain.startswith("  c")


def test_long_names_keep_what_tells_them_apart() -> None:
    names = [f"the-first-group-of-the-service-with-a-{number}" for number in (1, 2)]
    grid = EditGrid()
    grid.show(
        GridRow(name, (GridCell("", name, left=True), GridCell("n", "1", True)), "groups")
        for name in names
    )
    lines = [line.plain for line in grid.lines(36)]
    assert [line[2:].split()[0] for line in lines] == [
        f"the-first-gr…ce-with-a-{n}" for n in (1, 2)
    ]


def test_a_note_gives_way_before_a_field_is_cut() -> None:
    grid = EditGrid()
    grid.show(_long("x" * 90, note="was " + "y" * 200))
    (line,) = [line.plain for line in grid.lines(120) if "x" in line.plain]
    assert "x" * 90 in line
    assert line.endswith("yyy…")


async def test_the_end_of_a_long_text_that_is_typed_is_in_sight() -> None:
    app = Host()
    async with app.run_test(size=(40, 12)) as pilot:
        app.grid.show(_long("x" * 200))
        app.grid.go_to(Place("b", "b"))
        await pilot.press("enter", *"end")
        await until(lambda: app.grid.typed == "x" * 200 + "end", what="the text")
        await until(lambda: "xend ]" in app.lines[1], what="its end")
        assert app.grid.lines(app.grid.size.width)[1].cell_length <= app.grid.size.width
        await pilot.press("enter", "down")
        await until_equal(lambda: app.grid.place, Place("c", "c"))
        assert app.grid._spots()[Place("c", "c")].y == 2
