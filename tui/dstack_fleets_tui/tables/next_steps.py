"""What comes next of a replica that does not serve, in a few words."""

from __future__ import annotations

from datetime import datetime

from dstack_api_client.analysis.rollout import status_since
from dstack_api_client.analysis.since import Since
from dstack_api_client.model.fleet import Instance
from dstack_api_client.model.replica import Replica
from dstack_api_client.model.retries import event_of, starts_again
from dstack_api_client.model.service import Service
from dstack_fleets_tui.words.formatting import age


def next_step(
    replica: Replica, service: Service, instance: Instance | None, since: Since, now: datetime
) -> str:
    """`looking for a place for 4m`, `probes 0/1 for 12m`, `starts again`; empty of one that serves.

    Args:
        replica: The replica.
        service: Its service.
        instance: Where it runs, as far as known.
        since: What events told.
        now: The moment that lengths are counted to.
    """
    if replica.active and instance is not None and instance.unreachable:
        lost = since.unreachable.get(instance.id)
        return f"instance unreachable{_lasting(lost, now)}"
    if replica.cut_off:
        return f"unreachable{_lasting(since.cut_off(replica), now)}"
    if replica.ready:
        return ""
    if replica.found_no_place or replica.status == "submitted":
        return f"looking for a place{_lasting(replica.since, now)}"
    if replica.stopping:
        return f"stopping{_lasting(since.job_status.get(replica.submission_id), now)}"
    if not replica.active:
        if not service.lacks(replica):
            return ""
        again = starts_again(service, event_of(replica))
        return "starts again" if again else "is not started again"
    lasting = _lasting(status_since(replica, since), now)
    if replica.pull is not None and not replica.pull.is_done:
        return f"pulling its image{lasting}"
    if replica.status != "running":
        return f"{'instance ' * (replica.status == 'provisioning')}starting{lasting}"
    if replica.unreached:
        return f"waiting for requests{lasting}"
    unready = since.unready.get(replica.submission_id)
    if unready is not None:
        lasting = _lasting(unready, now)
    streaks = " ".join(
        f"{probe.streak}/{probe.ready_after}" for probe in replica.probes if not probe.passed
    )
    return f"probes {streaks}{lasting}" if streaks else f"starting{lasting}"


def _lasting(since: datetime | None, now: datetime) -> str:
    return f" for {age(since, now)}" if since is not None else ""
