"""Which screen a key is meant for."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary, ref

from textual import events

from dstack_fleets_tui.app.acting import ActingApp
from dstack_fleets_tui.app.keys_in_turn import KeysInTurn

if TYPE_CHECKING:
    from textual.screen import Screen


#: Keys that a screen which asks does not hold back.
_ALWAYS = frozenset({"ctrl+c", "ctrl+q"})


class KeyedApp(ActingApp):
    """The part of the app that takes keys and pastes to the screen that they are meant for."""

    @cached_property
    def _keys(self) -> KeysInTurn:
        return KeysInTurn(self, self._hand_on)

    @cached_property
    def _meant_for(self) -> WeakKeyDictionary[events.Key, ref[Screen[Any]]]:
        """By key the screen; by reference, since an editor that was left may still have keys."""
        return WeakKeyDictionary()

    async def on_event(self, event: events.Event) -> None:
        """Notices that somebody is at the keys: from then on no screen comes up by itself.

        A key goes to the screen that was in front when it was pressed, or nowhere.
        """
        if isinstance(event, (events.Key, events.Paste, events.MouseDown, events.MouseScrollDown)):
            self._somebody_is_there()
        if isinstance(event, (events.Key, events.Paste)) and not event.is_forwarded:
            await self._keys.take(event)
        elif isinstance(event, (events.Key, events.Paste, events.MouseDown)) and not self._counts(
            event
        ):
            event.stop()
        else:
            await super().on_event(event)

    def _somebody_is_there(self) -> None:
        for session in self.sessions:
            session.lookout.somebody_is_there = True

    async def _hand_on(self, event: events.Key | events.Paste) -> None:
        """Gives a key to the screen in front, if it is meant for it."""
        if self._counts(event):
            await super().on_event(event)
        else:
            event.stop()

    def hold_keys(self) -> None:
        """Has what is typed wait."""
        self._keys.hold()

    async def release_keys(self) -> None:
        """Hands on what has waited."""
        await self._keys.release()

    async def on_keys_in_turn_passed(self, message: KeysInTurn.Passed) -> None:
        """Goes on with the keys that wait."""
        await self._keys.passed(message)

    def _counts(self, event: events.Key | events.Paste | events.MouseDown) -> bool:
        """Whether what was pressed is meant for the screen in front."""
        screen = self.front
        if screen is None:
            return False  # the app ends, and a key that waited for its turn comes late
        if isinstance(event, events.Key) and event.key in _ALWAYS:
            return True
        if event.is_forwarded:
            # A widget had it and left it to the bindings, which are those of the screen in front.
            meant = self._meant_for.get(event) if isinstance(event, events.Key) else None
            return meant is None or meant() is screen
        key = event.key if isinstance(event, events.Key) else ""
        if event.time < self._answered_at and self._answered_by in ("", key):
            return False
        from dstack_fleets_tui.screens.parts.questions import Asking

        if isinstance(screen, Asking) and not screen.takes(event.time):
            return False
        self.touches += 1
        self._handed_on = key
        if isinstance(event, events.Key):
            self._meant_for[event] = ref(screen)
        return True
