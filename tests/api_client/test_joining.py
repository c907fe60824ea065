from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dstack_api_client.join.difference import diff
from dstack_api_client.join.join import Answers
from dstack_api_client.join.store import Known
from dstack_api_client.model.occupants import namesakes
from dstack_api_client.model.replica import Link, ReplicaKey
from dstack_api_client.transport import wire
from tests.builders import answers
from tests.builders.joined_answers import FLEET, OTHER, host, joined, known, projects, snapshot


class TestLinks:
    def test_by_the_host_name(self) -> None:
        made = snapshot(
            fleets=[FLEET, OTHER],
            instances=[answers.instance(1, FLEET), answers.instance(2, OTHER)],
            runs=[answers.run(1, answers.job(0))],
        )
        replica = next(iter(made.replicas.values()))
        assert (replica.link, replica.fleet_name) == (Link.HOST, "fleet-1")
        assert replica.instance_id == answers.ident(1001)
        assert made.instances[answers.ident(1001)].jobs == (replica.key,)
        assert made.instances[answers.ident(1002)].jobs == ()

    def test_an_event_decides_over_the_host_name(self) -> None:
        job = answers.job(0)
        made = snapshot(
            fleets=[FLEET, OTHER],
            instances=[answers.instance(1, FLEET), answers.instance(2, OTHER)],
            runs=[answers.run(1, job)],
            links={job["job_submissions"][0]["id"]: answers.ident(1002)},
        )
        replica = next(iter(made.replicas.values()))
        assert (replica.link, replica.fleet_name) == (Link.EXACT, "fleet-2")

    def test_an_instance_that_could_not_be_made_is_no_place(self) -> None:
        job = answers.job(0)
        last = job["job_submissions"][0]
        last |= {"status": "terminating", "job_provisioning_data": None, "job_runtime_data": None}
        last["termination_reason"] = "failed_to_start_due_to_no_capacity"
        made = snapshot(
            fleets=[FLEET],
            instances=[answers.instance(1, FLEET)],
            runs=[answers.run(1, job)],
            links={last["id"]: answers.ident(1001)},
        )
        (replica,) = made.replicas.values()
        assert (replica.instance_id, replica.fleet_name) == (None, None)

    @pytest.mark.parametrize(
        ("names", "expected"), [((), "fleet-2"), (("fleet-2",), None)], ids=["one", "two"]
    )
    def test_where_a_replica_was_tried_in_vain(
        self, names: tuple[str, ...], expected: str | None
    ) -> None:
        """The message has no project: of two fleets of that name nobody knows which."""
        ended = answers.submission(
            0,
            status="failed",
            job_provisioning_data=None,
            termination_reason="failed_to_start_due_to_no_capacity",
            termination_reason_message="Failed to provision in fleet 'fleet-2': tried 1 of 1.",
        )
        others = [answers.fleet(3 + n, name=name) for n, name in enumerate(names)]
        made = snapshot(
            fleets=[FLEET, OTHER, *others], runs=[answers.run(1, answers.job(0, ended))]
        )
        replica = next(iter(made.replicas.values()))
        assert (replica.fleet_name, replica.tried_in) == (None, expected)

    def test_an_event_about_an_instance_that_is_gone_decides_nothing(self) -> None:
        job = answers.job(0)
        made = snapshot(
            fleets=[FLEET],
            instances=[answers.instance(1, FLEET)],
            runs=[answers.run(1, job)],
            links={job["job_submissions"][0]["id"]: answers.ident(1999)},
        )
        assert next(iter(made.replicas.values())).link is Link.HOST

    @pytest.mark.parametrize(
        ("first", "second", "run"),
        [
            ({"busy_blocks": 0, "status": "idle"}, {}, {}),
            ({"region": "eu-west-1"}, {}, {}),
            ({"backend": "gcp"}, {}, {}),
            ({"instance_type": answers.machine(4)}, {}, {}),
            ({}, {}, {"fleet": {"id": OTHER["id"], "name": OTHER["name"]}}),
        ],
    )
    def test_two_instances_of_one_host_are_told_apart_by_what_fits(
        self, first: dict[str, Any], second: dict[str, Any], run: dict[str, Any]
    ) -> None:
        made = snapshot(
            fleets=[FLEET, OTHER],
            instances=[
                answers.instance(1, FLEET, hostname="shared", **first),
                answers.instance(2, OTHER, hostname="shared", **second),
            ],
            runs=[
                answers.run(
                    1,
                    answers.job(0, answers.submission(0, job_provisioning_data=host("shared"))),
                    **run,
                )
            ],
        )
        replica = next(iter(made.replicas.values()))
        assert (replica.link, replica.instance_id) == (Link.HOST, answers.ident(1002))

    def test_two_instances_of_one_host_that_both_fit_leave_the_run_fleet(self) -> None:
        instances = [answers.instance(number, FLEET, hostname="shared") for number in (1, 2)]
        job = answers.job(0, answers.submission(0, job_provisioning_data=host("shared")))
        fleet = {"id": FLEET["id"], "name": FLEET["name"]}
        made = snapshot(
            fleets=[FLEET], instances=instances, runs=[answers.run(1, job, fleet=fleet)]
        )
        replica = next(iter(made.replicas.values()))
        assert (replica.link, replica.instance_id) == (Link.RUN_FLEET, None)
        assert replica.fleet_name == "fleet-1"
        assert made.fleets[FLEET["id"]].replicas == 1
        assert all(instance.jobs == () for instance in made.instances.values())

    def test_without_a_host_or_a_fleet_it_is_unknown(self) -> None:
        job = answers.job(0, answers.submission(0, status="submitted", job_provisioning_data=None))
        made = snapshot(
            fleets=[FLEET], instances=[answers.instance(1, FLEET)], runs=[answers.run(1, job)]
        )
        replica = next(iter(made.replicas.values()))
        assert (replica.link, replica.fleet_id) == (Link.UNKNOWN, None)
        share = next(iter(made.services.values())).shares[0]
        assert (share.fleet, share.starting) == (None, 1)

    def test_an_empty_host_name_is_no_host_name(self) -> None:
        job = answers.job(0, answers.submission(0, job_provisioning_data=host("")))
        instances = [answers.instance(1, FLEET, hostname="")]
        made = snapshot(fleets=[FLEET], instances=instances, runs=[answers.run(1, job)])
        assert next(iter(made.replicas.values())).link is Link.UNKNOWN


