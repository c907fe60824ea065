"""What the editors of services and of fleets share: fields, drafts, the plan, conflicts."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Generic, TypeVar

from textual import work
from textual.containers import Horizontal, VerticalScroll
from textual.content import Content
from textual.events import Resize
from textual.widget import Widget
from textual.widgets import Static

from dstack_api_client.edits.base.base import Base, Kind
from dstack_api_client.edits.base.difference import changed_fields
from dstack_api_client.edits.base.merging import ConflictError
from dstack_api_client.edits.errors import EditError, InvalidEditError
from dstack_api_client.edits.fleet.fleet import FleetEdit
from dstack_api_client.edits.fleet.fleets import FleetPlan
from dstack_api_client.edits.perform import undoing
from dstack_api_client.edits.plan.planning import Plan
from dstack_api_client.edits.service.checks import FieldName, Problem
from dstack_api_client.edits.service.service import ServiceEdit
from dstack_api_client.edits.store.keeping import Store
from dstack_api_client.errors import ApiError
from dstack_api_client.model.labels import counted
from dstack_api_client.model.snapshot import Snapshot
from dstack_fleets_tui.actions import actions
from dstack_fleets_tui.editing.texts import Editing
from dstack_fleets_tui.live.source import Source
from dstack_fleets_tui.screens.edit.conflict import ConflictScreen
from dstack_fleets_tui.screens.edit.drafts import Drafts
from dstack_fleets_tui.screens.edit.plan import PlanScreen
from dstack_fleets_tui.screens.parts.base import LiveScreen
from dstack_fleets_tui.screens.parts.questions import Question, ask
from dstack_fleets_tui.words import formatting
from dstack_widgets.drawing.palette import style_of
from dstack_widgets.drawing.text import literal
from dstack_widgets.inputs.edit_grid import EditGrid, GridRow, Place
from dstack_widgets.panels.findings import Finding, Findings
from dstack_widgets.panels.flow import Flow

#: Cells from which the outlook stands beside the fields.
_WIDE = 110
#: Lines that are at most taken for what is wrong.
_FINDINGS = 6

_NO_MORE = "Nothing can be applied to it any more."
_KEPT = "The draft is kept."

E = TypeVar("E", bound=ServiceEdit | FleetEdit)


@dataclass(frozen=True)
class Begun(Generic[E]):
    """What an editor begins with."""

    edit: E
    draft: undoing.Draft[Any] | None


class _Form(VerticalScroll):
    """Where the fields scroll: the one under the cursor stays in sight, however small it gets."""

    def on_resize(self) -> None:
        """Scrolls to the cursor once the fields have their new places."""
        self.call_after_refresh(self._show_cursor)

    def _show_cursor(self) -> None:
        if self.is_attached:
            for grid in self.query(EditGrid):
                grid.scroll_to_cursor()


class EditorScreen(LiveScreen, Generic[E]):
    """Edits one service or one fleet. What is typed is checked at once and kept as a draft.

    Args:
        name: Its name.
        key: The id of the run or the fleet.
        edit: An edit to go on with; without it the thing is read, and a draft offered.
        conflict: What somebody else changed meanwhile, to be settled first.
        plan_first: Whether the edit is planned at once.
    """

    BINDINGS: ClassVar[list[Any]]
    CSS_PATH = Path(__file__).with_name("editor.tcss")

    kind: ClassVar[Kind]
    """What is edited."""

    def __init__(
        self,
        name: str,
        key: str,
        edit: E | None = None,
        *,
        conflict: ConflictError | None = None,
        plan_first: bool = False,
    ) -> None:
        super().__init__()
        self._plan_first = plan_first
        self._conflict_first = conflict
        self._subject = name
        self.key = key
        self.edit: E | None = edit
        self._provisional: E | None = None
        self._typing: Problem | None = None
        self._failure = ""
        self._planning = False
        self._to_offer: undoing.Draft[Any] | None = None

    # What a subclass knows of its edits -----------------------------------------------------

    async def _read(self, source: Source, snapshot: Snapshot, store: Store) -> Begun[E]:
        """Reads the thing again, and its draft."""
        raise NotImplementedError

    def _anew(self, base: Base, spec: dict[str, Any] | None = None) -> E:
        """An edit of another base: one that changes nothing, or one with a spec."""
        raise NotImplementedError

    async def _make_plan(self, source: Source, edit: E) -> Plan | FleetPlan:
        """Asks the server for its plan."""
        raise NotImplementedError

    def _rows(self, edit: E, problems: Collection[Problem]) -> list[GridRow]:
        """The fields."""
        raise NotImplementedError

    def _typed(self, edit: E, field: FieldName, text: str) -> E | Problem:
        """The edit with what was typed into a field."""
        raise NotImplementedError

    def _first_place(self, edit: E) -> Place | None:
        """Where the cursor is at first; None for the first field."""
        return None

    def _field_at(self, edit: E, place: Place) -> FieldName:
        """Which field stands at a place."""
        raise NotImplementedError

    def _place_of(self, field: FieldName) -> Place:
        """Where a field stands."""
        raise NotImplementedError

    def _subject_of(self, field: FieldName) -> str:
        """What a line about a field is about."""
        raise NotImplementedError

    def _problems(self, edit: E) -> Sequence[Problem]:
        """What is wrong with an edit."""
        raise NotImplementedError

    def _remarks(self, edit: E) -> Iterable[Finding]:
        """What else is to be said of an edit."""
        raise NotImplementedError

    def _outlook(self, edit: E, snapshot: Snapshot) -> Sequence[Content]:
        """What would follow from an edit."""
        raise NotImplementedError

    def _ended(self, snapshot: Snapshot) -> str | None:
        """How what is edited has ended, a sentence; None while it is there."""
        raise NotImplementedError

    def _told_of(self, base: Base) -> str:
        """What is told of what was read, before its age."""
        raise NotImplementedError

    def _text(self, edit: E) -> str:
        """The edit's configuration as text, secrets masked."""
        raise NotImplementedError

    async def _with_text(self, source: Source, edit: E, text: str) -> E:
        """The edit with what somebody made of its text."""
        raise NotImplementedError

    # ----------------------------------------------------------------------------------------

    def body(self) -> Iterable[Widget]:
        """The fields, what would follow, and what is wrong."""
        glyphs = self.fleets_app.glyphs
        yield Flow(id="head", most=2, glyphs=glyphs)
        with Horizontal(id="both"):
            with _Form(id="form", can_focus=False):
                yield EditGrid(glyphs=glyphs, take=self._take, other_key=self._key)
            with VerticalScroll(id="outlook", can_focus=False):
                yield Static(Content(), id="follows", markup=False)
        yield Findings(glyphs=glyphs, id="findings")

    def on_mount(self) -> None:
        """Reads it again: what is edited must be what is there."""
        self._arrange(self.app.size.width)
        self.query_one(EditGrid).focus()
        if self.edit is None:
            self._begin()
        elif self._conflict_first is not None:
            self._conflict(self.edit, self._conflict_first)
        elif self._plan_first:
            self.call_after_refresh(self.do_plan, "")

    def on_resize(self, event: Resize) -> None:
        """Puts the outlook below the fields where there is no room beside them."""
        self._arrange(event.size.width)
        self.fill()

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
            begun = await self._read(source, snapshot, self.fleets_app.changing.store)
        except ApiError as error:
            self._fail(str(error))
            return
        self.edit = begun.edit
        self.fill()
        draft = begun.draft
        if draft is not None and draft.edit.changed:
            # The keys were meant for the service as it is, not for what the draft makes of it.
            if self._forget_keys():
                self.notify(
                    "What was typed meanwhile is not taken: there is a draft.", markup=False
                )
            self._to_offer = draft
            self._offer()
        else:
            self._catch_up()

    def on_screen_resume(self) -> None:
        """Offers a draft that was found while another screen was in front, or goes on with keys."""
        self._offer()
        self._catch_up()

    def _catch_up(self) -> None:
        if self.edit is not None and self.is_active and self.is_laid_out:
            self.grid.catch_up()

    def _forget_keys(self) -> int:
        return self.grid.forget_keys() if self.is_laid_out else 0

    def _offer(self) -> None:
        draft = self._to_offer
        if draft is not None and self.is_active:
            self._to_offer = None
            self._drafts.offer(draft, self._change)

    def _fail(self, text: str) -> None:
        self._forget_keys()
        self._failure = text
        self.fill()

    @cached_property
    def _drafts(self) -> Drafts[E]:
        return Drafts(self.fleets_app, self._subject, self.kind)

    @property
    def _ascii(self) -> bool:
        return self.fleets_app.ascii

    # Showing ------------------------------------------------------------------------------

    def focus_on(self) -> None:
        """What is edited is open."""
        if self.kind == "service":
            self.fleets_app.focus_on(opened_service=self.key)
        else:
            self.fleets_app.focus_on(opened_fleet=self.key)

    def show_note(self) -> None:
        """There is no table here, and nothing to note of one."""

    def fill(self) -> None:
        """Shows the edit, what is wrong with it, and what would follow."""
        if not self.is_laid_out:
            return  # it was left while an answer was awaited
        self._show_head()
        edit = self._provisional or self.edit
        if edit is None:
            self.show_keys()
            reading = f"Reading {self._subject}. Keys that you press now wait for the fields."
            text = self._failure or reading
            self.query_one("#follows", Static).update(literal(text))
            return
        problems = [*self._problems(edit), *([self._typing] if self._typing else ())]
        begins = self.grid.place is None
        self.grid.show(self._rows(edit, problems))
        first = self._first_place(edit) if begins else None
        if first is not None:
            self.grid.go_to(first)
        self.show_keys()
        self._show_findings(edit, problems)
        self._show_outlook(edit, problems)

    def _show_head(self) -> None:
        parts = [literal(f"Edit {self._subject}", style_of("strong"))]
        if self.edit is not None:
            age = formatting.age(self.edit.base.read_at, self.fleets_app.now())
            text = f"{self._told_of(self.edit.base)}read {age} ago"
            parts.append(literal(text, style_of("dim")))
            changes = self._changes(self._provisional or self.edit)
            told = counted(changes, "change") if changes else "nothing changed yet"
            parts.append(literal(told, style_of("accent" if changes else "dim")))
            if self.edit.changed and self._drafts.kept_at is not None:
                parts.append(
                    literal(f"draft kept {self._drafts.kept_at:%H:%M:%S}", style_of("dim"))
                )
        if self._planning:
            parts.append(literal("asking the server for its plan", style_of("starting")))
        self.query_one("#head", Flow).show(parts)

    def _changes(self, edit: E) -> int:
        """How many fields of the spec the edit changes."""
        return len(changed_fields(edit.base.spec, edit.spec))

    def _show_findings(self, edit: E, problems: Sequence[Problem]) -> None:
        here = self._field()
        first = sorted(problems, key=lambda problem: problem.field != here)
        found = [Finding("bad", self._subject_of(each.field), each.line) for each in first]
        found += self._remarks(edit)
        if self._failure:
            found.insert(0, Finding("bad", "", self._failure))
        findings = self.query_one(Findings)
        findings.limit(_FINDINGS)
        findings.show(found)
        findings.display = bool(found)

    def _show_outlook(self, edit: E, problems: Sequence[Problem]) -> None:
        follows = self.query_one("#follows", Static)
        snapshot = self.snapshot
        lines: Sequence[Content] = ()
        ended = self._ended(snapshot) if snapshot is not None else None
        if ended is not None:
            told = f"{_NO_MORE} {_KEPT}" if edit.changed else _NO_MORE
            lines = [literal(ended, style_of("bad")), literal(told, style_of("dim"))]
        elif problems:
            lines = [literal("Fix the marked fields to see what would follow.", style_of("dim"))]
        elif snapshot is not None:
            try:
                lines = self._outlook(edit, snapshot)
            except InvalidEditError as error:
                lines = [literal(str(error), style_of("bad"))]
        if not self.query_one("#both").has_class("-narrow"):
            # Below the fields each line counts, and the arrows say it.
            title = literal(f"now {self.fleets_app.glyphs.arrow} after", style_of("dim"))
            lines = [title, *lines]
        content = Content("\n").join(lines)
        if not content.is_same(follows.content):  # type: ignore[arg-type]
            follows.update(content)

    def _field(self) -> FieldName | None:
        place = self.grid.place
        return self._field_at(self.edit, place) if place and self.edit is not None else None

    def footer_keys(self) -> list[tuple[str, str]]:
        """While a text is typed, letters go into it: just the field's own keys work."""
        found, grid = super().footer_keys(), self.focused
        if isinstance(grid, EditGrid) and grid.takes_text:
            return found[: len(grid.hints)]
        return found

    # Typing -------------------------------------------------------------------------------

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Leaves keys to the fields, which hand on what is not theirs."""
        if action == "do" and isinstance(self.focused, EditGrid):
            return False
        return super().check_action(action, parameters)

    def _key(self, key: str) -> bool:
        """Does what a key does that is not the fields' own."""
        if key == "backspace":
            return False  # it takes back what is typed, and leaves nothing
        for action in actions.on_screen(self.name_of_screen):
            if key in self.fleets_app.keys_of(action):
                if self._is_reading and action.screens:
                    return False  # it is for the fields, and waits for them
                self.action_do(action.id)
                return True
        return False

    @property
    def _is_reading(self) -> bool:
        """Whether there are no fields yet and will be."""
        return self.edit is None and not self._failure

    def _read_field(self, place: Place, text: str) -> E | Problem:
        if self.edit is None:
            raise AssertionError("there are no fields before it was read")
        field = self._field_at(self.edit, place)
        try:
            return self._typed(self.edit, field, text)
        except EditError as error:
            return Problem(field, str(error))

    def _take(self, place: Place, text: str) -> bool:
        """Takes what was typed into the edit; answers whether it could."""
        read = self._read_field(place, text)
        if isinstance(read, Problem):
            return False
        self._change(read)
        return True

    def on_edit_grid_typed(self, message: EditGrid.Typed) -> None:
        """Checks what is typed and shows what would follow."""
        message.stop()
        if (message.place, message.text) != (self.grid.place, self.grid.typed):
            return  # more was typed, or taken, meanwhile
        read = self._read_field(message.place, message.text)
        self._typing = read if isinstance(read, Problem) else None
        self._provisional = None if isinstance(read, Problem) else read
        self.fill()

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

    def _change(self, edit: E) -> None:
        """Takes another edit, and keeps it as a draft."""
        self._typing = self._provisional = None
        self._failure = ""
        self.edit = edit
        self._drafts.keep(edit)
        self.fill()

    # Actions ------------------------------------------------------------------------------

    @property
    def open_work(self) -> str:
        """The edit, once something is changed."""
        if self.edit is None or not self.edit.changed:
            return ""
        return f"The edit of {self._subject} is not applied. Its draft is kept."

    def do_back(self, argument: str) -> None:
        """Leaves; what was changed stays as a draft."""
        if self.edit is not None and self.edit.changed:
            self.notify(f"The draft of {self._subject} is kept.", markup=False)
        self.leave()

    def _try(self, change: Callable[[E], E]) -> bool:
        """Changes the edit, or says why that can't be."""
        if self.edit is None or not self.grid.leave_field():
            return False
        try:
            self._change(change(self.edit))
        except EditError as error:
            self.notify(str(error), severity="warning", markup=False)
            return False
        return True

    def do_reset(self, argument: str) -> None:
        """Takes all changes back."""
        if self.edit is not None:
            self._change(self._anew(self.edit.base))

    def do_text(self, argument: str) -> None:
        """Opens the configuration as text."""
        edit = self.edit
        if edit is None or not self.grid.leave_field():
            return

        async def read(source: Source, text: str) -> E:
            return await self._with_text(source, edit, text)

        key = f"{self.kind} {self._subject}"
        editing = Editing(self._subject, key, self._text(edit), read, self._change, drafted=True)
        self.fleets_app.changing.as_text(editing)

    def do_plan(self, argument: str) -> None:
        """Asks the server for its plan."""
        edit = self.edit
        if edit is None or not self.grid.leave_field():
            return
        problems = self._problems(edit)
        if problems:
            self.grid.go_to(self._place_of(problems[0].field))
            self.notify("Fix the marked fields first.", severity="warning", markup=False)
        elif not edit.changed:
            self.notify("Nothing is changed yet.", markup=False)
        else:
            self._plan(edit, ask(self.fleets_app))

    @work(exclusive=True, group="edit")
    async def _plan(self, edit: E, question: Question) -> None:
        source = question.session.source
        if source is None:
            return
        self._planning, self._failure = True, ""
        self._show_head()
        try:
            plan = await self._make_plan(source, edit)
        except ConflictError as error:
            if not question.refuse_late(f"What somebody else changed in {self._subject}"):
                self._conflict(edit, error)
        except ApiError as error:
            self._failure = str(error)
        else:
            if not question.refuse_late(f"The plan for {self._subject}"):
                self._planned(plan, edit)
        finally:
            self._planning = False
            self.fill()

    def _planned(self, plan: Plan | FleetPlan, edit: E) -> None:
        if not plan.changes:
            self._change(self._anew(plan.base or edit.base))
            self.notify("The server has all of this already.", markup=False)
            return

        def apply() -> None:
            self.fleets_app.changing.apply(plan, under=self)

        self.app.push_screen(PlanScreen(plan, apply))

    def _conflict(self, edit: E, error: ConflictError) -> None:
        def go_on(spec: dict[str, Any] | None) -> None:
            if spec is not None:
                self._change(self._anew(error.three_way.theirs, spec))
                self.do_plan("")

        self.app.push_screen(ConflictScreen(error, ascii_only=self._ascii), go_on)
