"""One key after the other: what a key does is done before the next one counts."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any, TypeAlias

from textual.events import Key, Paste
from textual.message import Message
from textual.widgets import Input

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from textual.screen import Screen
    from textual.widget import Widget

    from dstack_fleets_tui.host.host import Host

Typed: TypeAlias = "Key | Paste"

#: Keys that lead elsewhere.
_LEADING = frozenset({"enter", "escape", "backspace", "tab", "shift+tab"})
#: How often all must be done that lies before the app: a key comes back from its widget, has
#: something sent, which opens a screen.
_ROUNDS = 4
#: Seconds after which keys go on though what they wait for was lost, with a widget that is gone.
_OVERDUE = 0.5


class KeysInTurn:
    """Hands on what is typed, and holds back what comes before that is worked off.

    A widget works off its keys by itself, and sends messages; those of a text that is pasted or
    typed ahead of a slow line come all at once. Handed on as they come, a 3 after Enter goes into
    the line that Enter is about to close.

    Args:
        app: Whose keys they are.
        hand_on: Takes a key or a pasted text where it belongs.
    """

    class Passed(Message):
        """Went the way that a key goes, behind it: from the widget up to the app."""

        def __init__(self, turn: int) -> None:
            super().__init__()
            self.turn = turn

    def __init__(self, app: Host, hand_on: Callable[[Typed], Awaitable[None]]) -> None:
        self._app = app
        self._hand_on = hand_on
        self._waiting: deque[Typed] = deque()
        self._turn = 0
        self._rounds = 0
        self._held = False
        self._last: tuple[Typed | None, Widget | None] = (None, None)

    @property
    def at_rest(self) -> bool:
        """Whether all that was typed is worked off."""
        return not self._rounds and not self._waiting

    def hold(self) -> None:
        """Keeps what comes until it is released: nothing is there yet that it is meant for."""
        self._held = True

    async def release(self) -> None:
        """Hands on what was kept, in turn."""
        self._held = False
        await self._next()
        if self._waiting:
            self._look_after()

    async def take(self, typed: Typed) -> None:
        """Hands a key on, or keeps it until it is its turn."""
        if self._held:
            self._waiting.append(typed)
            return
        if not self._waiting and (not self._rounds or self._goes_behind(typed)):
            await self._hand(typed)
            return
        if not self._waiting:
            self._look_after()
        self._waiting.append(typed)
        # An answer that comes meanwhile finds that keys were pressed.
        self._app.touches += 1

    async def passed(self, message: Passed) -> None:
        """Asks once more whether all is done, or goes on with the next key."""
        if message.turn != self._turn:
            return
        self._rounds -= 1
        if self._rounds:
            self._ask()
        else:
            await self._next()

    def screen_changed(self, screen: Screen[Any]) -> None:
        """Waits for the screen that is in front now."""
        if self._rounds:
            self._begin()

    def _goes_behind(self, typed: Typed) -> bool:
        """Whether it goes the way of the last one, and comes in its order without being held back.

        A key that is held down does, and the letters of a text.
        """
        last, target = self._last
        if not (isinstance(last, Key) and isinstance(typed, Key)) or typed.key in _LEADING:
            return False
        if last.key == typed.key:
            return True
        letters = last.is_printable and typed.is_printable
        return letters and isinstance(target, Input) and target is self._target

    @property
    def _target(self) -> Widget | None:
        """What takes a key that is not a binding."""
        screen = self._app.front
        return screen if screen is None else screen.focused or screen

    def _begin(self) -> None:
        self._turn += 1
        self._rounds = _ROUNDS
        self._ask()

    def _ask(self) -> None:
        target = self._target
        if target is None or not target.post_message(self.Passed(self._turn)):
            self._rounds = 0

    async def _hand(self, typed: Typed) -> None:
        self._last = typed, self._target
        await self._hand_on(typed)
        if self._rounds:
            # One is on its way, before this key; as many follow behind it.
            self._rounds = _ROUNDS + 1
        else:
            self._begin()

    async def _next(self) -> None:
        while self._waiting and (not self._rounds or self._goes_behind(self._waiting[0])):
            await self._hand(self._waiting.popleft())

    def _look_after(self) -> None:
        turn = self._turn

        async def look() -> None:
            if turn == self._turn:
                self._rounds = 0
                await self._next()
            if self._waiting:
                self._look_after()

        self._app.set_timer(_OVERDUE, look)
