"""What is wrong with the replicas of one service, told beside them."""

from __future__ import annotations

from dataclasses import replace

from dstack_api_client.analysis.moment import Moment
from dstack_api_client.analysis.since import Since
from dstack_api_client.model.snapshot import Snapshot
from dstack_api_client.problems.model import Problem, Severity
from dstack_api_client.problems.replicas import of_replicas_in
from tests.builders.projects import (
    NOW,
    ago,
    chat,
    fleet,
    group,
    instances,
    project,
    replica,
    service,
    stuck,
)


def found(snapshot: Snapshot, since: Since | None = None) -> list[Problem]:
    one = next(iter(snapshot.services.values()))
    return list(of_replicas_in(snapshot, one, Moment(NOW), since or Since()))


def on_hosts(*states: str, spec: dict[str, object] | None = None) -> Snapshot:
    """A replica on each host of the SSH fleet lab: `lost`, `sick` or fine."""
    replicas = [
        replica(num, "lab", instance_id=f"i-lab-{num}", group="decode")
        for num in range(len(states))
    ]
    hosts = [
        replace(
            host,
            unreachable=state == "lost",
            health="failure" if state == "sick" else "healthy",
            jobs=(job.key,),
        )
        for host, job, state in zip(
            instances("lab", *["busy"] * len(states)), replicas, states, strict=True
        )
    ]
    wish = spec or {"configuration": {"type": "service", "retry": True}}
    one = service(replicas, [group("decode", len(states))], spec=wish)
    return project((one, replicas), fleets=[fleet("lab", kind="ssh")], hosts=hosts)


def test_a_replica_says_that_its_instance_is_unreachable_and_what_comes_of_it() -> None:
    since = Since()
    since.unreachable["i-lab-1"] = ago(minutes=3)
    (one,) = found(on_hosts("fine", "lost", "fine"), since)
    assert one.text == "decode 1: on lab/1, which is unreachable"
    assert one.hint.startswith("dstack keeps the host and goes on trying.")
    assert (one.severity, one.since, one.row) == (Severity.WARNING, ago(minutes=3), "1.0")


def test_replicas_on_instances_of_one_fleet_stand_together_the_loudest_first() -> None:
    sick, lost = "decode 0: on lab/0, which is unhealthy", "on lab/1, lab/2, which are unreachable"
    told = found(on_hosts("sick", "lost", "lost"))
    assert [each.text for each in told] == [sick, f"decode 1, decode 2: {lost}"]
    (every,) = found(on_hosts("lost", "lost"))
    assert every.severity is Severity.CRITICAL, "no replica is left"


def test_what_is_told_of_the_project_is_told_beside_the_replicas() -> None:
    (waits,) = found(chat(replica(0), stuck(1, "submitted", status_message="no offers")))
    assert waits.text == "1: no place yet: no offers"
    assert waits.hint.startswith("dstack goes on looking for a place")


def test_nothing_is_said_of_replicas_that_are_well() -> None:
    assert found(on_hosts("fine", "fine")) == []
