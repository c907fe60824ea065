"""What is wrong: each thing found, told once, and gone with its cause."""

from __future__ import annotations

import random
import sys
from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dstack_api_client.analysis.health import FIRST_START, service_healths
from dstack_api_client.analysis.since import since_of
from dstack_api_client.model.fleet import Instance
from dstack_api_client.model.placement import ReplicaPlacement
from dstack_api_client.model.replica import Attempt
from dstack_api_client.model.router import RouterStatus, RouterView
from dstack_api_client.model.snapshot import Snapshot
from dstack_api_client.problems.model import Impact
from dstack_api_client.problems.routers import unread
from dstack_api_client.problems.service_replicas import PENDING_LONG
from dstack_api_client.problems.watch import (
    Kind,
    ProblemWatch,
    problems_of,
    worst_first,
)
from dstack_fleets_tui.headless.kinds.problems import cells as problem_cells
from tests.builders.generation import seeds
from tests.builders.problem_cases import (
    CASES,
    CRITICAL,
    LONG,
    LOST,
    NO_PLACE,
    NOTICE,
    PARTS,
    READY,
    RETRIED,
    WARNING,
)
from tests.builders.projects import (
    NOW,
    ago,
    chat,
    event,
    fleet_of,
    hosts,
    placement,
    project,
    replica,
    router,
    stuck,
    with_lanes,
    worker,
)


def test_what_to_do_about_hosts_that_failed_is_by_whether_others_are_up() -> None:
    (every,) = problems_of(hosts("a", "b", failed=2), NOW)
    assert every.hint.endswith("then delete the fleet and apply it again.")
    assert every.since == ago(hours=1)
    (one,) = problems_of(hosts("10.0.0.1", "b", up=1, failed=1), NOW)
    assert one.text.startswith("1 of 2 hosts could not be set up: b (")
    assert one.hint.endswith("apply the fleet without these hosts and then with them.")
    assert one.row == "i-lab-failed-0"


@pytest.mark.parametrize(
    "configured",
    [{"ssh_config": "x"}, {"ssh_config": {"hosts": 2}}, {"ssh_config": {"hosts": [3]}}],
)
def test_hosts_of_another_shape_name_nobody(configured: object) -> None:
    given = hosts("a", "b", failed=1)
    (fleet,) = given.fleets.values()
    odd = replace(given, fleets={fleet.id: replace(fleet, spec={"configuration": configured})})
    (found,) = problems_of(odd, NOW)
    assert found.text.startswith("1 of 1 host could not be set up: instance 0 (")


def test_of_hosts_of_another_project_its_people_are_to_know() -> None:
    given = hosts("a", "b", failed=2)
    (fleet,) = given.fleets.values()
    lent = replace(given, fleets={fleet.id: replace(fleet, name="infra/lab", project="infra")})
    (found,) = problems_of(lent, NOW)
    assert found.hint == (
        "dstack does not try again. The fleet is project infra's: ask its owners."
    )


@pytest.mark.parametrize("name", CASES)
def test_it_is_found_and_clears_when_its_cause_goes(name: str) -> None:
    case = CASES[name]
    (found,) = problems_of(case.wrong, NOW)
    assert (found.kind, found.severity, found.subject) == (case.kind, case.severity, case.subject)
    assert case.words in found.text
    assert "\n" not in found.text
    assert problems_of(case.right, NOW) == ()


@pytest.mark.parametrize("name", CASES)
def test_one_can_jump_to_it(name: str) -> None:
    case = CASES[name]
    (found,) = problems_of(case.wrong, NOW)
    assert found.view == case.view
    assert (found.service_id in case.wrong.services) != (found.fleet_id in case.wrong.fleets)
    if found.row is None:
        return
    rows: Iterable[str] = {
        "instances": [
            *case.wrong.instances,
            *(each.id for fleet in case.wrong.fleets.values() for each in fleet.failed),
        ],
        "replicas": [f"{key.replica_num}.{key.job_num}" for key in case.wrong.replicas],
        "router": [each.key for view in case.wrong.routers.values() for each in view.workers],
        "distribution": ["/a"],
    }[found.view]
    assert found.row in rows


def test_nothing_is_wrong_with_nothing() -> None:
    assert problems_of(project(), NOW) == ()


