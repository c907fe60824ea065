"""The ways to change something from a screen: each ends in a plan, a confirmation and one write."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import TYPE_CHECKING, Any, TypeVar

from textual.screen import Screen

from dstack_api_client.edits import base as bases
from dstack_api_client.edits import rebalancing, texts, undoing
from dstack_api_client.edits.errors import ConflictError, InvalidEditError
from dstack_api_client.edits.fleet import FleetEdit
from dstack_api_client.edits.fleets import FleetPlan
from dstack_api_client.edits.following_fleets import goal_of
from dstack_api_client.edits.keeping import Store
from dstack_api_client.edits.performing import Performed, perform, who
from dstack_api_client.edits.planning import Plan, make_plan
from dstack_api_client.errors import ApiError
from dstack_fleets_tui.changing_fleets import FleetChanges
from dstack_fleets_tui.editing import outlook
from dstack_fleets_tui.screens.applying import ApplyScreen
from dstack_fleets_tui.screens.asking import AskScreen
from dstack_fleets_tui.screens.edit import EditScreen
from dstack_fleets_tui.screens.fleet_edit import FleetEditScreen
from dstack_fleets_tui.screens.plan import PlanScreen
from dstack_fleets_tui.screens.text import (
    EditorError,
    TextScreen,
    edit_outside,
    environment_editor,
)
from dstack_fleets_tui.source import Source
from dstack_widgets.choices import Choice

if TYPE_CHECKING:
    from dstack_fleets_tui.app import FleetsApp

T = TypeVar("T")

#: The group of the tasks that read for a change; each ends by itself.
GROUP = "changing"


class Changing:
    """Begins changes for the screens of an app.

    Args:
        app: The app.
        store: Where drafts, the way back and the audit log are kept.

    Attributes:
        store: As given.
        fleets: The changes of fleets.
    """

    def __init__(self, app: FleetsApp, store: Store) -> None:
        self._app = app
        self.store = store
        self.fleets = FleetChanges(app, self)
        self._under_way: set[asyncio.Task[Performed]] = set()

    def edit(self, name: str, run_id: str) -> None:
        """Opens the editor of a service."""
        if self.may():
            self._app.push_screen(EditScreen(name, run_id))

    def undo(self, name: str) -> None:
        """Plans the way back from what was applied last to a service."""
        if self.may():
            self.begin(self._undo(name))

    def rebalance(self, name: str) -> None:
        """Has the server move a service's replicas to the lanes of higher priority."""
        if self.may():
            self.begin(self._rebalance(name))

    def apply(
        self, plan: Plan | FleetPlan, *, under: Screen[None] | None = None, action: str = "apply"
    ) -> None:
        """Carries a confirmed plan out and shows what comes of it.

        Args:
            plan: The plan.
            under: The editor it came from, which the new screen takes the place of.
            action: What it is called in the audit log.
        """
        source = self._app.source
        if source is None:
            return
        base = plan.base

        def again(error: ConflictError) -> None:
            if base is not None:
                self._replace(screen, self._edit_again(plan, base, error))

        screen = ApplyScreen(
            plan.base.target.name if isinstance(plan, Plan) else plan.name,
            lambda: self.keep(self._perform(source, plan, action)),
            outlook=plan.dry_run if isinstance(plan, Plan) else None,
            key=base.id if base is not None else None,
            goal=goal_of(plan) if isinstance(plan, FleetPlan) else None,
            on_conflict=again,
        )
        self._replace(under, screen)

    def as_text(
        self,
        name: str,
        text: str,
        read: Callable[[Source, str], Awaitable[T]],
        done: Callable[[T], object],
        *,
        first: bool = True,
        as_it_is: bool = False,
    ) -> None:
        """Has a text edited, again and again until it can be read.

        Args:
            name: What it is the text of.
            text: The text.
            read: Makes something of what was written.
            done: Takes what came of it; not called where nothing was changed.
            first: Whether it is edited before it is read for the first time.
            as_it_is: Whether it may be left as it is; else that is a cancel.
        """
        self.begin(self._as_text(name, text, read, done, first=first, as_it_is=as_it_is))

    @property
    def under_way(self) -> bool:
        """Whether something is being sent."""
        return bool(self._under_way)

    # How ----------------------------------------------------------------------------------

    def _replace(self, old: Screen[None] | None, new: Screen[None]) -> None:
        """Shows a screen in the place of another, if that is in front; else over what is."""
        if old is not None and old is self._app.screen:
            self._app.switch_screen(new)
        else:
            self._app.push_screen(new)

    def may(self) -> bool:
        """Whether anything may be changed; says why not."""
        if self._app.read_only:
            self._app.warn(
                "This is read-only. Start without --read-only, and see `read_only` in the settings."
            )
            return False
        if self._app.source is None or self._app.snapshot is None:
            self._app.warn("The server has not been read yet. Wait until it is.")
            return False
        return True

    def begin(self, work: Awaitable[None]) -> None:
        """Does what takes a while; what keeps it from being done is told."""
        self._app.run_worker(self._telling(work), group=GROUP, exclusive=True)

    async def _telling(self, work: Awaitable[None]) -> None:
        try:
            await work
        except ApiError as error:
            self._app.warn(str(error))

    async def _as_text(
        self,
        name: str,
        text: str,
        read: Callable[[Source, str], Awaitable[T]],
        done: Callable[[T], object],
        *,
        first: bool,
        as_it_is: bool,
    ) -> None:
        source = self._app.source
        while source is not None:
            written = await self._written(name, text) if first else text
            if written is None or (first and not as_it_is and written == text):
                self._app.notify("Nothing was changed in the text.", markup=False)
                return
            try:
                made = await read(source, written)
            except InvalidEditError as error:
                text = texts.with_note(written, error.lines)
            except ApiError as error:
                text = texts.with_note(written, [str(error)])
            else:
                done(made)
                return
            first, as_it_is = True, False

    async def _written(self, name: str, text: str) -> str | None:
        """What somebody made of a text; None where nothing is to be taken over."""
        command = environment_editor()
        if command is not None:
            try:
                written = edit_outside(self._app, command, text)
            except EditorError as error:
                self._app.warn(str(error))
                return None
            if written is not None:
                return written
        screen = TextScreen(f"{name} in {self._app.place}", text, ascii_only=self._app.ascii)
        return await self._app.push_screen_wait(screen)

    async def _undo(self, name: str) -> None:
        source, snapshot = self._app.source, self._app.snapshot
        if source is None or snapshot is None:
            return
        base = await bases.read_service(source.client, source.project, name)
        found = undoing.undo(self.store, base, snapshot.capabilities)
        found.refuse_unkept()
        plan = await make_plan(source.client, found.edit, snapshot=snapshot)
        self.show_way_back(found, plan)

    def show_way_back(self, found: undoing.Undo[Any], plan: Plan | FleetPlan) -> None:
        """Shows the plan of an undo, or that there is nothing to take back.

        Args:
            found: What is taken back.
            plan: The plan of that.
        """
        if not plan.changes:
            name = found.edit.base.target.name
            self._app.notify(f"{name} is as it was before the last change.", markup=False)
            return
        at = found.kept.at.astimezone()
        notes = [f"This takes back what was applied at {at:%Y-%m-%d %H:%M:%S}."]
        if found.changed_since:
            names = ", ".join(found.changed_since)
            notes.append(f"Changed again since, and taken back too: {names}.")
        if found.left_out:
            names = ", ".join(found.left_out)
            notes.append(f"Not taken back, since it may hold a secret and is not kept: {names}.")
        self._app.push_screen(PlanScreen(plan, lambda: self.apply(plan, action="undo"), notes))

    async def _rebalance(self, name: str) -> None:
        source, snapshot = self._app.source, self._app.snapshot
        if source is None or snapshot is None:
            return
        base = await bases.read_service(source.client, source.project, name)
        found = await rebalancing.prospect(source.client, base, snapshot)
        if found.moves == ():
            text = f"Nothing to move: the replicas of {name} are where their lanes say."
            self._app.notify(text, markup=False)
            return

        def answered(key: str | None) -> None:
            if key == "rebalance":
                self._rebalance_now(source, base)

        self._app.push_screen(
            AskScreen(
                f"Rebalance {name} in {self._app.place}: replicas move one at a time, the new one"
                " ready before the old one stops",
                outlook.whole(found.outlook, self._app.glyphs) if found.outlook else (),
                (Choice("cancel", "Cancel"), Choice("rebalance", "Rebalance")),
                confirm=name if self._app.protected else None,
                ascii_only=self._app.ascii,
            ),
            answered,
        )

    def _rebalance_now(self, source: Source, base: bases.Base) -> None:
        async def ask() -> Performed:
            user = await who(source.client)
            return await rebalancing.rebalance(source.client, base, self.store, user=user)

        self._app.push_screen(
            ApplyScreen(base.target.name, lambda: self.keep(ask()), key=base.id, rebalance=True)
        )

    async def _perform(self, source: Source, plan: Plan | FleetPlan, action: str) -> Performed:
        user = await who(source.client)
        if not isinstance(plan, Plan) and plan.base is None:
            action = "create"
        return await perform(
            source.client, plan, self.store, user=user, action=action, on_notice=self._app.warn
        )

    def keep(self, change: Coroutine[Any, Any, Performed]) -> asyncio.Task[Performed]:
        """Lets a change come to its end though the screen that shows it goes."""
        task = asyncio.create_task(change)
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)
        return task

    @staticmethod
    def _edit_again(
        plan: Plan | FleetPlan, base: bases.Base, error: ConflictError
    ) -> EditScreen | FleetEditScreen:
        if isinstance(plan, Plan):
            return EditScreen(base.target.name, base.id, plan.edit, conflict=error)
        edit = FleetEdit(base, plan.spec)
        return FleetEditScreen(base.target.name, base.id, edit, conflict=error)

    async def finish(self) -> None:
        """Waits for changes that are being made, before the connection goes."""
        if self._under_way:
            await asyncio.wait(list(self._under_way))
