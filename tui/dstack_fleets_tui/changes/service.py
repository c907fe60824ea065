"""The ways to change something from a screen: each ends in a plan, a confirmation and one write."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from functools import partial
from typing import Any

from textual.screen import Screen
from textual.worker import Worker

from dstack_api_client.edits.base import base as bases
from dstack_api_client.edits.base.merging import ConflictError
from dstack_api_client.edits.base.outcome import Check
from dstack_api_client.edits.fleet.fleet import FleetEdit
from dstack_api_client.edits.fleet.fleets import FleetPlan
from dstack_api_client.edits.follow.following_fleets import FleetGoal, goal_of
from dstack_api_client.edits.history.going_back import way_back
from dstack_api_client.edits.perform import rebalancing, undoing
from dstack_api_client.edits.perform.performing import (
    Performed,
    perform,
    settle,
    target_of,
    who,
)
from dstack_api_client.edits.plan.planning import Plan, make_plan
from dstack_api_client.edits.store.keeping import Store
from dstack_api_client.edits.store.recovering import look_up
from dstack_api_client.errors import ApiError
from dstack_api_client.model.placement import Placement
from dstack_api_client.text import one_line
from dstack_fleets_tui.changes.text import TextChanges
from dstack_fleets_tui.editing import outlook, plan_text
from dstack_fleets_tui.editing.texts import Editing
from dstack_fleets_tui.host.host import Host
from dstack_fleets_tui.live.source import Source
from dstack_fleets_tui.screens.edit.applying import ApplyScreen
from dstack_fleets_tui.screens.edit.fleet import FleetEditScreen
from dstack_fleets_tui.screens.edit.plan import PlanScreen
from dstack_fleets_tui.screens.edit.service import EditScreen
from dstack_fleets_tui.screens.parts.asking import AskScreen
from dstack_fleets_tui.screens.parts.questions import Question, ask
from dstack_widgets.drawing.text import literal
from dstack_widgets.inputs.choices import Choice

#: The group of the tasks that read for a change; each ends by itself.
GROUP = "changing"
#: Seconds that a change may take to its end when this program is asked to end.
_FINISH_WITHIN = 5.0
#: Seconds after which a key that has shown nothing yet gives a sign.
_SLOW = 0.5


class Changing:
    """Begins changes for the screens of an app.

    Args:
        app: The app.
        store: Where drafts, the way back and the audit log are kept.

    Attributes:
        texts: Texts that are edited.
    """

    def __init__(self, app: Host, store: Store) -> None:
        self._app = app
        self.store = store
        self._under_way: set[asyncio.Task[Performed]] = set()
        self.texts = TextChanges(app)

    def edit(self, name: str, run_id: str) -> None:
        """Opens the editor of a service."""
        if self.may():
            self._app.push_screen(EditScreen(name, run_id))

    def undo(self, name: str) -> None:
        """Plans the way back from what was applied last to a service."""
        if self.may():
            sign = f"Reading the last change of {name}."
            self.begin(partial(self._undo, name, ask(self._app)), sign)

    def go_back(self, name: str, number: int) -> None:
        """Plans the way back to an earlier deployment of a service."""
        if self.may():
            sign = f"Planning the way back to deployment {number} of {name}."
            self.begin(partial(self._go_back, name, number, ask(self._app)), sign)

    def rebalance(self, name: str) -> None:
        """Has the server move a service's replicas to the lanes of higher priority."""
        if self.may():
            sign = f"Asking what a rebalancing of {name} would move."
            self.begin(partial(self._rebalance, name, ask(self._app)), sign)

    def apply(
        self,
        plan: Plan | FleetPlan,
        *,
        under: Screen[None] | None = None,
        action: str = "apply",
        on_done: Callable[[], None] = lambda: None,
    ) -> None:
        """Carries a confirmed plan out and shows what comes of it.

        Args:
            plan: The plan.
            under: The editor it came from, which the new screen takes the place of.
            action: What it is called in the audit log.
            on_done: Called once it was applied.
        """
        source = self._app.source
        if source is None or not self._is_of(source, plan):
            return
        base = plan.base

        async def carry_out() -> Performed:
            done = await self._perform(source, plan, action)
            on_done()
            return done

        def again(error: ConflictError | None = None) -> None:
            # Where something else is in front, the screen behind it says what happened.
            if base is not None and screen.is_active:
                self._replace(screen, self._edit_again(plan, base, error))

        screen = ApplyScreen(
            plan.base.target.name if isinstance(plan, Plan) else plan.name,
            lambda: self.keep(carry_out()),
            outlook=plan.dry_run if isinstance(plan, Plan) else None,
            key=base.id if base is not None else None,
            goal=goal_of(plan) if isinstance(plan, FleetPlan) else None,
            on_conflict=again,
            settle=lambda check: self._settle(source, check, action),
            plan_again=again if base is not None else None,
            restarts=not isinstance(plan, Plan) or plan.restarts,
        )
        self._replace(under, screen)

    def as_text(self, editing: Editing[Any]) -> None:
        """Has a text edited; what was typed is used, or kept."""
        self.begin(partial(self.texts.edit, editing, ask(self._app)))

    def _is_of(self, source: Source, plan: Plan | FleetPlan) -> bool:
        """Whether a plan is of the project in hand; says so if it is not."""
        target = target_of(source.client, plan)
        if (target.server, target.project) == (source.client.url, source.project):
            return True
        of = one_line(target.project)
        self._app.warn(f"This plan is of project {of}. Nothing was sent. Go back and plan again.")
        return False

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
            text = (
                "This is read-only. Start without --read-only, and see `read_only` in the settings."
            )
            for line in self._app.guard_notices or (text,):
                self._app.warn(line)
            return False
        if self._app.source is None or self._app.snapshot is None:
            self._app.warn("The server has not been read yet. Wait until it is.")
            return False
        return True

    def begin(self, work: Callable[[], Awaitable[None]], sign: str = "") -> Worker[None]:
        """Does what takes a while; what keeps it from being done is told.

        Args:
            work: What to do; not called if something else begins before it.
            sign: What is shown where a server is slow to answer, until it has answered.

        Returns:
            Who does it.
        """

        async def telling() -> None:
            timer = self._app.set_timer(_SLOW, lambda: self._show_sign(sign))
            try:
                await work()
            except ApiError as error:
                self._app.warn(str(error))
            finally:
                timer.stop()
                if sign:
                    self._app.take_back(sign)

        return self._app.run_worker(telling, group=GROUP, exclusive=True)

    def _show_sign(self, sign: str) -> None:
        if sign:
            self._app.notify(sign, markup=False)

    async def _undo(self, name: str, question: Question) -> None:
        source, snapshot = question.session.source, question.session.snapshot
        if source is None or snapshot is None:
            return
        base = await bases.read_service(source.client, source.project, name)
        found = undoing.undo(self.store, base, snapshot.capabilities)
        found.refuse_unkept()
        plan = await make_plan(source.client, found.edit, snapshot=snapshot)
        self.show_way_back(found, plan, question)

    async def _go_back(self, name: str, number: int, question: Question) -> None:
        source, snapshot = question.session.source, question.session.snapshot
        if source is None or snapshot is None:
            return
        base = await bases.read_service(source.client, source.project, name)
        found = way_back(self.store, base, snapshot.capabilities, number)
        plan = await make_plan(source.client, found.edit, snapshot=snapshot)
        if not plan.changes:
            text = f"{name} is as it was at deployment {number}, as far as that is kept."
            self._app.notify(text, markup=False)
            return
        screen = PlanScreen(plan, lambda: self.apply(plan, action="undo"), found.notes)
        question.show(screen, f"The way back to deployment {number} of {name}")

    def show_way_back(
        self, found: undoing.Undo[Any], plan: Plan | FleetPlan, question: Question
    ) -> None:
        """Shows the plan of an undo, or that there is nothing to take back.

        Args:
            found: What is taken back.
            plan: The plan of that.
            question: What asked for it.
        """
        if not plan.changes:
            name = found.edit.base.target.name
            self._app.notify(f"{name} is as it was before the last change.", markup=False)
            return
        at = found.kept.at.astimezone()
        notes = [f"This undoes what was applied at {at:%Y-%m-%d %H:%M:%S}."]
        if found.changed_since:
            names = ", ".join(found.changed_since)
            notes.append(f"Changed again since, and undone too: {names}.")
        if found.left_out:
            names = ", ".join(found.left_out)
            notes.append(f"Not undone, since it may hold a secret and is not kept: {names}.")
        screen = PlanScreen(plan, lambda: self.apply(plan, action="undo"), notes)
        question.show(screen, f"The undo of {found.edit.base.target.name}")

    async def _rebalance(self, name: str, question: Question) -> None:
        source, snapshot = question.session.source, question.session.snapshot
        if source is None or snapshot is None:
            return
        base = await bases.read_service(source.client, source.project, name)
        found = await rebalancing.prospect(source.client, base, snapshot)
        if found.moves == ():
            # One that has only to end may be told as under way for some seconds.
            text = f"Nothing to move: the replicas of {name} are where their lanes say."
            self._app.notify(text, markup=False)
            return
        placement = snapshot.placements.get(base.id)
        if placement is not None and placement.rebalancing:
            self._ask_to_cancel(source, base, placement, question)
            return

        def answered(key: str | None) -> None:
            if key == "rebalance":
                request = partial(rebalancing.rebalance, source.client, base, self.store)
                self.carry_out(
                    source,
                    base.target.name,
                    lambda user: request(user=user),
                    key=base.id,
                    rebalance=True,
                )

        question.show(
            AskScreen(
                f"Rebalance {name} in {self._app.place}: replicas move one at a time, the new one"
                " ready before the old one stops",
                [
                    *plan_text.warnings(found.warnings, self._app.glyphs),
                    *(outlook.whole(found.outlook, self._app.glyphs) if found.outlook else ()),
                ],
                (Choice("cancel", "Cancel"), Choice("rebalance", "Rebalance")),
                confirm=name if self._app.protected else None,
                ascii_only=self._app.ascii,
            ),
            f"The rebalancing of {name}",
            answered,
        )

    def _ask_to_cancel(
        self, source: Source, base: bases.Base, placement: Placement, question: Question
    ) -> None:
        name = one_line(base.target.name)

        def answered(key: str | None) -> None:
            if key == "end":
                request = partial(rebalancing.cancel, source.client, base, self.store)
                self.carry_out(
                    source, base.target.name, lambda user: request(user=user), key=base.id
                )

        question.show(
            AskScreen(
                f"End the rebalancing of {name} in {self._app.place}",
                [
                    literal(f"{placement.rebalancing[:1].upper()}{placement.rebalancing[1:]}."),
                    literal("A move that has begun is finished; what has moved stays there."),
                ],
                (Choice("cancel", "Let it go on"), Choice("end", "End it")),
                confirm=base.target.name if self._app.protected else None,
                ascii_only=self._app.ascii,
            ),
            f"The end of the rebalancing of {name}",
            answered,
        )

    def carry_out(
        self,
        source: Source,
        subject: str,
        request: Callable[[str], Awaitable[Performed]],
        *,
        key: str,
        goal: FleetGoal | None = None,
        ends: bool = False,
        rebalance: bool = False,
    ) -> None:
        """Sends what was confirmed and has no plan, and shows what comes of it.

        Args:
            source: Where it goes.
            subject: The name of what is changed.
            request: Sends it; takes the server's user.
            key: The id of what is changed.
            goal: What a fleet comes to by it; None for what is not a fleet's.
            ends: Whether a run ends by it.
            rebalance: Whether replicas are moved until the lanes have their targets.
        """

        async def performed() -> Performed:
            return await request(await who(source.client))

        self._app.push_screen(
            ApplyScreen(
                subject,
                lambda: self.keep(performed()),
                key=key,
                goal=goal,
                ends=ends,
                rebalance=rebalance,
            )
        )

    async def _perform(self, source: Source, plan: Plan | FleetPlan, action: str) -> Performed:
        user = await who(source.client)
        if not isinstance(plan, Plan) and plan.base is None:
            action = "create"
        return await perform(
            source.client, plan, self.store, user=user, action=action, on_notice=self._app.warn
        )

    async def _settle(self, source: Source, check: Check, action: str) -> Performed:
        user = await who(source.client)
        return await settle(source.client, check, self.store, user=user, action=action)

    async def look_up(self, source: Source, server: str) -> None:
        """Finds out what became of what was sent before, and says so."""
        for line in await look_up(source.client, source.project, self.store, server=server):
            self._app.warn(line)

    def keep(self, change: Coroutine[Any, Any, Performed]) -> asyncio.Task[Performed]:
        """Lets a change come to its end though the screen that shows it goes."""
        task = asyncio.create_task(change)
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)
        return task

    @staticmethod
    def _edit_again(
        plan: Plan | FleetPlan, base: bases.Base, error: ConflictError | None
    ) -> EditScreen | FleetEditScreen:
        """The editor with what was planned: a conflict to settle, or a plan to make again."""
        name, first = base.target.name, error is None
        if isinstance(plan, Plan):
            return EditScreen(name, base.id, plan.edit, conflict=error, plan_first=first)
        edit = FleetEdit(base, plan.spec)
        return FleetEditScreen(name, base.id, edit, conflict=error, plan_first=first)

    async def finish(self, *, soon: bool = False) -> None:
        """Waits for changes that are being made, before the connection goes.

        Args:
            soon: Whether this program was asked to end: what takes longer is then not known.
        """
        if not self._under_way:
            return
        _, late = await asyncio.wait(
            list(self._under_way), timeout=_FINISH_WITHIN if soon else None
        )
        for task in late:
            task.cancel()
        if late:
            await asyncio.wait(late)
