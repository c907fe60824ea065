"""What would be left without some capacity, or with more replicas, while the project goes on."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from time import monotonic

from textual.widget import Widget

from dstack_api_client.analysis.unplaced import unplaced
from dstack_api_client.errors import ApiError
from dstack_api_client.model.labels import counted, labels_of, share_of
from dstack_api_client.model.service import Service
from dstack_api_client.model.snapshot import Snapshot
from dstack_api_client.whatif import Loss, Outcome, loss_of, places_of
from dstack_fleets_tui.actions import actions, places
from dstack_fleets_tui.actions.commands import CommandError
from dstack_fleets_tui.live.session import Session
from dstack_fleets_tui.names.whatif_question import Question, answer
from dstack_fleets_tui.screens.lists import ListScreen
from dstack_fleets_tui.screens.parts.asking import PickScreen
from dstack_fleets_tui.screens.parts.base import LiveScreen
from dstack_fleets_tui.tables import whatif
from dstack_widgets.drawing.palette import style_of
from dstack_widgets.drawing.text import literal
from dstack_widgets.inputs.command_line import CommandLine
from dstack_widgets.panels.findings import Findings
from dstack_widgets.panels.flow import Flow
from dstack_widgets.table.cells import Cells

#: An answer that takes longer than so many seconds is not made again for so many times that long.
_SLOW, _PAUSE = 0.05, 20


class WhatIfScreen(ListScreen):
    """What becomes of each service that a loss, or another count, concerns.

    Args:
        question: What is asked.
        row: The id of the service to put the cursor on.
    """

    name_of_screen = places.WHATIF
    columns = whatif.COLUMNS
    thing = "service"
    BINDINGS = list(actions.bindings(places.WHATIF))

    def __init__(self, question: Question, row: str | None = None) -> None:
        super().__init__()
        self._question = question
        self._row = row
        self._answered: Snapshot | None = None
        self._loss = Loss()
        self._outcomes: Mapping[str, Outcome] = {}
        self._failure = ""
        self._pausing = False

    def body(self) -> Iterable[Widget]:
        """The question with its answer in short, a row per service, and what is to be said."""
        yield Flow(id="asked", glyphs=self.fleets_app.glyphs)
        yield from super().body()
        yield Findings(id="findings", glyphs=self.fleets_app.glyphs)

    def ask(self, question: Question, row: str | None = None) -> None:
        """Asks something else."""
        self._question, self._row, self._answered, self._pausing = question, row, None, False
        self.focus_on()
        self.fill()

    def focus_on(self) -> None:
        """Any service may be concerned, and any fleet has the room."""
        snapshot = self.snapshot
        running = (
            [each.id for each in snapshot.services.values() if not each.finished]
            if (snapshot)
            else ()
        )
        self.fleets_app.focus_on(services=running, fleets=snapshot.fleets if snapshot else ())

    def fill(self) -> None:
        """Answers for what is known now."""
        snapshot = self.snapshot
        if snapshot is not None and snapshot is not self._answered and not self._pausing:
            begun = monotonic()
            self._answer(snapshot)
            took = monotonic() - begun
            if took > _SLOW:
                self._pausing = True
                self.set_timer(_PAUSE * took, self._go_on)
        super().fill()
        if self._row is not None and self.table.move_cursor_to(self._row):
            self._row = None
        told = whatif.head(
            self._loss, self._question.counts, [*self._outcomes.values()], self.looks
        )
        self.query_one("#asked", Flow).show([literal(text, style_of(each)) for each, text in told])

    def _go_on(self) -> None:
        """Answers for what came meanwhile."""
        self._pausing = False
        if self.is_active and self.is_laid_out:
            self.fill()

    def _answer(self, snapshot: Snapshot) -> None:
        self._answered, self._failure = snapshot, ""
        try:
            self._loss, outcomes = answer(snapshot, self._question)
        except ApiError as error:  # it is gone meanwhile
            self._failure = f"{error.message} {error.hint}"
            self._loss, outcomes = Loss(), []
        self._outcomes = {each.service.id: each for each in outcomes}

    def rows(self, session: Session, snapshot: Snapshot) -> Mapping[str, Cells]:
        """A row per service, those that fail first."""
        looks = self.looks
        ordered = sorted(
            self._outcomes.items(), key=lambda each: (not each[1].fails, each[1].service.name)
        )
        return {key: whatif.cells(each, looks) for key, each in ordered}

    def empty_text(self) -> str:
        """Says that nothing is lost, or that what is asked about is gone."""
        snapshot = self.snapshot
        if snapshot is None or not snapshot.complete:
            return super().empty_text()
        return self._failure or "No service is affected."

    def summary(self, snapshot: Snapshot, key: str) -> str:
        """Nothing: what is to be said takes more than a line."""
        return ""

    def _summarise(self) -> None:
        super()._summarise()
        snapshot, key = self.snapshot, self.table.cursor_key
        notes = []
        if snapshot is not None:
            unread = [name for key, name in unplaced(snapshot).items() if key in self._outcomes]
            notes = [f"The placement of {name} is not read yet." for name in unread]
        said = whatif.findings(self._outcomes.get(key or ""), [*self._outcomes.values()], notes)
        panel = self.query_one("#findings", Findings)
        panel.display = bool(said)
        panel.show(said)

    def open(self, key: str) -> None:
        """Opens the service."""
        self.fleets_app.open_service(key)

    def named(self, snapshot: Snapshot) -> Mapping[str, str]:
        """The services that are concerned, by name."""
        return {each.service.name: key for key, each in self._outcomes.items()}


def ask_what_if(screen: LiveScreen, argument: str) -> None:
    """Answers what was typed, else what the row under the cursor is about.

    A fleet or an instance is what is lost; of a service, and where neither is at hand, it is picked
    what is lost.

    Args:
        screen: The screen in front.
        argument: What is lost and how many replicas are asked for: `gpu-spot chat=9`.

    Raises:
        CommandError: There is nothing of a name.
    """
    snapshot = screen.snapshot
    if snapshot is None:
        return
    at_hand = screen.service_at_hand()
    service = snapshot.services.get(at_hand[1]) if at_hand is not None else None
    row = service.id if service is not None else None
    fleet, instance = screen.fleet_at_hand(), screen.instance_at_hand()
    if argument:
        question = _typed(argument)
        try:
            answer(snapshot, question)
        except ApiError as error:
            raise CommandError(f"{error.message} {error.hint}") from error
        _show(screen, question, row)
    elif fleet is not None:
        name = fleet.name if instance is None else f"{fleet.name}/{instance.num}"
        _show(screen, Question([name]), row)
    else:
        _pick(screen, snapshot, service)


def _typed(argument: str) -> Question:
    words = argument.split()
    return Question(
        [each for each in words if "=" not in each], [each for each in words if "=" in each]
    )


def _show(screen: LiveScreen, question: Question, row: str | None) -> None:
    if isinstance(screen, WhatIfScreen):
        screen.ask(question, row)
    else:
        screen.app.push_screen(WhatIfScreen(question, row))


def _pick(screen: LiveScreen, snapshot: Snapshot, service: Service | None) -> None:
    """Has somebody pick what is lost, or ask for another number of replicas of a service."""
    app = screen.fleets_app
    offered: dict[str, tuple[str, Callable[[], None]]] = {}
    row = service.id if service is not None else None
    for name in places_of(snapshot):
        if about := _about(snapshot, name, service):
            offered[name] = (about, partial(_show, screen, Question([name]), row))
    if service is not None:
        labels = labels_of(service.groups)
        for group in service.groups:
            label = labels.get(group.name)
            of_group = f"{service.name}/{group.name}" if label else service.name
            now = counted(group.running, "replica")
            offered[f"replicas of {label}" if label else "replicas"] = (
                f"{now} now; ask for another number",
                partial(screen.query_one(CommandLine).open, f"whatif {of_group}="),
            )

    def picked(name: str | None) -> None:
        if name is not None:
            offered[name][1]()

    title = f"What if {service.name} lost this?" if service is not None else "What if this is lost?"
    names = [(name, about) for name, (about, _) in offered.items()]
    app.push_screen(PickScreen(title, names, ascii_only=app.ascii), picked)


def _about(snapshot: Snapshot, name: str, service: Service | None) -> str:
    """How many replicas are there; empty where a service has none there."""
    loss = loss_of(snapshot, [name])
    services: Sequence[Service] = [*snapshot.services.values()] if service is None else [service]
    every = [each for one in services for each in snapshot.active_in(one) if each.standing]
    lost = sum(loss.takes(each) for each in every)
    if service is None:
        return counted(lost, "replica")
    return f"{share_of(lost, len(every), 'replica')} there" if lost else ""
