"""Planning and performing against answers made by hand: what is refused, warned of and kept."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from dstack_api_client.edits.base.base import Base
from dstack_api_client.edits.base.difference import ChangeKind, NotInPlaceError, difference, refusal
from dstack_api_client.edits.base.outcome import UnknownOutcomeError
from dstack_api_client.edits.errors import EditError, NotAppliedError, ReplacedError
from dstack_api_client.edits.perform import performing
from dstack_api_client.edits.perform.performing import perform
from dstack_api_client.edits.perform.undoing import undo
from dstack_api_client.edits.plan.planning import Plan, make_plan
from dstack_api_client.edits.service.service import ServiceEdit
from dstack_api_client.edits.store.keeping import Store
from dstack_api_client.edits.store.recording import Record
from dstack_api_client.model.configuration import MASK
from dstack_api_client.model.snapshot import Snapshot
from dstack_api_client.transport.client import Client
from tests.builders import projects, service_edits
from tests.builders.audit_log import lines
from tests.builders.projects import STOCK
from tests.builders.service_edits import SECRET, WITH_LANES, edit


class Server:
    """Answers what a plan asks for.

    Args:
        base: The service that it has.
        action: What it says to a plan.
    """

    def __init__(self, base: Base, action: str = "update") -> None:
        self.base = base
        self.action = action

    def __call__(self, request: httpx.Request) -> httpx.Response:
        if request.url.path.endswith("/runs/get"):
            whole = {**self.base.resource, "id": self.base.id, "status": self.base.status}
            number = self.base.deployment
            return self._json({**whole, "deployment_num": number, "run_spec": self.base.spec})
        asked = json.loads(request.content)["run_spec"]
        return self._json({"action": self.action, "effective_run_spec": asked, "job_plans": []})

    def _json(self, body: Mapping[str, Any]) -> httpx.Response:
        return httpx.Response(200, json=body)

    def client(self) -> Client:
        return Client("http://server", "t", transport=httpx.MockTransport(self))


def _begun() -> ServiceEdit:
    base = service_edits.base(fleets=["tight"])
    return ServiceEdit.begin(replace(base, id="s-chat"), STOCK)


async def test_a_plan_warns_of_the_extra_replica_of_a_rolling_deployment() -> None:
    replicas = [projects.replica(0, "tight"), projects.replica(1, "tight")]
    service = projects.service(replicas, [projects.group("0", 2)], fleet_name="tight")
    full = projects.fleet("tight", nodes_max=0)
    snapshot = projects.project((service, replicas), fleets=[full])
    changed = _begun().with_values({("configuration", "image"): "new"})
    async with Server(changed.base).client() as client:
        plan = await make_plan(client, changed, snapshot=snapshot)
    assert plan.dry_run is not None
    assert [row.action for row in plan.dry_run.surges] == ["pending"]
    assert [warning.key for warning in plan.warnings] == ["kill-trap"]


@pytest.mark.parametrize(
    ("availability", "action", "key"),
    [
        ("available", "start", "no-retry"),
        (None, "pending", "kill-trap"),
        ("no_quota", "pending", "kill-trap"),
    ],
)
async def test_the_server_is_asked_what_it_offers_in_the_fleet(
    availability: str | None, action: str, key: str
) -> None:
    """The plan of the run itself has no offers, as all of it would not fit a second time."""
    edit, snapshot = _begun().with_replicas("0", 3), _tight()
    questions = []

    class Offering(Server):
        def __call__(self, request: httpx.Request) -> httpx.Response:
            asked = json.loads(request.content)
            if not asked.get("for_offers_only"):
                return super().__call__(request)
            questions.append(asked["run_spec"])
            resources = {"spot": False}
            offer = {
                "price": 31.0, "backend": "aws", "region": "us-east-1",
                "availability": availability,
                "instance": {"name": "p5", "resources": resources},
            }  # fmt: skip
            offers = [offer] if availability else []
            plan = {"job_spec": {"replica_group": "0"}, "offers": offers}
            return self._json({"action": "create", "job_plans": [plan]})

    async with Offering(edit.base).client() as client:
        plan = await make_plan(client, edit, snapshot=snapshot)
    assert [each["configuration"]["fleets"] for each in questions] == [["tight"]]
    assert questions[0]["run_name"] is None, "nothing of the run that is there limits the answer"
    assert plan.dry_run is not None
    assert [row.action for row in plan.dry_run.replicas if row.new] == [action]
    assert plan.warnings[0].key == key
    if action == "start":
        assert plan.dry_run.unsure == ()
        assert [offer.fleet for offer in plan.offers] == ["tight"]


def _tight() -> Snapshot:
    """Two replicas in a fleet that may have one instance more."""
    replicas = [projects.replica(0, "tight"), projects.replica(1, "tight")]
    service = projects.service(replicas, [projects.group("0", 2)], fleet_name="tight")
    fleet = projects.fleet("tight", nodes_max=1)
    return projects.project((service, replicas), fleets=[fleet])


@pytest.mark.parametrize("ahead", [-25 * 60, 0, 40 * 60])
@pytest.mark.parametrize(("age", "key"), [(45, "pending"), (75, "kill-trap")])
async def test_a_retry_is_over_by_the_clock_of_the_server(ahead: int, age: int, key: str) -> None:
    """Whatever this machine's clock says: it lasts an hour, by what the server calls now."""
    there = datetime.now(timezone.utc) + timedelta(seconds=ahead)
    base = service_edits.base(fleets=["tight"], retry=True)
    began = {"submitted_at": (there - timedelta(minutes=age)).isoformat()}
    base = replace(base, id="s-chat", resource={**base.resource, **began})
    date = {"Date": format_datetime(there, usegmt=True)}

    class Dated(Server):
        def _json(self, body: Mapping[str, Any]) -> httpx.Response:
            return httpx.Response(200, json=body, headers=date)

    edit = ServiceEdit.begin(base, STOCK).with_replicas("0", 4)
    async with Dated(base).client() as client:
        plan = await make_plan(client, edit, snapshot=_tight())
    assert key in {warning.key for warning in plan.warnings}


