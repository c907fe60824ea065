"""Stopping runs from a screen, aborting them, and deleting those that have ended."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from dstack_api_client.edits.base.base import read_run
from dstack_api_client.edits.errors import EndedError
from dstack_api_client.edits.perform import stopping
from dstack_api_client.edits.perform.stopping import StopAction
from dstack_api_client.model.every_run import Run
from dstack_fleets_tui.changes.service import Changing
from dstack_fleets_tui.host.host import Host
from dstack_fleets_tui.output.stopping import stop_lines, stop_title
from dstack_fleets_tui.screens.parts.asking import AskScreen
from dstack_fleets_tui.screens.parts.questions import Question, ask
from dstack_widgets.drawing.text import literal
from dstack_widgets.inputs.choices import Choice


class Stops:
    """Ends runs for the screens of an app.

    Args:
        app: The app.
        changing: What all changes share.
    """

    def __init__(self, app: Host, changing: Changing) -> None:
        self._app = app
        self._changing = changing

    def stop(self, run: Run) -> None:
        """Says what ends with a run, and asks; of one that has ended, whether to delete it."""
        if self._changing.may():
            sign = f"Reading {run.name}."
            self._changing.begin(partial(self._ask, run, ask(self._app)), sign)

    async def _ask(self, run: Run, question: Question) -> None:
        source, snapshot = question.session.source, question.session.snapshot
        if source is None or snapshot is None:
            return
        base = await read_run(source.client, source.project, run.name)
        if base.id != run.id:
            raise EndedError(
                f"{run.name} is another run now; nothing was done.", "Look at it first."
            )
        run, actions = replace(run, status=base.status), stopping.fitting(base.status)

        def answered(key: str | None) -> None:
            action: StopAction | None = next((each for each in actions if each == key), None)
            if action is not None:
                request = partial(
                    stopping.carry_out, source.client, base, action, self._changing.store
                )
                self._changing.carry_out(
                    source,
                    base.target.name,
                    lambda user: request(user=user),
                    key=base.id,
                    ends=True,
                )

        question.show(
            AskScreen(
                f"{stop_title(actions[0], run)} in {self._app.place}",
                [literal(line) for line in stop_lines(run, snapshot, actions)],
                (
                    Choice("cancel", "Cancel"),
                    *(Choice(action, action.capitalize()) for action in actions),
                ),
                confirm=run.name if self._app.protected else None,
                ascii_only=self._app.ascii,
            ),
            f"The question about {run.name}",
            answered,
        )
