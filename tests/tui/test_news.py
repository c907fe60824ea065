"""What is new is told of: by the terminal, and in the list."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from dstack_api_client.problems.model import Kind, Problem, Severity
from dstack_fleets_tui.app import in_terminal
from dstack_fleets_tui.live.news import News
from dstack_fleets_tui.settings.settings import Settings
from dstack_fleets_tui.terminal.terminal import notification, title
from dstack_widgets.screen.status_header import TabsLine
from tests.builders.apps import GivenFeed, app_on, live
from tests.builders.snapshots import NOW, service, snapshot
from tests.screens import SIZE, filled, table, texts
from tests.waiting import until

_WHOLE = snapshot()


def problem(key, severity=Severity.CRITICAL):
    return Problem(key=key, severity=severity, kind=Kind.SERVICE, subject=key, text="is down")


def test_what_was_there_before_is_no_news():
    news = News()
    assert news.look([problem("a")], replace(_WHOLE, complete=False), NOW) == []
    assert news.look([problem("a"), problem("b")], _WHOLE, NOW) == []
    assert news.unseen == set()


def test_a_critical_problem_is_new_once():
    news = News()
    news.look([], _WHOLE, NOW)
    found = [problem("a"), problem("b", Severity.WARNING)]
    assert news.look(found, _WHOLE, NOW) == [found[0]]
    assert news.unseen == {"a", "b"}
    assert news.look(found, _WHOLE, NOW) == []
    assert news.look([], _WHOLE, NOW + timedelta(seconds=1)) == []
    assert news.unseen == set()
    assert news.look(found, _WHOLE, NOW + timedelta(seconds=2)) == [], "it only came back"
    news.look([], _WHOLE, NOW + timedelta(seconds=3))
    assert news.look(found, _WHOLE, NOW + timedelta(hours=1)) == [found[0]]


def test_what_was_there_all_the_time_is_no_news_after_a_pause():
    news = News()
    news.look([], _WHOLE, NOW)
    found = [problem("a")]
    assert news.look(found, _WHOLE, NOW) == found
    later = NOW + timedelta(hours=1)
    more = [problem("a"), problem("b")]
    assert news.look(more, _WHOLE, later) == [more[1]]


def badges(app):
    """What stands beside the tabs, with the colour that it has."""
    shown = app.screen.query(TabsLine).first().render()
    return [(shown.plain[a:b], str(style).split()[-1]) for a, b, style in shown.spans]


@pytest.mark.parametrize("alert", ["off", "bell", "notify"])
async def test_a_new_critical_problem_is_told_of(monkeypatch, alert):
    monkeypatch.setattr(in_terminal, "notification", lambda text, environ: f"told: {text}")
    before = snapshot(services=[service("chat")])
    feed = GivenFeed(live(before))
    app = app_on(feed, Settings(alert=alert))
    bells, written = [], []
    async with app.run_test(size=SIZE) as pilot:
        await filled(app)
        app.bell = lambda: bells.append(True)
        monkeypatch.setattr(app._driver, "write", written.append)
        await pilot.press("3")
        after = snapshot(services=[service("chat"), service("broken", status="failed")])
        feed.waiting.append(live(after, before))
        await pilot.press("ctrl+r")
        await until(lambda: table(app).row_count == 1)
        key = table(app).keys[0]
        await until(lambda: texts(app, key)["since"].startswith("new "))
        assert len(bells) == (alert != "off")
        told = [text for text in written if text.startswith("told: main: broken ")]
        assert len(told) == (alert == "notify")
        assert (" 1!", "$text-error") in badges(app)
        await pilot.press("1", "3")
        await until(lambda: not texts(app, key)["since"].startswith("new "), what="it was seen")


def test_titles_and_notifications_are_for_terminals_that_know_them():
    assert title("2! prod", {"TERM": "xterm"}) == "\x1b]2;2! prod\x07"
    assert title("2! prod", {"TERM": "linux"}) == ""
    assert notification("down", {"TERM": "xterm"}) == "\x1b]9;down\x07"
    assert notification("down", {"TMUX": "x"}) == "\x1bPtmux;\x1b\x1b]9;down\x07\x1b\\"
