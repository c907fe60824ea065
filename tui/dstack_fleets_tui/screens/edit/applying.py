"""A change that is being made, and followed until it is done."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import aclosing
from dataclasses import replace
from pathlib import Path

from rich.cells import cell_len
from textual import work
from textual.containers import VerticalScroll
from textual.content import Content
from textual.widget import Widget
from textual.widgets import Static

from dstack_api_client.edits.base.base import Base
from dstack_api_client.edits.base.merging import ConflictError
from dstack_api_client.edits.base.outcome import Check, UnknownOutcomeError
from dstack_api_client.edits.follow.following import (
    EVERY,
    LaneProgress,
    Progress,
    State,
    follow,
    progress,
)
from dstack_api_client.edits.follow.following_ends import follow_end
from dstack_api_client.edits.follow.following_fleets import FleetGoal, fleet_progress
from dstack_api_client.edits.outlook.outlooks import DryRun
from dstack_api_client.edits.perform.performing import Performed
from dstack_api_client.errors import ApiError
from dstack_api_client.model.fleet import Fleet
from dstack_fleets_tui.actions import actions, places
from dstack_fleets_tui.screens.parts.base import LiveScreen
from dstack_fleets_tui.words import words
from dstack_widgets.drawing.bars import Filling, filled_bar
from dstack_widgets.drawing.palette import style_of
from dstack_widgets.drawing.text import literal
from dstack_widgets.panels.flow import Flow

#: Seconds for which a fleet is followed, like a service.
_LIMIT = 600.0
_WORDS = {
    State.MOVING: ("on its way", "starting"),
    State.DONE: ("done", "ok"),
    State.FAILED: ("failed", "bad"),
    State.SUPERSEDED: ("somebody else changed it again", "warn"),
    State.STILL_WAITING: ("still waiting", "warn"),
}


class ApplyScreen(LiveScreen):
    """Applies a plan and follows what comes of it.

    Args:
        name: What is changed.
        change: Begins the change.
        outlook: What is expected of it.
        key: The id of the run or the fleet; None for a new fleet.
        goal: What a fleet is to come to; None where a service is changed.
        rebalance: Whether replicas are moved until the lanes have their targets.
        on_conflict: What to do when somebody else was faster.
        settle: Goes on reading what became of a change that got no answer.
        plan_again: Plans it again after it has failed, such as when the server is back.
        restarts: Whether replicas may be started again for it.
        ends: Whether the run ends by it.
    """

    name_of_screen = places.APPLY
    BINDINGS = list(actions.bindings(places.APPLY))
    CSS_PATH = Path(__file__).with_name("plan.tcss")

    def __init__(
        self,
        name: str,
        change: Callable[[], asyncio.Future[Performed]],
        *,
        outlook: DryRun | None = None,
        key: str | None = None,
        goal: FleetGoal | None = None,
        rebalance: bool = False,
        on_conflict: Callable[[ConflictError], None] | None = None,
        settle: Callable[[Check], Awaitable[Performed]] | None = None,
        plan_again: Callable[[], None] | None = None,
        restarts: bool = True,
        ends: bool = False,
    ) -> None:
        super().__init__()
        self._subject = name
        self._make = change
        self._outlook = outlook
        self._key = key
        self._goal = goal
        self._rebalance = rebalance
        self._on_conflict = on_conflict
        self._settle = settle
        self._plan_again = plan_again
        self._restarts = restarts
        self._ends = ends
        self._before: frozenset[str] = frozenset()
        self._failed = False
        self._sending = True
        self._doubt: UnknownOutcomeError | None = None
        self._told: list[Content] = [literal(f"Changing {name}.", style_of("starting"))]
        self._progress: Progress | None = None
        self._done: Performed | None = None
        self._seen = False
        self._made_at = 0.0

    def body(self) -> Iterable[Widget]:
        """What was done, and how far it has come."""
        yield Flow(id="head", most=2, glyphs=self.fleets_app.glyphs)
        with VerticalScroll(id="plan"):
            yield Static(Content(), id="text", markup=False)

    def on_mount(self) -> None:
        """Begins."""
        self._before = self._standing()
        self._carry_out()

    def _standing(self) -> frozenset[str]:
        """The submissions of the service that count now."""
        snapshot = self.snapshot
        service = snapshot.services.get(self._key or "") if snapshot is not None else None
        if snapshot is None or service is None:
            return frozenset()
        found = snapshot.replicas_of(service)
        return frozenset(each.submission_id for each in found if each.standing)

    @work(exclusive=True, group="apply")
    async def _carry_out(self) -> None:
        try:
            # What was begun comes to its end, whatever becomes of this screen.
            done = await self._known(asyncio.shield(self._make()))
        except ConflictError as error:
            self._sending, self._doubt = False, None
            self._tell(literal(str(error), style_of("warn")))
            if self._on_conflict is not None:
                self._on_conflict(error)
            return
        except ApiError as error:
            self._sending, self._doubt, self._failed = False, None, True
            self._told = []
            self._tell(literal(str(error), style_of("bad")))
            return
        self._sending = False
        self._done = done
        self._made_at = asyncio.get_running_loop().time()
        there = done.line or f"{self._subject} is there."
        line = done.applied.line if done.applied is not None else there
        self._told = [literal(line, style_of("ok"))]
        self._told += [literal(notice, style_of("warn")) for notice in done.notices]
        self.fleets_app.hurry()
        self.fill()
        if self._goal is None:
            await self._follow(done.now)
        else:
            # Snapshots come only when something changes.
            self.set_interval(EVERY, self.fill)

    async def _known(self, change: Awaitable[Performed]) -> Performed:
        """Waits until it is known what became of the change; what is not known is said."""
        try:
            return await change
        except UnknownOutcomeError as error:
            if error.check is None or self._settle is None:
                raise
            self._sending = False
            self._doubt = error
            self._told = [literal(str(error), style_of("bad"))]
            self._tell(literal("Polling goes on until that is known.", style_of("starting")))
            return await self._settle(error.check)

    async def _follow(self, base: Base) -> None:
        source, snapshot = self.fleets_app.source, self.snapshot
        if source is None or snapshot is None:
            return
        if not self._ends and base.id in snapshot.services:
            # What is known stands there while it is read for the first time.
            known = progress(base, base, snapshot, None, self._outlook, restarts=self._restarts)
            self._progress = replace(known, state=State.MOVING)
            self.fill()
        looks = (
            follow_end(source.client, base)
            if self._ends
            else follow(
                source.client,
                base,
                snapshot.capabilities,
                planned=self._outlook,
                rebalance=self._rebalance,
                restarts=self._restarts,
            )
        )
        async with aclosing(looks):  # type: ignore[type-var]
            async for found in looks:
                self._progress = found
                self.fill()

    def _tell(self, line: Content) -> None:
        self._told.append(line)
        self.fill()

    def focus_on(self) -> None:
        """What is changed is open."""
        if self._goal is None:
            self.fleets_app.focus_on(opened_service=self._key)
        else:
            made = self._done.now.id if self._done is not None else None
            self.fleets_app.focus_on(opened_fleet=self._key or made)

    def says_already(self, message: str) -> bool:
        """Whether the change failed for the same reason, so that what to do counts more."""
        return self._failed and any(message in line.plain for line in self._told)

    def show_note(self) -> None:
        """There is no table here, and nothing to note of one."""

    def fill(self) -> None:
        """Shows how far it has come."""
        if not self.is_laid_out:
            return  # it was left, or the app ends
        parts = [literal(f"{self._subject} in {self.fleets_app.place}", style_of("strong"))]
        if self._done is not None and self._goal is not None:
            self._look_at_fleet(self._goal, self._done.now.id)
        progress = self._progress
        lines = list(self._told)
        if progress is not None:
            word, style = _WORDS[progress.state]
            parts.append(literal(word, style_of(style)))
            parts.append(literal(f"{progress.elapsed:.0f} s", style_of("dim")))
            lines += [Content(), *self._lines(progress)]
        self.query_one("#head", Flow).show(parts)
        text = self.query_one("#text", Static)
        content = Content("\n").join(lines)
        if not content.is_same(text.content):  # type: ignore[arg-type]
            text.update(content)
        self.show_keys()
        is_over = self._done is None and self._doubt is None
        if self._failed and self._plan_again is not None:
            self.show_summary("Press p to plan it again, Esc to go back.")
        elif (progress is not None and progress.final) or (is_over and not self._sending):
            self.show_summary("Press Esc to go back.")
        elif self._done is None and not self._sending:
            self.show_summary("Press Esc to leave; it is checked at the next start.")
        elif not self._sending:
            self.show_summary("Press Esc to leave; the server goes on with it.")

    def footer_keys(self) -> list[tuple[str, str]]:
        """The keys that work; that of the plan only where there is something to plan."""
        found = super().footer_keys()
        replicas = actions.BY_ID["replicas"].title.lower()
        after = {replicas, *(actions.BY_ID[action].title for action in ("edit", "undo"))}
        if self._done is None or self._ends:
            found = [each for each in found if each[1] not in after]
        elif self._goal is not None:
            found = [each for each in found if each[1] != replicas]
        if self._failed and self._plan_again is not None:
            plan = actions.BY_ID["plan"]
            found.insert(0, (self.key_of("plan"), plan.title))
        return found

    def service_at_hand(self) -> tuple[str, str] | None:
        """The service that was changed, once it was and if it goes on."""
        if self._done is None or self._goal is not None or self._key is None or self._ends:
            return None
        return self._subject, self._key

    def fleet_at_hand(self) -> Fleet | None:
        """The fleet that was changed, once it was."""
        if self._done is None or self._goal is None or self.snapshot is None:
            return None
        return self.snapshot.fleets.get(self._done.now.id)

    def do_replicas(self, argument: str) -> None:
        """Goes to the replicas of the service that was changed."""
        service = self.service_at_hand()
        if service is not None:
            self.fleets_app.open_service(service[1], "replicas")

    def _look_at_fleet(self, goal: FleetGoal, key: str) -> None:
        """Follows a fleet from snapshot to snapshot, until it is as it should be."""
        if self.snapshot is None or (self._progress is not None and self._progress.final):
            return
        found = fleet_progress(goal, key, self.snapshot, seen=self._seen)
        self._seen = self._seen or found.seen
        elapsed = asyncio.get_running_loop().time() - self._made_at
        late = found.state is State.MOVING and elapsed >= _LIMIT
        state = State.STILL_WAITING if late else found.state
        self._progress = Progress(state, elapsed, waiting=found.waiting)

    def _fleet_lines(self) -> Iterable[Content]:
        """How many instances a fleet has by now."""
        key = self._done.now.id if self._done is not None else ""
        fleet = self.snapshot.fleets.get(key) if self.snapshot is not None else None
        if fleet is not None:
            counts = words.states(fleet) or "no instances"
            yield literal(f"nodes {words.nodes(fleet)}  {counts}")
        elif self._goal is not None and self._goal.gone:
            yield literal("The fleet is gone.", style_of("ok"))

    def _lines(self, progress: Progress) -> Iterable[Content]:
        lanes = progress.lanes
        names = [lane.name for lane in lanes]
        wide = max((cell_len(name) for name in names), default=0)
        for lane, name in zip(lanes, names, strict=True):
            yield self._lane(lane, name + " " * (wide - cell_len(name)))
        if self._goal is not None:
            yield from self._fleet_lines()
        elif self._ends:
            pass  # what is waited for says it all
        elif not self._restarts and self._before:
            there = len(self._before & self._standing())
            yield literal(f"no restart: {there} of {len(self._before)} untouched", style_of("ok"))
        else:
            counts = f"{progress.at_latest} of {progress.active}"
            yield literal(f"{counts} at the latest deployment", "dim")
        for waiting in progress.waiting:
            style = "bad" if progress.state is State.FAILED else "starting"
            yield literal(waiting, style_of(style))
        if progress.trouble and progress.trouble != self.fleets_app.health.message:
            yield literal(progress.trouble, style_of("warn"))

    def _lane(self, lane: LaneProgress, name: str) -> Content:
        here = lane.running + lane.starting + lane.stopping
        filling = Filling(
            lane.ready,
            lane.running - lane.ready,
            lane.starting,
            lane.stopping,
            max(0, lane.goal - here),
        )
        bar = filled_bar(filling, max(lane.goal, here), 12, self.fleets_app.glyphs)
        many = f"{lane.ready} ready, {lane.goal} desired"
        right = f"{lane.ready} of {lane.goal} ready"
        line = literal(f"{name}  ") + bar
        line += literal(f"  {many if lane.ready > lane.goal else right}")
        counts: Sequence[tuple[int, str]] = (
            (lane.running - lane.ready, "not ready"),
            (lane.starting, "starting"),
            (lane.stopping, "stopping"),
        )
        told = ", ".join(f"{number} {word}" for number, word in counts if number > 0)
        return line + literal(f"  {told}" if told else "", style_of("starting"))

    @property
    def open_work(self) -> str:
        """The change, until it has come to its end."""
        over = self._progress is not None and self._progress.final
        if over or self._done is None:
            return ""
        return f"{self._subject} is still changing. The server goes on with it."

    def do_plan(self, argument: str) -> None:
        """Plans it again, where it has failed."""
        if self._failed and self._plan_again is not None:
            self._plan_again()
        else:
            self.notify("There is nothing to plan again.", markup=False)

    def do_back(self, argument: str) -> None:
        """Leaves, once it is known what became of the request."""
        if self._sending:
            self.notify("The change is being sent; waiting for the outcome.", markup=False)
        else:
            self.leave()