class TestFleets:
    def test_what_instances_add_up_to(self) -> None:
        made = snapshot(
            fleets=[FLEET],
            instances=[
                answers.instance(3, FLEET, status="idle", busy_blocks=0),
                answers.instance(1, FLEET, busy_blocks=6, health_status="failure"),
                answers.instance(2, FLEET, unreachable=True),
                answers.instance(4, FLEET, status="pending", price=None, instance_type=None),
                answers.instance(5, FLEET, status="terminating"),
                answers.instance(6, FLEET, status="terminated"),
                answers.instance(7, OTHER),
            ],
            runs=[answers.run(1, answers.job(0))],
        )
        fleet = made.fleets[FLEET["id"]]
        assert fleet.instance_ids == tuple(answers.ident(1000 + n) for n in (1, 2, 3, 4, 5))
        assert fleet.states == {
            "busy": 1,
            "idle": 1,
            "pending": 1,
            "terminating": 1,
            "unreachable": 1,
        }
        assert fleet.unhealthy == 1
        assert (fleet.gpu_name, fleet.gpus_busy, fleet.gpus_total) == ("H100", 7.0, 24)
        assert (fleet.blocks_busy, fleet.blocks_total) == (8, 32)
        assert fleet.price == 4 * 32.0
        assert (fleet.replicas, fleet.other_jobs) == (1, 0)

    def test_what_a_cloud_fleet_says(self) -> None:
        fleet = snapshot(fleets=[FLEET]).fleets[FLEET["id"]]
        assert (fleet.kind, fleet.placement) == ("cloud", "cluster")
        assert (fleet.nodes_min, fleet.nodes_target, fleet.nodes_max) == (1, 1, 4)
        assert (fleet.spot_policy, fleet.idle_duration) == ("auto", "3d")
        assert fleet.spec["configuration"]["nodes"] == {"min": 1, "max": 4}

    @pytest.mark.parametrize(
        ("nodes", "read"),
        [
            ({"min": 0, "target": 2, "max": None}, (0, 2, None)),
            ({"min": 2, "max": 2}, (2, 2, 2)),
            (3, (3, 3, 3)),
            (None, (None, None, None)),
            ("0..2", (0, 0, 2)),
            ("2 ..", (2, 2, None)),
            ("..3", (0, 0, 3)),
            ("5", (5, 5, 5)),
            ({"min": "1", "target": "2", "max": 4.0}, (1, 2, 4)),
            ({"min": None, "max": 3}, (0, 0, 3)),
            ("a few", (None, None, None)),
            ("1..2..3", (None, None, None)),
            ({"min": 1.5}, (None, None, None)),
            (True, (None, None, None)),
            ("9" * 5_000, (None, None, None)),
        ],
    )
    def test_nodes(self, nodes: Any, read: tuple[int | None, ...]) -> None:
        answer = {**FLEET, "spec": {"configuration": {"nodes": nodes}}}
        fleet = snapshot(fleets=[answer]).fleets[FLEET["id"]]
        assert (fleet.nodes_min, fleet.nodes_target, fleet.nodes_max) == read

    @pytest.mark.parametrize(
        ("seconds", "text"),
        [
            (0, "0s"),
            (90, "90s"),
            (300, "5m"),
            (7200, "2h"),
            (-1, "off"),
            (False, "off"),
            ("1d", "1d"),
        ],
    )
    def test_idle_duration(self, seconds: Any, text: str) -> None:
        answer = {**FLEET, "spec": {"configuration": {}, "profile": {"idle_duration": seconds}}}
        assert snapshot(fleets=[answer]).fleets[FLEET["id"]].idle_duration == text

    def test_an_ssh_fleet_has_as_many_nodes_as_hosts(self) -> None:
        spec = {"configuration": {"ssh_config": {"hosts": ["a", {"hostname": "b"}]}}}
        instances = [answers.instance(1, FLEET, backend="remote")]
        fleet = snapshot(fleets=[{**FLEET, "spec": spec}], instances=instances).fleets[FLEET["id"]]
        assert (fleet.kind, fleet.nodes_min, fleet.nodes_max) == ("ssh", 2, 2)
        assert (fleet.spot_policy, fleet.backends) == (None, ("remote",))

    def test_hosts_that_could_not_be_set_up_stay_with_their_ssh_fleet(self) -> None:
        spec = {"configuration": {"ssh_config": {"hosts": ["a", "b", "c"]}}}
        ended = [
            answers.instance(number, FLEET, status="terminated", termination_reason=reason)
            for number, reason in enumerate(("provisioning_timeout", "terminated_by_user", "error"))
        ]
        there = answers.instance(3, FLEET)
        project = Known("main")
        project.put_fleet(answers.as_fleet({**FLEET, "spec": spec, "instances": [*ended, there]}))
        lab = joined(project.answers()).snapshot.fleets[FLEET["id"]]
        assert [each.num for each in lab.failed] == [0, 2]
        assert lab.states == {"busy": 1}
        # dstack gives a host that comes later the number of one that failed.
        later = there | {"instance_num": 0}
        project.put_fleet(answers.as_fleet({**FLEET, "spec": spec, "instances": [*ended, later]}))
        shot = joined(project.answers()).snapshot
        failed = shot.fleets[FLEET["id"]].failed[0]
        (instance,) = shot.instances.values()
        assert (namesakes(failed, shot), namesakes(instance, shot)) == ((instance,), (failed,))
        project.put_fleet(answers.as_fleet({**FLEET, "spec": spec, "instances": [there]}))
        assert not joined(project.answers()).snapshot.fleets[FLEET["id"]].failed

    def test_an_instance_is_idle_since_an_event_said_so_while_it_is(self) -> None:
        since = {answers.ident(1001): answers.START, answers.ident(1002): answers.START}
        made = snapshot(
            instances=[answers.instance(1, FLEET, status="idle"), answers.instance(2, FLEET)],
            idle_since=since,
        )
        assert made.instances[answers.ident(1001)].idle_since == answers.START
        assert made.instances[answers.ident(1002)].idle_since is None


