"""The ways to change fleets from a screen: edit, undo, make, delete."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

from dstack_api_client.edits.base import base as bases
from dstack_api_client.edits.errors import EndedError, InvalidEditError
from dstack_api_client.edits.fleet import fleets
from dstack_api_client.edits.fleet.fleet import refusal
from dstack_api_client.edits.fleet.fleet_effects import can_be_deleted, idle_instances
from dstack_api_client.edits.fleet.fleets import FleetPlan
from dstack_api_client.edits.fleet.new_fleets import TEMPLATES, plan_new_fleet
from dstack_api_client.edits.follow.following_fleets import FleetGoal
from dstack_api_client.edits.perform import undoing
from dstack_api_client.edits.perform.deleting import delete
from dstack_api_client.edits.perform.performing import Performed
from dstack_api_client.errors import ApiError
from dstack_api_client.model.fleet import Fleet, Instance
from dstack_api_client.model.labels import borrowers, counted
from dstack_api_client.model.occupants import namesakes
from dstack_api_client.model.service import Service
from dstack_api_client.model.snapshot import Snapshot
from dstack_api_client.yaml_text import LONGEST
from dstack_fleets_tui.changes.service import Changing
from dstack_fleets_tui.editing.texts import Editing
from dstack_fleets_tui.host.host import Host
from dstack_fleets_tui.live.source import Source
from dstack_fleets_tui.screens.edit.fleet import FleetEditScreen
from dstack_fleets_tui.screens.edit.plan import PlanScreen
from dstack_fleets_tui.screens.parts.asking import AskScreen, PickScreen
from dstack_fleets_tui.screens.parts.questions import Question, ask
from dstack_fleets_tui.words import formatting, words
from dstack_placement.engine import ServiceSpec, mapping
from dstack_widgets.drawing.palette import style_of
from dstack_widgets.drawing.text import literal
from dstack_widgets.inputs.choices import Choice
from dstack_widgets.inputs.command_line import CommandLine

#: Instances that are named where some are deleted; the others are counted.
_NAMED = 12
_FILE, _WHOLE, _CHOSEN, _IDLE = "file", "fleet", "these", "all idle"
_FOR_GOOD = "This can't be undone."


class FleetChanges:
    """Begins changes of fleets for the screens of an app.

    Args:
        app: The app.
        changing: What all changes share.
    """

    def __init__(self, app: Host, changing: Changing) -> None:
        self._app = app
        self._changing = changing

    def edit(self, fleet: Fleet) -> None:
        """Opens the editor of a fleet, or says why it can't be edited."""
        if not self._changing.may():
            return
        project = self._app.project
        configuration = mapping(fleet.spec.get("configuration"))
        why = refusal(fleet.name, configuration, owner=fleet.project, project=project)
        if why is None:
            self._app.push_screen(FleetEditScreen(fleet.name, fleet.id))
        else:
            self._refuse(f"{fleet.name} can't be edited here", why)

    def undo(self, fleet: Fleet) -> None:
        """Plans the way back from what was applied last to a fleet."""
        if not self._changing.may():
            return
        project = self._app.project
        why = refusal(fleet.name, {}, owner=fleet.project, project=project)
        if why is None:
            sign = f"Reading the last change of {fleet.name}."
            self._changing.begin(partial(self._undo, fleet.name, ask(self._app)), sign)
        else:
            self._refuse(f"{fleet.name} can't be edited here", why)

    def new(self, what: str) -> None:
        """Makes a fleet.

        Args:
            what: A template or the path of a configuration file; where it is empty, it is asked.
        """
        if not self._changing.may():
            return
        if not what:
            about = [
                ("cloud", "a template: instances that the server starts and ends"),
                ("ssh", "a template: hosts that are there already"),
                (_FILE, "a configuration file"),
            ]
            question = ask(self._app)

            def picked(what: str | None) -> None:
                if question.on_screen:
                    self._picked(what)

            screen = PickScreen("Create a fleet from", about, ascii_only=self._app.ascii)
            self._app.push_screen(screen, picked)
        elif what in TEMPLATES:
            self._plan_text(f"a new {what} fleet", TEMPLATES[what])
        else:
            path = Path(what).expanduser()
            self._changing.begin(partial(self._from_file, path, ask(self._app)))

    def delete(self, fleet: Fleet) -> None:
        """Deletes a fleet, once it was read who borrows it and its name was typed."""
        if self._may_delete(fleet):
            sign = f"Reading which projects {fleet.name} is exported to."
            self._changing.begin(partial(self._delete, fleet, ask(self._app)), sign)

    def delete_some(self, fleet: Fleet, chosen: Sequence[Instance]) -> None:
        """Asks whether instances or the whole fleet are meant, and deletes them.

        Args:
            fleet: The fleet.
            chosen: Its instances that are selected or under the cursor.
        """
        snapshot = self._app.snapshot
        if not self._may_delete(fleet) or snapshot is None:
            return
        idle = idle_instances(snapshot, fleet.id)
        # A host that could not be set up is in the server's list until somebody deletes it.
        can = [each for each in chosen if can_be_deleted(each) or each in fleet.failed]
        busy = len(chosen) - len(can)
        about = []
        if can:
            left = f" ({busy} more can't be: in use or ending)" if busy else ""
            about.append((_CHOSEN, f"{_names(can)}{left}"))
        if idle and set(idle) != set(can):
            about.append((_IDLE, f"{_names(idle)}"))
        about.append((_WHOLE, f"{fleet.name} with all of its instances"))
        question = ask(self._app)

        def picked(what: str | None) -> None:
            if not question.on_screen:
                return
            if what == _WHOLE:
                self.delete(fleet)
            elif what is not None:
                self._delete_instances(fleet, can if what == _CHOSEN else idle)

        if len(about) == 1:
            self._app.notify("There is no unused instance to delete.", markup=False)
        title = f"What to delete of {fleet.name}"
        self._app.push_screen(PickScreen(title, about, ascii_only=self._app.ascii), picked)

    # How ----------------------------------------------------------------------------------

    def _may_delete(self, fleet: Fleet) -> bool:
        if not self._changing.may():
            return False
        project = self._app.project
        why = refusal(fleet.name, {}, owner=fleet.project, project=project)
        if why is not None:
            self._refuse(f"{fleet.name} can't be deleted here", why)
        return why is None

    def _refuse(self, title: str, why: tuple[str, str]) -> None:
        lines = [literal(why[0]), literal(why[1], style_of("dim"))]
        choices = (Choice("back", "Back"),)
        self._app.push_screen(AskScreen(title, lines, choices, ascii_only=self._app.ascii))

    async def _undo(self, name: str, question: Question) -> None:
        source, snapshot = question.session.source, question.session.snapshot
        if source is None:
            return
        base = await bases.read_fleet(source.client, source.project, name)
        found = undoing.undo_fleet(self._changing.store, base)
        found.refuse_unkept()
        plan = await fleets.plan_fleet(source.client, found.edit, snapshot=snapshot)
        self._changing.show_way_back(found, plan, question)

    # New fleets

    def _picked(self, what: str | None) -> None:
        if what == _FILE:
            self._app.screen.query_one(CommandLine).open("new_fleet ")
        elif what is not None:
            self.new(what)

    async def _from_file(self, path: Path, question: Question) -> None:
        try:
            text = await asyncio.to_thread(_text_of, path)
        except (OSError, ValueError) as error:
            why = error.strerror if isinstance(error, OSError) else str(error)
            line = f"{path} can't be read: {why}. Name a configuration file, or cloud or ssh."
            raise InvalidEditError([line]) from error
        if not question.refuse_late(f"The file {path}"):
            self._plan_text(str(path), text, is_file=True)

    def _plan_text(self, name: str, text: str, *, is_file: bool = False) -> None:
        """Plans a text once it can be read; it is kept until it is applied."""

        async def read(source: Source, text: str) -> FleetPlan:
            return await plan_new_fleet(source.client, source.project, text, os.environ)

        def planned(plan: FleetPlan) -> None:
            def apply() -> None:
                self._changing.apply(plan, on_done=lambda: self._changing.texts.discard(name))

            self._app.push_screen(PlanScreen(plan, apply))

        self._changing.as_text(
            Editing(
                name,
                name,
                text,
                read,
                planned,
                first=not is_file,
                as_it_is=is_file,
                until_applied=True,
            )
        )

    # Deleting

    async def _delete(self, fleet: Fleet, question: Question) -> None:
        source, snapshot = question.session.source, question.session.snapshot
        if source is None or snapshot is None:
            return
        lines = list(_about_deletion(fleet, snapshot))
        lines += await _about_borrowers(fleet, source)
        title = f"Delete fleet {fleet.name} in {self._app.place}"
        self._ask(fleet, title, lines, (), question)

    def _delete_instances(self, fleet: Fleet, chosen: Sequence[Instance]) -> None:
        lines = []
        for instance in chosen[:_NAMED]:
            price = f"  {formatting.price(instance.price)} $/h" if instance.price else ""
            what = instance.instance_type or ""
            if instance in fleet.failed:
                what = "not set up"
            elif instance.state != "idle":
                what = f"{what} {instance.state}".strip()
            lines.append(f"{instance.name}  {what}{price}")
        if len(chosen) > _NAMED:
            lines.append(f"and {len(chosen) - _NAMED} more")
        lines += self._namesakes(chosen)
        least = fleet.nodes_min or 0
        if fleet.kind == "cloud" and len(fleet.instance_ids) - len(chosen) < least:
            lines.append(f"The fleet keeps {least}: the server will start others in their place.")
        kind = "idle instance" if all(each.status == "idle" for each in chosen) else "instance"
        title = f"Delete {counted(len(chosen), kind)} of {fleet.name} in {self._app.place}"
        self._ask(fleet, title, lines, chosen, ask(self._app))

    def _namesakes(self, chosen: Sequence[Instance]) -> Iterator[str]:
        """Instances that go with the chosen ones: the server takes numbers, not names."""
        snapshot, ids = self._app.snapshot, {instance.id for instance in chosen}
        if snapshot is None:
            return
        for instance in chosen:
            for other in namesakes(instance, snapshot):
                if other.id not in ids:
                    yield (
                        f"{other.hostname or other.name} ({other.status}) has the number"
                        f" {instance.num} too, and is deleted with it."
                    )

    def _ask(
        self,
        fleet: Fleet,
        title: str,
        lines: Sequence[str],
        chosen: Sequence[Instance],
        question: Question,
    ) -> None:
        def answered(key: str | None) -> None:
            if key == "delete":
                self._carry_out(fleet, chosen, question)

        question.show(
            AskScreen(
                title,
                [literal(line) for line in lines],
                (Choice("cancel", "Cancel"), Choice("delete", "Delete")),
                confirm=fleet.name,
                why=_FOR_GOOD,
                ascii_only=self._app.ascii,
            ),
            f"The question about deleting {fleet.name}",
            answered,
        )

    def _carry_out(self, fleet: Fleet, chosen: Sequence[Instance], question: Question) -> None:
        source = question.session.source
        numbers = [instance.num for instance in chosen]
        if source is None:
            return

        async def request(user: str) -> Performed:
            base = await bases.read_fleet(source.client, source.project, fleet.name)
            if base.id != fleet.id:
                raise EndedError(
                    f"{fleet.name} is another fleet now; nothing was deleted.", "Look at it first."
                )
            return await delete(source.client, base, self._changing.store, numbers, user=user)

        goal = FleetGoal(ends=frozenset(each.id for each in chosen), gone=not chosen)
        self._changing.carry_out(source, fleet.name, request, key=fleet.id, goal=goal)


