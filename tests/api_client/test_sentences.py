"""Numbers and sentences as a person writes them."""

from __future__ import annotations

from typing import Any

import pytest

from dstack_api_client.edits.base.difference import shown
from dstack_api_client.model.configuration import readable
from dstack_api_client.model.labels import share_of
from dstack_fleets_tui.tables import fleets, workers
from dstack_fleets_tui.tables.looks import Looks
from tests.builders import projects


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ({"resources": {"shm_size": 16.0}}, {"resources": {"shm_size": "16GB"}}),
        ({"resources": {"shm_size": 0.5}}, {"resources": {"shm_size": "0.5GB"}}),
        ({"max_price": 4.0}, {"max_price": 4}),
        ({"max_price": 4.25}, {"max_price": 4.25}),
        ({"scaling": {"target": 10.0}}, {"scaling": {"target": 10}}),
        ({"rate_limits": [{"rps": 4.0}]}, {"rate_limits": [{"rps": 4}]}),
        ({"probes": [{"type": "http", "interval": 5, "timeout": 90}]},
         {"probes": [{"type": "http", "interval": "5s", "timeout": "90s"}]}),
        ({"utilization_policy": {"min_gpu_utilization": 10, "time_window": 3600}},
         {"utilization_policy": {"min_gpu_utilization": 10, "time_window": "1h"}}),
        ({"docker": True}, {"docker": True}),
    ],
)  # fmt: skip
def test_a_configuration_has_the_numbers_that_people_write(
    value: dict[str, Any], text: dict[str, Any]
) -> None:
    assert readable(value) == text


def test_fields_of_a_plan_have_them_too() -> None:
    assert shown(("configuration", "resources", "shm_size"), 16.0, {}) == "16GB"
    assert shown(("configuration", "max_price"), 4.0, {}) == "4"
    assert shown(("configuration", "scaling"), {"metric": "rps", "target": 10.0}, {}) == (
        "metric rps, target 10"
    )


@pytest.mark.parametrize(
    ("number", "whole", "text"),
    [
        (1, 4, "1 of 4 workers is"),
        (0, 1, "0 of 1 worker is"),
        (3, 4, "3 of 4 workers are"),
        (0, 4, "0 of 4 workers are"),
    ],
)
def test_a_share(number: int, whole: int, text: str) -> None:
    assert share_of(number, whole, "worker") == text


def test_one_is_no_plural() -> None:
    looks = Looks(projects.NOW)
    head = " ".join(part.plain for part in workers.head(projects.router(projects.worker(1)), looks))
    assert "1 of 1 worker ready" in head
    line = fleets.summary(projects.fleet("hosts", kind="ssh", other_jobs=1), looks)
    assert "1 SSH host  " in line
    assert "1 job of tasks and dev environments" in line
