"""What is asked of the placement add-on, and how it is found out whether a server has it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import msgspec

from dstack_api_client import errors
from dstack_api_client.model.capabilities import LANES, UNKNOWN, Capabilities
from dstack_api_client.model.placement import (
    Drain,
    LanePlacement,
    Placement,
    ReplicaPlacement,
)
from dstack_api_client.model.snapshot import ServerInfo
from dstack_api_client.model.traffic import Traffic
from dstack_api_client.text import one_line
from dstack_api_client.transport import wire_addon
from dstack_api_client.transport.requests import Resource
from dstack_api_client.transport.transport import in_project
from dstack_api_client.transport.wire_preview import Preview
from dstack_placement.engine import Cause, Code, LaneWhy

#: What a server without an endpoint answers: 404 or, where other methods have the path, 405.
_NOT_THERE = (404, 405)
#: What says something about all that is read, not about the add-on.
_OF_THE_WHOLE = (errors.CannotConnectError, errors.BusyError, errors.UnauthorisedError)

#: What the schema of a lane has, and no other.
_LANE_WORDS = (b'"name"', b'"min_replicas"', b'"max_replicas"')


class PlacementsTold(NamedTuple):
    """What the add-on tells of a project."""

    summaries: list[wire_addon.PlacementSummary]
    """All active services in short."""
    placements: list[Placement]
    """Those in full that were asked for."""
    traffic: dict[str, Traffic]
    """What gateways counted, by run id."""


class Placements(Resource):
    """The placement of services, on a server with the placement add-on."""

    async def capabilities(
        self, server: ServerInfo, *, known: Capabilities = UNKNOWN
    ) -> Capabilities:
        """Finds out what a server can do.

        Args:
            server: What it said of itself.
            known: What was found out before; the schema of the same versions is not read again.

        Returns:
            What was found out; with `unread` where an answer can't be used.

        Raises:
            CannotConnectError, BusyError, UnauthorisedError: It could not be asked.
        """
        if known.server_version != server.version:
            known = Capabilities(server.version)
        what = "what the placement add-on can do"
        try:
            info = await self._requests.one(
                "/api/placement/get_info", {}, wire_addon.PlacementInfo, what
            )
        except _OF_THE_WHOLE:
            raise
        except errors.ApiError as error:
            if _is_missing(error):
                return Capabilities(server.version)
            return replace(known, unread=error.message)
        found = Capabilities(
            server_version=server.version,
            placement_version=one_line(info.version),
            features=frozenset(one_line(feature) for feature in info.capabilities),
        )
        if replace(found, lanes=known.lanes) == known:
            return known
        if not found.can(LANES):
            return found
        try:
            return replace(found, lanes=await self._schema_has_lanes())
        except _OF_THE_WHOLE:
            raise
        except errors.ApiError as error:
            return replace(found, lanes=known.lanes, unread=error.message)

    async def _schema_has_lanes(self) -> bool:
        """Whether the server's own schema lets the fleets of a service be lanes."""
        try:
            body = await self._requests.transport.read("/openapi.json", None, "the server's schema")
        except errors.ApiError as error:
            if _is_missing(error):
                return False
            raise
        schema = self._requests.decode(
            body, msgspec.json.Decoder(_Schema).decode, "the server's schema"
        )
        return any(
            all(word in bytes(raw) for word in _LANE_WORDS)
            for raw in schema.components.schemas.values()
        )

    async def get(self, project: str, run_name: str) -> Placement:
        """How one run is placed, in full."""
        path = in_project(project, "placement/get")
        answer = await self._requests.one(
            path, {"run_name": run_name}, wire_addon.Placement, f"the placement of {run_name}"
        )
        return _placement(answer)

    async def router(self, project: str, run_name: str) -> wire_addon.RouterLook:
        """What the router of a service says, as the server sees it."""
        query: dict[str, Any] = {"run_name": run_name}
        return await self._requests.one(
            in_project(project, "placement/router"),
            query,
            wire_addon.RouterLook,
            f"the router of {run_name}",
        )

    async def rebalancing(self, project: str, run_name: str) -> bool:
        """Whether replicas of one run are being moved until lanes have their targets."""
        what = f"the placement of {one_line(run_name)}"
        answer = await self._requests.one(
            in_project(project, "placement/get"), {"run_name": run_name}, _Rebalancing, what
        )
        return answer.rebalancing is not None

    async def preview(self, project: str, run_name: str, question: Mapping[str, Any]) -> Preview:
        """What an edit of one run would do to its replicas; changes nothing."""
        return await self._requests.one(
            in_project(project, "placement/preview"),
            question,
            Preview,
            f"the preview for {run_name}",
        )

    async def rebalance(self, project: str, run_name: str, *, cancel: bool = False) -> bytes:
        """Asks for a service's replicas to be moved until lanes have their targets, or no more."""
        body = {"run_name": run_name, **({"cancel": True} if cancel else {})}
        what = f"the rebalancing of {run_name}"
        return await self._requests.change(in_project(project, "placement/rebalance"), body, what)

    async def list(self, project: str, run_names: Sequence[str]) -> PlacementsTold:
        """How all active services are placed in short, and some of them in full.

        Args:
            project: The project's name.
            run_names: The services that are wanted in full; names of none are left out.
        """
        answer = await self._requests.one(
            in_project(project, "placement/list"),
            {"run_names": list(run_names)},
            wire_addon.PlacementList,
            f"the placement of the services of project {project}",
        )
        return PlacementsTold(
            answer.runs,
            [_placement(each) for each in answer.placements],
            {
                each.run_id: Traffic(each.requests, each.window, each.request_time)
                for each in answer.traffic
            },
        )


