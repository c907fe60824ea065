"""What a disaggregated service is without workers for a part of each request."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from dstack_api_client.analysis.health import lost_parts
from dstack_api_client.join.join import Answers, build
from dstack_api_client.model.engines import disaggregates, engine_of
from dstack_api_client.model.placement import ReplicaPlacement
from dstack_api_client.model.replica import NO_CAPACITY, Attempt, Replica
from dstack_api_client.model.roles import consequence, lacking, roles_of
from dstack_api_client.model.router import RouterStatus, RouterView, Source
from dstack_api_client.model.service import Group, Service
from dstack_api_client.model.snapshot import ServerInfo, Snapshot
from dstack_api_client.problems.model import Kind, Severity
from dstack_api_client.problems.watch import ProblemWatch, problems_of
from dstack_api_client.routers.sync import judge
from dstack_fleets_tui.headless.kinds import replicas, router, services
from dstack_fleets_tui.tables import workers as table
from dstack_fleets_tui.tables.looks import Looks
from dstack_fleets_tui.words import words
from tests.builders import answers, projects, router_cases
from tests.builders.projects import NOW

ROLES = "roles:s-chat"
SGLANG = "python -m sglang.launch_server --model acme/large --port 8000"


@pytest.mark.parametrize(
    ("commands", "role"),
    [
        ([f"{SGLANG} --disaggregation-mode prefill"], "prefill"),
        ([f"{SGLANG} --disaggregation-mode=decode"], "decode"),
        ([f"{SGLANG} --disaggregation-mode encode"], "encode"),
        ([f"{SGLANG} --encoder-only"], "encode"),
        ([f"{SGLANG} --language-only --disaggregation-mode prefill"], "prefill"),
        ([SGLANG], "regular"),
        (["python -m dynamo.vllm --model m --is-prefill-worker"], "prefill"),
        (['vllm serve m --kv-transfer-config \'{"kv_role":"kv_producer"}\''], "prefill"),
        (['vllm serve m --ec-transfer-config \'{"ec_role":"ec_producer"}\''], "encode"),
        (["./start.sh"], None),
        (None, None),
    ],
)
def test_the_command_tells_the_role(commands: list[str] | None, role: str | None) -> None:
    assert engine_of(commands, None, None).role == role


def test_a_router_that_disaggregates() -> None:
    assert disaggregates({"type": "sglang", "pd_disaggregation": True}, None)
    assert disaggregates({"type": "smg"}, ["smg launch --pd-disaggregation --port 8000"])
    assert not disaggregates({"type": "smg"}, ["smg launch --enable-igw"])


def groups_of(*groups: dict[str, Any]) -> tuple[Group, ...]:
    """The groups as they are read from the server."""
    run = answers.run(1, configuration={"replicas": None, "groups": list(groups)})
    made = build(
        Answers({}, {}, {run["id"]: answers.as_run(run)}),
        server=ServerInfo("http://server", "0.22.5"),
        project="main",
        observed_at=NOW,
    )
    return next(iter(made.snapshot.services.values())).groups


def test_groups_have_the_role_of_their_commands() -> None:
    router = {"router": {"type": "smg"}, "commands": ["smg launch --pd-disaggregation"]}
    made = groups_of(
        router,
        {"commands": [f"{SGLANG} --disaggregation-mode prefill"]},
        {"commands": [f"{SGLANG} --disaggregation-mode decode"]},
        {"name": "decode", "commands": ["./start.sh"]},
        {"name": "other", "commands": ["./start.sh"]},
    )
    assert [(group.name, group.role) for group in made] == [
        ("0", None),
        ("1", "prefill"),
        ("2", "decode"),
        ("decode", "decode"),
        ("other", None),
    ]


def test_a_name_is_no_role_where_the_router_does_not_disaggregate() -> None:
    made = groups_of(
        {"name": "router", "router": {"type": "smg"}, "commands": ["smg launch"]},
        {"name": "decode", "commands": ["./start.sh"]},
    )
    assert roles_of(made) == frozenset()


def test_what_lacks_and_what_fails() -> None:
    assert lacking({"prefill", "decode"}, {"decode"}) == ("prefill",)
    assert lacking({"encode", "prefill", "decode"}, {"decode"}) == ("encode", "prefill")
    assert lacking({"prefill", "decode"}, set()) == ()
    assert lacking({"regular"}, {"regular"}) == ()
    assert consequence(["prefill"], {"prefill", "decode"}) == "every request fails"
    assert "images" in consequence(["encode"], {"encode", "prefill", "decode"})
    assert consequence(["decode"], {"regular", "decode"}) == "requests that need one fail"


# The incident: the only prefill worker goes, and there is no capacity ----------------------


GROUPS = (
    projects.group("router", 1, router="smg"),
    replace(projects.group("prefill", 1), role="prefill"),
    replace(projects.group("decode", 4), role="decode"),
)


def incident(prefill: Replica | None, view: RouterView | None) -> Snapshot:
    """A router, a prefill worker or none, and four decode workers."""
    replicas = [
        projects.replica(0, group="router", is_router=True),
        *([prefill] if prefill is not None else []),
        *(projects.replica(num, group="decode", role="decode") for num in (2, 3, 4, 5)),
    ]
    service = projects.service(replicas, GROUPS)
    return projects.project((service, replicas), routers=[view] if view else [])


def prefill(status: str, **changes: Any) -> Replica:
    fleet = None if status == "submitted" else "gpu"
    values = {"group": "prefill", "role": "prefill", "ready": False, **changes}
    return projects.replica(1, fleet, status, **values)


def judged(*, stale: bool = False, prefill_row: str | None = None) -> RouterView:
    """The router's view: it lists the decode workers, and what is said besides."""
    expected = [router_cases.worker(num) for num in (2, 3, 4, 5)]
    entries = [router_cases.entry(num) for num in (2, 3, 4, 5)]
    if stale:
        entries.append(router_cases.entry(1, worker_type="prefill"))
    if prefill_row is not None:
        expected.append(router_cases.worker(1, role="prefill", group="prefill"))
        entries.append(router_cases.entry(1, worker_type="prefill", status=prefill_row))
    seen = router_cases.look(*entries, ready=False)
    case = router_cases.case(expected, seen, roles=roles_of(GROUPS))
    view = judge(case, router_cases.Memory(), router_cases.NOW).view
    return replace(view, run_id="s-chat")