@pytest.mark.parametrize(
    ("status", "soon"),
    [
        ("submitted", timedelta(minutes=4)),
        ("provisioning", timedelta(minutes=14)),
        ("pulling", timedelta(minutes=14)),
        ("running", timedelta(minutes=14)),
    ],
)
def test_what_has_just_begun_is_no_problem(status: str, soon: timedelta) -> None:
    young = stuck(1, status, submitted_at=NOW - soon)
    assert problems_of(chat(READY, young), NOW) == ()
    assert problems_of(chat(READY, young), NOW + timedelta(minutes=2)) != ()


def test_looking_for_a_place_again_and_again_is_one_problem() -> None:
    """It has one key, one cause and one age from attempt to attempt."""
    sought = Attempt(ago(minutes=8), NO_PLACE, "No H100.")
    now = {"earlier": (sought,), "submission_num": 2, "submitted_at": ago(seconds=9)}
    ended = {"termination_reason": NO_PLACE, "termination_message": "No H100."}
    seen = {
        status: problems_of(chat(READY, stuck(1, status, **now, **how), low=2), NOW)
        for status, how in (("submitted", {}), ("terminating", ended), ("failed", ended))
    }
    for (found,) in seen.values():
        assert (found.text, found.since) == (
            "1: no place yet: no capacity (No H100)",
            ago(minutes=8),
        )
        assert found.at_least, "there were attempts before the last two"
    assert len({found.key for (found,) in seen.values()}) == 1
    for there in ("provisioning", "running"):
        assert problems_of(chat(READY, replica(1, **{**now, "status": there}), low=2), NOW) == ()


@pytest.mark.parametrize(
    ("status", "places", "further", "restarts", "since", "earlier"),
    [
        ("running", "", 0, 0, 0, False),
        ("running", "+", 0, 1, 0, False),
        ("running", "+++", 4, 7, 0, False),
        ("submitted", "", 0, 0, 0, False),
        ("submitted", "---", 0, 0, 30, False),
        ("submitted", "---", 2, 0, 30, True),
        ("submitted", "+--", 0, 1, 25, False),
        ("submitted", "-+-", 3, 1, 15, False),
        ("running", "+--", 0, 1, 0, False),
        ("running", "---", 0, 0, 0, False),
        ("submitted", "++", 0, 2, 5, False),
    ],
)
def test_attempts_to_find_a_place_are_no_restarts(
    status: str, places: str, further: int, restarts: int, since: int, earlier: bool
) -> None:
    """Submissions 10 minutes apart, of which those with `+` had a place for 5 minutes."""
    attempts = tuple(
        Attempt(ago(minutes=ended), None if place == "+" else NO_PLACE, "", ago(minutes=ended - 5))
        for place, ended in zip(places, range(10 * len(places), 0, -10), strict=True)
    )
    now = {"submitted_at": NOW, "earlier": attempts, "submission_num": len(places) + further}
    found = stuck(1, status, **now)
    assert (found.restarts, found.since) == (restarts, ago(minutes=since))
    assert found.since_earlier is earlier


def test_get_marks_what_may_have_been_wrong_for_longer() -> None:
    sought = Attempt(ago(minutes=8), NO_PLACE, "No H100.")
    for number, shown in ((1, "8m"), (5, "8m+")):
        looks = stuck(1, "submitted", earlier=(sought,), submission_num=number)
        shot = chat(READY, looks)
        (found,) = problems_of(shot, NOW)
        assert shown in problem_cells(found, shot)


@pytest.mark.parametrize("status", ["submitted", "provisioning", "pulling", "running"])
def test_one_that_ends_again_and_again_is_one_problem_from_start_to_start(status: str) -> None:
    ended = [Attempt(ago(minutes=m), "container_exited_with_error", "") for m in (3, 2)]
    now = {"earlier": tuple(ended), "submission_num": 2, "submitted_at": ago(seconds=9)}
    (found,) = problems_of(chat(READY, stuck(1, status, **now)), NOW)
    assert found.text == f"1: started 3 times, and {status} now"


def test_a_lost_replica_is_one_problem_while_it_stops_and_afterwards() -> None:
    seen = [
        problems_of(chat(stuck(0, status, **LOST), low=1), NOW)
        for status in ("terminating", "failed")
    ]
    for (found,) in seen:
        assert (found.severity, found.text) == (CRITICAL, "0: failed: Instance is unreachable")
    assert len({found.key for (found,) in seen}) == 1
    ending = chat(
        stuck(0, "terminating", **LOST), status="terminating", termination_reason="job_failed"
    )
    (found,) = problems_of(ending, NOW)
    assert found.text.startswith("is being ended after a failure: Instance is unreachable")