def _about_deletion(fleet: Fleet, snapshot: Snapshot) -> Iterator[str]:
    states = words.states(fleet)
    ends = "releases its hosts" if fleet.kind == "ssh" else "ends them"
    if states:
        yield f"Its instances: {states}. The server {ends}."
    else:
        yield "It has no instances."
    if fleet.replicas or fleet.other_jobs:
        yield "It is in use: the server will refuse until nothing runs there."
    else:
        yield from words.used_by_others(fleet, snapshot)
    named = sorted(e.name for e in snapshot.services.values() if _names_fleet(e, fleet.name))
    if named:
        yield f"Its name is in `fleets` of {', '.join(named)}."


async def _about_borrowers(fleet: Fleet, source: Source) -> Sequence[str]:
    try:
        names = await source.client.exports.borrowers(source.project, fleet.id)
    except ApiError as error:
        return (f"It is not known which projects it is exported to: {error}",)
    if not names:
        return ()
    return (f"It is exported to {borrowers(names)}, which will lose it.",)


def _names_fleet(service: Service, name: str) -> bool:
    """Whether a service that goes on may use a fleet by its name."""
    read = ServiceSpec.of(service.spec, project=service.project)
    return not service.finished and name in read.named_fleets


def _names(instances: Sequence[Instance]) -> str:
    names = ", ".join(instance.name for instance in instances[:3])
    return names + (f" and {len(instances) - 3} more" if len(instances) > 3 else "")


def _text_of(path: Path) -> str:
    """The text of a configuration file.

    Raises:
        OSError: It can't be read.
        ValueError: It is not text, or too long; the text says which.
    """
    with path.open("rb") as file:
        data = file.read(LONGEST + 1)
    if len(data) > LONGEST:
        raise ValueError(f"it is longer than {LONGEST >> 20} MiB")
    try:
        return data.decode()
    except UnicodeDecodeError:
        raise ValueError("it is not text") from None
