"""Workers that stay until their router uses those that came for them."""

from __future__ import annotations

import uuid
from datetime import datetime, timezone
from typing import Any

import pytest

from dstack_placement.server.active_run.listed_workers import GroupChange, kept
from dstack_placement.server.routers.router_looks import Look, RouterStatus

OLD, OLDER, NEW, NEWER = (uuid.UUID(int=number) for number in range(4))


def worker(job: uuid.UUID, status: str | None = "ready", **more: Any) -> dict[str, Any]:
    told = {} if status is None else {"status": status}
    return {"id": f"w-{job}", "labels": {"dstack.ai/job-id": str(job)}, **told, **more}


def look(*workers: dict[str, Any], status: RouterStatus = RouterStatus.OK) -> Look:
    return Look(status, None, datetime(2026, 11, 30, tzinfo=timezone.utc), workers)


ONE_FOR_ONE = GroupChange((OLD,), (NEW,))
FOREIGN = {"id": "w", "url": "http://10.0.0.9:8000"}


@pytest.mark.parametrize(
    ("looks", "staying"),
    [
        pytest.param([look(worker(OLD))], [OLD], id="not in the list"),
        pytest.param([look(worker(OLD), worker(NEW, "pending"))], [OLD], id="not ready yet"),
        pytest.param([look(worker(OLD), worker(NEW, "failed"))], [OLD], id="failed"),
        pytest.param([look(worker(OLD), worker(NEW))], [], id="ready"),
        pytest.param(
            [look(worker(OLD, None, is_healthy=True), worker(NEW, None, is_healthy=False))],
            [OLD],
            id="of a router that names no states",
        ),
        pytest.param([look(FOREIGN, worker(NEW, "pending"))], [], id="the old is of no use either"),
        pytest.param([look(worker(OLD, "failed"))], [], id="the old has failed"),
        pytest.param(
            [look(worker(OLD), worker(NEW)), look(worker(OLD))], [OLD], id="not in every list"
        ),
        pytest.param(
            [look(worker(OLD)), look(status=RouterStatus.NO_ANSWER)], [], id="one does not answer"
        ),
        pytest.param([look(status=RouterStatus.REFUSED)], [], id="the router refuses"),
        pytest.param([], [], id="no router runs"),
    ],
)
def test_one_stays_until_its_router_uses_the_other(
    looks: list[Look], staying: list[uuid.UUID]
) -> None:
    assert kept([ONE_FOR_ONE], looks) == staying


def test_as_many_stay_as_are_awaited_and_the_first_to_go_goes() -> None:
    change = GroupChange((OLDER, OLD), (NEW, NEWER))
    assert kept([change], [look(worker(OLD), worker(OLDER), worker(NEW))]) == [OLD]


def test_groups_do_not_wait_for_each_other() -> None:
    prefill, decode = GroupChange((OLD,), (NEW,)), GroupChange((OLDER,), (NEWER,))
    seen = look(worker(OLD), worker(OLDER), worker(NEWER))
    assert kept([prefill, decode], [seen]) == [OLD]
