from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from textual.app import App, ComposeResult
from textual.containers import Horizontal

from dstack_widgets.drawing.glyphs import ASCII
from dstack_widgets.panels.facts import Fact, Facts, Heading, YamlView, fact_lines, yaml_content
from dstack_widgets.table.cells import CellValue
from tests.waiting import until, until_equal

FACTS = [
    Heading("Placement"),
    Fact("spot policy", "auto"),
    Fact("backends", "aws gcp kubernetes"),
    Fact("env", ""),
    Heading("Hosts"),
    Fact("host", CellValue("[/x]", "bad")),
]


def test_values_are_aligned_and_wrap_beside_their_names() -> None:
    lines = [line.plain.rstrip() for line in fact_lines(FACTS, 27, ASCII)]
    assert lines == [
        "Placement",
        "spot policy  auto",
        "backends     aws gcp",
        "             kubernetes",
        "env          -",
        "",
        "Hosts",
        "host         [/x]",
    ]


def test_in_a_narrow_panel_values_stand_below_their_names() -> None:
    facts = [Fact("a very long name indeed", "value"), Fact("b", "x")]
    assert [line.plain.rstrip() for line in fact_lines(facts, 30)] == [
        "a very long name indeed",
        "  value",
        "b",
        "  x",
    ]


@given(st.text(min_size=1), st.integers(8, 60))
def test_no_value_is_too_wide_or_loses_text(text: str, width: int) -> None:
    lines = fact_lines([Fact("n", text)], width)
    assert all(line.cell_length <= width for line in lines)
    kept = "".join("".join(line.plain for line in lines).split())
    whole = "".join(line.plain for line in fact_lines([Fact("n", text)], 10_000))
    assert kept == "".join(whole.split())


def test_yaml_is_literal_line_by_line() -> None:
    text = "name: [red]  # x\n# all\n- a: 1\n- http://x:80/\n\x1b[31m: y\n\tz"
    content = yaml_content(text)
    assert content.plain == "name: [red]  # x\n# all\n- a: 1\n- http://x:80/\n\ufffd[31m: y\n    z"
    styled = {content.plain[span.start : span.end] for span in content.spans if span.style}
    assert {"name", "# all", "a", ":"} <= styled
    assert "http" not in styled


class PanelApp(App[None]):
    def compose(self) -> ComposeResult:
        with Horizontal():
            yield Facts(FACTS)
            yield YamlView("\n".join(f"line-{index}: {'x' * 90}" for index in range(60)))

    def lines(self) -> list[str]:
        return [strip.text for strip in self.screen._compositor.render_strips()]


async def test_panels_show_and_scroll() -> None:
    app = PanelApp()
    async with app.run_test(size=(80, 20)) as pilot:
        await pilot.pause()
        assert "spot policy  auto" in app.lines()[1]
        facts, view = app.query_one(Facts), app.query_one(YamlView)
        view.focus()
        await pilot.press("G")
        await pilot.pause()
        assert view.scroll_y == view.max_scroll_y > 0
        await pilot.press("right")
        await pilot.pause()
        assert view.scroll_x > 0
        view.show("a: b")
        facts.show([Fact("x", "y")])
        assert view.text == "a: b"
        assert facts.facts == (Fact("x", "y"),)
        await until_equal(lambda: app.lines()[0].split(), ["x", "y", "a:", "b"])
        await until(lambda: not app.lines()[1].strip())


async def test_the_same_facts_again_change_nothing() -> None:
    app = PanelApp()
    async with app.run_test(size=(80, 20)) as pilot:
        await pilot.pause()
        body = app.query_one(Facts)._body
        before = body._layout_updates
        app.query_one(Facts).show(list(FACTS))
        assert body._layout_updates == before
        app.query_one(Facts).show(FACTS[:-1])
        assert body._layout_updates == before + 1


async def test_a_panel_grows_although_a_layout_came_between_two_changes() -> None:
    async with PanelApp().run_test(size=(80, 20)) as pilot:
        await pilot.pause()
        panel = pilot.app.query_one(Facts)
        panel.show([Fact("one", "1")])
        # As where the screen is laid out before the panel has come to rest.
        panel._clear_arrangement_cache()
        pilot.app.screen._refresh_layout()
        panel.show([Fact(str(number), "value") for number in range(30)])
        await until(lambda: panel.virtual_size.height == 30)
