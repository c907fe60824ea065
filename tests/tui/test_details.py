"""Details of the row under the cursor, beside the lists."""

from __future__ import annotations

from pathlib import Path

import pytest

from dstack_api_client.errors import CannotConnectError
from dstack_api_client.replica.service_logs import writer_name
from dstack_api_client.transport import wire
from dstack_fleets_tui.settings.kept_views import KeptViews, Views
from dstack_fleets_tui.tables import details
from dstack_fleets_tui.tables.looks import Looks
from dstack_widgets.panels.detail_pane import DetailPane
from tests.builders import routed_service
from tests.builders.apps import GivenFeed, app_on, live
from tests.builders.memory_client import GivenClient
from tests.builders.projects import ago, fleet, instances, project
from tests.builders.snapshots import NOW
from tests.screens import filled, summary
from tests.waiting import until, until_equal

pytestmark = pytest.mark.usefixtures("frozen")

ROUTED = routed_service.snapshot()


def event(job, number=0):
    target = wire.EventTarget(type="job", id="gone", name=job)
    message = "Job status changed PULLING -> RUNNING"
    return wire.Event(id=str(number), message=message, recorded_at=ago(minutes=9), targets=[target])


def pane(app):
    return app.screen.query_one(DetailPane)


def where(app):
    """Where the details stand, if they do."""
    if not pane(app).display:
        return "nowhere"
    return "beside" if pane(app).region.x > 0 else "below"


async def test_the_free_room_shows_the_row_under_the_cursor(tmp_path: Path) -> None:
    feed = GivenFeed(live(ROUTED))
    feed.events = [event("chat-70b-1-0"), event("chat-70b-b-1-0", 1)]
    app = app_on(feed)
    app.views = KeptViews(tmp_path)
    async with app.run_test(size=(120, 30)) as pilot:
        await filled(app)
        await pilot.press("2")
        await until(lambda: "Lanes" in pane(app).text, what="the lanes")
        text = pane(app).text
        assert text.startswith(f"{'─' * 118}\nchat-70b  ! DEGRADED 3/9")
        assert "✗ gpu-reserved: baseline 2 of 3: gpu-reserved is in cooldown" in text
        assert "BASELINE 2 of 3 for 3m\n" in text
        assert where(app) == "below"
        last = text.splitlines()[-1].split()
        assert last[:3] == ["13:53:31", "chat-70b-1-0", "PULLING"]
        # The details say it all: the line above the footer is for messages.
        assert summary(app) == ""

        before = pane(app).size.height
        await pilot.press("plus")
        await until(lambda: pane(app).size.height == before, what="no more than is left")
        await pilot.press("underscore", "underscore")
        await until(lambda: pane(app).size.height < before, what="a lower pane")
        await pilot.press("z")
        await until_equal(lambda: where(app), "nowhere")
        assert summary(app).startswith("chat-70b  router 1/1 (smg)")
        assert KeptViews(tmp_path).now.details is False
        assert KeptViews(tmp_path).now.below

        await pilot.press(*":details auto", "enter", "z")
        await until_equal(lambda: where(app), "below")
        assert KeptViews(tmp_path).now == Views()
        await pilot.press("3")
        await until(lambda: "opens Distribution of chat-70b" in pane(app).text, what="the problem")
        await pilot.press("down")
        await until(
            lambda: "restart the worker" in " ".join(pane(app).text.split()), what="the next one"
        )

        # Rows that are sentences have all of the width, up to a very wide terminal.
        await pilot.resize_terminal(170, 40)
        table = app.screen.table
        await until(
            lambda: all(table.shows_whole(key, "problem") for key in table.keys), what="sentences"
        )
        assert where(app) == "below"
        await pilot.resize_terminal(240, 40)
        await until_equal(lambda: where(app), "beside")
        width = pane(app).region.width
        await pilot.press("plus")
        await until(lambda: pane(app).region.width > width, what="a wider pane")
        await pilot.resize_terminal(80, 24)
        await until_equal(lambda: where(app), "nowhere")
        await pilot.press(*":details", "enter")
        await pilot.press(*":details", "enter")
        needs = "Details need a terminal of 100x30 or more."
        await until_equal(lambda: app.said.log[-1].message if app.said.log else "", needs)


def test_of_a_fleet_the_worst_instances_come_first() -> None:
    hosts = instances("gpu", *["busy"] * 70, "unreachable")
    there = fleet("gpu", instance_ids=tuple(each.id for each in hosts))
    shot = project(fleets=[there], hosts=hosts)
    sections = details.of_fleet(there, shot, (), (), Looks(NOW), 100, 40)
    told = next(section for section in sections if section.title == "Instances")
    assert "unreachable" in told.lines[1].plain
    assert (len(told.lines), told.left) == (1 + 40, 31)