class TestServices:
    def test_what_replicas_add_up_to(self) -> None:
        jobs = [
            answers.job(0, answers.submission(0, deployment_num=1)),
            answers.job(1, answers.submission(1, probes=[{"success_streak": 1}])),
            answers.job(2, answers.submission(2, status="pulling", deployment_num=1)),
            answers.job(3, answers.submission(3, status="terminating")),
            answers.job(4, answers.submission(4, status="failed", exit_status=1)),
            answers.job(5, answers.submission(5, status="terminated")),
        ]
        made = snapshot(
            fleets=[FLEET],
            instances=[answers.instance(1, FLEET)],
            runs=[answers.run(1, *jobs, deployment_num=1, configuration={"priority": 7})],
        )
        service = made.services[answers.ident(10_001)]
        assert (service.active, service.running, service.ready) == (3, 2, 1)
        assert (service.deployment_num, service.at_deployment) == (1, 2)
        assert [key.replica_num for key in service.replica_keys] == [0, 1, 2, 3, 4]
        assert service.price == 4 * 4.0
        assert service.priority == 7
        assert service.url == "http://server/proxy/services/main/llm/"
        share = service.shares[0]
        assert (share.running, share.ready, share.starting, share.stopping) == (2, 1, 1, 1)
        assert (share.instances, share.price) == (1, 16.0)
        failed = made.replicas[ReplicaKey(service.id, 4, 0)]
        assert (failed.price, failed.exit_status, failed.active) == (None, 1, False)

    def test_a_job_counts_as_its_last_submission(self) -> None:
        job = answers.job(
            0,
            answers.submission(0, status="failed", termination_reason="executor_error"),
            answers.submission(1, submission_num=1, status="provisioning"),
        )
        replica = next(iter(snapshot(runs=[answers.run(1, job)]).replicas.values()))
        assert (replica.status, replica.submission_num) == ("provisioning", 1)
        assert replica.before is not None
        assert (replica.before.termination_reason, replica.sought_before) == (
            "executor_error",
            False,
        )

    @pytest.mark.parametrize(
        ("configuration", "limits", "groups", "autoscaled"),
        [
            ({"replicas": {"min": 2, "max": 2}}, (2, 2), ["0"], False),
            ({"replicas": {"min": 0, "max": 5}}, (0, 5), ["0"], True),
            ({"replicas": None}, (1, 1), ["0"], False),
            (
                {
                    "replicas": None,
                    "groups": [
                        {"name": "router", "replicas": {"min": 1, "max": 1}},
                        {"replicas": {"min": 2, "max": 4}},
                    ],
                },
                (3, 5),
                ["router", "1"],
                True,
            ),
            (
                {
                    "replicas": [
                        {"name": "a", "count": {"min": 1, "max": 1}},
                        {"count": {"min": 2, "max": None}},
                    ]
                },
                (3, None),
                ["a", "1"],
                True,
            ),
        ],
    )
    def test_groups_of_every_version(
        self,
        configuration: dict[str, Any],
        limits: tuple[int, int | None],
        groups: list[str],
        autoscaled: bool,
    ) -> None:
        made = snapshot(runs=[answers.run(1, configuration=configuration)])
        service = made.services[answers.ident(10_001)]
        assert (service.replicas_min, service.replicas_max) == limits
        assert [group.name for group in service.groups] == groups
        assert service.autoscaled is autoscaled

    def test_the_router_is_named_as_operators_write_it(self) -> None:
        groups = [
            {"name": "router", "replicas": {"min": 1, "max": 1}, "router": {"type": "sglang"}},
            {"name": "worker", "replicas": {"min": 1, "max": 1}, "router": None},
        ]
        made = snapshot(
            runs=[
                answers.run(
                    1,
                    answers.job(0, replica_group="router"),
                    answers.job(1, answers.submission(1), replica_group="worker"),
                    configuration={"groups": groups, "replicas": None},
                )
            ]
        )
        service = made.services[answers.ident(10_001)]
        assert service.router == "smg"
        assert [(g.name, g.router, g.active, g.ready) for g in service.groups] == [
            ("router", "smg", 1, 1),
            ("worker", None, 1, 1),
        ]
        assert [made.replicas[key].is_router for key in service.replica_keys] == [True, False]

    def test_a_group_that_was_taken_out_shows_as_long_as_it_has_replicas(self) -> None:
        made = snapshot(runs=[answers.run(1, answers.job(0, replica_group="old"))])
        groups = made.services[answers.ident(10_001)].groups
        assert [(group.name, group.replicas_max, group.active) for group in groups] == [
            ("0", 1, 0),
            ("old", 0, 1),
        ]

    def test_no_probes_means_ready_when_running(self) -> None:
        job = answers.job(0, answers.submission(0, probes=[]), probes=[])
        assert next(iter(snapshot(runs=[answers.run(1, job)]).replicas.values())).ready

    def test_the_price_of_a_job_is_its_share_of_the_instance(self) -> None:
        whole = answers.submission(0, job_runtime_data=None)
        made = snapshot(runs=[answers.run(1, answers.job(0, whole), answers.job(1))])
        assert [replica.price for replica in made.replicas.values()] == [32.0, 4.0]
        assert [str(replica.gpus) for replica in made.replicas.values()] == ["H100:8", "H100:1"]

    def test_a_task_is_counted_and_occupies(self) -> None:
        task = answers.run(1, answers.job(0), configuration={"type": "task"}, service=None)
        made = snapshot(fleets=[FLEET], instances=[answers.instance(1, FLEET)], runs=[task])
        assert made.services == {}
        assert made.other_runs[answers.ident(10_001)].type == "task"
        assert made.fleets[FLEET["id"]].other_jobs == 1
        assert len(made.instances[answers.ident(1001)].jobs) == 1

    def test_a_run_read_without_jobs_says_so(self) -> None:
        run = answers.as_run(answers.run(1))
        run.jobs = None
        made = joined(Answers({}, {}, {run.id: run})).snapshot
        assert made.services[run.id].jobs_known is False

    def test_hostile_text_is_harmless(self) -> None:
        evil = "x\x1b[31m\u202e\ny"
        run = answers.run(1, answers.job(0, answers.submission(0, error=evil)), user=evil)
        made = snapshot(runs=[run], fleets=[{**FLEET, "name": evil}])
        texts = [
            next(iter(made.services.values())).user,
            next(iter(made.replicas.values())).error,
            next(iter(made.fleets.values())).name,
        ]
        assert texts == ["x\ufffd[31m\ufffd y"] * 3


