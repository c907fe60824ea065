"""Images that are pulled: how far they are, and when a pull is a problem."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from dstack_api_client.join.join import Answers, build
from dstack_api_client.model.pulls import Pull
from dstack_api_client.model.snapshot import ServerInfo, Snapshot
from dstack_api_client.problems.watch import ProblemWatch, Severity, problems_of
from tests.builders import answers, projects
from tests.builders.projects import NOW

GB = 2**30
HALF = Pull(6 * GB, 2 * GB, 12 * GB, is_final=True)
MINUTE = timedelta(minutes=1)


@pytest.mark.parametrize(
    ("pull", "text"),
    [
        (HALF, "6.0 of 12.0 GB downloaded, 2.0 extracted"),
        (Pull(6 * GB, 0, 12 * GB, False), "6.0 of at least 12.0 GB downloaded, 0.0 extracted"),
        (Pull(3 * 2**20, 0, 600 * 2**20, True), "3 of 600 MB downloaded, 0 extracted"),
    ],
)
def test_how_far_it_is(pull: Pull, text: str) -> None:
    assert str(pull) == text


def joined(status: str, **progress: Any) -> Snapshot:
    told = {"downloaded_bytes": 6 * GB, "extracted_bytes": 0, "total_bytes": 12 * GB}
    told |= {"is_total_bytes_final": True, **progress}
    submission = answers.submission(
        1, status=status, status_message=status, image_pull_progress=told
    )
    run = answers.run(1, answers.job(0, submission))
    read = Answers({}, {}, {run["id"]: answers.as_run(run)})
    return build(
        read,
        server=ServerInfo("http://server", "0.22.5"),
        project="main",
        observed_at=answers.START,
    ).snapshot


def test_a_replica_says_how_far_its_image_is_while_it_is_pulled() -> None:
    (pulling,) = joined("pulling").replicas.values()
    assert pulling.message == "6.0 of 12.0 GB downloaded, 0.0 extracted"
    for known in (joined("running"), joined("pulling", total_bytes=0)):
        (replica,) = known.replicas.values()
        assert replica.pull is None


def pulling(pull: Pull | None = HALF, minutes: float = 60, **changes: Any) -> Snapshot:
    """A replica that serves, and one that has pulled its image for a time."""
    late = projects.replica(
        1, "gpu", "pulling", submitted_at=NOW - minutes * MINUTE, pull=pull, **changes
    )
    return projects.chat(projects.replica(0), late)


def more(snapshot: Snapshot) -> Snapshot:
    """The same with one more byte."""
    replicas = {
        key: replace(each, pull=each.pull and replace(each.pull, extracted=each.pull.extracted + 1))
        for key, each in snapshot.replicas.items()
    }
    return replace(snapshot, replicas=replicas)


def test_a_pull_is_no_problem_while_bytes_move() -> None:
    watch, shot = ProblemWatch(), pulling()
    for minute in range(0, 60, 10):
        assert watch.look(shot, NOW + minute * MINUTE) == ()
        shot = more(shot)


def test_a_pull_that_hangs_is_one_until_it_goes_on() -> None:
    watch, shot = ProblemWatch(), pulling()
    assert watch.look(shot, NOW) == ()
    assert watch.look(shot, NOW + 15 * MINUTE) == ()
    (found,) = watch.look(shot, NOW + 16 * MINUTE)
    assert found.severity is Severity.WARNING
    assert found.text == "1: not ready: pulling: 6.0 of 12.0 GB downloaded, 2.0 extracted"
    assert watch.look(more(shot), NOW + 17 * MINUTE) == ()


def test_one_look_can_not_tell_whether_bytes_move() -> None:
    (found,) = problems_of(pulling(), NOW)
    assert found.severity is Severity.NOTICE
    assert found.hint == "A single read can't show whether bytes move: refresh to compare."
    assert problems_of(pulling(minutes=14), NOW) == ()


@pytest.mark.parametrize("pull", [None, Pull(12 * GB, 12 * GB, 12 * GB, is_final=True)])
def test_without_figures_and_after_the_last_byte_time_counts(pull: Pull | None) -> None:
    (found,) = problems_of(pulling(pull), NOW)
    assert found.severity is Severity.WARNING


def test_a_rollout_is_not_stuck_while_bytes_move() -> None:
    late = projects.replica(
        1, "gpu", "pulling", submitted_at=NOW - 60 * MINUTE, pull=HALF, deployment_num=1
    )
    shot = projects.chat(projects.replica(0), late, deployment_num=1)
    watch = ProblemWatch()
    assert watch.look(shot, NOW) == ()
    assert watch.look(more(shot), NOW + 20 * MINUTE) == ()
    (found,) = watch.look(more(shot), NOW + 40 * MINUTE)
    assert found.text.startswith("rollout stuck at 1 of 2: 1 is not ready: pulling: 6.0 of 12.0 GB")
