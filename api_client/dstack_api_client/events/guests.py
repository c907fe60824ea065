"""Jobs of other projects on this project's instances, as events of both name them."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

from dstack_api_client.model.guest import Guest
from dstack_api_client.sentences import Subject, told
from dstack_api_client.text import one_line
from dstack_api_client.transport import wire


@dataclass(frozen=True)
class _Stay:
    """The last that was told of a job of another project and an instance."""

    at: datetime
    guest: Guest
    instance_id: str
    over: bool


class Guests:
    """Where jobs of other projects are on a project's instances.

    Whoever may see one target of an event sees all of them, and the assignment of a job has the
    job and the instance: so the server shows a project that lends a fleet who uses it.

    Args:
        project: The project whose instances they are.
    """

    def __init__(self, project: str) -> None:
        self._project = project
        self._stays: dict[str, _Stay] = {}

    @property
    def by_instance(self) -> dict[str, tuple[Guest, ...]]:
        """Those that were not told to have gone, by the id of their instance."""
        found: dict[str, list[Guest]] = {}
        for stay in self._stays.values():
            if not stay.over:
                found.setdefault(stay.instance_id, []).append(stay.guest)
        return {key: tuple(sorted(guests)) for key, guests in found.items()}

    def learn(self, event: wire.Event) -> None:
        """Learns from an event, in any order, who came or went."""
        targets = event.targets or ()
        instances = [each for each in targets if each.type == "instance"]
        if len(instances) != 1 or instances[0].project_name not in (None, self._project):
            return
        for job in targets:
            if job.type != "job" or job.project_name in (None, self._project):
                continue
            known = self._stays.get(job.id)
            if known is None or known.at <= event.recorded_at:
                guest = Guest(one_line(job.project_name or ""), one_line(job.name))
                over = told(event.message).subject is Subject.UNASSIGNED
                self._stays[job.id] = _Stay(event.recorded_at, guest, instances[0].id, over)

    def forget_all_but(self, instances: Collection[str]) -> None:
        """Keeps only those on instances that still are."""
        self._stays = {
            job: stay for job, stay in self._stays.items() if stay.instance_id in instances
        }
