"""What a change costs, and where a plan can end a service, without a server."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from dstack_api_client.edits.offers.prices import PlanOffer
from dstack_api_client.edits.outlook.dryrun import dry_run_here
from dstack_api_client.edits.outlook.outlooks import DryRun
from dstack_api_client.edits.outlook.spots import barred_fleets
from dstack_api_client.edits.outlook.warnings import Risk, warnings_of
from dstack_api_client.edits.plan.certainty import unsure_fleets
from dstack_api_client.edits.service.service import ServiceEdit
from dstack_api_client.model.gpus import Gpus
from dstack_api_client.model.snapshot import Snapshot
from tests.builders import projects, service_edits
from tests.builders.projects import NOW, STOCK

GPU = {"gpu": {"name": ["H100"], "count": {"min": 8, "max": 8}}}
SPOT = PlanOffer("o", "aws", "us-east-1", "p5", True, 31.05, "available", "both")
ON_DEMAND = replace(SPOT, spot=False, price=98.32)


def mixed(resources: Mapping[str, Any] = GPU) -> tuple[ServiceEdit, Snapshot]:
    """Group `d` on-demand and group `o` on spot, in one fleet."""
    groups = [
        service_edits.group("d", resources=resources),
        service_edits.group("o", spot_policy="spot", resources=resources),
    ]
    base = service_edits.base(fleets=["both"], groups=groups, replicas=None, resources=None)
    replicas = [
        projects.replica(0, "both", group="d", price=98.32, spot=False),
        projects.replica(1, "both", group="o", price=31.05, spot=True),
    ]
    service = projects.service(
        replicas, [projects.group("d"), projects.group("o")], fleet_name="both"
    )
    fleet = projects.fleet("both", nodes_max=8, spot_policy="auto")
    snapshot = projects.project((service, replicas), fleets=[fleet])
    return ServiceEdit.begin(replace(base, id="s-chat"), STOCK), snapshot


def outlook(edit: ServiceEdit, snapshot: Snapshot, **options: Any) -> DryRun:
    found = dry_run_here(edit, snapshot, **options)
    assert found is not None
    return found


def test_more_of_a_group_cost_what_its_own_cost() -> None:
    edit, snapshot = mixed()
    found = outlook(edit.with_replicas("o", 3), snapshot)
    assert found.price_change == pytest.approx(62.10)
    fewer = outlook(edit.with_replicas("d", 0), snapshot)
    assert fewer.price_change == pytest.approx(-98.32)


def test_each_start_takes_the_next_instance() -> None:
    """Idle ones first, the cheapest of them; what is left is created, at the price of there."""
    edit, snapshot = mixed()
    (key,) = snapshot.fleets
    unlike = [
        projects.instances("both", "idle", fleet_id=key, spot=True, price=price)[0]
        for price in (60.0, 30.0)
    ]
    hosts = [
        replace(each, id=f"i-{number}", gpus=Gpus("H100", 8, 81_920, "nvidia"))
        for number, each in enumerate(unlike)
    ]
    idle = replace(snapshot, instances={**snapshot.instances, **{each.id: each for each in hosts}})
    more = [outlook(edit.with_replicas("o", number), idle).price_change for number in (2, 3, 4)]
    assert more == pytest.approx([30, 90, 90 + 31.05])
    both = edit.with_group("d", spot_policy="spot").with_replicas("o", 2)
    assert outlook(both, idle).price_change == pytest.approx(30 - 98.32 + 60), "none is taken twice"
    offers = [replace(SPOT, price=30.0, availability="idle"), replace(SPOT, price=45.0)]
    anew = edit.with_group("o", spot_policy="auto").with_replicas("o", 3)
    found = outlook(anew, idle, offers=offers)
    assert found.price_after == pytest.approx(98.32 + 30 + 60 + 45), "what was taken is no offer"


def test_replicas_that_share_an_instance_share_its_price() -> None:
    edit, snapshot = mixed(resources={"gpu": {"name": ["H100"], "count": {"min": 4, "max": 4}}})
    (key,) = snapshot.fleets
    (host,) = projects.instances(
        "both", "idle", fleet_id=key, spot=True, price=80.0, total_blocks=2,
        gpus=Gpus("H100", 8, 81_920, "nvidia"),
    )  # fmt: skip
    there = replace(snapshot, instances={**snapshot.instances, host.id: host})
    change = outlook(edit.with_replicas("o", 3), there).price_change
    assert change == pytest.approx(40 + 40)


@pytest.mark.parametrize("odd", [["odd"], "odd"])
def test_a_fleet_that_is_not_as_it_should_be_limits_no_offer(odd: object) -> None:
    edit, snapshot = mixed()
    ((key, fleet),) = snapshot.fleets.items()
    strange = replace(fleet, spec={"configuration": odd, "profile": odd})
    snapshot = replace(snapshot, fleets={key: strange})
    loose = [replace(SPOT, fleet=""), replace(ON_DEMAND, fleet="")]
    dear = edit.with_group("o", spot_policy="on-demand")
    found = outlook(dear, snapshot, offers=loose)
    assert found.price_change == pytest.approx(98.32 - 31.05)


def test_another_spot_policy_has_another_price() -> None:
    edit, snapshot = mixed()
    dear = edit.with_group("o", spot_policy="on-demand")
    assert outlook(dear, snapshot).unpriced == ("both",), "nothing tells without an offer"
    priced = outlook(dear, snapshot, offers=[SPOT, ON_DEMAND])
    assert priced.price_change == pytest.approx(98.32 - 31.05)
    silent = outlook(edit.with_group("o", spot_policy=None), snapshot, offers=[SPOT, ON_DEMAND])
    assert silent.price_after == pytest.approx(2 * 98.32)
    assert silent.notes[0] == "Group o takes on-demand from now on, dstack's default."


def blocks(**changes: Any) -> tuple[ServiceEdit, Snapshot]:
    """A replica on four of a host's eight blocks."""
    half = {"gpu": {"name": ["H100"], "count": {"min": 4, "max": 4}}}
    edit = ServiceEdit.begin(
        replace(
            service_edits.base(
                fleets=["shared"], resources=half, replicas={"min": 1, "max": 1}, **changes
            ),
            id="s-chat",
        ),
        STOCK,
    )
    replicas = [projects.replica(0, "shared", price=0.0)]
    service = projects.service(replicas, [projects.group("0", 1)], fleet_name="shared")
    fleet = projects.fleet("shared", kind="ssh", nodes_max=1, spot_policy=None)
    (host,) = projects.instances(
        "shared", "busy", total_blocks=8, fleet_id=fleet.id, disk_mib=4_096_000, backend="remote",
        gpus=Gpus("H100", 8, 81_920, "nvidia"), price=0.0,
    )  # fmt: skip
    host = replace(host, busy_blocks=4)
    return edit, projects.project((service, replicas), fleets=[fleet], hosts=[host])