def test_roles_come_from_the_groups_and_not_from_the_list() -> None:
    view = judged()
    assert (view.status, view.ready, view.expected) == (RouterStatus.NOT_READY, 4, 4)
    assert view.lacking == ("prefill",)
    assert view.message == "No prefill worker is ready: every request fails until one is."


def test_stale_workers_are_not_counted() -> None:
    view = judged(stale=True)
    assert (view.ready, view.expected, view.lacking) == (4, 4, ("prefill",))
    assert len(view.workers) == 5


def test_a_prefill_worker_that_is_ready_takes_requests() -> None:
    assert judged(prefill_row="ready").lacking == ()
    assert judged(prefill_row="failed").lacking == ("prefill",)


def test_without_the_list_it_is_what_runs() -> None:
    case = router_cases.case(
        [router_cases.worker(2), router_cases.worker(1, role="prefill", job_status="submitted")],
        None,
        roles=roles_of(GROUPS),
    )
    assert judge(case, router_cases.Memory(), router_cases.NOW).view.lacking == ("prefill",)
    gone = router_cases.case([], None, roles=roles_of(GROUPS))
    assert judge(gone, router_cases.Memory(), router_cases.NOW).view.lacking == ()


@pytest.mark.parametrize(
    "lost",
    [
        None,
        prefill("submitted", submission_num=1, submitted_at=NOW - timedelta(seconds=20)),
        prefill("submitted", submitted_at=NOW - timedelta(minutes=10)),
        prefill("terminating"),
    ],
)
@pytest.mark.parametrize("stale", [False, True])
def test_problems_say_that_every_request_fails(lost: Replica | None, stale: bool) -> None:
    found = problems_of(incident(lost, judged(stale=stale)), NOW)
    first = found[0]
    assert (first.kind, first.severity) == (Kind.ROUTER, Severity.CRITICAL)
    assert first.text == "no prefill worker is left: every request fails"
    assert first.hint.startswith("4 of 4 workers are ready. ")
    assert not any("no worker that it calls ready" in each.text for each in found)