class TestVersions:
    def test_a_time_may_end_in_either_way(self) -> None:
        old = answers.run(1, submitted_at="2026-03-01T12:00:01.000001+00:00")
        new = answers.run(1, submitted_at="2026-03-01T12:00:01.000001Z")
        assert answers.as_run(old) == answers.as_run(new)

    def test_unknown_words_and_missing_or_empty_fields_are_no_trouble(self) -> None:
        run = answers.run(
            1,
            answers.job(0, answers.submission(0, status="hibernating"), probes=None),
            status="hibernating",
            new_field={"a": 1},
        )
        del run["error"], run["deployment_num"], run["deleted"]
        made = snapshot(
            runs=[run], instances=[answers.instance(1, None, busy_blocks=None, total_blocks=None)]
        )
        assert made.services[answers.ident(10_001)].status == "hibernating"
        assert next(iter(made.replicas.values())).active


# Joining again, and properties


@given(projects())
def test_no_replica_is_lost_and_everything_adds_up(project: Answers) -> None:
    made = joined(project).snapshot
    wanted = {
        ReplicaKey(run.id, job.job_spec.replica_num, job.job_spec.job_num)
        for run in project.runs.values()
        for job in run.jobs or ()
        if job.job_submissions[-1].status != "done"
    }
    assert made.replicas.keys() == wanted
    listed = [
        key
        for owner in (*made.services.values(), *made.other_runs.values())
        for key in owner.replica_keys
    ]
    assert sorted(listed) == sorted(wanted)
    active = [replica for replica in made.replicas.values() if replica.active]
    placed = [key for instance in made.instances.values() for key in instance.jobs]
    assert sorted(placed) == sorted(r.key for r in active if r.instance_id is not None)
    assert sum(fleet.replicas + fleet.other_jobs for fleet in made.fleets.values()) == sum(
        replica.fleet_id is not None for replica in active
    )
    for service in made.services.values():
        counted = sum(share.active + share.stopping for share in service.shares)
        assert counted == sum(made.replicas[key].active for key in service.replica_keys)


