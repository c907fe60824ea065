"""Requests to one dstack server over one kept-alive connection.

Reads are tried again on trouble that passes; nothing else is. Long lists are asked for page by
page and decoded item by item, so that neither the server nor the event loop stalls.
"""

from __future__ import annotations

import asyncio
import random
import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar
from urllib.parse import quote
from uuid import UUID

import httpx
import msgspec

from dstack_api_client import errors, wire
from dstack_api_client.cleaning import clean_json, one_line
from dstack_api_client.connection import trust
from dstack_api_client.snapshot import ServerInfo

T = TypeVar("T")

#: Most events, runs or fleets that a server gives in one page.
PAGE = 100
#: Most items a filter of the events may have.
FILTER_ITEMS = 16
#: No list of this client's is longer: a server that pages for ever is stopped here.
_MOST_PAGES = 10_000
#: Seconds that decoding may hold the event loop before it lets others run.
_SLICE = 0.01
#: How often a read is tried.
_TRIES = 3
_FIRST_WAIT, _LONGEST_WAIT = 0.2, 5.0


@dataclass
class Meter:
    """What all requests so far cost."""

    requests: int = 0
    bytes: int = 0
    seconds: float = 0.0
    """From sending to the last byte, summed over requests."""


class Client:
    """An asynchronous client of one dstack server.

    Args:
        url: The server's address.
        token: The user's token.
        verify: Whether TLS is verified; or the path of a CA file, or a context of one's own.
        timeout: Seconds to wait for each step of a request.
        transport: A transport in place of the network.
        sleep: How to wait between tries.
        monotonic: A clock for durations.
        rng: Where jitter comes from.
    """

    def __init__(
        self,
        url: str,
        token: str,
        *,
        verify: bool | ssl.SSLContext | str | Path = True,
        timeout: float = 30.0,
        transport: httpx.AsyncBaseTransport | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        monotonic: Callable[[], float] = time.monotonic,
        rng: random.Random | None = None,
    ) -> None:
        self.url = url.rstrip("/")
        self.meter = Meter()
        #: The server's clock less this machine's; None until a server told its time.
        self.clock_offset: float | None = None
        if isinstance(verify, (str, Path)):
            verify = trust(Path(verify))
        self._sleep = sleep
        self._monotonic = monotonic
        self._rng = rng or random.Random()
        self._http = httpx.AsyncClient(
            base_url=self.url,
            headers={"Authorization": f"Bearer {token}", "Accept": "application/json"},
            verify=verify,
            timeout=httpx.Timeout(timeout, connect=min(timeout, 10.0)),
            limits=httpx.Limits(max_connections=4, max_keepalive_connections=4),
            transport=transport,
        )

    async def __aenter__(self) -> Client:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Closes the connections."""
        await self._http.aclose()

    # What is read

    async def server_info(self) -> ServerInfo:
        """The server's address and version; needs no token."""
        info = await self._one("/api/server/get_info", {}, wire.ServerInfo, "the server's version")
        version = info.server_version
        return ServerInfo(self.url, one_line(version) if version else None)

    async def projects(self) -> list[wire.Project]:
        """The projects that the user can see."""
        return await self._all("/api/projects/list", {}, wire.Project, "the projects")

    async def project(self, name: str) -> wire.Project:
        """One project by its name."""
        return await self._one(
            f"/api/projects/{quote(name, safe='')}/get", {}, wire.Project, f"the project {name}"
        )

    async def users(self) -> list[wire.User]:
        """The users of the server, without anything secret."""
        return await self._all("/api/users/list", {}, wire.User, "the users")

    async def fleets(self, project: str, *, imported: bool = True) -> list[wire.Fleet]:
        """All fleets of a project with their instances, in one answer.

        Args:
            project: The project's name.
            imported: Whether fleets that other projects share are wanted too.
        """
        body = await self._read(
            _in_project(project, "fleets/list"),
            {"include_imported": imported},
            f"the fleets of project {project}",
        )
        return await self._decode(body, wire.decode_fleet, f"the fleets of project {project}")

    async def fleets_page(
        self, project: str, *, limit: int, after: tuple[datetime, str] | None = None
    ) -> list[wire.Fleet]:
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
        body = await self._read("/api/fleets/list", query, what)
        return await self._decode(body, wire.decode_fleet, what)

    async def fleet(
        self, project: str, *, fleet_id: str | None = None, name: str | None = None
    ) -> wire.Fleet:
        """One fleet with its instances, by its id (then a deleted one too) or its name."""
        what = f"the fleet {name or fleet_id}"
        query = {"id": fleet_id} if fleet_id else {"name": name}
        body = await self._read(_in_project(project, "fleets/get"), query, what)
        return self._decoded(body, wire.decode_fleet, what)

    async def instances(
        self, project: str, *, fleets: Collection[str] = (), page: int = PAGE
    ) -> AsyncIterator[list[wire.Instance]]:
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
        decode = _decoder(wire.Instance)
        async for items in self._pages(
            "/api/instances/list",
            query,
            decode,
            lambda last: {"prev_created_at": _time(last.created), "prev_id": last.id},
            what,
        ):
            yield items

    async def instance(self, project: str, instance_id: str) -> wire.Instance:
        """One instance by its id, a terminated one too."""
        return await self._one(
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
        submissions: int = 1,
        page: int = 10,
        after: tuple[datetime, str] | None = None,
    ) -> AsyncIterator[list[wire.Run]]:
        """The runs of a project, newest first, page by page.

        Args:
            project: The project's name.
            only_active: Whether runs that ended are left out.
            jobs: Whether the runs come with their jobs, which is nearly all of their size.
            submissions: How many of each job's latest submissions are wanted.
            page: Most runs in one page.
            after: Time of submission and id of the run after which to begin.
        """
        query = _runs_query(
            project,
            only_active=only_active,
            jobs=jobs,
            submissions=submissions,
            page=page,
            after=after,
        )
        async for runs in self._pages(
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
    ) -> list[wire.Run]:
        """Some runs of a project with their jobs' latest submissions, newest first.

        Args:
            project: The project's name; one that can't be seen has no runs here.
            limit: Most runs in the answer.
            only_active: Whether runs that ended are left out.
            jobs: Whether the runs come with their jobs.
            after: Time of submission and id of the run after which to begin.
        """
        query = _runs_query(
            project, only_active=only_active, jobs=jobs, submissions=1, page=limit, after=after
        )
        what = f"the runs of project {project}"
        body = await self._read("/api/runs/list", query, what)
        return await self._decode(body, _run_decoder(jobs), what)

    async def run(
        self, project: str, *, run_id: str | None = None, name: str | None = None
    ) -> wire.Run:
        """One run with every submission of its jobs, by its id (then a deleted one too) or name."""
        what = f"the run {name or run_id}"
        query = {"id": run_id} if run_id else {"run_name": name}
        body = await self._read(_in_project(project, "runs/get"), query, what)
        return self._decoded(body, wire.decode_run, what)

    async def run_now(
        self, project: str, run_id: str, submitted_at: datetime, *, jobs: bool = True
    ) -> wire.Run | None:
        """One known run with the latest submission of each job: the page that begins with it.

        Cheaper than `run` for what was often retried, and possible without jobs.

        Args:
            project: The project's name.
            run_id: The run's id.
            submitted_at: When it was submitted, exactly as the server said.
            jobs: Whether its jobs are wanted.

        Returns:
            The run; None when it is not there any more.
        """
        before = str(UUID(int=max(UUID(run_id).int - 1, 0)))
        found = await self.runs_page(
            project, limit=1, only_active=False, jobs=jobs, after=(submitted_at, before)
        )
        return found[0] if found and found[0].id == run_id else None

    async def events(
        self, since: datetime, filters: Mapping[str, Sequence[str]]
    ) -> AsyncIterator[list[wire.Event]]:
        """Events after a moment, the oldest first, page by page.

        Args:
            since: The moment, by the server's clock.
            filters: The server's filters, such as `within_projects`, each a list of ids.
        """
        query = {"limit": PAGE, "ascending": True, "prev_recorded_at": _time(since), **filters}
        async for events in self._pages(
            "/api/events/list",
            query,
            _decoder(wire.Event),
            lambda last: {"prev_recorded_at": _time(last.recorded_at), "prev_id": last.id},
            "the events",
        ):
            yield events

    async def newest_events(
        self, filters: Mapping[str, Sequence[str]], *, limit: int = PAGE
    ) -> list[wire.Event]:
        """The newest events, the newest first.

        Args:
            filters: The server's filters, such as `target_jobs`, each a list of ids.
            limit: Most events in the answer.
        """
        query = {"limit": limit, "ascending": False, **filters}
        return await self._all("/api/events/list", query, wire.Event, "the events")

    async def job_metrics(
        self, project: str, run_name: str, *, replica_num: int = 0, job_num: int = 0, limit: int = 1
    ) -> wire.JobMetrics:
        """The latest metrics of one job."""
        body = await self._read(
            _in_project(project, f"metrics/job/{quote(run_name, safe='')}"),
            None,
            f"the metrics of {run_name}",
            params={"replica_num": replica_num, "job_num": job_num, "limit": limit},
        )
        return self._decoded(body, _decoder(wire.JobMetrics), f"the metrics of {run_name}")

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
        return await self._one(
            _in_project(project, "logs/poll"), query, wire.Logs, f"the logs of {run_name}"
        )

    # How it is read

    async def _one(self, path: str, query: Mapping[str, Any], kind: type[T], what: str) -> T:
        return self._decoded(await self._read(path, query, what), _decoder(kind), what)

    async def _all(self, path: str, query: Mapping[str, Any], kind: type[T], what: str) -> list[T]:
        return await self._decode(await self._read(path, query, what), _decoder(kind), what)

    async def _pages(
        self,
        path: str,
        query: dict[str, Any],
        decode: Callable[[bytes], T],
        next_page: Callable[[T], dict[str, Any]],
        what: str,
    ) -> AsyncIterator[list[T]]:
        """Yields pages until one is not full; a server that repeats one is an error."""
        previous: dict[str, Any] = {}
        for _ in range(_MOST_PAGES):
            items = await self._decode(await self._read(path, query, what), decode, what)
            yield items
            if len(items) < query["limit"]:
                return
            step = next_page(items[-1])
            if step == previous:
                break
            previous = step
            query = {**query, **step}
        raise errors.WrongShapeError(
            f"The server repeats itself when asked for more of {what}.",
            "Report this with the server's version; a restart of the server may help.",
        )

    def _decoded(self, body: bytes, decode: Callable[[bytes], T], what: str) -> T:
        try:
            return decode(body)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise _unreadable(self.url, what, error) from error

    async def _decode(self, body: bytes, decode: Callable[[bytes], T], what: str) -> list[T]:
        """Decodes a list item by item, letting others run in between."""
        items = self._decoded(body, wire.decode_items, what)
        decoded = []
        slice_end = self._monotonic() + _SLICE
        for item in items:
            decoded.append(self._decoded(item, decode, what))
            if self._monotonic() > slice_end:
                await asyncio.sleep(0)
                slice_end = self._monotonic() + _SLICE
        return decoded

    async def _read(
        self,
        path: str,
        query: Mapping[str, Any] | None,
        what: str,
        *,
        params: Mapping[str, Any] | None = None,
    ) -> bytes:
        """Sends a request that changes nothing, again if need be, and gives the answer's body."""
        wait = _FIRST_WAIT
        for attempt in range(1, _TRIES + 1):
            try:
                return await self._send(path, query, what, params)
            except (errors.CertificateError, errors.TimedOutError):
                raise
            except (errors.CannotConnectError, errors.BusyError):
                if attempt == _TRIES:
                    raise
            await self._sleep(min(wait, _LONGEST_WAIT) * self._rng.uniform(0.5, 1.5))
            wait *= 3
        raise AssertionError("unreachable")

    async def _send(
        self,
        path: str,
        query: Mapping[str, Any] | None,
        what: str,
        params: Mapping[str, Any] | None,
    ) -> bytes:
        start = self._monotonic()
        size = 0
        try:
            request = (
                self._http.build_request("GET", path, params=dict(params or {}))
                if query is None
                else self._http.build_request(
                    "POST",
                    path,
                    content=msgspec.json.encode(query),
                    headers={"Content-Type": "application/json"},
                )
            )
            response = await self._http.send(request)
            size = response.num_bytes_downloaded
        except httpx.TimeoutException as error:
            raise errors.TimedOutError(
                f"The server at {self.url} did not answer in time.",
                "Check the network; a server under load answers later.",
            ) from error
        except (httpx.TransportError, ssl.SSLError, OSError) as error:
            raise _connection_error(self.url, error) from error
        finally:
            self.meter.requests += 1
            self.meter.bytes += size
            self.meter.seconds += self._monotonic() - start
        self._look_at_clock(response)
        if response.status_code != 200:
            raise errors.from_answer(
                response.status_code, response.content, what=what, url=self.url
            )
        return response.content

    def _look_at_clock(self, response: httpx.Response) -> None:
        try:
            told = parsedate_to_datetime(response.headers["Date"])
        except (KeyError, ValueError):
            return
        self.clock_offset = (told - datetime.now(timezone.utc)).total_seconds()