def test_how_long_it_has_looked_for_a_place_is_what_was_seen_when_that_is_more() -> None:
    def looks(before: datetime) -> Snapshot:
        sought = Attempt(before, NO_PLACE, "No H100.")
        return chat(READY, stuck(1, "submitted", earlier=(sought,), submission_num=5))

    watch = ProblemWatch()
    (first,) = watch.look(looks(ago(minutes=10)), NOW)
    (later,) = watch.look(looks(NOW), NOW + LONG)
    assert first.since == ago(minutes=10)
    assert (later.since, later.at_least) == (ago(minutes=10), True)


def test_how_long_a_status_has_lasted_is_told_by_events() -> None:
    late = stuck(1, "running", submitted_at=ago(hours=3))
    since = since_of(
        [event("Job status changed PULLING -> RUNNING", ago(minutes=5), "job", "j-chat-1")]
    )
    assert problems_of(chat(READY, late), NOW, since) == ()
    (found,) = problems_of(chat(READY, late), NOW + LONG, since)
    assert found.since == ago(minutes=5)


def test_one_that_took_requests_and_is_not_ready_is_told_at_once() -> None:
    late = stuck(0, "running", submitted_at=ago(minutes=3))
    message = "Service replica ready to receive requests"
    since = since_of([event(message, ago(minutes=2), "job", "j-chat-0")])
    assert problems_of(chat(late), NOW) == (), "it may be loading its model"
    (found,) = problems_of(chat(late), NOW, since)
    assert (found.key, found.severity, found.since) == ("replica:s-chat:unready", CRITICAL, None)
    (beside,) = problems_of(chat(late, replica(1, ready=True)), NOW, since)
    assert beside.severity < CRITICAL
    watch = ProblemWatch()
    events = [event(message, ago(minutes=2), "job", "j-chat-0")]
    assert watch.look(chat(late), NOW, events) == (), "one probe may fail"
    (seen,) = watch.look(chat(late), NOW + timedelta(seconds=30), events)
    assert (seen.since, seen.at_least) == (NOW, False)
    assert watch.look(chat(READY), NOW + timedelta(seconds=31), events) == ()
    assert watch.look(chat(late), NOW + timedelta(seconds=32), events) == ()


def test_a_number_that_is_given_again_after_a_move_is_no_restart() -> None:
    moved = Attempt(ago(hours=2), "scaled_down", "", ago(hours=1), 0)
    lost = Attempt(ago(hours=2), "instance_unreachable", "", ago(hours=1), 0)
    for before, restarts, lost_at in ((moved, 0, None), (lost, 1, ago(hours=1))):
        again = replica(1, earlier=(before,), submission_num=1)
        assert (again.restarts, again.lost_at) == (restarts, lost_at)


def test_attempts_that_the_server_does_not_list_are_no_restarts() -> None:
    ran = Attempt(ago(minutes=20), "interrupted_by_no_capacity", "", ago(minutes=9), 0)
    sought = Attempt(ago(minutes=3), NO_PLACE, "No H100.", ago(minutes=2), 3)
    assert stuck(1, "submitted", earlier=(ran, sought), submission_num=4).restarts == 1


def test_one_that_still_stops_was_lost_when_the_next_was_made() -> None:
    stopping = Attempt(ago(minutes=20), "instance_unreachable", "")
    sought = Attempt(ago(minutes=6), NO_PLACE, "No H100.", ago(minutes=5))
    again = stuck(1, "submitted", submitted_at=ago(minutes=5), earlier=(stopping, sought))
    assert again.lost_at == again.since == ago(minutes=6)


def test_why_a_lane_was_given_is_not_why_there_is_no_place() -> None:
    sought = Attempt(ago(minutes=8), NO_PLACE, "No H100.", ago(minutes=7))
    again = stuck(1, "submitted", submission_num=1, earlier=(sought,))
    placed = chat(READY, again, placements=[placement(replicas=[
        ReplicaPlacement(1, "0", again.submission_id, "gpu-a", "priority", "first by priority", NOW)
    ])])  # fmt: skip
    (found,) = [p for p in problems_of(placed, NOW) if p.key == "replica:s-chat:pending"]
    assert found.text == "1: no place yet: no capacity (No H100)"