def test_a_prefill_worker_that_the_router_calls_failed() -> None:
    found = problems_of(incident(prefill("running"), judged(prefill_row="failed")), NOW)
    (first,) = [each for each in found if each.key == "roles:s-chat"]
    assert first.text == "no prefill worker is ready: every request fails"
    assert (first.view, first.row) == ("router", "1.0"), "the worker, whose log is worth a look"


def test_a_first_start_is_no_problem_yet() -> None:
    starting = prefill("pulling", submitted_at=NOW - timedelta(minutes=2))
    found = problems_of(incident(starting, judged()), NOW)
    assert not [each for each in found if each.key == "roles:s-chat"]


def test_the_age_is_that_of_the_loss_through_all_attempts() -> None:
    """Each attempt is a submission of its own, and so is the one that has found a place."""
    gone = NOW - timedelta(minutes=7)
    ran = Attempt(NOW - timedelta(hours=3), "interrupted_by_no_capacity", "", gone)
    sought = Attempt(gone, NO_CAPACITY, "", NOW - timedelta(minutes=1))
    for status in ("submitted", "provisioning", "pulling"):
        again = prefill(status, submitted_at=NOW, submission_num=3, earlier=(ran, sought, sought))
        (found,) = [p for p in problems_of(incident(again, judged()), NOW) if p.key == ROLES]
        assert (found.since, found.at_least) == (gone, False), status


def test_one_that_loads_again_after_its_loss_is_not_there_yet() -> None:
    gone = NOW - timedelta(minutes=2)
    ran = Attempt(NOW - timedelta(hours=3), "container_exited_with_error", "", gone)
    again = prefill("running", submitted_at=gone, submission_num=1, earlier=(ran,))
    (found,) = [p for p in problems_of(incident(again, judged()), NOW) if p.key == ROLES]
    assert (found.text, found.since) == ("no prefill worker is ready: every request fails", gone)


def test_one_between_two_attempts_has_found_no_place() -> None:
    full = {"termination_reason": NO_CAPACITY, "termination_message": "Fleet is at capacity"}
    found = problems_of(incident(prefill("failed", submission_num=1, **full), judged()), NOW)
    assert found[0].hint.endswith(
        "prefill 1 has found no place: no capacity (Fleet is at capacity)."
    )
    broken = prefill("failed", termination_message="out of memory", submission_num=1)
    found = problems_of(incident(broken, judged()), NOW)
    assert found[0].hint.endswith("prefill 1 has failed: out of memory.")


@pytest.mark.parametrize("addon", [True, False])
def test_one_that_is_submitted_again_says_why_it_has_no_place(addon: bool) -> None:
    """By the add-on, else by dstack's last search: it is submitted for some seconds of each."""
    gone = NOW - timedelta(minutes=2)
    ran = Attempt(NOW - timedelta(hours=3), "interrupted_by_no_capacity", "", gone)
    sought = Attempt(gone, NO_CAPACITY, "Fleet is at capacity", NOW)
    again = prefill("submitted", submission_num=2, earlier=(ran, sought))
    seen = incident(again, judged())
    expected = "no capacity (Fleet is at capacity)"
    if addon:
        expected = "gpu has no room, both hosts are unreachable"
        why = ReplicaPlacement(1, "prefill", again.submission_id, None, "pending", expected, NOW)
        seen = replace(seen, placements={"s-chat": projects.placement(replicas=[why])})
    (found,) = [each for each in problems_of(seen, NOW) if each.key == ROLES]
    assert found.hint.endswith(f" ready. prefill 1 has found no place: {expected}.")


