"""What one screen or view reads for itself, beside the feed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar, cast

from textual.widget import Widget
from textual.worker import Worker

from dstack_fleets_tui.host.host import Host
from dstack_fleets_tui.live.poller import Pollable, Poller, WhileWanted

T = TypeVar("T")

#: The group of the workers that read; they end before the connection they read on.
GROUP = "own-reads"


class OwnReads(Generic[T]):
    """Reads by a task of its own: while the widget is in front, and no longer than it is there.

    Args:
        widget: The widget.
        hand_on: Called with everything that is brought.
    """

    def __init__(self, widget: Widget, hand_on: Callable[[T], object]) -> None:
        self._widget = widget
        self._hand_on = hand_on
        self._poller: Poller[T] | None = None
        self._worker: Worker[None] | None = None
        self._has_read = False

    def start(self, source: Pollable[T]) -> None:
        """Begins to read, and ends what was read before."""
        self.stop()
        self._has_read = False
        self._poller = Poller(
            WhileWanted(source, self._is_wanted),
            self._brought,
            interval=self._app.interval,
            on_fault=self._app.fault,
        )
        self._worker = self._widget.run_worker(self._poller.run, group=GROUP)

    def stop(self) -> None:
        """Reads no more."""
        if self._worker is not None:
            self._worker.cancel()
        self._worker = self._poller = None

    def hurry(self) -> None:
        """Reads now."""
        if self._poller is not None:
            self._poller.hurry()

    def refresh(self) -> None:
        """Reads everything again, now."""
        if self._poller is not None:
            self._poller.refresh()

    @property
    def _app(self) -> Host:
        return cast("Host", self._widget.app)

    def _brought(self, brought: T) -> None:
        self._has_read = True
        self._hand_on(brought)

    def _is_wanted(self) -> bool:
        if self._app.paused and self._has_read:
            return False
        line = [node for node in self._widget.ancestors_with_self if isinstance(node, Widget)]
        return self._widget.screen.is_active and all(node.display for node in line)
