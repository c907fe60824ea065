"""Replicas that go on with the address of another, which has moved since they were given it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from dstack_api_client.analysis.rollout import out_of_date, status_since
from dstack_api_client.analysis.since import Since
from dstack_api_client.model.labels import listed, replica_name, replica_row
from dstack_api_client.model.replica import Replica
from dstack_api_client.model.service import Service
from dstack_api_client.model.snapshot import Snapshot
from dstack_api_client.problems.model import Kind, Problem, Severity
from dstack_placement.engine import held_addresses


def lost_peers(snapshot: Snapshot, service: Service, since: Since) -> Iterator[Problem]:
    """Finds replicas that were started before the one whose address they hold.

    dstack fills in an address when a replica starts, and never again. Those that a rolling
    deployment is about to replace are given the new one then.

    Args:
        snapshot: What is.
        service: The service.
        since: What events told of since when replicas run.
    """
    configuration = service.spec.get("configuration") if service.names_addresses else None
    standing = [each for each in snapshot.replicas_of(service) if each.standing]
    for held in held_addresses(configuration) if configuration else ():
        of_group = sorted((r for r in standing if r.group == held.group), key=lambda r: r.key)
        if held.slot >= len(of_group):
            continue
        peer = of_group[held.slot]
        holders = [
            each
            for each in standing
            if each.group in held.holders
            and each is not peer
            and each.status == "running"
            and not out_of_date(each, service)
            and _moved_since(peer, status_since(each, since))
        ]
        if holders:
            yield _lost(service, peer, sorted(holders, key=lambda each: each.key))


def _moved_since(peer: Replica, time: datetime) -> bool:
    """Whether a replica has another address than at a time; started again on its host it has not.

    The host of a replica that has gone is not known: it is taken to be another.
    """
    if peer.submitted_at <= time:
        return False
    then = [each for each in peer.earlier if each.submitted_at <= time]
    return not then or then[-1].hostname is None or then[-1].hostname != peer.hostname


def _lost(service: Service, peer: Replica, holders: list[Replica]) -> Problem:
    they = "it holds" if len(holders) == 1 else "they hold"
    name = replica_name(peer)
    # A replica that moves has another number; one that is lost keeps it.
    whose = f"that {name} had before" if peer.earlier else f"of the replica before {name}"
    return Problem(
        key=f"address:{service.id}:{peer.key.replica_num}",
        kind=Kind.REPLICA,
        severity=Severity.CRITICAL,
        subject=service.name,
        text=f"{listed(map(replica_name, holders))}: {they} the address {whose}, and what is sent"
        " there fails",
        hint="dstack gives the new address only to a replica that starts: roll the group out again"
        " with any change of it.",
        since=peer.submitted_at,
        service_id=service.id,
        view="replicas",
        row=replica_row(holders[0].key),
    )
