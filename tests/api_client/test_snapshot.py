"""What a snapshot tells of the replicas of a service."""

from __future__ import annotations

import pytest

from tests.builders.projects import project, replica, service


@pytest.mark.parametrize(
    ("status", "starting", "stopping", "standing"),
    [
        ("submitted", True, False, True),
        ("provisioning", True, False, True),
        ("pulling", True, False, True),
        ("running", False, False, True),
        ("terminating", False, True, False),
        ("failed", False, False, False),
        ("done", False, False, False),
    ],
)
def test_where_a_replica_is_in_its_life(
    status: str, starting: bool, stopping: bool, standing: bool
) -> None:
    found = replica(0, "gpu", status)
    assert (found.starting, found.stopping, found.standing) == (starting, stopping, standing)


def test_the_replicas_of_a_service_that_are_known() -> None:
    members = [replica(0), replica(1, "gpu", "failed"), replica(2, "gpu", "terminating")]
    chat = service(members)
    snapshot = project((chat, members))
    assert snapshot.replicas_of(chat) == members
    assert snapshot.active_in(chat) == [members[0], members[2]]
    unread = project((chat, members[:1]))
    assert unread.replicas_of(chat) == members[:1]


@pytest.mark.parametrize(
    ("status", "stopping", "gone"),
    [("running", False, False), ("terminating", True, True), ("failed", False, True)],
)
def test_whether_a_service_goes_on(status: str, stopping: bool, gone: bool) -> None:
    found = service([], status=status)
    assert (found.stopping, found.gone) == (stopping, gone)