def test_the_age_does_not_begin_anew_while_it_is_watched() -> None:
    watch = ProblemWatch()
    for minutes in range(6):
        now = NOW + timedelta(minutes=minutes)
        again = prefill("provisioning", submitted_at=now, submission_num=1 + minutes)
        found = watch.look(incident(again, judged()), now)
        assert [p.since for p in found if p.key == ROLES] == [NOW]


def test_a_router_that_nobody_can_look_at_and_a_dead_prefill_worker() -> None:
    view = projects.router(
        status=RouterStatus.UNKNOWN, source=Source.NONE, expected=4, lacking=("prefill",)
    )
    found = problems_of(incident(prefill("submitted", submission_num=1), view), NOW)
    assert found[0].text == "no prefill worker is left: every request fails"


def test_a_router_that_is_not_ready_for_another_reason() -> None:
    view = projects.router(
        *(projects.worker(num) for num in (2, 3)), status=RouterStatus.NOT_READY, expected=2
    )
    found = problems_of(incident(prefill("running", ready=True), view), NOW)
    assert "the router is not ready, though 2 of 2 workers are" in [each.text for each in found]


def test_it_is_said_on_every_list() -> None:
    snapshot = incident(prefill("submitted", submission_num=1), judged(stale=True))
    service: Service = snapshot.services["s-chat"]
    view = snapshot.routers["s-chat"]
    lost = lost_parts(snapshot, service)
    assert lost == ("prefill",)
    assert words.router(service, None, lost) == "smg, no prefill worker"
    head = "  ".join(part.plain for part in table.head(view, Looks(NOW), lost))
    assert "4 of 4 workers ready  no prefill worker" in head
    line = router.line(view, service, snapshot)
    assert "4 of 4 workers ready, no prefill worker, read" in line
    item = router.item(view, service, snapshot)
    assert (item["lacking_roles"], item["breakers"]) == (["prefill"], "not known")
    roles = [
        group["role"] for group in services.item(services.Known(service, None), snapshot)["groups"]
    ]
    assert roles == [None, "prefill", "decode"]


def test_a_worker_that_can_not_be_reached_is_none_on_every_list() -> None:
    """dstack calls it running until it gives it up, and the router may call it ready."""
    view = projects.router(*(projects.worker(num) for num in range(1, 6)))
    there = incident(prefill("running", ready=True), view)
    service = there.services["s-chat"]
    (host,) = projects.instances("gpu", "busy", unreachable=True)
    away = replace(host, id=there.replicas_of(service)[1].instance_id or "")
    lost = replace(there, instances={away.id: away})
    cut = incident(prefill("running", ready=True, cut_off=True), view)
    none = (["prefill"], ", no prefill worker")
    for snapshot, parts, said in ((there, [], ""), (lost, *none), (cut, *none)):
        assert services.cells(services.Known(service, None), snapshot)[8] == f"smg ready{said}"
        # The router itself counts it, so that the line says what is meant.
        meant = f"{said} can be reached" if parts else ""
        assert f"5 of 5 workers ready{meant}, read" in router.line(view, service, snapshot)
        head = table.head(view, Looks(NOW), lost_parts(snapshot, service))
        assert meant.lstrip(", ") in "  ".join(part.plain for part in head)
        assert router.item(view, service, snapshot)["lacking_roles"] == parts
        (worker,) = (each for each in snapshot.replicas.values() if each.group == "prefill")
        assert replicas.cells(worker, snapshot)[6] == ("unreachable" if parts else "running")