_SOME_IDS = [answers.ident(1000 + number) for number in range(4)]


@given(st.lists(projects(), min_size=2, max_size=3), st.data())
def test_joining_again_gives_what_joining_anew_gives(
    history: list[Answers], data: st.DataObject
) -> None:
    def mixed(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, Any]:
        """Parts of the new that are taken over, and parts of the old that stay as they are."""
        kept = data.draw(st.sets(st.sampled_from(sorted(old)))) if old else set()
        return {**new, **{key: old[key] for key in kept}}

    now = history[0]
    made = joined(now)
    for new in history[1:]:
        gone = data.draw(st.sets(st.sampled_from(sorted(new.fleets))))
        fleets = mixed(now.fleets, new.fleets)
        now = Answers(
            {key: fleet for key, fleet in fleets.items() if key not in gone},
            mixed(now.instances, new.instances),
            mixed(now.runs, new.runs),
            mixed(now.links, new.links),
            dict.fromkeys(data.draw(st.sets(st.sampled_from(_SOME_IDS))), answers.START),
        )
        before, made = made.snapshot, joined(now, previous=made)
        whole = joined(now).snapshot
        assert made.snapshot == whole
        assert diff(before, made.snapshot) == diff(before, whole)


@given(projects())
def test_what_did_not_change_stays_the_same_object(project: Answers) -> None:
    first = joined(project)
    second = joined(
        dataclasses.replace(project, runs=dict(project.runs), links=dict(project.links)), first
    )
    for kind in ("fleets", "instances", "services", "other_runs", "replicas"):
        assert getattr(second.snapshot, kind) is getattr(first.snapshot, kind), kind


