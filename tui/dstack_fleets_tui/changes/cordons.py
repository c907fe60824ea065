"""Taking fleets and instances out of service from a screen, and back."""

from __future__ import annotations

from functools import partial

from dstack_api_client.edits.base import base as bases
from dstack_api_client.edits.errors import EditError, EndedError
from dstack_api_client.edits.follow.following_fleets import FleetGoal
from dstack_api_client.edits.perform import cordoning
from dstack_api_client.edits.perform.cordoning import CordonAction, CordonChange
from dstack_api_client.model.fleet import Fleet, Instance
from dstack_api_client.whatif import outcome_of_drain
from dstack_fleets_tui.changes.service import Changing
from dstack_fleets_tui.editing.plan_text import warnings
from dstack_fleets_tui.host.host import Host
from dstack_fleets_tui.output.cordons import plan_lines
from dstack_fleets_tui.output.plans import drain_warnings
from dstack_fleets_tui.screens.parts.asking import AskScreen
from dstack_fleets_tui.screens.parts.questions import Question, ask
from dstack_widgets.drawing.text import literal
from dstack_widgets.inputs.choices import Choice


class CordonChanges:
    """Begins cordons and drains for the screens of an app.

    Args:
        app: The app.
        changing: What all changes share.
    """

    def __init__(self, app: Host, changing: Changing) -> None:
        self._app = app
        self._changing = changing

    def change(
        self, action: CordonAction, fleet: Fleet, instance: Instance | None, reason: str
    ) -> None:
        """Plans a change of what is in service, and asks.

        Args:
            action: What is to be done.
            fleet: The fleet.
            instance: The instance; None for the whole fleet.
            reason: Why.
        """
        if not self._changing.may():
            return
        number = instance.num if instance is not None else None
        change = CordonChange(action, fleet.name, number, reason)
        sign = f"Asking what the {action} of {change.name} would do."
        plan = partial(self._plan, change, fleet, instance, ask(self._app))
        self._changing.begin(plan, sign)

    async def _plan(
        self, change: CordonChange, fleet: Fleet, instance: Instance | None, question: Question
    ) -> None:
        source, snapshot = question.session.source, question.session.snapshot
        if source is None or snapshot is None:
            return
        cordoning.refuse_unable(snapshot.capabilities)
        if fleet.project != source.project:
            raise EditError(
                f"{fleet.name} is lent by project {fleet.project}.", "It is cordoned there."
            )
        base = await bases.read_fleet(source.client, source.project, fleet.name)
        if base.id != fleet.id:
            raise EndedError(
                f"{fleet.name} is another fleet now; nothing was done.", "Look at it first."
            )
        known = await source.client.cordons.on(source.project, change.name)
        plan, outcome = None, None
        if change.action == "drain":
            plan = await cordoning.drain_plan(source.client, source.project, change)
            outcome = outcome_of_drain(snapshot, change.fleet, change.number, plan)

        def answered(key: str | None) -> None:
            if key == change.action:
                drained = instance.id if instance is not None else fleet.id
                goal = FleetGoal(empties=drained if change.action == "drain" else None)
                request = partial(
                    cordoning.carry_out, source.client, base, change, self._changing.store
                )
                self._changing.carry_out(
                    source, change.name, lambda user: request(user=user), key=base.id, goal=goal
                )

        question.show(
            AskScreen(
                f"{change.action.capitalize()} {change.name} in {self._app.place}",
                [
                    *warnings(drain_warnings(plan), self._app.glyphs),
                    *(literal(line) for line in plan_lines(change, known, plan, outcome)),
                ],
                (Choice("cancel", "Cancel"), Choice(change.action, change.action.capitalize())),
                confirm=fleet.name if self._app.protected else None,
                ascii_only=self._app.ascii,
            ),
            f"The {change.action} of {change.name}",
            answered,
        )