def test_the_last_events_of_a_service_are_those_of_its_jobs_too() -> None:
    chat = ROUTED.services[routed_service.RUN]
    names = (f"{chat.name}-{number}-0" for number in range(12))
    read = [event(name, number) for number, name in enumerate(names)]
    read.append(event(f"{chat.name}-b-1-0", 12))
    sections = details.of_service(chat, ROUTED, None, (), read, Looks(NOW), 100)
    told = [line.plain for line in sections[-1].lines]
    assert len(told) == 8
    assert f"{chat.name}-11-0" in told[0]


def test_choices_that_cannot_be_read_count_as_none(tmp_path: Path) -> None:
    (tmp_path / "views.json").write_text("{")
    assert KeptViews(tmp_path).now == Views()
    kept = KeptViews(tmp_path / "missing" / "folder")
    kept.change(beside=60)
    assert KeptViews(tmp_path / "missing" / "folder").now == Views(beside=60)


async def test_of_a_problem_the_last_log_lines_of_its_replica_are_told() -> None:
    client = GivenClient()
    app = app_on(GivenFeed(live(ROUTED)), client=client)
    async with app.run_test(size=(170, 45)) as pilot:
        await filled(app)
        about = next(each.replica for each in app.problems if each.replica is not None)
        replica = ROUTED.replicas[about]
        client.write("CUDA out of memory", *map(str, range(4)), by=replica.submission_id)
        await pilot.press("3")
        problems = app.screen
        for each in app.problems:
            if each.replica == about:
                problems.table.move_cursor_to(each.key)
                break
        await until(lambda: "CUDA out of memory" in pane(app).text, what="its log")
        assert f"Last log lines of {writer_name(replica)}" in pane(app).text
        asked = client.asked["logs"]
        problems.fill()
        assert client.asked["logs"] == asked, "not at every poll"
        client.failure = CannotConnectError("It is away.", "Wait.")
        problems.reread()
        await until(lambda: "Not read. It is away. Wait." in pane(app).text, what="why not")
        await pilot.press("z")
        await until_equal(lambda: where(app), "nowhere")
        asked = client.asked["logs"]
        problems.reread()
        await pilot.pause()
        assert client.asked["logs"] == asked, "nobody sees them"


def told_of(sections):
    """What the events are about that the details tell."""
    (section,) = [each for each in sections if each.title == "Last events"]
    return [line.plain.split()[1] for line in section.lines]


def of_fleet(there, shot, read):
    return told_of(details.of_fleet(there, shot, (), read, Looks(NOW), 100, 40))


def of(kind, key, name):
    target = wire.EventTarget(type=kind, id=key, name=name)
    return wire.Event(id=key, message="x", recorded_at=ago(minutes=9), targets=[target])


def test_an_own_fleet_and_a_lent_one_of_its_name_have_events_of_their_own() -> None:
    own = fleet("gpu", instance_ids=("i-own",))
    lent = fleet("lab/gpu", project="lab", instance_ids=("i-lent",))
    shot = project(fleets=[own, lent])
    # dstack names an instance of a lent fleet without its project.
    read = [of("instance", key, "gpu-0") for key in ("i-own", "i-lent", "i-gone")]
    assert of_fleet(own, shot, read[:1]) == ["gpu-0"]
    assert of_fleet(own, shot, read[1:]) == []
    assert of_fleet(lent, shot, read[1:]) == ["gpu-0"]
    assert of_fleet(lent, shot, [read[0], read[2]]) == []
    # Where the name is one fleet's, an instance that is gone is known by it.
    assert of_fleet(lent, project(fleets=[lent]), read[2:]) == ["gpu-0"]


def test_a_name_alone_says_only_of_a_thing_of_its_kind_whose_it_is() -> None:
    fleets = [fleet("chat"), fleet("chat-0")]
    shot = project(fleets=fleets)
    read = [of("fleet", "f-0", "chat-0"), of("run", "r-0", "chat-0"), of("job", "j", "chat-0-0")]
    assert of_fleet(fleets[0], shot, read) == []
    chat = ROUTED.services[routed_service.RUN]
    instance = of("instance", "i-0", f"{chat.name}-0-0")
    read = [instance, of("job", "j", f"{chat.name}-1-0")]
    sections = details.of_service(chat, ROUTED, None, (), read, Looks(NOW), 100)
    assert told_of(sections) == [f"{chat.name}-1-0"]
