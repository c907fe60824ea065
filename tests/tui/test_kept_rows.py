"""Rows that are kept are those that would be made."""

from __future__ import annotations

import random
import sys
from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dstack_api_client.analysis.health import desired_of
from dstack_api_client.join.join import Answers
from dstack_api_client.model.snapshot import Snapshot
from dstack_api_client.transport import wire
from dstack_fleets_tui.screens.lists import ListScreen
from dstack_fleets_tui.tables import fleets, services
from dstack_fleets_tui.tables.kept_rows import KeptRows
from dstack_fleets_tui.tables.looks import Looks
from dstack_widgets.panels.detail_pane import DetailPane
from tests.builders import routed_service
from tests.builders.apps import CONNECTION, GivenFeed, app_on, live
from tests.builders.generation import seeds
from tests.builders.joined_answers import joined, projects
from tests.builders.problem_cases import CASES
from tests.builders.snapshots import NOW
from tests.screens import filled
from tests.waiting import until


def test_a_row_is_made_again_when_what_it_is_made_of_is_another() -> None:
    rows, made = KeptRows(), []

    def make(key: str) -> list[str]:
        made.append(key)
        return [key]

    first = rows.of({"b": (1, "x"), "a": (2,)}, make)
    assert list(first) == ["b", "a"]
    second = rows.of({"a": (2,), "b": (1, "y")}, make)
    assert made == ["b", "a", "b"]
    assert list(second) == ["a", "b"]
    assert second["a"] is first["a"]
    rows.of({"b": (1, "y")}, make)
    rows.of({"a": (2,)}, make)
    assert made == ["b", "a", "b", "a"], "what was not in the list is forgotten"


@given(st.lists(st.tuples(projects(), st.integers(0, 200)), min_size=2, max_size=6))
def test_kept_rows_of_lists_are_those_that_would_be_made(
    history: list[tuple[Answers, int]],
) -> None:
    of_fleets, all_fleets, of_services = KeptRows(), KeptRows(), KeptRows()
    members = fleets.Members()
    now, before = NOW, None
    for answers, minutes in history:
        now += timedelta(minutes=minutes)
        looks = Looks(now)
        before = joined(answers, previous=before)
        shot = before.snapshot
        made = {key: fleets.cells(each, shot, looks) for key, each in shot.fleets.items()}
        parts = {
            key: fleets.made_of(each, shot, looks, members.of(each, shot))
            for key, each in shot.fleets.items()
        }
        assert of_fleets.of(parts, lambda key: made[key]) == made  # noqa: B023
        kept = all_fleets.whole(
            fleets.all_made_of(shot, looks),
            now,
            lambda moment: {
                key: fleets.cells(each, shot, replace(looks, moment=moment))  # noqa: B023
                for key, each in shot.fleets.items()  # noqa: B023
            },
        )
        assert kept == made
        known = {key: services.Known(desired_of(shot, each)) for key, each in shot.services.items()}
        wanted = {
            key: services.cells(each, looks, known[key]) for key, each in shot.services.items()
        }
        parts = {
            key: services.made_of(each, looks, known[key]) for key, each in shot.services.items()
        }
        assert of_services.of(parts, lambda key: wanted[key]) == wanted  # noqa: B023


@pytest.mark.generated
@pytest.mark.usefixtures("frozen")
async def test_what_lists_keep_is_what_they_would_make_anew() -> None:
    """Over histories in which time passes, and now and then something is another."""
    for seed in seeds(30):
        sys.stdout.write(f"DSTACK_FLEETS_TESTS_SEED={seed}\n")
        await _course(random.Random(seed))


async def _course(rng: random.Random) -> None:
    now, shot = NOW - timedelta(hours=1), routed_service.snapshot()
    feed = GivenFeed(live(replace(shot, observed_at=now)))
    app = app_on(feed)
    app.now = lambda: now
    kept = 0
    async with app.run_test(size=(180, 45)):
        await filled(app)
        for _ in range(40):
            now += timedelta(seconds=rng.choice([1, 2, 2, 2, 31, 60, 600, 4000]))
            before, at_rest = shot, rng.random() < 0.6
            if not at_rest:
                case = CASES[rng.choice([*CASES])]
                shot = rng.choice([case.wrong, case.right, routed_service.snapshot()])
                app.switch_mode(rng.choice(["fleets", "services", "problems"]))
            if not at_rest and rng.random() < 0.3:
                feed.events = [*feed.events, _event(shot, now, len(feed.events))]
            new = replace(shot, observed_at=now)
            app.post_message(app.Read(live(new, replace(before, observed_at=now)), CONNECTION))
            await until(lambda: app.snapshot is new)  # noqa: B023
            await until(lambda: app.message_queue_size == 0)
            screen = app.screen
            assert isinstance(screen, ListScreen)
            await until(lambda: screen.is_laid_out)  # noqa: B023
            screen.show()
            pane = screen.query_one(DetailPane)
            rows, text = screen.all_rows(), pane.text
            kept += screen.all_rows() is rows
            for kind in ("_kept", "_members", "_with_trends", "_added"):
                getattr(screen, kind, {}).clear()
            screen._detailed = None
            screen.show_details()
            assert dict(screen.all_rows()) == dict(rows)
            assert pane.text == text
    assert kept, "no list was kept as it was"


def _event(shot: Snapshot, now: datetime, number: int) -> wire.Event:
    runs = [each.name for each in shot.services.values()] or ["gone"]
    target = wire.EventTarget(type="job", id=f"j-{number}", name=f"{runs[0]}-0-0")
    message = "Job status changed PULLING -> RUNNING"
    return wire.Event(id=f"e-{number}", message=message, recorded_at=now, targets=[target])