def warned(edit: ServiceEdit, snapshot: Snapshot, *offers: PlanOffer) -> list[tuple[str, Risk]]:
    found = outlook(edit, snapshot, offers=offers)
    found = replace(found, unsure=unsure_fleets(edit, found, snapshot, offers))
    told = warnings_of(edit, found, snapshot, now=NOW)
    return [(each.key, each.risk) for each in told if each.key != "no-probes"]


def unlike_hosts() -> tuple[ServiceEdit, Snapshot]:
    """Two groups in one fleet: one on hosts with GPUs, one on those without, two idle of each."""
    sizes = {
        "front": {"gpu": {"count": {"min": 0, "max": 0}}},
        "work": {"gpu": {"name": ["H100"], "count": {"min": 8, "max": 8}}},
    }
    listed = [
        service_edits.group(name, resources=asks, replicas={"min": 1, "max": 1})
        for name, asks in sizes.items()
    ]
    base = service_edits.base(fleets=["both"], groups=listed, replicas=None, retry=True)
    edit = ServiceEdit.begin(replace(base, id="s-chat"), STOCK)
    replicas = [
        projects.replica(number, "both", group=name, price=0.0) for number, name in enumerate(sizes)
    ]
    service = projects.service(
        replicas, [projects.group(name, 1) for name in sizes], fleet_name="both"
    )
    fleet = projects.fleet("both", kind="ssh", nodes_max=4, spot_policy=None)
    hosts = [
        replace(each, gpus=None if number % 2 else Gpus("H100", 8, 81_920, "nvidia"))
        for number, each in enumerate(
            projects.instances(
                "both", *["idle"] * 4, fleet_id=fleet.id, backend="remote", price=0.0
            )
        )
    ]
    return edit, projects.project((service, replicas), fleets=[fleet], hosts=hosts)


