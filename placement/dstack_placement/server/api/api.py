"""The add-on's endpoints, under dstack's own authentication and project rules."""

from __future__ import annotations

from typing import Annotated, Any

from dstack._internal.server.db import get_session
from dstack._internal.server.models import ProjectModel, UserModel
from dstack._internal.server.security.permissions import Authenticated, ProjectMember
from dstack._internal.server.utils.routers import (
    CustomJSONResponse,
    get_base_api_additional_responses,
)
from fastapi import APIRouter, Depends
from sqlalchemy.ext.asyncio import AsyncSession

from dstack_placement.server.answers import answers
from dstack_placement.server.answers.bounds import BoundedRoute
from dstack_placement.server.api import previewing
from dstack_placement.server.cordon import cordon_answers, cordoning
from dstack_placement.server.moving import rebalancing
from dstack_placement.server.routers import router_answers, router_view
from dstack_placement.server.view import listing, looking

root_router = APIRouter(
    prefix="/api/placement",
    tags=["placement"],
    responses=get_base_api_additional_responses(),
    route_class=BoundedRoute,
)
project_router = APIRouter(
    prefix="/api/project/{project_name}/placement",
    tags=["placement"],
    responses=get_base_api_additional_responses(),
    route_class=BoundedRoute,
)

Session = Annotated[AsyncSession, Depends(get_session)]
Member = Annotated[tuple[UserModel, ProjectModel], Depends(ProjectMember())]


@root_router.post("/get_info", summary="Get placement add-on info", response_model=answers.Info)
async def get_info(user: Annotated[UserModel, Depends(Authenticated())]) -> Any:
    """Returns what the placement add-on of this server is and can do."""
    return answers.info()


@project_router.post("/get", summary="Get placement of a run", response_model=answers.Placement)
async def get_placement(body: answers.RunRequest, session: Session, member: Member) -> Any:
    """Returns how the replicas of a service with lanes are placed, and why."""
    return CustomJSONResponse(await looking.placement(session, member[1], body.run_name))


@project_router.post("/preview", summary="Preview placement", response_model=answers.Preview)
async def preview_placement(body: answers.PreviewRequest, session: Session, member: Member) -> Any:
    """Returns what changed lanes or replica counts would do to a run as it is now.

    Nothing is changed. What is left out of the body stays as it is. There is a row for each replica
    only if the body asks for it.
    """
    return CustomJSONResponse(await previewing.preview_of(session, member[1], body))


@project_router.post(
    "/list", summary="List placement of services", response_model=answers.PlacementList
)
async def list_placements(body: answers.ListRequest, session: Session, member: Member) -> Any:
    """Returns what is worth knowing of every active service, and the placement of those named."""
    return CustomJSONResponse(await listing.placements(session, member[1], body))


@project_router.post("/rebalance", summary="Rebalance a run", response_model=answers.Rebalance)
async def rebalance(body: answers.RebalanceRequest, session: Session, member: Member) -> Any:
    """Moves running replicas until they follow the priorities, or cancels that.

    One moves at a time, and the new one is ready before the old one stops. It goes on by itself
    and ends when nothing is left to move; an edit of the lanes ends it too.
    """
    user, project = member
    return await rebalancing.rebalance(session, project, user, body)


@project_router.post(
    "/cordon", summary="Cordon a fleet or an instance", response_model=cordon_answers.CordonAnswer
)
async def cordon(body: cordon_answers.CordonRequest, session: Session, member: Member) -> Any:
    """Has nothing new placed on an instance or in a fleet; what runs there stays."""
    return await cordoning.cordon(session, member[1], member[0], body)


@project_router.post("/drain", summary="Drain a fleet or an instance")
async def drain(
    body: cordon_answers.DrainRequest, session: Session, member: Member
) -> cordon_answers.Drain:
    """Cordons, and moves replicas of services with lanes away, the new one ready first.

    It goes on by itself, one replica of a service at a time, until it is uncordoned. What can't
    move stays, and is named with the reason.
    """
    return await cordoning.drain(session, member[1], member[0], body)


@project_router.post("/drain_plan", summary="Plan a drain")
async def plan_drain(
    body: cordon_answers.DrainRequest, session: Session, member: Member
) -> cordon_answers.Drain:
    """Returns what a drain would move where, what stays and why, and which minimums break.

    Nothing is changed.
    """
    return await cordoning.drain_plan(session, member[1], member[0], body)


@project_router.post(
    "/uncordon",
    summary="Uncordon a fleet or an instance",
    response_model=cordon_answers.CordonAnswer,
)
async def uncordon(body: cordon_answers.CordonTarget, session: Session, member: Member) -> Any:
    """Ends a cordon, and with it a drain; a move that is under way is finished."""
    return await cordoning.uncordon(session, member[1], member[0], body)


@project_router.post("/cordons", summary="List cordons", response_model=cordon_answers.Cordons)
async def list_cordons(session: Session, member: Member) -> Any:
    """Returns what is cordoned, by whom and why, and what is left on what is drained."""
    return CustomJSONResponse(await cordoning.listed(session, member[1]))


@project_router.post("/router", summary="Get router workers", response_model=router_answers.Router)
async def get_router(body: answers.RunRequest, session: Session, member: Member) -> Any:
    """Returns the worker list of a service's router, and the workers that dstack expects in it.

    The router is asked through this server's own tunnel; one answer serves all who ask within a
    second.
    """
    return await router_view.router_of(session, member[1], body.run_name)
