"""A plan to be read and confirmed."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from functools import cached_property
from pathlib import Path

from textual.containers import VerticalScroll
from textual.content import Content
from textual.widget import Widget
from textual.widgets import Static

from dstack_api_client.edits.fleet.fleets import FleetPlan
from dstack_api_client.edits.plan.planning import Plan
from dstack_fleets_tui.actions import actions, places
from dstack_fleets_tui.editing import plan_text
from dstack_fleets_tui.output.plans import plan_item
from dstack_fleets_tui.screens.parts.asking import Typed
from dstack_fleets_tui.screens.parts.base import LiveScreen
from dstack_fleets_tui.screens.parts.questions import Asking
from dstack_fleets_tui.words import formatting
from dstack_widgets.drawing.palette import style_of
from dstack_widgets.drawing.text import literal
from dstack_widgets.inputs.choices import Choice, Choices
from dstack_widgets.panels.flow import Flow
from dstack_widgets.search.patterns import Pattern
from dstack_widgets.search.searching import Search


class PlanScreen(Asking, LiveScreen):
    """What would be changed and what follows from it; Cancel has the cursor.

    Args:
        plan: The plan.
        apply: What to do when it is confirmed.
        notes: What else is to be known, on top.
    """

    name_of_screen = places.PLAN
    BINDINGS = list(actions.bindings(places.PLAN))
    CSS_PATH = Path(__file__).with_name("plan.tcss")

    def __init__(
        self, plan: Plan | FleetPlan, apply: Callable[[], None], notes: Sequence[str] = ()
    ) -> None:
        super().__init__()
        self._plan = plan
        self._apply = apply
        self._notes_on_top = notes
        self._search = Search()

    @property
    def _subject(self) -> str:
        if isinstance(self._plan, Plan):
            return self._plan.base.target.name
        return self._plan.name

    def body(self) -> Iterable[Widget]:
        """The plan, and the answers."""
        app = self.fleets_app
        yield Flow(id="head", most=2, glyphs=app.glyphs)
        with VerticalScroll(id="plan"):
            yield Static(Content("\n").join(self._lines), id="text", markup=False)
        wanted = app.protected and self._plan.applicable
        if wanted:
            yield Typed(self._subject)
        yield Choices(self._choices(typed=not wanted), id="answers")

    def on_mount(self) -> None:
        """The cursor is on Cancel; where the name is wanted, in its field."""
        if not self.query(Typed):
            self.query_one(Choices).focus()

    @cached_property
    def _lines(self) -> Sequence[Content]:
        """The plan, line by line."""
        glyphs, plan = self.fleets_app.glyphs, self._plan
        notes = [literal(f"{glyphs.dot} {note}", style_of("warn")) for note in self._notes_on_top]
        if isinstance(plan, Plan):
            lines = plan_text.of_service(plan, glyphs)
        else:
            lines = plan_text.of_fleet(plan, glyphs)
        whole = Content("\n").join([*notes, *([Content()] if notes else []), *lines])
        return whole.split("\n", allow_blank=True)

    def _choices(self, *, typed: bool) -> Sequence[Choice]:
        can = self._plan.applicable and not self.fleets_app.read_only and typed
        cancel, apply = Choice("cancel", "Cancel"), Choice("apply", "Apply", enabled=can)
        if not isinstance(self._plan, Plan):
            return cancel, apply
        return cancel, apply, Choice("save", "Save plan")

    def focus_on(self) -> None:
        """What is planned for is still open."""
        if isinstance(self._plan, Plan):
            self.fleets_app.focus_on(opened_service=self._plan.base.id)
        elif self._plan.base is not None:
            self.fleets_app.focus_on(opened_fleet=self._plan.base.id)

    @property
    def filter_text(self) -> str:
        """What is looked for in the plan."""
        return self._search.pattern.text

    def filter_by(self, text: str) -> None:
        """Looks for a text in the plan, and goes to the first line with it."""
        self._search.look_for(Pattern(text), self._lines)
        self._go_to_next(1)

    def do_next(self, argument: str) -> None:
        """Goes to the next line with what is looked for."""
        self._go_to_next(1)

    def do_previous(self, argument: str) -> None:
        """Goes to the line before with what is looked for."""
        self._go_to_next(-1)

    def _go_to_next(self, by: int) -> None:
        at = self._search.next(by, 0)
        text = self.query_one("#text", Static)
        text.update(Content("\n").join(self._search.marked(self._lines)), layout=False)
        if at is not None:
            width = max(2, text.content_size.width)
            row = sum(len(line.wrap(width)) for line in self._lines[:at])
            plan = self.query_one("#plan", VerticalScroll)
            plan.scroll_to(y=max(0, row - plan.size.height // 2), animate=False)
        self.show_note()

    def show_note(self) -> None:
        """Tells beside the tabs what is looked for: there is no table here."""
        self.notes.note(self._search.told)

    def fill(self) -> None:
        """Shows how old the plan is."""
        app, plan = self.fleets_app, self._plan
        age = formatting.age(plan.made_at, app.now())
        base = plan.base
        if base is None:
            about = f"a new fleet, planned {age} ago"
        elif isinstance(plan, Plan):
            about = f"base: deployment {base.deployment}, read {age} ago"
        else:
            about = f"base read {age} ago"
        self.query_one("#head", Flow).show(
            [
                literal(f"Plan for {self._subject} in {app.place}", style_of("strong")),
                literal(about, style_of("dim")),
            ]
        )

    def on_typed_matches(self, message: Typed.Matches) -> None:
        """Lets it be applied once the name is right."""
        message.stop()
        choices = self.query_one(Choices)
        choices.show(self._choices(typed=message.right))
        if message.entered:
            choices.focus()

    def on_choices_chosen(self, message: Choices.Chosen) -> None:
        """Cancels, applies, or keeps the plan as a file."""
        message.stop()
        if message.key == "cancel":
            self._cancel()
        elif message.key == "apply":
            self._go_ahead()
        elif message.key == "save":
            self._save(self._plan)

    def footer_keys(self) -> list[tuple[str, str]]:
        """Without those of answers that can't be given."""
        named = {action: actions.BY_ID[action].title for action in ("apply", "save_plan")}
        kept = {named["apply"]: self._by_key, named["save_plan"]: isinstance(self._plan, Plan)}
        return [each for each in super().footer_keys() if kept.get(each[1], True)]

    @property
    def _by_key(self) -> bool:
        """Whether a key may apply it: a name that has to be typed is not gone around."""
        app = self.fleets_app
        return self._plan.applicable and not app.read_only and not app.protected

    def do_apply(self, argument: str) -> None:
        """Applies it, where no name has to be typed."""
        if self._by_key:
            self._go_ahead()
        elif self._plan.applicable and self.fleets_app.protected:
            self.notify(f"Type {self._subject} first, then choose Apply.", markup=False)
        else:
            self.notify("This plan can't be applied.", markup=False)

    def do_save_plan(self, argument: str) -> None:
        """Keeps the plan as a file."""
        self._save(self._plan)

    def _go_ahead(self) -> None:
        if self.use_up():
            self.app.pop_screen()
            self._apply()

    def _save(self, plan: Plan | FleetPlan) -> None:
        """Writes the plan where the dashboard was started, beside what is there."""
        if not isinstance(plan, Plan):
            return
        path = Path(
            f"plan-{self._subject}-{plan.made_at.astimezone():%Y%m%d-%H%M%S}.json"
        ).resolve()
        try:
            text = json.dumps(plan_item(plan), indent=2) + "\n"
            with path.open("x", encoding="utf-8") as file:
                file.write(text)
        except OSError as error:
            self.fleets_app.warn(f"{path} can't be written: {error.strerror}. Nothing was saved.")
        else:
            self.notify(f"The plan is in {path}.", markup=False)

    def do_back(self, argument: str) -> None:
        """Ends a search, or goes back; nothing is changed."""
        if self.filter_text:
            self.filter_by("")
        else:
            self._cancel()

    def _cancel(self) -> None:
        if self.use_up():
            self.app.pop_screen()