def test_one_that_does_not_stop_needs_an_event_to_be_told() -> None:
    going = replica(1, "gpu", "terminating")
    since = since_of(
        [event("Job status changed RUNNING -> TERMINATING", ago(minutes=11), "job", "j-chat-1")]
    )
    assert problems_of(chat(READY, going), NOW) == ()
    (found,) = problems_of(chat(READY, going), NOW, since)
    assert (found.severity, found.text) == (NOTICE, "1: still stopping")


def everything() -> Snapshot:
    """A project in which all cases occur at once, each with names of its own."""
    made = []
    for number, case in enumerate(CASES.values()):
        made.append(renamed(case.wrong, f"x{number}"))
    first = made[0]
    return replace(
        first,
        fleets={key: one for each in made for key, one in each.fleets.items()},
        instances={key: one for each in made for key, one in each.instances.items()},
        services={key: one for each in made for key, one in each.services.items()},
        replicas={key: one for each in made for key, one in each.replicas.items()},
        placements={key: one for each in made for key, one in each.placements.items()},
        routers={key: one for each in made for key, one in each.routers.items()},
    )


def renamed(snapshot: Snapshot, mark: str) -> Snapshot:
    """The same project under other names."""

    def key_of(key: Any) -> Any:
        return key._replace(run_id=f"{key.run_id}-{mark}")

    def view_of(view: RouterView) -> RouterView:
        workers = tuple(
            replace(each, replica=key_of(each.replica) if each.replica else None)
            for each in view.workers
        )
        return replace(view, run_id=f"{view.run_id}-{mark}", workers=workers)

    def host_of(host: Instance) -> Instance:
        return replace(host, id=f"{host.id}-{mark}", fleet_id=f"{host.fleet_id}-{mark}")

    return replace(
        snapshot,
        fleets={
            f"{key}-{mark}": replace(each, id=f"{key}-{mark}", name=f"{each.name}-{mark}")
            for key, each in snapshot.fleets.items()
        },
        instances={f"{key}-{mark}": host_of(each) for key, each in snapshot.instances.items()},
        services={
            f"{key}-{mark}": replace(
                each,
                id=f"{key}-{mark}",
                name=f"{each.name}-{mark}",
                replica_keys=tuple(map(key_of, each.replica_keys)),
            )
            for key, each in snapshot.services.items()
        },
        replicas={
            key_of(key): replace(each, key=key_of(key)) for key, each in snapshot.replicas.items()
        },
        placements={
            f"{key}-{mark}": replace(each, run_id=f"{key}-{mark}")
            for key, each in snapshot.placements.items()
        },
        routers={f"{key}-{mark}": view_of(each) for key, each in snapshot.routers.items()},
    )


EVERYTHING = everything()


def test_all_at_once_is_as_many_as_one_by_one() -> None:
    found = problems_of(EVERYTHING, NOW)
    assert len(found) == len(CASES)
    assert len({each.key for each in found}) == len(found)


def test_the_worst_comes_first() -> None:
    found = problems_of(EVERYTHING, NOW)
    weights = [(each.impact, each.severity) for each in found]
    assert weights == sorted(weights, reverse=True)
    assert {each.impact for each in found} == set(Impact)
    same = [each.since for each in found if (each.impact, each.severity) == weights[0]]
    known = [since for since in same if since is not None]
    assert same == [*sorted(known), *[None] * (len(same) - len(known))]


@given(seed=st.integers(0, 1000))
def test_the_order_of_what_was_read_plays_no_part(seed: int) -> None:
    shuffle = random.Random(seed)

    def shuffled(things: Any) -> dict[Any, Any]:
        keys = list(things)
        shuffle.shuffle(keys)
        return {key: things[key] for key in keys}

    other = replace(
        EVERYTHING,
        fleets=shuffled(EVERYTHING.fleets),
        instances=shuffled(EVERYTHING.instances),
        services=shuffled(EVERYTHING.services),
        replicas=shuffled(EVERYTHING.replicas),
        placements=shuffled(EVERYTHING.placements),
        routers=shuffled(EVERYTHING.routers),
    )
    assert problems_of(other, NOW) == problems_of(EVERYTHING, NOW)