def test_groups_on_unlike_hosts_take_no_room_of_each_other() -> None:
    edit, snapshot = unlike_hosts()
    three = edit.with_replicas("front", 3).with_replicas("work", 3)
    found = outlook(three, snapshot)
    assert (found.count("start"), found.count("pending"), found.lanes[0].room) == (4, 0, 4)
    assert unsure_fleets(three, found, snapshot, ()) == ()
    more = outlook(edit.with_replicas("front", 5).with_replicas("work", 4), snapshot)
    waits = [(row.group, row.why) for row in more.replicas if row.action == "pending"]
    only = "both has room for 2 more only, no idle host fits a replica"
    assert waits == [("front", only), ("front", only), ("work", only)]


def test_a_replica_of_several_blocks_does_not_start_in_too_few() -> None:
    edit, snapshot = blocks()
    two = outlook(edit.with_replicas("0", 2), snapshot)
    assert (two.count("start"), two.count("pending")) == (1, 0)
    three = outlook(edit.with_replicas("0", 3), snapshot)
    assert (three.count("start"), three.count("pending")) == (1, 1)
    assert three.lanes[0].room == 1
    (trap, *_) = warnings_of(edit.with_replicas("0", 3), three, snapshot, now=NOW)
    assert (trap.key, trap.risk) == ("kill-trap", Risk.DANGER)
    assert trap.line.startswith(
        "1 replica can't start (shared has room for 1 more only, a replica takes 4 of"
    )
    assert warned(edit.with_replicas("0", 2), snapshot) == [("no-retry", Risk.DANGER)]


def test_a_start_without_a_retry_is_a_danger_whatever_room_is_shown() -> None:
    edit, snapshot = mixed()
    more = edit.with_replicas("o", 2)
    assert warned(more, snapshot) == [("no-retry", Risk.DANGER)]
    assert warned(more, snapshot, replace(SPOT, availability="unknown")) == [
        ("no-retry", Risk.DANGER)
    ]
    assert warned(more, snapshot, SPOT) == [("no-retry", Risk.DANGER)]


def test_a_short_retry_is_a_danger_where_there_is_no_room() -> None:
    edit, snapshot = blocks(retry={"on_events": None, "duration": 60})
    (pending, *_) = warned(edit.with_replicas("0", 3), snapshot)
    assert pending == ("pending", Risk.DANGER)


def test_fleets_that_a_policy_rules_out_are_told_at_once() -> None:
    edit, snapshot = mixed()
    spots = projects.fleet("both", nodes_max=8, spot_policy="spot")
    only_spot = replace(snapshot, fleets={spots.id: spots})
    told = outlook(edit, only_spot).notes
    assert told[0] == (
        "Group d takes on-demand only (dstack's default), and fleet both has spot instances only:"
        " nothing of it starts there."
    )
    assert ("spot", Risk.WARNING) in warned(edit, only_spot)
    assert not outlook(edit, snapshot).notes


def test_a_group_without_a_name_is_called_by_what_it_does() -> None:
    groups = [
        {"replicas": 1, "router": {"type": "sglang"}, "commands": ["smg launch"]},
        {"replicas": 1, "commands": ["serve --disaggregation-mode prefill"], "spot_policy": "spot"},
    ]
    base = service_edits.base(fleets=["bay"], groups=groups, replicas=None)
    edit = ServiceEdit.begin(base, STOCK)
    snapshot = projects.project(fleets=[projects.fleet("bay", kind="ssh")])
    (told,) = barred_fleets(edit, snapshot)
    assert told.startswith("Group 1 prefill takes spot only (its own policy), and fleet bay has")