async def test_what_is_not_possible_in_place_is_shown_with_the_rest_of_the_edit() -> None:
    changed = edit().with_priority(7).with_values(
        {
            ("configuration", "max_duration"): 60,
            ("configuration", "registry_auth", "password"): "another",
        }
    )  # fmt: skip
    async with Server(changed.base, action="create").client() as client:
        with pytest.raises(NotInPlaceError) as refused:
            await make_plan(client, changed)
    kinds = {change.name: change.kind for change in refused.value.changes}
    assert kinds == {
        "priority": ChangeKind.NO_RESTART,
        "max_duration": ChangeKind.NOT_IN_PLACE,
        "registry_auth password": ChangeKind.NOT_IN_PLACE,
    }
    said = str(refused.value)
    assert said.startswith("registry_auth password, max_duration can't be changed while the")
    assert f"registry_auth password: {MASK} -> {MASK} (not possible in place)" in said
    assert "max_duration: off (default) -> 1m (not possible in place)" in said
    assert "priority: 0 -> 7 (no restart)" in said
    assert SECRET not in said
    assert "another" not in said


def test_a_refusal_of_many_fields_stays_short() -> None:
    changed = edit().with_priority(7).with_values(
        {("configuration", f"of_a_later_version_{n}"): n for n in range(20)}
    )  # fmt: skip
    told = difference(changed.base.spec, changed.spec, "service", WITH_LANES)
    refused = refusal(told, "now", "Wait.")
    assert "; and 13 more." in refused.message
    assert "priority: 0" not in refused.message, "what has to go comes first"
    assert len(refused.changes) == 21


def _plan(changed: ServiceEdit) -> Plan:
    told = difference(changed.base.spec, changed.spec, "service", WITH_LANES)
    at = datetime.now(timezone.utc)
    return Plan(changed, changed.base, told, changed.spec, "update", None, (), (), at)


def _later(changed: ServiceEdit) -> Base:
    return replace(changed.base, spec=changed.spec, deployment=changed.base.deployment + 1)


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (UnknownOutcomeError("It is not known.", ""), ("configuration", "replicas")),
        (ReplacedError("Something else is there.", ""), ("configuration", "replicas")),
        (NotAppliedError("It was not applied.", ""), ("configuration", "priority")),
    ],
)
async def test_undo_never_takes_back_an_older_change_than_the_last_that_was_sent(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    error: EditError,
    expected: tuple[str, ...],
) -> None:
    store = Store(tmp_path)
    first = edit().with_priority(7)
    store.keep_applied(first.base, _later(first))
    second = ServiceEdit.begin(_later(first), WITH_LANES).with_replicas("0", 4)

    async def fails(client: Client, plan: Plan, record: Record) -> None:
        record.send(plan.base, _later(second))
        raise error

    monkeypatch.setattr(performing, "_carry_out", fails)
    async with Server(second.base).client() as client:
        with pytest.raises(type(error)):
            await perform(client, _plan(second), store, user="a")
    assert undo(store, _later(second), WITH_LANES).edit.changes.keys() == {expected}
    sent, end = lines(store.audit_path)
    assert (sent["result"], sent["sent"]) == ("sent", end["sent"])
    assert end["result"].endswith(error.message)


async def test_a_way_back_that_can_not_be_kept_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fails(client: Client, plan: Plan, record: Record) -> None:
        record.send(plan.base, _later(changed))
        raise UnknownOutcomeError("It is not known.", "")

    monkeypatch.setattr(performing, "_carry_out", fails)
    (tmp_path / "state").write_text("")
    told: list[str] = []
    changed = edit().with_priority(7)
    async with Server(changed.base).client() as client:
        with pytest.raises(UnknownOutcomeError):
            await perform(client, _plan(changed), Store(tmp_path / "state"), on_notice=told.append)
    assert [line.partition(".")[0] for line in told] == [
        "What undo needs could not be kept",
        "The audit log could not be written",
    ]
