"""The editor of a running service: its lanes and counts, and beside them what would follow."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime

from textual import work
from textual.containers import Horizontal, VerticalScroll
from textual.content import Content
from textual.events import Resize
from textual.widget import Widget
from textual.widgets import Static

from dstack_api_client.edits import base as bases
from dstack_api_client.edits import checks, dryrun, undoing
from dstack_api_client.edits.checks import FieldName, Problem
from dstack_api_client.edits.difference import difference
from dstack_api_client.edits.errors import (
    ConflictError,
    EditError,
    InvalidEditError,
    NotKeptError,
)
from dstack_api_client.edits.planning import Plan, make_plan
from dstack_api_client.edits.service import ServiceEdit, what_is_missing
from dstack_api_client.errors import ApiError
from dstack_fleets_tui import actions, formatting
from dstack_fleets_tui.editing import form, outlook
from dstack_fleets_tui.screens.asking import AskScreen, PickScreen
from dstack_fleets_tui.screens.base import LiveScreen
from dstack_fleets_tui.screens.conflict import ConflictScreen
from dstack_fleets_tui.screens.plan import PlanScreen
from dstack_widgets.choices import Choice
from dstack_widgets.edit_grid import EditGrid, Place
from dstack_widgets.findings import Finding, Findings
from dstack_widgets.flow import Flow
from dstack_widgets.palette import style_of
from dstack_widgets.text import literal

#: Cells from which the outlook stands beside the fields.
_WIDE = 110
#: Lines that are at most taken for what is wrong.
_FINDINGS = 6


class EditScreen(LiveScreen):
    """Edits one service. What is typed is checked at once and kept as a draft.

    Args:
        name: The service's name.
        key: The id of its run.
        edit: An edit to go on with; without it the service is read, and a draft offered.
        conflict: What somebody else changed meanwhile, to be settled first.
    """

    name_of_screen = actions.EDIT
    BINDINGS = list(actions.bindings(actions.EDIT))
    CSS_PATH = "edit.tcss"

    def __init__(
        self,
        name: str,
        key: str,
        edit: ServiceEdit | None = None,
        *,
        conflict: ConflictError | None = None,
    ) -> None:
        super().__init__()
        self._conflict_first = conflict
        self._service = name
        self.key = key
        self.edit = edit
        self._provisional: ServiceEdit | None = None
        self._typing: Problem | None = None
        self._failure = ""
        self._drafted: datetime | None = None
        self._planning = False

    def body(self) -> Iterable[Widget]:
        """The fields, what would follow, and what is wrong."""
        glyphs = self.fleets_app.glyphs
        yield Flow(id="head", most=2, glyphs=glyphs)
        with Horizontal(id="both"):
            with VerticalScroll(id="form", can_focus=False):
                yield EditGrid(glyphs=glyphs, accepts=self._accepts, other_key=self._key)
            with VerticalScroll(id="outlook", can_focus=False):
                yield Static(Content(), id="follows", markup=False)
        yield Findings(glyphs=glyphs, id="findings")

    def on_mount(self) -> None:
        """Reads the service anew: what is edited must be what is there."""
        self._arrange(self.app.size.width)
        self.query_one(EditGrid).focus()
        if self.edit is None:
            self._begin()
        elif self._conflict_first is not None:
            self._conflict(self.edit, self._conflict_first)

    def on_resize(self, event: Resize) -> None:
        """Puts the outlook below the fields where there is no room beside them."""
        self._arrange(event.size.width)

    def _arrange(self, width: int) -> None:
        self.query_one("#both").set_class(width < _WIDE, "-narrow")

    @property
    def grid(self) -> EditGrid:
        """The fields."""
        return self.query_one(EditGrid)

    @work(exclusive=True, group="edit")
    async def _begin(self) -> None:
        source, snapshot = self.fleets_app.source, self.snapshot
        if source is None or snapshot is None:
            self._fail("The server has not been read yet. Go back and try again.")
            return
        try:
            base = await bases.read_service(source.client, source.project, self._service)
            base.refuse_gone()
            edit = ServiceEdit.begin(base, snapshot.capabilities)
            draft = undoing.reopened(self.fleets_app.changing.store, base, snapshot.capabilities)
        except ApiError as error:
            self._fail(str(error))
            return
        self.edit = edit
        self.fill()
        if draft is not None and draft.edit.changed:
            self._offer(draft)

    def _fail(self, text: str) -> None:
        self._failure = text
        self.fill()

    def _offer(self, draft: undoing.Draft[ServiceEdit]) -> None:
        """Offers to go on with what was begun earlier."""
        at = draft.kept.at.astimezone()
        lines = [literal(f"It was left at {at:%Y-%m-%d %H:%M:%S}.")]
        lines += [
            literal(f"~ {change}", style_of("accent")) for change in self._change_lines(draft.edit)
        ]
        if draft.base_moved:
            text = "The service was changed since: the draft is put on top of what is there now."
            lines.append(literal(text, style_of("warn")))
        if draft.left_out:
            names = ", ".join(draft.left_out)
            lines.append(literal(f"Not kept, since it may hold a secret: {names}.", "dim"))

        def answered(key: str | None) -> None:
            if key == "continue":
                self._change(draft.edit)
            elif key == "drop":
                self._drop_draft()

        choices = (Choice("continue", "Go on with it"), Choice("drop", "Begin anew"))
        title = f"A draft of {self._service} is kept"
        self.app.push_screen(AskScreen(title, lines, choices, ascii_only=self._ascii), answered)

    @staticmethod
    def _change_lines(edit: ServiceEdit) -> Sequence[str]:
        found = difference(edit.base.spec, edit.spec, "service", edit.capabilities)
        return [f"{change.name}  {change.old} to {change.new}" for change in found]

    @property
    def _ascii(self) -> bool:
        return self.fleets_app.ascii

    # Showing ------------------------------------------------------------------------------

    def focus_on(self) -> None:
        """The service that is edited is open."""
        self.fleets_app.focus_on(opened_service=self.key)

    def show_note(self) -> None:
        """There is no table here, and nothing to note of one."""

    def fill(self) -> None:
        """Shows the edit, what is wrong with it, and what would follow."""
        self._show_head()
        edit = self._provisional or self.edit
        if edit is None:
            text = self._failure or f"Reading {self._service}."
            self.query_one("#follows", Static).update(literal(text))
            return
        problems = [*self._problems(edit), *([self._typing] if self._typing else ())]
        self.grid.show(form.rows(edit, problems, self.fleets_app.glyphs))
        self._show_findings(edit, problems)
        self._show_outlook(edit, problems)

    def _problems(self, edit: ServiceEdit) -> Sequence[Problem]:
        snapshot = self.snapshot
        known = checks.known_fleets(snapshot) if snapshot and snapshot.complete else None
        return checks.problems(edit, known)

    def _show_head(self) -> None:
        parts = [literal(f"Edit {self._service}", style_of("strong"))]
        if self.edit is not None:
            age = formatting.age(self.edit.base.read_at, self.fleets_app.now())
            text = f"deployment {self.edit.base.deployment}, read {age} ago"
            parts.append(literal(text, style_of("dim")))
            if not self.edit.changed:
                parts.append(literal("nothing changed yet", style_of("dim")))
            elif self._drafted is not None:
                parts.append(literal(f"draft kept {self._drafted:%H:%M:%S}", style_of("dim")))
        if self._planning:
            parts.append(literal("asking the server for its plan", style_of("starting")))
        self.query_one("#head", Flow).show(parts)

    def _show_findings(self, edit: ServiceEdit, problems: Sequence[Problem]) -> None:
        here = self._field()
        first = sorted(problems, key=lambda problem: problem.field != here)
        found = [Finding("bad", form.subject(each.field), each.line) for each in first]
        found += [Finding("warn", "", line) for line in checks.warnings(edit)]
        if not edit.can_edit_lanes:
            what, how = what_is_missing(edit.capabilities)
            found.append(Finding("dim", "", f"{what} {how}"))
        if self._failure:
            found.insert(0, Finding("bad", "", self._failure))
        findings = self.query_one(Findings)
        findings.limit(_FINDINGS)
        findings.show(found)

    def _show_outlook(self, edit: ServiceEdit, problems: Sequence[Problem]) -> None:
        follows = self.query_one("#follows", Static)
        snapshot = self.snapshot
        lines: Sequence[Content] = ()
        if problems:
            lines = [literal("Mend what is marked to see what would follow.", style_of("dim"))]
        elif snapshot is not None:
            try:
                found = dryrun.dry_run_here(edit, snapshot)
            except InvalidEditError as error:
                lines = [literal(str(error), style_of("bad"))]
            else:
                if found is not None:
                    lines = outlook.whole(found, self.fleets_app.glyphs)
        title = literal(f"now {self.fleets_app.glyphs.arrow} after", style_of("dim"))
        content = Content("\n").join([title, *lines])
        if not content.is_same(follows.content):  # type: ignore[arg-type]
            follows.update(content)

    def _field(self) -> FieldName | None:
        place = self.grid.place
        return form.field_at(self.edit, place) if place and self.edit is not None else None

    # Typing -------------------------------------------------------------------------------

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Leaves keys to the fields, which hand on what is not theirs."""
        if action == "do" and self.is_mounted and self.grid.has_focus:
            return False
        return super().check_action(action, parameters)

    def _key(self, key: str) -> bool:
        """Does what a key does that is not the fields' own."""
        for action in actions.on_screen(self.name_of_screen):
            if key in action.keys:
                self.action_do(action.id)
                return True
        return False

    def _read_field(self, place: Place, text: str) -> ServiceEdit | Problem:
        if self.edit is None:
            raise AssertionError("there are no fields before the service was read")
        field = form.field_at(self.edit, place)
        try:
            return form.typed(self.edit, field, text)
        except EditError as error:
            return Problem(field, str(error))

    def _accepts(self, place: Place, text: str) -> bool:
        return not isinstance(self._read_field(place, text), Problem)

    def on_edit_grid_typed(self, message: EditGrid.Typed) -> None:
        """Checks what is typed and shows what would follow."""
        message.stop()
        read = self._read_field(message.place, message.text)
        self._typing = read if isinstance(read, Problem) else None
        self._provisional = None if isinstance(read, Problem) else read
        self.fill()

    def on_edit_grid_finished(self, message: EditGrid.Finished) -> None:
        """Takes what was typed into the edit."""
        message.stop()
        read = self._read_field(message.place, message.text)
        if not isinstance(read, Problem):
            self._change(read)

    def on_edit_grid_taken_back(self, message: EditGrid.TakenBack) -> None:
        """Shows the edit as it was before the field."""
        message.stop()
        self._typing = self._provisional = None
        self.fill()

    def on_edit_grid_moved(self, message: EditGrid.Moved) -> None:
        """Says first what is wrong with the field under the cursor."""
        message.stop()
        if self.edit is not None:
            self._show_findings(self.edit, self._problems(self.edit))

    def _change(self, edit: ServiceEdit) -> None:
        """Takes another edit, and keeps it as a draft."""
        self._typing = self._provisional = None
        self._failure = ""
        self.edit = edit
        self._keep_draft()
        self.fill()

    def _keep_draft(self) -> None:
        edit, store = self.edit, self.fleets_app.changing.store
        if edit is None:
            return
        try:
            if edit.changed:
                store.keep_draft(edit.base, edit.spec)
                self._drafted = self.fleets_app.now().astimezone()
            else:
                store.drop_draft(edit.base.target)
                self._drafted = None
        except NotKeptError as error:
            self._drafted = None
            self.fleets_app.warn(f"The draft could not be kept. {error}")

    def _drop_draft(self) -> None:
        if self.edit is not None:
            try:
                self.fleets_app.changing.store.drop_draft(self.edit.base.target)
            except NotKeptError as error:
                self.fleets_app.warn(str(error))

    # Actions ------------------------------------------------------------------------------

    def do_back(self, argument: str) -> None:
        """Leaves; what was changed stays as a draft."""
        if self.edit is not None and self.edit.changed:
            self.notify(f"The draft of {self._service} is kept.", markup=False)
        self.app.pop_screen()

    def _try(self, change: Callable[[ServiceEdit], ServiceEdit]) -> bool:
        """Changes the edit, or says why that can't be."""
        if self.edit is None or not self.grid.leave_field():
            return False
        try:
            self._change(change(self.edit))
        except EditError as error:
            self.notify(str(error), severity="warning", markup=False)
            return False
        return True

    def _pool_and_lane(self) -> tuple[str, str | None]:
        """The pool under the cursor and, where the cursor is on a lane, its fleet."""
        field = self._field()
        if field is None or self.edit is None:
            return "", None
        if field.fleet is not None:
            return field.pool, field.fleet
        return (field.pool if field.pool in self.edit.pools else ""), None

    def _move(self, by: int) -> None:
        pool, fleet = self._pool_and_lane()
        if fleet is None:
            self.notify("Put the cursor on a lane to move it.", markup=False)
        else:
            self._try(lambda edit: edit.move_lane(pool, fleet, by))

    def do_lane_up(self, argument: str) -> None:
        """Has a lane filled earlier."""
        self._move(-1)

    def do_lane_down(self, argument: str) -> None:
        """Has a lane filled later."""
        self._move(1)

    def do_add_lane(self, argument: str) -> None:
        """Adds a lane: of the named fleet, or of one that is picked."""
        edit, snapshot = self.edit, self.snapshot
        if edit is None or snapshot is None:
            return
        if not edit.can_edit_lanes:
            self.notify(" ".join(what_is_missing(edit.capabilities)), markup=False)
            return
        pool, _ = self._pool_and_lane()

        def add(fleet: str | None) -> None:
            if fleet is not None and self._try(lambda edit: edit.add_lane(pool, fleet)):
                self.grid.go_to(form.place_of(FieldName("priority", pool, fleet)))

        names = form.addable(edit, pool, checks.known_fleets(snapshot))
        if argument:
            add(argument)
        elif names:
            about = [(name, self._about(name)) for name in names]
            title = f"Add a lane to {pool or self._service}"
            self.app.push_screen(PickScreen(title, about, ascii_only=self._ascii), add)
        else:
            self.notify("Every fleet of the project has a lane already.", markup=False)

    def _about(self, name: str) -> str:
        fleet = self.snapshot.fleet_named(name.rpartition("/")[2]) if self.snapshot else None
        if fleet is None:
            return ""
        nodes = formatting.span(fleet.nodes_min, fleet.nodes_max)
        gpus = f"{fleet.gpu_name} {formatting.count(fleet.gpus_busy)}/" if fleet.gpu_name else ""
        total = formatting.count(fleet.gpus_total) if fleet.gpu_name else ""
        return f"{fleet.kind}  nodes {nodes}  {gpus}{total}".rstrip()

    def do_remove_lane(self, argument: str) -> None:
        """Removes the lane under the cursor."""
        pool, fleet = self._pool_and_lane()
        if fleet is None:
            self.notify("Put the cursor on a lane to remove it.", markup=False)
        else:
            self._try(lambda edit: edit.remove_lane(pool, fleet))

    def do_own_lanes(self, argument: str) -> None:
        """Gives the group under the cursor lanes of its own, or takes them away."""
        field = self._field()
        group = next(
            (g for g in (self.edit.groups if self.edit else ()) if field and g.name == field.pool),
            None,
        )
        if group is None or not group.named:
            self.notify("Put the cursor on a replica group.", markup=False)
        else:
            self._try(lambda edit: edit.with_own_lanes(group.name, own=not group.own_lanes))

    def do_reset(self, argument: str) -> None:
        """Takes all changes back."""
        if self.edit is not None:
            self._change(ServiceEdit.begin(self.edit.base, self.edit.capabilities))

    def do_text(self, argument: str) -> None:
        """Opens the configuration as text."""
        if self.edit is not None and self.grid.leave_field():
            self.fleets_app.changing.as_text(self.edit, self._change)

    def do_plan(self, argument: str) -> None:
        """Asks the server for its plan."""
        edit = self.edit
        if edit is None or not self.grid.leave_field():
            return
        problems = self._problems(edit)
        if problems:
            self.grid.go_to(form.place_of(problems[0].field))
            self.notify("Mend what is marked first.", severity="warning", markup=False)
        elif not edit.changed:
            self.notify("Nothing is changed yet.", markup=False)
        else:
            self._plan(edit)

    @work(exclusive=True, group="edit")
    async def _plan(self, edit: ServiceEdit) -> None:
        source, snapshot = self.fleets_app.source, self.snapshot
        if source is None:
            return
        self._planning, self._failure = True, ""
        self._show_head()
        try:
            plan = await make_plan(source.client, edit, snapshot=snapshot)
        except ConflictError as error:
            self._conflict(edit, error)
        except ApiError as error:
            self._failure = str(error)
        else:
            self._planned(plan)
        finally:
            self._planning = False
            self.fill()

    def _planned(self, plan: Plan) -> None:
        if not plan.changes:
            self._change(plan.edit)
            self.notify("The server has all of this already.", markup=False)
            return

        def apply() -> None:
            self.fleets_app.changing.apply(plan, under=self)

        self.app.push_screen(PlanScreen(plan, apply))

    def _conflict(self, edit: ServiceEdit, error: ConflictError) -> None:
        def go_on(spec: dict[str, object] | None) -> None:
            if spec is not None:
                self._change(ServiceEdit(error.three_way.theirs, edit.capabilities, spec))
                self.do_plan("")

        self.app.push_screen(ConflictScreen(error, ascii_only=self._ascii), go_on)
