"""Replicas that hold the address of one that has moved."""

from __future__ import annotations

from typing import Any

import pytest

from dstack_api_client.model.replica import Attempt, Replica
from dstack_api_client.model.snapshot import Snapshot
from dstack_api_client.problems.model import Problem, Severity
from dstack_api_client.problems.watch import problems_of
from tests.builders.projects import NOW, ago, chat, group, replica

HEAD = "serve --head ${{ groups[0].replicas[0].IP_ADDRESS }}:7000"
GROUPS = [
    {"name": "head", "count": 1, "commands": ["serve"]},
    {"name": "peers", "count": 2, "commands": [HEAD]},
]


def peers(head: Replica, *others: Replica, **changes: Any) -> Snapshot:
    spec = {"configuration": {"type": "service", "name": "chat", "replicas": GROUPS}}
    about = {"groups": [group("head"), group("peers", 2)], "spec": spec, "names_addresses": True}
    return chat(head, *others, **{**about, **changes})


def head(number: int = 0, **changes: Any) -> Replica:
    return replica(number, group="head", role=None, **changes)


def peer(number: int, **changes: Any) -> Replica:
    return replica(number, group="peers", role=None, **changes)


def found(snapshot: Snapshot) -> list[Problem]:
    return [each for each in problems_of(snapshot, NOW) if each.key.startswith("address:")]


def again(before: str | None, **changes: Any) -> Replica:
    """The head, lost five minutes ago on a host and started again on host `b`."""
    lost = Attempt(ago(hours=1), "instance_unreachable", "", ago(minutes=5), 0, before)
    about = {"submitted_at": ago(minutes=5), "submission_num": 1, "earlier": (lost,)}
    return head(**{"hostname": "b", **about, **changes})


def test_all_have_the_address_that_holds() -> None:
    assert found(peers(head(), peer(1), peer(2))) == []


def test_it_was_lost_and_is_on_another_host() -> None:
    (one,) = found(peers(again("a"), peer(1), peer(2)))
    assert one.severity is Severity.CRITICAL
    assert one.text == (
        "peers 1, peers 2: they hold the address that head 0 had before, and what is sent there"
        " fails"
    )
    assert (one.since, one.row) == (ago(minutes=5), "1.0")


def test_another_has_taken_its_place() -> None:
    (one,) = found(peers(head(3, submitted_at=ago(minutes=5)), peer(1), peer(2)))
    assert "the address of the replica before head 3" in one.text


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (again("b"), peer(1)),
        (again("a"), peer(1, submitted_at=ago(minutes=4))),
        (again("a"), peer(1, status="pulling", ready=False)),
        (head(), peer(1, submitted_at=ago(minutes=4))),
    ],
    ids=["the same host", "started since", "starts now", "the first start"],
)
def test_nothing_is_lost(first: Replica, second: Replica) -> None:
    assert found(peers(first, second, peer(2, submitted_at=ago(minutes=4)))) == []


def test_a_rolling_deployment_is_about_to_give_the_new_one() -> None:
    new = {"deployment_num": 1, "submitted_at": ago(minutes=5)}
    both = [peer(1, deployment_num=0), peer(2, **new)]
    assert found(peers(head(3, **new), *both, deployment_num=1)) == []


def test_a_service_that_names_no_address_has_none_to_lose() -> None:
    assert found(peers(again("a"), peer(1), peer(2), names_addresses=False)) == []