def test_an_instance_that_moves_to_another_fleet_changes_both() -> None:
    before = known(fleets=[FLEET, OTHER], instances=[answers.instance(1, FLEET)])
    after = known(fleets=[FLEET, OTHER], instances=[answers.instance(1, OTHER)])
    after = dataclasses.replace(after, fleets=before.fleets)
    made = joined(after, joined(before)).snapshot
    assert made == joined(after).snapshot
    assert [len(fleet.instance_ids) for fleet in made.fleets.values()] == [0, 1]


def test_an_instance_that_comes_after_the_event_that_named_it_is_found() -> None:
    job = answers.job(0, answers.submission(0, job_provisioning_data=host("elsewhere")))
    links = {job["job_submissions"][0]["id"]: answers.ident(1001)}
    before = known(fleets=[FLEET], runs=[answers.run(1, job)], links=links)
    instance = answers.as_instance(answers.instance(1, FLEET))
    after = dataclasses.replace(before, instances={instance.id: instance})
    made = joined(after, joined(before)).snapshot
    assert [replica.link for replica in made.replicas.values()] == [Link.EXACT]


@pytest.mark.parametrize(
    ("status", "jobs", "ended"),
    [
        ("running", [], None),
        ("failed", [], answers.at(9)),
        ("failed", [answers.job(0, answers.submission(1, status="failed"))], answers.at(9)),
        (
            "failed",
            [answers.job(0, answers.submission(1, status="failed", finished_at=answers.at(7)))],
            answers.at(7),
        ),
    ],
)
def test_when_a_service_ended(status: str, jobs: list[dict[str, Any]], ended: str | None) -> None:
    run = answers.run(1, *jobs, status=status, last_processed_at=answers.at(9))
    (service,) = snapshot(runs=[run]).services.values()
    told = service.ended_at and answers.seconds(service.ended_at.isoformat())
    assert told == (ended and answers.seconds(ended))


