"""Answers of a server joined into a snapshot, and generated ones."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from hypothesis import strategies as st

from dstack_api_client.events.log import Awaits
from dstack_api_client.join.join import Answers, Joined, build
from dstack_api_client.model.snapshot import ServerInfo, Snapshot
from tests.builders import answers

SERVER = ServerInfo("http://server", "0.22.5")


def known(
    *,
    fleets: list[dict[str, Any]] = [],  # noqa: B006
    instances: list[dict[str, Any]] = [],  # noqa: B006
    runs: list[dict[str, Any]] = [],  # noqa: B006
    links: Mapping[str, str] | None = None,
    idle_since: Mapping[str, datetime] | None = None,
    awaits: Mapping[str, Awaits] | None = None,
) -> Answers:
    return Answers(
        {fleet["id"]: answers.as_fleet(fleet) for fleet in fleets},
        {each["id"]: answers.as_instance(each) for each in instances},
        {run["id"]: answers.as_run(run) for run in runs},
        links or {},
        idle_since or {},
        awaits or {},
    )


def joined(what: Answers, previous: Joined | None = None) -> Joined:
    return build(what, server=SERVER, project="main", observed_at=answers.START, previous=previous)


def snapshot(**what: Any) -> Snapshot:
    return joined(known(**what)).snapshot


FLEET = answers.fleet(1)


OTHER = answers.fleet(2)


def host(name: str, **changes: Any) -> dict[str, Any]:
    """What a job says of where it runs."""
    base = answers.submission(0)["job_provisioning_data"]
    return {**base, "hostname": name, **changes}


_HOSTS = st.sampled_from(["10.0.0.1", "10.0.0.2", "10.0.0.3", "", None])


_STATUSES = st.sampled_from(
    ["submitted", "provisioning", "running", "terminating", "failed", "done"]
)


_FLEETS = [answers.fleet(number) for number in (1, 2)]


@st.composite
def projects(draw: st.DrawFn) -> Answers:
    instances = [
        answers.instance(
            number,
            draw(st.sampled_from([*_FLEETS, None])),
            hostname=draw(_HOSTS),
            status=draw(st.sampled_from(["idle", "busy", "terminating", "pending"])),
            busy_blocks=draw(st.integers(-1, 8)),
        )
        for number in range(draw(st.integers(0, 4)))
    ]
    runs = []
    for number in range(draw(st.integers(0, 3))):
        jobs = [
            answers.job(
                replica,
                answers.submission(
                    number * 10 + replica,
                    status=draw(_STATUSES),
                    job_provisioning_data=host(name)
                    if (name := draw(_HOSTS)) is not None
                    else None,
                ),
            )
            for replica in range(draw(st.integers(0, 4)))
        ]
        fleet = draw(
            st.sampled_from([{"id": f["id"], "name": f["name"]} for f in _FLEETS] + [None])
        )
        kind = draw(st.sampled_from(["service", "task"]))
        runs.append(answers.run(number, *jobs, fleet=fleet, configuration={"type": kind}))
    links = draw(
        st.dictionaries(
            st.sampled_from([answers.ident(100_000 + n) for n in range(4)]),
            st.sampled_from([answers.ident(1000 + n) for n in range(4)]),
        )
    )
    return known(fleets=_FLEETS, instances=instances, runs=runs, links=links)