def _is_missing(error: errors.ApiError) -> bool:
    """Whether a server says itself that it has no such endpoint."""
    return error.said_by_server and error.status in _NOT_THERE


class _Schemas(msgspec.Struct):
    schemas: dict[str, msgspec.Raw]


class _Schema(msgspec.Struct):
    components: _Schemas


class _Rebalancing(msgspec.Struct):
    rebalancing: dict[str, Any] | None


def _placement(answer: wire_addon.Placement) -> Placement:
    pools = {
        one_line(group.name): one_line(group.pool) if group.pool is not None else None
        for group in answer.groups
    }
    fallbacks = Counter(
        (pools.get(one_line(replica.group)), one_line(replica.fleet or ""))
        for replica in answer.replicas
        if replica.reason == "fallback"
    )
    return Placement(
        run_id=answer.run_id,
        managed=answer.managed,
        observed_at=answer.observed_at,
        desired={one_line(group.name): group.desired for group in answer.groups},
        pools=pools,
        lanes=tuple(
            _lane(lane, fallbacks[one_line(lane.pool), one_line(lane.fleet)])
            for lane in answer.lanes
        ),
        replicas=tuple(
            ReplicaPlacement(
                replica_num=replica.replica_num,
                group=one_line(replica.group),
                job_id=replica.job_id,
                fleet=one_line(replica.fleet) if replica.fleet is not None else None,
                reason=replica.reason,
                why=one_line(replica.why) if replica.why is not None else None,
                since=replica.since,
                cause=one_line(replica.why or "" if replica.cause is None else replica.cause),
            )
            for replica in answer.replicas
        ),
        notes=tuple(one_line(note) for note in answer.notes),
        rebalancing_since=answer.rebalancing.since if answer.rebalancing is not None else None,
        rebalancing_left=answer.rebalancing.left if answer.rebalancing is not None else 0,
        draining=tuple(
            Drain(each.job_id, each.since, each.limit, each.open) for each in answer.draining
        ),
        fault=one_line(answer.fault.message) if answer.fault is not None else "",
        fault_since=answer.fault.since if answer.fault is not None else None,
    )


def _lane(lane: wire_addon.PlacementLane, fallbacks: int) -> LanePlacement:
    return LanePlacement(
        pool=one_line(lane.pool),
        lane=lane.lane(),
        target=lane.target,
        running=lane.running,
        ready=lane.ready,
        pending=lane.pending,
        deficit=lane.deficit,
        deficit_since=lane.deficit_since,
        fallbacks=fallbacks,
        room=lane.room,
        cooldown_until=lane.cooldown_until,
        reason=one_line(lane.reason),
        code=one_line(lane.code),
        cause=one_line(lane.reason if lane.cause is None else lane.cause),
        why=_why(lane),
    )


def _why(lane: wire_addon.PlacementLane) -> LaneWhy | None:
    """The reason as codes; None of an add-on that has none, or others than this client knows."""
    if lane.held is None or not lane.causes:
        return None
    try:
        causes = tuple(_cause(each) for each in lane.causes)
        return LaneWhy(Code(lane.code), lane.held, lane.min_replicas, causes)
    except ValueError:
        return None


def _cause(cause: wire_addon.LaneCause) -> Cause:
    return Cause(
        Code(cause.code),
        one_line(cause.fleet),
        cause.number,
        cause.limit,
        cause.until,
        one_line(cause.detail),
    )