@given(spans=st.lists(st.integers(0, 7200), max_size=6))
def test_a_problem_keeps_its_key_while_it_lasts(spans: list[int]) -> None:
    keys = {each.key for each in problems_of(EVERYTHING, NOW)}
    now = NOW
    for seconds in spans:
        now += timedelta(seconds=seconds)
        later = {each.key for each in problems_of(EVERYTHING, now)}
        # Some end by time alone: what has come to rest, what is history.
        by_time = {key for key in keys if ":restarting" in key or key.startswith("other-server:")}
        assert keys - later <= by_time


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"status": RouterStatus.UNKNOWN}, "Router not read: chat. No way there."),
        ({"status": RouterStatus.NOT_MANAGED}, ""),
        ({"status": RouterStatus.READY}, ""),
        ({"status": RouterStatus.NOT_READY}, ""),
        ({"status": RouterStatus.DOWN}, ""),
        ({"status": RouterStatus.REFUSES}, ""),
    ],
)
def test_what_could_not_be_read_is_told(changes: dict[str, Any], said: str) -> None:
    snapshot = chat(READY, routers=[router(worker(0), message="No way there.", **changes)])
    assert unread(snapshot) == ((said,) if said else ())
    assert unread(snapshot, {"s-other"}) == ()
    assert unread(snapshot, {"s-chat"}) == unread(snapshot)
    ended = {
        key: replace(service, status="terminating") for key, service in snapshot.services.items()
    }
    assert unread(replace(snapshot, services=ended)) == ()


def test_what_is_true_of_several_routers_is_told_once() -> None:
    snapshot = chat(READY, routers=[router(status=RouterStatus.UNKNOWN, message="Why.")])
    (service,) = snapshot.services.values()
    (view,) = snapshot.routers.values()
    both = replace(
        snapshot,
        services={**snapshot.services, "s-a": replace(service, id="s-a", name="a")},
        routers={**snapshot.routers, "s-a": replace(view, run_id="s-a")},
    )
    assert unread(both) == ("Routers not read: a, chat. Why.",)


def _news(rng: random.Random, shot: Snapshot, now: datetime, number: int) -> Any:
    """An event of something in a snapshot."""
    instance = rng.choice([*shot.instances] or ["i"])
    submission = rng.choice([each.submission_id for each in shot.replicas.values()] or ["j"])
    message, kind, key = rng.choice(
        [
            ("Instance health changed HEALTHY -> FAILURE", "instance", instance),
            ("Instance status changed BUSY -> IDLE", "instance", instance),
            ("Job status changed PULLING -> RUNNING", "job", submission),
            ("Service replica ready to receive requests", "job", submission),
        ]
    )
    at = now - timedelta(seconds=rng.choice([0, 1, 20, 900]))
    return replace(event(message, at, kind, key), id=f"e-{number}")


