"""The page of one replica, on what a given client reads."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from textual._compositor import CompositorUpdate

from dstack_api_client import errors
from dstack_api_client.model.replica import NO_CAPACITY, Attempt, Link
from dstack_fleets_tui.app.app import FleetsApp
from dstack_fleets_tui.screens.fleet import FleetScreen
from dstack_fleets_tui.screens.fleets import FleetsScreen
from dstack_fleets_tui.screens.logs import LogsScreen
from dstack_fleets_tui.screens.replica import ReplicaScreen
from dstack_fleets_tui.screens.service.service import ServiceScreen
from dstack_fleets_tui.settings.settings import Settings
from dstack_widgets.panels.facts import Fact, Facts
from dstack_widgets.panels.flow import Flow
from dstack_widgets.table.cells import plain_text
from tests.builders import projects
from tests.builders.apps import GivenFeed, app_on, live
from tests.builders.memory_client import START, GivenClient, event, metrics, run, submission
from tests.builders.snapshots import instance, replica, service, snapshot
from tests.painting import all_painted
from tests.screens import SIZE, filled, header, on_screen, screen_text, summary, table, texts
from tests.waiting import until

SOON = Settings(interval=0.5)
HOSTILE = ["[/x]", "[red]gone", "宽" * 300, "\u05d0 name", "a\x1b[31mb"]
GIB = 1024**3


class Opened:
    """The app with the page of a replica in front."""

    def __init__(self, *, shot=None, settings=SOON, **changes):
        now = START + timedelta(minutes=5)
        values = {"submission_id": "j-chat-0-1", "submission_num": 1, "submitted_at": START}
        self.replica = replica(**{**values, **changes})
        self.shot = shot or snapshot(replicas=[self.replica])
        self.client = GivenClient()
        self.client.known_runs["s-chat"] = run(
            submission(0, exit_status=137, termination_reason_message="out of memory",
                       finished_at=START + timedelta(seconds=42)),
            submission(1, "running"),
        )  # fmt: skip
        self.client.measured = metrics(
            gpu_util_percent_gpu0=[10, 80, 40],
            gpu_memory_usage_bytes_gpu0=[10 * GIB, 20 * GIB, 60 * GIB],
            gpu_memory_total_bytes=[80 * GIB] * 3,
            memory_working_set_bytes=[GIB, GIB, 2 * GIB],
            memory_total_bytes=[16 * GIB] * 3,
            cpu_usage_percent=[100, 100, 250],
            cpus_detected_num=[8] * 3,
        )
        self.client.write("loading", "ready to serve")
        self.feed = GivenFeed(live(self.shot))
        self.app = app_on(self.feed, settings, self.client)
        self.app.now = lambda: now
        self._running = self.app.run_test(size=SIZE, notifications=True)

    async def __aenter__(self):
        self.pilot = await self._running.__aenter__()
        await filled(self.app)
        self.app.open_replica(self.replica.key)
        await on_screen(self.app, ReplicaScreen)
        await until(lambda: self.app.screen.query_one("#head", Flow).text, what="its first lines")
        return self

    async def __aexit__(self, *told):
        await self._running.__aexit__(*told)

    def facts(self):
        facts = self.app.screen.query_one("#overview", Facts).facts
        return {each.name: plain_text(each.value) for each in facts if isinstance(each, Fact)}

    async def has(self, fact, text):
        await until(lambda: text in self.facts().get(fact, ""), what=f"{fact}: {text}")

    def change(self, **values):
        """The feed brings the replica as it is then."""
        old = self.app.snapshot
        changed = {self.replica.key: replace(self.replica, **values)}
        self.feed.waiting.append(live(replace(self.shot, replicas=changed), old))
        self.app.hurry()


async def test_enter_on_a_replica_opens_its_page_and_escape_goes_back():
    app = app_on(GivenFeed(live(snapshot())), SOON)
    async with app.run_test(size=SIZE) as pilot:
        await filled(app)
        await pilot.press("2")
        await filled(app)
        await pilot.press("enter")
        await on_screen(app, ServiceScreen)
        await pilot.press("r")
        await until(lambda: "0.0" in table(app).keys)
        await pilot.press("enter")
        await on_screen(app, ReplicaScreen)
        assert app.screen.replica == replica().key
        await pilot.press("escape")
        await on_screen(app, ServiceScreen)
        assert app.screen.view == "replicas"


async def test_a_replica_that_waits_is_as_old_as_its_wait_and_its_submission_apart():
    sought = [
        Attempt(START - timedelta(minutes=minutes), NO_CAPACITY, "", submission_num=num)
        for num, minutes in enumerate((50, 20))
    ]
    waits = {"status": "submitted", "instance_id": None, "earlier": tuple(sought)}
    async with Opened(**waits, submission_num=2) as opened:
        head = opened.app.screen.query_one("#head", Flow).text
        assert "submission 2 (5m old)" in head, head
        assert "age 55m" in head


async def test_the_overview_tells_state_host_use_and_output():
    async with Opened() as opened:
        await opened.has("GPU use", "40 %  peak 80 %")
        await opened.has("GPU memory", "60.0 of 80 GB")
        await opened.has("memory", "2.0 of 16 GB")
        await opened.has("CPUs", "2.5 of 8")
        assert opened.facts()["GPU use"].endswith("▂▇▄")
        assert opened.facts()["instance"] == "gpu-0  10.0.0.1"
        assert opened.facts()["share"] == "H100:8  of H100:8, 1 of 1 block busy"
        assert opened.facts()["probes"] == "✓ ready  (3 in a row, 1 needed)"
        await until(lambda: "ready to serve" in opened.facts().values())
        await until(lambda: "ready to serve" in screen_text(opened.app))
        head = opened.app.screen.query_one("#head", Flow).text
        assert head.startswith("chat 0  running  ready  fleet gpu")


async def test_the_overview_says_why_the_replica_is_where_it_is():
    why = projects.placed(0, "gpu", "priority", "first by priority")
    why = replace(why, job_id="j-chat-0-1")
    shot = snapshot(replicas=[replica(submission_id="j-chat-0-1", submission_num=1)])
    shot = replace(shot, placements={"s-chat": projects.placement(replicas=[why])})
    async with Opened(shot=shot) as opened:
        await opened.has("placed", "priority: first by priority")


async def test_the_feed_is_told_that_its_service_and_fleet_are_open():
    async with Opened() as opened:
        await until(lambda: opened.feed.focused.get("opened_service") == "s-chat")
        assert opened.feed.focused["opened_fleet"] == "f-gpu"


async def test_the_history_has_every_submission_and_shows_their_output():
    async with Opened() as opened:
        app = opened.app
        await opened.pilot.press("h")
        await until(lambda: table(app).row_count == 2)
        first = texts(app, "j-chat-0-0")
        assert first["state"].endswith("failed")
        assert (first["exit"], first["lasted"]) == ("137", "42s")
        assert first["message"] == "out of memory"
        await opened.pilot.press("down")
        await until(lambda: "out of memory" in summary(app))
        await opened.pilot.press("enter")
        await until(lambda: app.screen.view == "logs")
        await until(lambda: opened.client.log_of[-1] == "j-chat-0-0")
        await until(lambda: "submission 0, l shows the latest" in screen_text(app))
        await opened.pilot.press("l")
        await until(lambda: opened.client.log_of[-1] == "j-chat-0-1")
        await until(lambda: "l shows the latest" not in screen_text(app))


async def test_the_output_is_followed_until_the_cursor_leaves_it():
    async with Opened() as opened:
        app = opened.app
        await opened.pilot.press("l")
        await until(lambda: table(app).row_count == 2)
        await until(lambda: "following" in screen_text(app))
        opened.client.write("one more", at=1)
        await until(lambda: summary(app) == "one more")
        await opened.pilot.press("up")
        opened.client.write("and more", at=2)
        await until(lambda: table(app).row_count == 4)
        assert summary(app) == "ready to serve"
        await until(lambda: "f follows" in screen_text(app))
        await opened.pilot.press("f")
        await until(lambda: summary(app) == "and more")
        await opened.pilot.press("enter")
        await on_screen(app, LogsScreen)
        await until(lambda: "only replica 0" in screen_text(app))
        await until(lambda: len(app.screen.log_lines.passing) == 4)


async def test_a_line_that_goes_on_is_shown_as_one():
    opened = Opened()
    opened.client.log = [(START, b"begun ")]
    async with opened:
        app = opened.app
        await opened.pilot.press("l")
        await until(lambda: summary(app) == "begun")
        opened.client.log.append((START + timedelta(seconds=1), b"and ended\n"))
        await until(lambda: summary(app) == "begun and ended")
        assert table(app).row_count == 1


async def test_f_goes_to_the_output_from_elsewhere():
    async with Opened() as opened:
        await opened.pilot.press("f")
        await until(lambda: opened.app.screen.view == "logs")


async def test_a_flood_of_output_keeps_a_bounded_number_of_lines():
    async with Opened() as opened:
        app = opened.app
        await opened.pilot.press("l")
        for second in range(1, 4):
            opened.client.write(*(f"{second} {number}" for number in range(5000)), at=second)
            await until(lambda second=second: summary(app) == f"{second} 4999")
        assert table(app).row_count <= 1000


async def test_the_output_can_be_filtered():
    async with Opened() as opened:
        app = opened.app
        await opened.pilot.press("l", "slash", *"serve", "enter")
        await until(lambda: len(table(app).keys) == 1)


async def test_the_events_are_those_of_all_its_submissions():
    async with Opened() as opened:
        opened.client.recorded = [event(0)]
        app = opened.app
        await until(lambda: opened.client.asked["run"])
        await opened.pilot.press("v")
        await until(lambda: table(app).row_count == 1)
        assert opened.client.filters[-1] == {"target_jobs": ["j-chat-0-1", "j-chat-0-0"]}


async def test_i_goes_to_its_instance():
    async with Opened() as opened:
        app = opened.app
        await opened.pilot.press("i")
        await on_screen(app, FleetScreen)
        await until(lambda: table(app).cursor_key == "i-gpu-0")


async def test_an_instance_that_is_not_known_is_said():
    async with Opened(instance_id=None, link=Link.RUN_FLEET) as opened:
        await opened.has("instance", "not known; the fleet is the run's")
        await opened.pilot.press("i")
        app = opened.app
        await until(lambda: [n for n in app.said.log if "It is not known" in n.message])


async def test_each_failure_is_told_where_it_matters_and_passes():
    async with Opened() as opened:
        app = opened.app
        await opened.has("GPU use", "40 %")
        opened.client.failure = errors.CannotConnectError("It is away.", "Wait.")
        await opened.has("not read", "It is away. Wait.")
        await opened.pilot.press("l")
        await until(lambda: summary(app) == "It is away. Wait.")
        assert table(app).row_count == 2
        await opened.pilot.press("ctrl+r", "h")
        await until(lambda: summary(app) == "It is away. Wait.")
        opened.client.failure = None
        await until(lambda: summary(app).startswith("submission 1"))


async def test_what_was_never_read_says_why():
    opened = Opened()
    opened.client.failure = errors.ForbiddenError("This user may not read logs.", "Ask for it.")
    async with opened:
        await opened.has("not read", "may not read logs")
        await opened.has("metrics", "may not read logs")
        for key in ("l", "h"):
            await opened.pilot.press(key)
            await until(lambda: "may not read logs" in table(opened.app).empty_text)


async def test_a_replica_that_goes_says_so_and_keeps_what_was_read():
    async with Opened() as opened:
        app = opened.app
        await opened.pilot.press("l")
        await until(lambda: table(app).row_count == 2)
        opened.feed.waiting.append(live(snapshot(replicas=[]), opened.shot))
        app.hurry()
        await until(lambda: "gone" in app.screen.query_one("#head", Flow).text)
        assert table(app).row_count == 2


async def test_another_submission_is_followed_when_it_comes():
    async with Opened() as opened:
        app = opened.app
        await opened.pilot.press("h")
        await until(lambda: table(app).row_count == 2)
        opened.client.known_runs["s-chat"] = run(*(submission(number) for number in range(3)))
        opened.change(submission_id="j-chat-0-2", submission_num=2)
        await until(lambda: table(app).row_count == 3)
        await until(lambda: opened.client.log_of[-1] == "j-chat-0-2")


async def test_reading_ends_with_the_screen():
    async with Opened() as opened:
        await until(lambda: opened.client.asked["logs"])
        await opened.pilot.press("escape")
        await on_screen(opened.app, FleetsScreen)
        asked, polls = opened.client.asked.total(), len(opened.feed.polls)
        await until(lambda: len(opened.feed.polls) >= polls + 3)
        assert opened.client.asked.total() <= asked + 1
        assert not [w for w in opened.app.workers if w.group == "own-reads" and w.is_running]


async def test_paused_nothing_more_is_read():
    async with Opened() as opened:
        await until(lambda: opened.client.asked["run"])
        await opened.pilot.press("p")
        await until(lambda: "paused" in header(opened.app))
        asked = opened.client.asked.total()
        opened.client.write("later", at=9)
        await opened.pilot.press("ctrl+r")
        await until(lambda: "later" in opened.facts().values())
        assert opened.client.asked.total() <= asked + 4


async def test_after_connecting_anew_it_reads_on():
    async with Opened() as opened:
        app = opened.app
        await until(lambda: opened.client.asked["logs"])
        before = app.source
        app._connect()
        await until(lambda: app.source is not before)
        opened.feed.waiting.append(live(opened.shot))
        app.hurry()
        opened.client.write("from the new one", at=3)
        await until(lambda: "from the new one" in opened.facts().values())


async def test_hostile_output_does_no_harm():
    async with Opened() as opened:
        app = opened.app
        await until(lambda: opened.client.asked["logs"])
        for second, text in enumerate(HOSTILE, 1):
            opened.client.write(text, at=second)
            before = app.snapshot
            opened.change(error=text, hostname=text, group=text, job_name=text)
            await until(lambda before=before: app.snapshot is not before, what=text)
            for key in ("l", "h", "v", "o"):
                await opened.pilot.press(key)
                await all_painted(app, opened.pilot)
                assert "\x1b" not in screen_text(app), (text, key)
            await until(lambda text=text: plain_text(text) in opened.facts().values(), what=text)


async def test_a_job_of_a_task_has_a_page_too():
    shot = snapshot(services=[service()], replicas=[replica(run_type="task")],
                    instances=[instance()])  # fmt: skip
    async with Opened(shot=shot, run_type="task") as opened:
        await until(lambda: "chat (task)" in opened.app.screen.query_one("#head", Flow).text)


async def test_a_poll_that_changes_nothing_paints_a_few_cells():
    async with Opened() as opened:
        app = opened.app
        moment = [app.now()]
        app.now = lambda: moment[0]
        opened.client.recorded = [event(0)]
        await until(lambda: opened.client.asked["job_metrics"] and opened.client.asked["run"])
        painted = []
        paint = app._display

        def count(screen, renderable):
            if isinstance(renderable, CompositorUpdate):
                painted.append(len(renderable.render_segments(app.console)))
            paint(screen, renderable)

        app._display = count
        shot = app.snapshot
        for key in ("o", "l", "h", "v"):
            await opened.pilot.press(key)
            await opened.pilot.pause()
            for second in range(1, 5):
                moment[0] += timedelta(seconds=1)
                asked = opened.client.asked["logs"]
                app.post_message(FleetsApp.Read(live(shot, shot), app.session.connection))
                app.screen.reread()
                await until(lambda asked=asked: opened.client.asked["logs"] > asked)
                app.screen.show_state()
                await all_painted(app, opened.pilot)
                if second == 1:
                    painted.clear()  # what was still to be painted of the screen as a whole
            assert 0 < sum(painted) < 250, key
