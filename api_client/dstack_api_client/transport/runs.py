"""What is asked of the runs of a project and their jobs, and changed in them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from urllib.parse import quote
from uuid import UUID

from dstack_api_client import errors
from dstack_api_client.text import one_line
from dstack_api_client.transport import wire
from dstack_api_client.transport.records import Records
from dstack_api_client.transport.requests import Resource, as_asked, begin_at, decoder
from dstack_api_client.transport.transport import in_project


class Runs(Resource):
    """The runs of a server."""

    async def page(
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
        query: dict[str, Any] = {
            "project_name": project,
            "only_active": only_active,
            "include_jobs": jobs,
            "limit": limit,
            **begin_at(after, "prev_submitted_at", "prev_run_id"),
        }
        if jobs:
            query["job_submissions_limit"] = wire.SUBMISSIONS
        what = f"the runs of project {project}"
        decode = wire.decode_run if jobs else wire.decode_run_alone
        body = await self._requests.transport.read("/api/runs/list", query, what)
        return await self._requests.decode_list(body, decode, what)

    async def get(
        self, project: str, *, run_id: str | None = None, name: str | None = None
    ) -> wire.Run:
        """One run with every submission of its jobs, by its id (then a deleted one too) or name."""
        what = f"the run {name or run_id}"
        query = {"run_name": name} if run_id is None else {"id": run_id}
        body = await self._requests.transport.read(in_project(project, "runs/get"), query, what)
        return self._requests.decode(body, wire.decode_run, what)

    async def now(self, project: str, run_id: str, submitted_at: datetime) -> wire.Run | None:
        """One known run with the latest submissions of each job: the page that begins with it.

        Cheaper than `get` for what was often retried.

        Args:
            project: The project's name.
            run_id: The run's id.
            submitted_at: When it was submitted, exactly as the server said.

        Returns:
            The run; None when it is not there any more.
        """
        if not is_uuid(run_id):
            raise errors.WrongShapeError(
                f"The run {one_line(run_id)[:80]} can't be read: its id is not a UUID.",
                "Report this with the server's version.",
            )
        before = str(UUID(int=max(UUID(run_id).int - 1, 0)))
        found = await self.page(project, limit=1, only_active=False, after=(submitted_at, before))
        if found.unreadable:
            raise errors.WrongShapeError(
                found.unreadable[0].message, "Report this with the server's version."
            )
        return found[0] if found and found[0].id == run_id else None

    async def body(self, project: str, name: str) -> bytes:
        """One run of a project by its name, all that the server says of it."""
        what = f"the run {name}"
        return await self._requests.transport.read(
            in_project(project, "runs/get"), {"run_name": name}, what
        )

    async def plan(
        self,
        project: str,
        spec: Mapping[str, Any],
        *,
        offers: int = 20,
        for_offers_only: bool = False,
    ) -> bytes:
        """The server's plan for a run's spec; changes nothing.

        Args:
            project: The project's name.
            spec: The whole spec.
            offers: Most offers wanted for each replica group.
            for_offers_only: Whether only offers are asked for, which older servers refuse.
        """
        body: dict[str, Any] = {"run_spec": spec, "max_offers": offers}
        if for_offers_only:
            body["for_offers_only"] = True
        return await self._requests.transport.read(
            in_project(project, "runs/get_plan"), body, f"the plan for {_run(spec)}"
        )

    async def apply(
        self, project: str, spec: Mapping[str, Any], current: Mapping[str, Any]
    ) -> bytes:
        """Updates a run in place, if it still is as the caller believes.

        Args:
            project: The project's name.
            spec: The whole new spec.
            current: The run as the server gave it; its jobs may be left out.
        """
        body = {"plan": {"run_spec": spec, "current_resource": current}, "force": False}
        what = f"the change of {_run(spec)}"
        return await self._requests.change(in_project(project, "runs/apply"), body, what)

    async def stop(self, project: str, name: str, *, abort: bool) -> None:
        """Stops the run of a name that has not ended; the caller has asked for confirmation.

        Args:
            project: The project's name.
            name: The run's name: the server takes no id.
            abort: Whether its processes are not asked to end first.
        """
        what = f"the {'abort' if abort else 'stop'} of {name}"
        body = {"runs_names": [name], "abort": abort}
        await self._requests.change_silently(in_project(project, "runs/stop"), body, what)

    async def delete(self, project: str, name: str) -> None:
        """Deletes the run of a name, which the server refuses until it has ended."""
        body = {"runs_names": [name]}
        what = f"the deletion of {name}"
        await self._requests.change_silently(in_project(project, "runs/delete"), body, what)


class Metrics(Resource):
    """What jobs use."""

    async def job(
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
        what = f"the metrics of {run_name}"
        body = await self._requests.transport.read(
            in_project(project, f"metrics/job/{quote(run_name, safe='')}"),
            None,
            what,
            params=params if run_id is None else {"run_id": run_id, **params},
        )
        kind = wire.JobMetrics
        return self._requests.decode(body, decoder(kind), what, kind.parts)


class Logs(Resource):
    """What jobs write."""

    async def poll(
        self,
        project: str,
        run_name: str,
        submission_id: str,
        *,
        start: datetime | None = None,
        descending: bool = False,
        limit: int = 100,
        next_token: str | None = None,
    ) -> wire.Logs:
        """A page of the output of one submission of a job.

        Args:
            project: The project's name.
            run_name: The run's name.
            submission_id: The submission.
            start: Only what was written later.
            descending: Whether the newest come first.
            limit: Most pieces of output, no more than 1,000.
            next_token: What the page before said, for the one after it.
        """
        query: dict[str, Any] = {
            "run_name": run_name,
            "job_submission_id": submission_id,
            "limit": limit,
            "descending": descending,
        }
        if start is not None:
            query["start_time"] = as_asked(start)
        if next_token is not None:
            query["next_token"] = next_token
        return await self._requests.one(
            in_project(project, "logs/poll"), query, wire.Logs, f"the logs of {run_name}"
        )


def is_uuid(text: str) -> bool:
    """Whether an id is one of dstack's: any other can't be asked for."""
    try:
        UUID(text)
    except ValueError:
        return False
    return True


def _run(spec: Mapping[str, Any]) -> str:
    return f"run {spec.get('run_name')}"
