"""Whose turn it is: which keys an asking screen takes, and whether an answer may still be shown.

Two rules, which every flow with an `await` between a key and a screen keeps:

- A screen that asks takes only keys that were pressed a moment after it was drawn, and one answer.
  What was typed before, or while another such screen was closing, is meant for no one.
- What somebody asked for opens only where it was asked for, and only if no key was pressed since:
  nothing opens by itself over what a person works on.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, cast

from textual.events import Resize
from textual.screen import Screen
from textual.timer import Timer

from dstack_fleets_tui.host.host import Host
from dstack_fleets_tui.live.session import Session
from dstack_widgets.screen.painting import PaintsAll

#: Seconds after it was drawn from which a screen that asks takes keys: nobody reads faster.
GUARD = 0.25
#: Seconds after which a screen that was not drawn yet is drawn as after a resize.
OVERDUE = 1.0


class Asking(PaintsAll):
    """What a screen has that asks something.

    Attributes:
        guard: Seconds from being drawn to the first key that counts.
        asks: Whether a key that is meant for it could do harm behind it.
        closing: What Esc does.
    """

    guard: ClassVar[float] = GUARD
    asks: ClassVar[bool] = True
    closing: str = "cancel"
    _drawn_at: float | None = None
    _overdue: Timer
    _answered = False

    def on_mount(self) -> None:
        """Notes when it is drawn."""
        self.call_after_refresh(self._note_drawn)
        self._overdue = self.set_interval(OVERDUE, self._draw_anyway)

    @property
    def hints(self) -> Sequence[tuple[tuple[str, ...], str]]:
        """The keys that do something here, and what they do: those of what has the focus first."""
        return (*getattr(self.focused, "hints", ()), (("escape",), self.closing))

    def on_descendant_focus(self) -> None:
        """Has the screen behind it show the keys of what has the focus now."""
        cast("Host", self.app).show_keys()

    def on_screen_resume(self) -> None:
        """Has the screen behind it show the keys that work now."""
        cast("Host", self.app).show_keys()

    def _note_drawn(self) -> None:
        if self._drawn_at is None:
            self._drawn_at = time.monotonic()
            self._overdue.stop()

    def _draw_anyway(self) -> None:
        """Draws a screen that is in front and was not drawn: it would take no key for ever."""
        if self._drawn_at is None and self.is_active:
            self.post_message(Resize(self.app.size, self.app.size))
            self.call_later(self._note_drawn)

    @property
    def takes_keys(self) -> bool:
        """Whether a key counts that is pressed now."""
        return self.takes(time.monotonic())

    def takes(self, pressed: float) -> bool:
        """Whether a key counts.

        Args:
            pressed: When it was pressed, by the monotonic clock.
        """
        if not self.asks:
            return not self._answered
        drawn = self._drawn_at
        return not self._answered and drawn is not None and pressed >= drawn + self.guard

    def use_up(self) -> bool:
        """Takes the one answer that there is.

        Returns:
            Whether this is it; there is none once the screen is closing or behind another one.
        """
        if self._answered or not self.is_active:
            return False
        self._answered = True
        cast("Host", self.app).was_answered(asked=self.asks)
        return True

    def answer(self, result: Any = None) -> None:
        """Closes with a result, once."""
        if self.use_up():
            self.dismiss(result)


@dataclass(frozen=True)
class Question:
    """What somebody asked for with a key, and waits for.

    Attributes:
        app: Where.
        screen: The screen that was in front then.
        touches: How many keys had been pressed then.
        session: The project that was in hand then: what is read for the answer is read of it.
    """

    app: Host
    screen: Screen[Any] | None
    touches: int
    session: Session

    @property
    def on_screen(self) -> bool:
        """Whether the screen is still in front on which it was asked."""
        return self.screen is not None and self.app.front is self.screen

    @property
    def stands(self) -> bool:
        """Whether an answer may open: nothing was done meanwhile."""
        in_hand = self.app.session is self.session
        return in_hand and self.on_screen and self.app.touches == self.touches

    def refuse_late(self, what: str) -> bool:
        """Whether an answer comes too late to open; says so to who is still there.

        Args:
            what: What came, to be read before "is ready".
        """
        if self.stands:
            return False
        if self.on_screen:
            self.app.notify(
                f"{what} is ready and was not opened, since keys were pressed meanwhile."
                " Ask for it again.",
                markup=False,
            )
        return True

    def show(
        self,
        screen: Screen[Any],
        what: str,
        callback: Callable[[Any], None] | None = None,
    ) -> bool:
        """Opens the answer, if it still may.

        Args:
            screen: The answer.
            what: What it is, to be read before "is ready".
            callback: Takes what the screen is closed with.

        Returns:
            Whether it was opened.
        """
        if self.refuse_late(what):
            return False
        self.app.push_screen(screen, callback)
        return True


def ask(app: Host) -> Question:
    """What is asked for now, on the screen in front."""
    return Question(app, app.front, app.touches, app.session)
