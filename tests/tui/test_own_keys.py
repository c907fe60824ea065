"""Keys of the user's own: which count, and that screens show and take them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from dstack_fleets_tui.actions import actions
from dstack_fleets_tui.app.reloading import Own
from dstack_fleets_tui.screens.service.service import ServiceScreen
from dstack_fleets_tui.settings.own_keys import OwnKeys, checked, read_keys
from dstack_fleets_tui.settings.settings import ProjectValues, Settings
from dstack_widgets.screen.status_header import KeysFooter, TabsLine
from tests.builders.apps import GivenFeed, app_on, live
from tests.builders.snapshots import fleet, snapshot
from tests.screens import SIZE, filled, on_screen, screen_text, table
from tests.waiting import until, until_equal


def test_keys_that_can_be_used() -> None:
    wanted = {
        "refresh": "f5",
        "sort": ["<", "ctrl+t"],
        "table.down": ["down", "="],
        "delete": "alt+d",
        "undo": "u",
        "fleets": 9,
    }
    found, wrong = checked(wanted)
    assert wrong == []
    assert found == {
        "refresh": ("f5",),
        "sort": ("less_than_sign", "ctrl+t"),
        "table.down": ("down", "equals_sign"),
        "delete": ("alt+d",),
        "undo": ("u",),
        "fleets": ("9",),
    }


@pytest.mark.parametrize(
    ("binding", "value", "why"),
    [
        ("sorts", "x", "there is no such binding. Did you mean sort?"),
        ("refresh", "enter", " is reserved: it opens or accepts."),
        ("refresh", "ctrl+i", "terminals send it for tab"),
        ("delete", "d", "it changes something, and d is pressed too easily."),
        ("drain", "=", "it changes something, and = is"),
        ("sort", "r", "r is the key of "),
        ("sort", "j", "j is the key of table.down on "),
        ("sort", "hyper+x", "hyper+x is not a key."),
        ("sort", "", "is not a key."),
        ("sort", "<any>", "<any> is not a key."),
        ("sort", "ctrl+ctrl+g", "ctrl+ctrl+g is not a key."),
        ("sort", "shift+x", "terminals send X for shift+x. Write that."),
        ("sort", "alt+shift+x", "terminals send alt+X for alt+shift+x. Write that."),
        ("sort", [], "expected a key, or a list of keys."),
        ("open", "o", "it keeps its keys"),
        ("plan", "5", "the fields of an editor need 5."),
        ("choices.take", "t", "there is no such binding."),
    ],
)
def test_keys_that_can_not(binding: str, value: object, why: str) -> None:
    found, (wrong,) = checked({binding: value})
    assert found == {}
    assert why in wrong


def test_two_bindings_may_change_places_and_not_share_one() -> None:
    assert checked({"sort": "S", "reverse": "s"}) == ({"sort": ("S",), "reverse": ("s",)}, [])
    found, wrong = checked({"sort": "f6", "reverse": "f6"})
    assert found == {"sort": ("f6",)}
    assert wrong[0].startswith("reverse: f6 is the key of sort on ")
    # What had to keep its key is in the way of what wanted that.
    found, wrong = checked({"reverse": "f6", "order": "S", "sort": "f6"})
    assert (found, len(wrong)) == ({"reverse": ("f6",), "order": ("S",)}, 1)


def test_no_usual_key_is_wrong() -> None:
    usual = {each.id: [*each.keys] for each in actions.ACTIONS if each.keys}
    _, wrong = checked({name: keys for name, keys in usual.items() if name not in ("open", "back")})
    assert wrong == []


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", []),
        ("sort: [", ["is not valid YAML in line 1: "]),
        ("sort: Z\nsort: Y", ["line 2: sort appears twice. The default keys are used."]),
        ("a: " + "x" * 2**20, ["it is longer than 1 MiB. The default keys are used."]),
        ("- sort", ["is not a list of `binding: key`. The default keys are used."]),
        ("sort: enter", ["keys.yml: sort: "]),
    ],
)
def test_a_file(tmp_path: Path, text: str, says: list[str]) -> None:
    path = tmp_path / "keys.yml"
    path.write_text(text)
    keys, notices = read_keys(path)
    assert keys == {}
    assert len(notices) == len(says)
    assert all(part in notice for part, notice in zip(says, notices, strict=True))


def test_a_binding_or_a_key_that_stands_twice() -> None:
    keys, wrong = checked({"new-fleet": "f7", "new_fleet": "f8", "sort": ["Z", "Z"]})
    assert keys["sort"] == ("Z",)
    assert keys["new_fleet"] == ("f7",)
    assert wrong == ["new_fleet: it appears twice; the first one counts."]


async def test_screens_listen_to_them_and_show_them_and_reload_takes_others() -> None:
    fleets = [fleet("a", price=1.0), fleet("b", price=300.0)]
    own = Own(Settings(), OwnKeys({"services": ("f2",), "sort": ("Z",), "distribution": ("f7",)}))
    app = app_on(GivenFeed(live(snapshot(fleets=fleets))))
    app._own = lambda: own
    async with app.run_test(size=SIZE) as pilot:
        await filled(app)
        app.use_keys(OwnKeys({"reverse": ("f9",)}, ["keys.yml: wrong"]))
        assert app.said.log[-1].message == "keys.yml: wrong"
        await pilot.press("f9")
        await until_equal(lambda: [*table(app).keys], ["f-b", "f-a"])
        await pilot.press("S")  # which does nothing any more
        app.screen.action_do("reload")
        await until(lambda: "are read again." in app.said.log[-1].message, what="the reload")
        assert [*table(app).keys] == ["f-b", "f-a"]
        await until(lambda: "Z sort" in screen_text(app), what="the footer")
        assert "f2 Services" in screen_text(app)
        await pilot.press("f2")
        await until(lambda: app.screen.name_of_screen == "services", what="the services")
        await pilot.press("question_mark")
        await until(lambda: "f2" in screen_text(app), what="the help")
        await pilot.press("escape")
        app.open_service("s-chat")
        await on_screen(app, ServiceScreen)
        assert app.screen.query(TabsLine).last()._tabs[0].key == "f7"
        await pilot.press("r")
        await until(lambda: app.screen.view == "replicas", what="the replicas")
        await pilot.press("f7")
        await until(lambda: app.screen.view == "distribution", what="the distribution")
        assert app.screen.query_one(KeysFooter)


async def test_reload_takes_over_settings() -> None:
    app = app_on(GivenFeed(live(snapshot(fleets=[fleet("a")]))))
    read = Settings(
        theme="nord",
        ascii=True,
        columns={"fleets": ["price"]},
        aliases={"oncall": "problems"},
        read_only=True,
        projects={"main": ProjectValues(protected=True)},
        notices=("There is no setting colour.",),
    )
    app._own = lambda: Own(read)
    async with app.run_test(size=SIZE):
        await filled(app)
        app.screen.action_do("reload")
        await until_equal(lambda: [*table(app).visible_columns], ["fleet", "price"])
        said = [each.message for each in app.said.log][-2:]
        assert said == [
            "Changed: aliases, columns, projects, read_only, theme. From the next start: ascii.",
            "There is no setting colour.",
        ]
        assert (app.theme, app.ascii, app.read_only, app.protected) == ("nord", False, True, True)
        assert app.aliases["oncall"] == "problems"
        app._own = lambda: Own(replace(read, interval=9.0))
        app._quitting.in_the_way = lambda: ["A change is being sent."]
        app.screen.action_do("reload")
        await until(lambda: "before you reload." in app.said.log[-1].message, what="a refusal")
        assert app.interval == 2
        app._quitting.in_the_way = list
        app.screen.action_do("reload")
        await until_equal(lambda: app.session.poller._interval if app.session.poller else None, 9.0)
