"""What is read of one dstack server, request by request."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from datetime import datetime
from typing import Any, TypeVar
from urllib.parse import quote
from uuid import UUID

from dstack_api_client import errors
from dstack_api_client.model.snapshot import ServerInfo
from dstack_api_client.text import one_line
from dstack_api_client.transport import wire
from dstack_api_client.transport.reader import decoder
from dstack_api_client.transport.records import Records
from dstack_api_client.transport.writer import Writer

T = TypeVar("T")

#: What a server answers that lends nothing, does not know how to, or does not say to whom.
_NOT_TOLD = (
    errors.RefusedError,
    errors.NotFoundError,
    errors.ForbiddenError,
    errors.WrongShapeError,
)
#: Most events, runs or fleets that a server gives in one page.
PAGE = 100
#: Most items a filter of the events may have.
FILTER_ITEMS = 16


class Client(Writer):
    """An asynchronous client of one dstack server.

    What `Writer` and `Reader` say of their arguments and attributes holds here too. Every method
    raises an `errors.ApiError` for whatever goes wrong.
    """

    async def server_info(self) -> ServerInfo:
        """The server's address and version; needs no token."""
        info = await self.one("/api/server/get_info", {}, wire.ServerInfo, "the server's version")
        version = info.server_version
        return ServerInfo(self.url, one_line(version) if version else None)

    async def projects(self) -> Records[wire.Project]:
        """The projects that the user can see."""
        return await self.all("/api/projects/list", {}, wire.Project, "the projects")

    async def project(self, name: str) -> wire.Project:
        """One project by its name.

        Raises:
            NoProjectError: It is not there or can't be seen; says which others can.
        """
        path, what = f"/api/projects/{quote(name, safe='')}/get", f"the project {name}"
        try:
            return await self.one(path, {}, wire.Project, what)
        except (errors.NotFoundError, errors.ForbiddenError) as error:
            names = sorted(one_line(each.project_name) for each in await self.projects())
            raise errors.NoProjectError(
                f"There is no project {name} at {self.url}, or this user may not see it.",
                f"Choose one that this user can see: {', '.join(names)}."
                if names
                else "Ask an administrator to add this user: there is none that it can see.",
            ) from error

    async def users(self) -> Records[wire.User]:
        """The users of the server, without anything secret."""
        return await self.all("/api/users/list", {}, wire.User, "the users")

    async def fleets(self, project: str, *, imported: bool = True) -> Records[wire.Fleet]:
        """All fleets of a project with their instances, in one answer.

        Args:
            project: The project's name.
            imported: Whether fleets that other projects share are wanted too.
        """
        body = await self.read(
            _in_project(project, "fleets/list"),
            {"include_imported": imported},
            f"the fleets of project {project}",
        )
        return await self.decode_list(body, wire.decode_fleet, f"the fleets of project {project}")

    async def fleets_page(
        self, project: str, *, limit: int, after: tuple[datetime, str] | None = None
    ) -> Records[wire.Fleet]:
        """Some fleets of a project with their instances, newest first.

        Args:
            project: The project's name; one that can't be seen has no fleets here.
            limit: Most fleets in the answer.
            after: Time of creation and id of the fleet after which to begin.
        """
        query: dict[str, Any] = {
            "project_name": project,
            "only_active": True,
            "include_imported": True,
            "limit": limit,
        }
        if after is not None:
            query |= {"prev_created_at": _time(after[0]), "prev_id": after[1]}
        what = f"the fleets of project {project}"
        body = await self.read("/api/fleets/list", query, what)
        return await self.decode_list(body, wire.decode_fleet, what)

    async def fleet(
        self, project: str, *, fleet_id: str | None = None, name: str | None = None
    ) -> wire.Fleet:
        """One fleet with its instances, by its id (then a deleted one too) or its name."""
        what = f"the fleet {name or fleet_id}"
        query = {"name": name} if fleet_id is None else {"id": fleet_id}
        body = await self.read(_in_project(project, "fleets/get"), query, what)
        return self.decode(body, wire.decode_fleet, what)

    async def borrowers(self, project: str, fleet_id: str) -> tuple[str, ...]:
        """The projects to which a fleet is lent, by name; `*` stands for all of the server.

        There are none where a server knows no exports, or does not tell.

        Args:
            project: The fleet's own project.
            fleet_id: The fleet.
        """
        what = f"what project {project} lends"
        try:
            body = await self.read(_in_project(project, "exports/list"), {}, what)
            found = self.decode(body, wire.decode_exports, what)
        except _NOT_TOLD:
            return ()
        lent = [
            export
            for export in found
            if any(fleet.id == fleet_id for fleet in export.exported_fleets or ())
        ]
        names = {one_line(each.project_name) for export in lent for each in export.imports or ()}
        return ("*",) if any(export.is_global for export in lent) else tuple(sorted(names))

    async def instances(
        self, project: str, *, fleets: Collection[str] = (), page: int = PAGE
    ) -> AsyncIterator[Records[wire.Instance]]:
        """The instances of a project that are not terminated, newest first, page by page.

        Args:
            project: The project's name.
            fleets: Ids of the fleets to look into; all when empty.
            page: Most instances in one page.
        """
        query: dict[str, Any] = {"project_names": [project], "only_active": True, "limit": page}
        if fleets:
            query["fleet_ids"] = list(fleets)
        what = f"the instances of project {project}"
        decode = decoder(wire.Instance)
        async for items in self.pages(
            "/api/instances/list",
            query,
            decode,
            lambda last: {"prev_created_at": _time(last.created), "prev_id": last.id},
            what,
        ):
            yield items

    async def instance(self, project: str, instance_id: str) -> wire.Instance:
        """One instance by its id, a terminated one too."""
        return await self.one(
            _in_project(project, "instances/get"),
            {"id": instance_id},
            wire.Instance,
            f"the instance {instance_id}",
        )

    async def runs(
        self,
        project: str,
        *,
        only_active: bool = True,
        jobs: bool = True,
        page: int = 10,
        after: tuple[datetime, str] | None = None,
    ) -> AsyncIterator[Records[wire.Run]]:
        """The runs of a project, newest first, page by page.

        Args:
            project: The project's name.
            only_active: Whether runs that ended are left out.
            jobs: Whether the runs come with their jobs, which is nearly all of their size.
            page: Most runs in one page.
            after: Time of submission and id of the run after which to begin.
        """
        query = _runs_query(project, only_active=only_active, jobs=jobs, page=page, after=after)
        async for runs in self.pages(
            "/api/runs/list",
            query,
            _run_decoder(jobs),
            lambda last: {"prev_submitted_at": _time(last.submitted_at), "prev_run_id": last.id},
            f"the runs of project {project}",
        ):
            yield runs

    async def runs_page(
        self,
        project: str,
        *,
        limit: int,
        only_active: bool = True,
        jobs: bool = True,
        after: tuple[datetime, str] | None = None,
    ) -> Records[wire.Run]:
        """Some runs of a project with their jobs' latest submissions, newest first.

        Args:
            project: The project's name; one that can't be seen has no runs here.
            limit: Most runs in the answer.
            only_active: Whether runs that ended are left out.
            jobs: Whether the runs come with their jobs.
            after: Time of submission and id of the run after which to begin.
        """
        query = _runs_query(project, only_active=only_active, jobs=jobs, page=limit, after=after)
        what = f"the runs of project {project}"
        body = await self.read("/api/runs/list", query, what)
        return await self.decode_list(body, _run_decoder(jobs), what)

    async def run(
        self, project: str, *, run_id: str | None = None, name: str | None = None
    ) -> wire.Run:
        """One run with every submission of its jobs, by its id (then a deleted one too) or name."""
        what = f"the run {name or run_id}"
        query = {"run_name": name} if run_id is None else {"id": run_id}
        body = await self.read(_in_project(project, "runs/get"), query, what)
        return self.decode(body, wire.decode_run, what)

    async def run_now(
        self, project: str, run_id: str, submitted_at: datetime, *, jobs: bool = True
    ) -> wire.Run | None:
        """One known run with the latest submissions of each job: the page that begins with it.

        Cheaper than `run` for what was often retried, and possible without jobs.

        Args:
            project: The project's name.
            run_id: The run's id.
            submitted_at: When it was submitted, exactly as the server said.
            jobs: Whether its jobs are wanted.

        Returns:
            The run; None when it is not there any more.
        """
        if not is_uuid(run_id):
            raise errors.WrongShapeError(
                f"The run {one_line(run_id)[:80]} can't be read: its id is no UUID.",
                "Report this with the server's version.",
            )
        before = str(UUID(int=max(UUID(run_id).int - 1, 0)))
        found = await self.runs_page(
            project, limit=1, only_active=False, jobs=jobs, after=(submitted_at, before)
        )
        if found.unreadable:
            raise errors.WrongShapeError(
                found.unreadable[0].message, "Report this with the server's version."
            )
        return found[0] if found and found[0].id == run_id else None

    async def events(
        self, since: datetime, filters: Mapping[str, Sequence[str]]
    ) -> AsyncIterator[Records[wire.Event]]:
        """Events after a moment, the oldest first, page by page.

        Args:
            since: The moment, by the server's clock.
            filters: The server's filters, such as `within_projects`, each a list of ids.
        """
        query = {"limit": PAGE, "ascending": True, "prev_recorded_at": _time(since), **filters}
        async for events in self.pages(
            "/api/events/list",
            query,
            decoder(wire.Event),
            lambda last: {"prev_recorded_at": _time(last.recorded_at), "prev_id": last.id},
            "the events",
        ):
            yield events

    async def newest_events(
        self,
        filters: Mapping[str, Sequence[str]],
        *,
        limit: int = PAGE,
        before: tuple[datetime, str] | None = None,
    ) -> Records[wire.Event]:
        """The newest events, the newest first.

        Args:
            filters: The server's filters, such as `target_jobs`, each a list of ids.
            limit: Most events in the answer.
            before: Time and id of the event after which, going back, to begin.
        """
        query: dict[str, Any] = {"limit": limit, "ascending": False, **filters}
        if before is not None:
            query |= {"prev_recorded_at": _time(before[0]), "prev_id": before[1]}
        return await self.all("/api/events/list", query, wire.Event, "the events")

    async def job_metrics(
        self,
        project: str,
        run_name: str,
        *,
        run_id: str | None = None,
        replica_num: int = 0,
        job_num: int = 0,
        limit: int = 1,
    ) -> wire.JobMetrics:
        """The latest metrics of one job's latest submission.

        Args:
            project: The project's name.
            run_name: The run's name.
            run_id: The run's id, where a finished run has the same name as a newer one.
            replica_num: The number of the replica.
            job_num: The number of the job within the replica.
            limit: Most values of each metric.
        """
        params = {"replica_num": replica_num, "job_num": job_num, "limit": limit}
        body = await self.read(
            _in_project(project, f"metrics/job/{quote(run_name, safe='')}"),
            None,
            f"the metrics of {run_name}",
            params=params if run_id is None else {"run_id": run_id, **params},
        )
        return self.decode(body, decoder(wire.JobMetrics), f"the metrics of {run_name}")

    async def logs(
        self,
        project: str,
        run_name: str,
        submission_id: str,
        *,
        start: datetime | None = None,
        next_token: str | None = None,
        descending: bool = False,
        limit: int = 100,
        diagnose: bool = False,
    ) -> wire.Logs:
        """A page of the output of one submission of a job."""
        query: dict[str, Any] = {
            "run_name": run_name,
            "job_submission_id": submission_id,
            "limit": limit,
            "descending": descending,
            "diagnose": diagnose,
        }
        if start is not None:
            query["start_time"] = _time(start)
        if next_token is not None:
            query["next_token"] = next_token
        return await self.one(
            _in_project(project, "logs/poll"), query, wire.Logs, f"the logs of {run_name}"
        )


def in_groups(items: Sequence[T], size: int) -> list[Sequence[T]]:
    """Items in groups of no more than a request may name."""
    return [items[start : start + size] for start in range(0, len(items), size)]


def is_uuid(text: str) -> bool:
    """Whether an id is one of dstack's: any other can't be asked for."""
    try:
        UUID(text)
    except ValueError:
        return False
    return True


def _in_project(project: str, path: str) -> str:
    return f"/api/project/{quote(project, safe='')}/{path}"


def _runs_query(
    project: str,
    *,
    only_active: bool,
    jobs: bool,
    page: int,
    after: tuple[datetime, str] | None,
) -> dict[str, Any]:
    query: dict[str, Any] = {
        "project_name": project,
        "only_active": only_active,
        "include_jobs": jobs,
        "limit": page,
    }
    if jobs:
        query["job_submissions_limit"] = wire.SUBMISSIONS
    if after is not None:
        query |= {"prev_submitted_at": _time(after[0]), "prev_run_id": after[1]}
    return query


def _run_decoder(jobs: bool) -> Callable[[bytes], wire.Run]:
    return wire.decode_run if jobs else wire.decode_run_alone


def _time(moment: datetime) -> str:
    return moment.isoformat()