class TestWatch:
    """Looking again and again."""

    def test_it_remembers_the_first_look_where_nothing_tells(self) -> None:
        watch = ProblemWatch()
        snapshot = CASES["instance failing"].wrong
        (first,) = watch.look(snapshot, NOW)
        assert (first.since, first.at_least) == (NOW, True)
        (later,) = watch.look(snapshot, NOW + LONG)
        assert (later.since, later.at_least) == (NOW, True)
        assert watch.problems == (later,)

    def test_what_clears_and_comes_back_is_new(self) -> None:
        watch = ProblemWatch()
        case = CASES["instance failing"]
        watch.look(case.wrong, NOW)
        assert watch.look(case.right, NOW) == ()
        (again,) = watch.look(case.wrong, NOW + LONG)
        assert again.since == NOW + LONG

    def test_events_tell_better(self) -> None:
        watch = ProblemWatch()
        snapshot = CASES["instance failing"].wrong
        told = event(
            "Instance health changed HEALTHY -> FAILURE", ago(minutes=7), "instance", "i-gpu-0"
        )
        (found,) = watch.look(snapshot, NOW, [told])
        assert (found.since, found.at_least) == (ago(minutes=7), False)
        (later,) = watch.look(snapshot, NOW + LONG)
        assert later.since == ago(minutes=7), "although the event is not handed in again"

    def test_what_starts_is_down_when_it_takes_too_long(self) -> None:
        watch = ProblemWatch()
        shot = chat(replica(0, "pulling", ready=False), submitted_at=NOW)
        for later, state in ((timedelta(), "STARTING"), (FIRST_START + LONG, "DOWN")):
            watch.look(replace(shot, observed_at=NOW + later), NOW + later)
            assert watch.healths["s-chat"].state.value.upper() == state

    def test_news_at_one_look_are_not_taken_for_those_of_another(self) -> None:
        watch = ProblemWatch()
        told = event("Service replica ready to receive requests", NOW, "job", "j-chat-0")
        right, late = chat(READY), chat(stuck(0, "running"))
        for shot, events in ((right, ()), (late, (told,)), (right, (told,)), (late, (told,))):
            watch.look(shot, NOW, events)
            assert watch.healths == service_healths(shot, watch.since)

    @pytest.mark.generated
    def test_looks_at_what_is_as_it_was_find_what_looks_all_through_find(self) -> None:
        """Time passes by seconds and by hours, and now and then something is another."""
        quiet = 0
        for seed in seeds(200):
            sys.stdout.write(f"DSTACK_FLEETS_TESTS_SEED={seed}\n")
            rng = random.Random(seed)
            kept, afresh = ProblemWatch(), ProblemWatch()
            now, shot, told = NOW - timedelta(hours=2), EVERYTHING, list[Any]()
            for _ in range(60):
                now += timedelta(seconds=rng.choice([1, 2, 2, 10, 60, 300, 1200, 7200]))
                another = rng.random() < 0.2
                if another:
                    case = CASES[rng.choice([*CASES])]
                    shot = rng.choice([case.wrong, case.right, EVERYTHING])
                if rng.random() < 0.1:
                    told = [*told, _news(rng, shot, now, len(told))]
                    another = True
                shot = replace(shot, observed_at=now)
                if another or kept.is_due(shot, now):
                    kept.look(shot, now, told)
                else:
                    quiet += 1
                afresh._looked_at = afresh._healths_of = None
                assert kept.problems == afresh.look(shot, now, told)
                assert kept.healths == afresh.healths
        assert quiet, "each look went through all"

    def test_a_look_at_the_same_goes_through_all_only_once_something_takes_too_long(self) -> None:
        watch = ProblemWatch()
        shot = chat(READY, stuck(1, "submitted", submitted_at=NOW), low=2)
        assert watch.is_due(shot, NOW)
        assert watch.look(shot, NOW) == ()
        for seconds in (2, 60, 298):
            later = NOW + timedelta(seconds=seconds)
            assert not watch.is_due(shot, later)
            watch.look(shot, later)
            assert watch.looks == 1
        late = NOW + PENDING_LONG + timedelta(seconds=1)
        assert watch.is_due(shot, late)
        (found,) = watch.look(shot, late)
        assert found.key == "replica:s-chat:pending"
        before = watch.problems
        assert watch.look(shot, late + timedelta(seconds=2)) is before
        assert watch.is_due(shot, NOW), "the clock was set back"

    def test_they_are_not_lost_to_a_look_before_all_was_read(self) -> None:
        watch = ProblemWatch()
        snapshot = CASES["instance failing"].wrong
        told = event(
            "Instance health changed HEALTHY -> FAILURE", ago(minutes=7), "instance", "i-gpu-0"
        )
        watch.look(replace(project(), complete=False), NOW, [told])
        (found,) = watch.look(snapshot, NOW, [told])
        assert (found.since, found.at_least) == (ago(minutes=7), False)

    def test_what_is_dated_is_left_as_it_is(self) -> None:
        watch = ProblemWatch()
        (found,) = watch.look(CASES["replica pending"].wrong, NOW)
        assert (found.since, found.at_least) == (ago(hours=1), False)

    def test_workers_that_were_so_at_the_first_look_may_have_been_for_longer(self) -> None:
        new = worker(0, router_health="failed", wrong=100, since=ago(minutes=2), at_least=True)
        snapshot = chat(READY, routers=[router(new, worker(1))])
        (told,) = problems_of(snapshot, NOW)
        assert (told.since, told.at_least) == (None, False), "nothing tells"
        (found,) = ProblemWatch().look(snapshot, NOW)
        assert (found.since, found.at_least) == (NOW, True)

        known = worker(1, router_health="failed", wrong=100, since=ago(minutes=7))
        (both,) = problems_of(chat(READY, routers=[router(new, known)]), NOW)
        assert (both.since, both.at_least) == (ago(minutes=7), True)
        (seen,) = problems_of(chat(READY, routers=[router(known)]), NOW)
        assert (seen.since, seen.at_least) == (ago(minutes=7), False)

    def test_the_order_is_that_of_the_dates_it_gave(self) -> None:
        watch = ProblemWatch()
        watch.look(CASES["instance failing"].wrong, NOW - LONG)
        both = problems_of(EVERYTHING, NOW)
        assert worst_first(reversed(both)) == both
        looked = watch.look(EVERYTHING, NOW)
        assert looked == worst_first(looked)


