"""Which theme is shown: the user's own, the one that was chosen, the terminal's background."""

from __future__ import annotations

import pytest
from textual.theme import BUILTIN_THEMES

from dstack_api_client.edits.store.keeping import Store
from dstack_fleets_tui.settings.kept_views import KeptViews
from dstack_fleets_tui.themes.files import read_themes
from dstack_fleets_tui.themes.showing import DARK, LIGHT
from tests.builders.apps import GivenFeed, app_on, live
from tests.builders.snapshots import snapshot
from tests.waiting import until

_MINE = "primary: '#88c0d0'\nbackground: black\ndark: true\n"


def test_own_themes_are_read(tmp_path):
    (tmp_path / "mine.yml").write_text(_MINE)
    (tmp_path / "paper.yml").write_text("primary: navy\nbackground: white\n")
    (themes, notices) = read_themes(tmp_path)
    assert [(theme.name, theme.primary, theme.dark) for theme in themes] == [
        ("mine", "#88c0d0", True),
        ("paper", "navy", False),
    ]
    assert notices == []


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("primary: bluish\n", "primary: bluish is not a colour"),
        ("primary: auto\n", "primary: auto is not a colour"),
        ("primary: ansi_red\n", "primary: ansi_red is not one colour"),
        ("primary: '#88c0d080'\n", "is not one colour"),
        ("background: black\n", "primary: field required"),
        ("primary: red\nprimry: red\n", "primry: extra inputs are not permitted"),
        ("primary: [\n", "not valid YAML in line 2"),
        ("- primary\n", "not a list of `name: value`"),
    ],
)
def test_a_bad_theme_is_a_notice(tmp_path, text, said):
    (tmp_path / "mine.yml").write_text(_MINE)
    (tmp_path / "bad.yml").write_text(text)
    themes, (notice,) = read_themes(tmp_path)
    assert [theme.name for theme in themes] == ["mine"]
    assert said in notice
    assert str(tmp_path / "bad.yml") in notice


def test_no_folder_is_no_theme(tmp_path):
    assert read_themes(tmp_path / "none") == ([], [])


def test_a_chosen_theme_is_kept_beside_what_another_dashboard_chose(tmp_path):
    ours, another = KeptViews(tmp_path / "state"), KeptViews(tmp_path / "state")
    ours.change(theme="nord")
    another.change(beside=40)
    kept = KeptViews(tmp_path / "state").now
    assert (kept.theme, kept.beside) == ("nord", 40)


async def test_the_theme_follows_the_background_until_one_is_chosen(tmp_path):
    app = app_on(GivenFeed(live(snapshot())))
    app.store = Store(tmp_path)
    app.asks_background = True
    async with app.run_test() as pilot:
        assert app.theme == DARK
        app.background_is(0.9)
        assert app.theme == LIGHT
        await pilot.press("ctrl+p", *"theme", "enter")
        await until(lambda: "nord" in str(app.screen.query("CommandList").first().options))
        await pilot.press(*"nord", "enter")
        await until(lambda: app.theme == "nord", what="the chosen theme")
        app.background_is(0.0)
        assert app.theme == "nord"
    assert KeptViews(tmp_path).now.theme == "nord"
    assert "nord" in BUILTIN_THEMES