def _connection_error(url: str, error: Exception) -> errors.ApiError:
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return errors.CertificateError(
                f"The TLS certificate of {url} could not be verified: {cause.verify_message}.",
                "Name the CA file that signed it, or mend the certificate.",
            )
        if isinstance(cause, ssl.SSLError):
            return errors.CertificateError(
                f"No TLS connection to {url}: {one_line(cause.reason or str(cause))}.",
                "Check whether the address must begin with http:// or https://.",
            )
        cause = cause.__cause__ or cause.__context__
    said = one_line(str(error)) or type(error).__name__
    return errors.CannotConnectError(
        f"No connection to {url}: {said.rstrip('.')}.",
        "Check that the server runs and that the address is right.",
    )


def _unreadable(url: str, what: str, error: Exception) -> errors.WrongShapeError:
    return errors.WrongShapeError(
        f"The answer of {url} about {what} could not be read: {one_line(str(error))}.",
        "Check that the address is a dstack server's; if it is, its version may be too new.",
    )


def _in_project(project: str, path: str) -> str:
    return f"/api/project/{quote(project, safe='')}/{path}"


def _runs_query(
    project: str,
    *,
    only_active: bool,
    jobs: bool,
    submissions: int,
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
        query["job_submissions_limit"] = submissions
    if after is not None:
        query |= {"prev_submitted_at": _time(after[0]), "prev_run_id": after[1]}
    return query


def _run_decoder(jobs: bool) -> Callable[[bytes], wire.Run]:
    return wire.decode_run if jobs else wire.decode_run_alone


def _time(moment: datetime) -> str:
    return moment.isoformat()


_decoders: dict[Any, Callable[[bytes], Any]] = {}


def _decoder(kind: type[T]) -> Callable[[bytes], T]:
    """A function that cleans and decodes one item."""
    if kind not in _decoders:
        decode = msgspec.json.Decoder(kind).decode
        _decoders[kind] = lambda raw: decode(clean_json(raw))
    return _decoders[kind]
