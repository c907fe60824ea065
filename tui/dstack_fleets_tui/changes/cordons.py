"""Taking fleets and instances out of service from a screen, and back."""

from __future__ import annotations

from functools import partial

from dstack_api_client.edits.base import base as bases
from dstack_api_client.edits.errors import EditError, EndedError
from dstack_api_client.edits.follow.following_fleets import FleetGoal
from dstack_api_client.edits.perform import cordoning
from dstack_api_client.edits.perform.cordoning import CordonAction, CordonChange
from dstack_api_client.edits.perform.performing import Performed, who
from dstack_api_client.model.fleet import Fleet, Instance
from dstack_api_client.whatif import price_of_drain
from dstack_fleets_tui.changes.service import Changing
from dstack_fleets_tui.host.host import Host
from dstack_fleets_tui.live.source import Source
from dstack_fleets_tui.output.cordons import plan_lines
from dstack_fleets_tui.screens.edit.applying import ApplyScreen
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
        self._changing.begin(partial(self._plan, change, fleet, ask(self._app)), sign)

    async def _plan(self, change: CordonChange, fleet: Fleet, question: Question) -> None:
        source, snapshot = self._app.source, self._app.snapshot
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
        known = await cordoning.cordon_of(source.client, source.project, change)
        plan, price = None, None
        if change.action == "drain":
            plan = await cordoning.drain_plan(source.client, source.project, change)
            price = price_of_drain(snapshot, plan)

        def answered(key: str | None) -> None:
            if key == change.action:
                self._carry_out(source, base, change)

        question.show(
            AskScreen(
                f"{change.action.capitalize()} {change.name} in {self._app.place}",
                [literal(line) for line in plan_lines(change, known, plan, price)],
                (Choice("cancel", "Cancel"), Choice(change.action, change.action.capitalize())),
                confirm=fleet.name if self._app.protected else None,
                ascii_only=self._app.ascii,
            ),
            f"The {change.action} of {change.name}",
            answered,
        )

    def _carry_out(self, source: Source, base: bases.Base, change: CordonChange) -> None:
        async def carry_out() -> Performed:
            user = await who(source.client)
            return await cordoning.carry_out(
                source.client, base, change, self._changing.store, user=user
            )

        screen = ApplyScreen(
            change.name,
            lambda: self._changing.keep(carry_out()),
            key=base.id,
            goal=FleetGoal(),
        )
        self._app.push_screen(screen)