def test_what_a_server_without_the_add_on_placed_is_told_for_an_hour_though_it_moved() -> None:
    """A replica above a maximum is moved within seconds; that server is still there."""
    at = {3: ago(minutes=50), 5: ago(minutes=5), 6: ago(hours=2)}
    events = [
        event(
            f"Replica {number} was placed in fleet far by a server without the add-on",
            moment,
            "run",
            "s-chat",
        )
        for number, moment in at.items()
    ]
    since, snapshot = since_of(events), chat(READY, placements=[placement()])
    (found,) = problems_of(snapshot, NOW, since)
    assert found.text == "replicas 3, 5 were placed by a server without the placement add-on"
    assert found.since == ago(minutes=50)
    since.forget_all_but(snapshot)
    assert problems_of(snapshot, NOW, since)
    since.forget_all_but(replace(snapshot, services={}))
    assert not problems_of(snapshot, NOW, since)


@pytest.mark.parametrize("status", ["terminating", "terminated"])
def test_instances_that_are_gone_are_no_problem(status: str) -> None:
    assert problems_of(fleet_of(status, unreachable=True, health="failure"), NOW) == ()


def test_a_replica_that_is_not_started_again_says_that_the_service_ends() -> None:
    gone = stuck(1, "failed", termination_reason=NO_PLACE, submitted_at=ago(seconds=9))
    (found,) = problems_of(chat(READY, gone, low=2), NOW)
    assert found.hint == "dstack ends the whole service: the spec has no `retry` for that."
    lanes = with_lanes([{"name": "gpu", "min_replicas": 1}], 2)
    placed_by_lanes = problems_of(chat(READY, gone, low=2, spec=lanes, has_lanes=True), NOW)
    (found,) = [each for each in placed_by_lanes if each.kind is Kind.REPLICA]
    assert found.hint.startswith("dstack goes on looking for a place")


def test_a_worker_that_is_not_ready_says_that_its_router_may_send_it_requests() -> None:
    waits = stuck(1, "running", group="prefill")
    (found,) = problems_of(chat(READY, waits, groups=PARTS, router="smg"), NOW)
    assert found.hint.startswith("Its router may go on sending it requests")
    (found,) = problems_of(chat(READY, stuck(1, "running")), NOW)
    assert found.hint.startswith("dstack sends it no requests")


def test_a_replica_that_the_server_can_not_reach_is_told_at_once_with_what_comes_of_it() -> None:
    gone = event("Job became unreachable", ago(seconds=40), "job", "j-chat-1")
    lost = replica(1, cut_off=True)
    (found,) = problems_of(chat(READY, lost), NOW, since_of([gone]))
    assert (found.severity, found.since) == (CRITICAL, ago(seconds=40))
    assert [str(each.health) for each in found.affects] == ["DEGRADED 1/2"]
    assert found.text == "1: the server can't reach it"
    assert found.hint.endswith("and ends all of it: the spec has no `retry` for that.")
    (found,) = problems_of(chat(READY, lost, spec=RETRIED), NOW, since_of([gone]))
    assert (found.severity, found.hint) == (
        WARNING,
        "dstack gives it up 2 minutes after it was cut off, and starts it again.",
    )
    back = event("Job became reachable", ago(seconds=10), "job", "j-chat-1")
    for order in ([gone, back], [back, gone]):
        since = since_of(order[:1])
        since.learn(order)
        assert since.cut_off(lost) is None
    assert problems_of(chat(READY, replica(1)), NOW, since) == ()


def test_since_when_a_replica_is_not_ready_is_known_from_events_only() -> None:
    late = stuck(1, "running")
    runs = event("Job status changed PULLING -> RUNNING", ago(minutes=40), "job", "j-chat-1")
    (found,) = problems_of(chat(READY, late), NOW, since_of([runs]))
    assert found.since == ago(minutes=40)
    (found,) = ProblemWatch().look(chat(READY, late), NOW)
    assert (found.since, found.at_least) == (NOW, True), "it may have been ready until just now"