def test_that_the_server_looked_at_a_run_changes_nothing() -> None:
    project = Known("main")
    looks = [answers.run(1, status="running", last_processed_at=answers.at(n)) for n in (1, 2)]
    project.put_run(answers.as_run(looks[0]))
    (first,) = project.runs.values()
    project.put_run(answers.as_run(looks[1]))
    (second,) = project.runs.values()
    assert second is first


def test_what_is_known_is_the_same_answers_until_something_in_it_is_another() -> None:
    project = Known("main")
    project.put_fleet(answers.as_fleet({**FLEET, "instances": [answers.instance(1, FLEET)]}))
    project.put_run(answers.as_run(answers.run(1)))
    first = project.answers()
    project.put_fleet(answers.as_fleet({**FLEET, "instances": [answers.instance(1, FLEET)]}))
    project.drop_run("another")
    assert project.answers() is first
    project.put_instance(answers.as_instance(answers.instance(1, FLEET, status="idle")))
    second = project.answers()
    assert second.runs is first.runs
    assert second.fleets is first.fleets
    assert [each.status for each in second.instances.values()] == ["idle"]
    assert [each.status for each in first.instances.values()] == ["busy"]
    event = answers.event(1, "Instance status changed", ("instance", answers.ident(1), "i"))
    project.events.take(msgspec.convert([event], list[wire.Event], strict=False))
    assert project.answers() is not second


def test_an_instance_is_in_one_fleet_at_a_time() -> None:
    project = Known("main")
    instance = answers.instance(1, FLEET)
    project.put_fleet(answers.as_fleet({**FLEET, "instances": [instance]}))
    moved = {**instance, "fleet_id": OTHER["id"], "fleet_name": OTHER["name"]}
    project.put_fleet(answers.as_fleet({**OTHER, "instances": [moved]}))
    project.put_fleet(answers.as_fleet({**FLEET, "instances": []}))
    assert [each.fleet_id for each in project.instances.values()] == [OTHER["id"]]
    project.drop_fleet(OTHER["id"])
    assert not project.instances


def test_only_the_run_that_changed_is_joined_again() -> None:
    runs = [
        answers.run(number, answers.job(0, answers.submission(number)), name=f"s-{number}")
        for number in range(3)
    ]
    before = known(fleets=[FLEET], instances=[answers.instance(1, FLEET)], runs=runs)
    first = joined(before)
    changed: wire.Run = answers.as_run({**runs[1], "status": "terminating"})
    second = joined(dataclasses.replace(before, runs={**before.runs, changed.id: changed}), first)
    services = [
        (first.snapshot.services[key], second.snapshot.services[key]) for key in before.runs
    ]
    assert [old is new for old, new in services] == [True, False, True]
    assert first.snapshot.replicas == second.snapshot.replicas
