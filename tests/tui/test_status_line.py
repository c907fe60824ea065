"""Messages take the line above the footer, one at a time."""

from __future__ import annotations

from textual.widgets import Static

from dstack_api_client.feed.update import ConnectionState
from dstack_fleets_tui.host.status_line import KEPT, Said, StatusLine
from dstack_fleets_tui.screens.messages import MessagesScreen
from dstack_widgets.panels.facts import Fact, Facts
from dstack_widgets.table.cells import plain_text
from tests.builders.apps import GivenFeed, app_on, failing, live
from tests.builders.recorded_demo import load
from tests.builders.snapshots import NOW
from tests.painting import all_painted
from tests.screens import filled, on_screen, summary
from tests.waiting import until


class Line(StatusLine):
    """A line with a clock that is set."""

    def __init__(self) -> None:
        self.time = 0.0
        super().__init__(clock=lambda: self.time)

    def put(self, message: str, touches: int = 0, *, warning: bool = True) -> None:
        self.say(Said(message, NOW, warning), touches)

    @property
    def text(self) -> str:
        return self.current.message if self.current is not None else ""


def test_news_wait_until_the_one_before_had_its_time() -> None:
    line = Line()
    line.put("one")
    line.put("two")
    assert (line.text, line.waiting) == ("one", 1)
    line.time = 5.9
    assert line.text == "one"
    line.time = 6.1
    assert (line.text, line.waiting) == ("two", 0)
    line.time = 21.2
    assert line.text == ""


def test_what_follows_a_key_is_shown_at_once_and_the_warning_comes_back() -> None:
    line = Line()
    line.put("The clock is wrong.")
    line.put("Copied: chat", 1, warning=False)
    assert line.text == "Copied: chat"
    line.time = 5.1
    assert line.text == "The clock is wrong."


def test_an_answer_that_was_read_does_not_come_back() -> None:
    line = Line()
    line.put("Copied: chat", 1, warning=False)
    line.put("Copied: embed", 2, warning=False)
    assert line.text == "Copied: embed"
    line.time = 5.1
    assert line.text == ""


def test_a_refusal_does_not_come_back_after_a_newer_one() -> None:
    line = Line()
    line.put("The clock is wrong.")
    line.put("There is no command 'x' here.", 1)
    line.time = 1.0
    line.put("There is no command 'y' here.", 2)
    assert line.text == "There is no command 'y' here."
    line.time = 7.1
    assert line.text == "The clock is wrong."
    line.time = 30.0
    assert line.text == ""


def test_the_same_again_is_said_once() -> None:
    line = Line()
    for touches in range(3):
        line.put("There is no command 'x' here.", touches)
    assert (line.text, line.waiting, len(line.log)) == (line.log[0].message, 0, 3)


def test_what_is_taken_back_makes_way_and_is_kept_in_the_log() -> None:
    line = Line()
    line.put("Reading the last change of chat.", 1, warning=False)
    line.put("The clock is wrong.", 1)
    line.time = 1.0
    line.take_back("Reading the last change of chat.")
    assert (line.text, line.waiting, len(line.log)) == ("The clock is wrong.", 0, 2)
    line.time = 15.9
    assert line.text == "The clock is wrong."
    line.take_back("Something else.")
    assert line.text == "The clock is wrong."
    line.time = 16.1
    assert line.text == ""


def test_the_last_hundred_are_kept() -> None:
    line = Line()
    for number in range(KEPT + 20):
        line.put(str(number))
    assert len(line.log) == 100
    assert line.log[0].message == "20"


async def test_a_message_never_takes_the_place_of_a_failure() -> None:
    recorded = load()
    app = app_on(GivenFeed(live(recorded)))
    async with app.run_test(size=(80, 24)) as pilot:
        await filled(app)
        before = summary(app)
        assert before
        refusal = "! There is no command 'nonsense' here. Press ? to see what there is."
        app.warn(refusal[2:])
        await until(lambda: summary(app) == refusal, what="the refusal above the footer")
        stale = failing(ConnectionState.STALE, "The server is away.", "Wait.", recorded)
        app.post_message(app.Read(stale, app.session.connection))
        both = f"{refusal}\nThe server is away. Wait."
        await until(lambda: summary(app) == both, what="both")
        await all_painted(app, pilot)
        line = app.screen.query_one("#summary", Static)
        assert (line.size.height, line.region.bottom) == (2, 23)
        app.said._queue.clear()
        await until(lambda: summary(app) == "The server is away. Wait.", what="the failure")

        app.do_messages("")
        await on_screen(app, MessagesScreen)
        facts = app.screen.query_one(Facts).facts
        assert [plain_text(each.value) for each in facts if isinstance(each, Fact)] == [refusal[2:]]


async def test_a_long_message_is_cut_with_a_sign_and_leaves_a_failure_whole() -> None:
    recorded = load()
    app = app_on(GivenFeed(live(recorded)))
    async with app.run_test(size=(40, 10)):
        await filled(app)
        app.warn("word " * 60)
        await until(lambda: summary(app).endswith("word…"), what="the sign")
        assert len(summary(app).splitlines()) == 5
        stale = failing(ConnectionState.STALE, "The server is away.", "Wait.", recorded)
        app.post_message(app.Read(stale, app.session.connection))
        await until(lambda: summary(app).endswith("…\nThe server is away. Wait."), what="both")
        assert len(summary(app).splitlines()) == 5
