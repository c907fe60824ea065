"""Screens that close themselves and nothing else."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from textual.await_complete import AwaitComplete
from textual.screen import Screen

if TYPE_CHECKING:
    _Base = Screen[Any]
else:
    # Textual takes styles and bindings from the first widget among the bases.
    _Base = object


class ClosesItself(_Base):
    """A screen over which a box may open before it closes.

    Textual closes what is in front, whichever screen asks for it.
    """

    def dismiss(self, result: Any = None) -> AwaitComplete:
        """Closes, once, wherever it stands.

        Args:
            result: As for every screen.

        Returns:
            What can be awaited until it is gone.
        """
        if self.is_active:
            return super().dismiss(result)
        for stack in self.app._screen_stacks.values():
            if self in stack:
                self._result_callbacks[-1](result)
                stack.remove(self)
                self._pop_result_callback()
                return AwaitComplete(self.app._replace_screen(self)).call_next(self.app)
        return AwaitComplete()
