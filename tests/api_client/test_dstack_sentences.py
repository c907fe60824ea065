"""dstack's sentences, taken apart."""

from __future__ import annotations

import pytest

from dstack_api_client import sentences
from dstack_api_client.sentences import Subject, Told


@pytest.mark.parametrize(
    ("message", "told"),
    [
        ("Job status changed PULLING -> RUNNING", Told(Subject.JOB_STATUS, "running")),
        (
            "Job status changed RUNNING -> TERMINATING. Reason: x",
            Told(Subject.JOB_STATUS, "terminating"),
        ),
        ("Instance status changed BUSY -> IDLE", Told(Subject.INSTANCE_STATUS, "idle")),
        ("Instance health changed HEALTHY -> FAILURE", Told(Subject.HEALTH, "failure")),
        ("Instance became unreachable", Told(Subject.UNREACHABLE)),
        ("Job became unreachable", Told(Subject.JOB_UNREACHABLE)),
        ("Job became reachable", Told(Subject.JOB_REACHABLE)),
        ("Service replica ready to receive requests", Told(Subject.TAKEN_IN)),
        ("Service replica registered to receive requests", Told(Subject.REGISTERED_AT_LAST)),
        ("Service replica registered", Told(Subject.AT_GATEWAY)),
        ("Run updated. Deployment: 3. Changed: replicas", Told(Subject.DEPLOYMENT, "", 3)),
        ("Run updated. Deployment: 3", Told(Subject.DEPLOYMENT, "", 3)),
        ("Run updated. Deployment: 1234567890.", Told(Subject.DEPLOYMENT)),
        ("Run updated. Deployment: many.", Told(Subject.DEPLOYMENT)),
        (
            "Replica 3 was placed in fleet far by a server without the add-on",
            Told(Subject.OTHER_SERVER, replica=3),
        ),
        ("Replica 3 was placed in fleet far", Told(Subject.OTHER)),
        ("Run submitted", Told(Subject.OTHER)),
        ("", Told(Subject.OTHER)),
    ],
)
def test_what_an_event_says(message: str, told: Told) -> None:
    assert sentences.told(message) == told


def test_how_it_is_shown() -> None:
    assert sentences.short("Job status changed PULLING -> RUNNING") == "PULLING -> RUNNING"
    assert sentences.short("Run submitted") == "Run submitted"
    assert sentences.is_good("Job status changed PULLING -> RUNNING")
    assert sentences.is_bad("Instance became unreachable")
    assert not sentences.is_bad("Run submitted")
    assert not sentences.is_good("Run submitted")


def test_the_fleet_that_was_tried() -> None:
    assert sentences.fleet_tried("Failed to provision in fleet 'gpu': tried 1 of 1 offers") == "gpu"
    assert sentences.fleet_tried("No offers") is None
