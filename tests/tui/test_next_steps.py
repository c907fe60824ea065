"""What comes next of a replica, and where it stands in its row."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from dstack_api_client.analysis.since import Since
from dstack_api_client.model.labels import replica_row
from dstack_api_client.model.replica import Probe, Replica
from dstack_api_client.model.router import RouterStatus, Sync
from dstack_api_client.problems.model import Kind, Problem, Severity
from dstack_fleets_tui.tables import replicas as table
from dstack_fleets_tui.tables import workers
from dstack_fleets_tui.tables.looks import Looks
from dstack_fleets_tui.tables.next_steps import next_step
from dstack_widgets.table.cells import CellValue, plain_text
from tests.builders import projects
from tests.builders.projects import NOW, ago, group, instances, replica, router, service, worker

LOST = instances("gpu", "busy", unreachable=True)[0]
RETRY = {"configuration": {"type": "service", "retry": True}}
NO_CAPACITY = "failed_to_start_due_to_no_capacity"


def step(one: Replica, since: Since | None = None, /, **changes: Any) -> str:
    return next_step(one, service([one], [group("0", 1)], **changes), None, since or Since(), NOW)


@pytest.mark.parametrize(
    ("one", "said"),
    [
        (replica(0), ""),
        (replica(0, ready=False, probes=(Probe(0, 1),)), "probes 0/1 for 1h"),
        (replica(0, None, "submitted", submitted_at=ago(minutes=4)), "looking for a place for 4m"),
        (replica(0, "gpu", "provisioning", submitted_at=ago(seconds=20)),
         "instance starting for 20s"),
        (replica(0, "gpu", "pulling", submitted_at=ago(minutes=2)), "starting for 2m"),
        (replica(0, "gpu", "terminating"), "stopping"),
        (replica(0, None, "failed", termination_reason=NO_CAPACITY), "looking for a place for 1h"),
        (replica(0, "gpu", "failed"), "is not started again"),
    ],
)  # fmt: skip
def test_what_comes_next(one: Replica, said: str) -> None:
    assert step(one) == said


def test_one_that_failed_starts_again_where_its_retry_says_so() -> None:
    assert step(replica(0, "gpu", "failed"), spec=RETRY) == "starts again"


def test_what_lasts_is_said_as_what_is_under_way() -> None:
    one = replica(0, "gpu", "terminating")
    since = Since(job_status={one.submission_id: ago(seconds=14)})
    assert step(one, since) == "stopping for 14s"


def test_one_that_took_requests_counts_from_when_it_stopped_to() -> None:
    one = replica(0, ready=False)
    since = Since(unready={one.submission_id: ago(minutes=12)})
    assert step(one, since) == "probes 1/3 for 12m"


class TestUnreachable:
    """What is said of a replica whose instance can't be reached is from before."""

    ONE = replica(0)

    def test_it_says_so_and_since_when(self) -> None:
        since = Since(unreachable={LOST.id: ago(minutes=3)})
        said = next_step(self.ONE, service([self.ONE]), LOST, since, NOW)
        assert said == "instance unreachable for 3m"
        cut = replica(1, cut_off=True)
        told = Since(reach={cut.submission_id: (ago(seconds=20), False)})
        assert step(cut, told) == "unreachable for 20s"

    def test_its_state_does_too_and_it_is_wrong(self) -> None:
        of = service([self.ONE])
        row = table.cells(
            table.Seen(self.ONE, LOST, 0, False, False, False, None, None, None), Looks(NOW)
        )
        state = row[[column.key for column in table.columns(of)].index("state")]
        assert plain_text(state) == "✗ unreachable"
        assert table.is_wrong(self.ONE, of, None, LOST)


def test_next_is_there_only_where_something_waits_and_a_message_never_drops() -> None:
    of = service([replica(0)])

    def shown(waits: int = 0, *, explained: bool = False) -> dict[str, int]:
        columns = table.columns(of, waits=waits, explained=explained)
        return {each.key: each.priority for each in columns if not each.hidden}

    assert "next" not in shown()
    assert shown(23)["next"] > shown()["message"]
    lasting = shown(23, explained=True)
    assert lasting["message"] >= lasting["next"]


def test_one_without_a_place_has_no_logs_to_look_at() -> None:
    waits, runs = replica(3, None, "submitted"), replica(4)
    found = [
        Problem(str(at), Kind.REPLICA, Severity.WARNING, "chat", "wrong", service_id=one.key.run_id,
                row=replica_row(one.key))
        for at, one in enumerate((waits, runs))
    ]  # fmt: skip
    names = {one.key: one for one in (waits, runs)}
    told = [each.text for each in table.findings(found, None, names, "enter")]
    assert told == [
        "wrong. Press d for the fleets of the service, e to edit it.",
        "wrong. Press enter on its row, then l, for its logs.",
    ]


def test_the_red_cell_is_the_one_that_is_wrong() -> None:
    """`in sync` was red where the router called the worker failed."""

    def styles(**changes: Any) -> tuple[str, str]:
        view = router(replace(worker(0), **changes), status=RouterStatus.READY)
        row = workers.cells(view.workers[0], {}, Looks(projects.NOW))
        sync, health = row[0], row[1]
        assert isinstance(sync, CellValue)
        assert isinstance(health, CellValue)
        return sync.style, health.style

    assert styles(router_health="failed", wrong=100) == ("", "bad")
    assert styles(sync=Sync.MISSING, router_health=None, wrong=80) == ("bad", "dim")
