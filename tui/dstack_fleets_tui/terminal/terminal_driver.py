"""Textual's driver for a terminal that may stall or go away."""

from __future__ import annotations

import contextlib
import os
import queue
import selectors
import sys
import time
from codecs import getincrementaldecoder
from collections.abc import Sequence
from threading import Event, Thread
from typing import Any, TextIO

from textual._parser import ParseError
from textual._xterm_parser import XTermParser
from textual.drivers.linux_driver import LinuxDriver

from dstack_fleets_tui.terminal.terminal import KEEP_TITLE, OLD_TITLE, terminal_is_gone, title
from dstack_fleets_tui.terminal.terminal_colours import Answers

#: Texts that wait for the terminal at most; then the app waits for it too.
_MAX_WAITING = 30
#: Seconds between two looks whether a full queue is worth waiting for.
_LOOK_EVERY = 0.05
#: Seconds for the last texts once the app is to end: a terminal that stalls gets no more.
_GRACE = 1.0
#: Seconds that are waited for what is typed, and bytes that are read of it at once.
_TYPING, _TYPED = 0.1, 4096


class TerminalOutput:
    """Writes to a terminal in a thread, and outlives the terminal.

    Textual's own thread ends at the first write that fails. What it should write piles up from
    then on, and the app stands still at the first text that finds no room.
    """

    def __init__(self, file: TextIO) -> None:
        self._descriptor = file.fileno()
        self._encoding, self._errors = file.encoding, file.errors or "strict"
        self._texts: queue.Queue[str | None] = queue.Queue(_MAX_WAITING)
        self._lost = Event()
        self._until: float | None = None
        # A thread that a stalled terminal holds must not hold the process.
        self._thread = Thread(target=self._write_all, name="terminal-output", daemon=True)
        self._thread.start()

    def write(self, text: str) -> None:
        """Hands a text over; waits while the terminal takes none, and drops it for a lost one."""
        self._put(text)

    def end_soon(self) -> None:
        """Gives the terminal a last moment: the app is to end. Safe in a signal handler."""
        if self._until is None:
            self._until = time.monotonic() + _GRACE

    def stop(self) -> None:
        """Writes what waits, and ends the thread."""
        self._put(None)
        while self._thread.is_alive() and not self._is_late():
            self._thread.join(_LOOK_EVERY)

    def _put(self, text: str | None) -> None:
        while not (self._lost.is_set() or self._is_taken(text) or self._is_late()):
            pass

    def _is_taken(self, text: str | None) -> bool:
        try:
            self._texts.put(text, timeout=_LOOK_EVERY)
        except queue.Full:
            return False
        return True

    def _is_late(self) -> bool:
        return self._until is not None and time.monotonic() > self._until

    def _write_all(self) -> None:
        last = False
        while not last:
            texts = [self._texts.get()]
            while not self._texts.empty():
                texts.append(self._texts.get())
            last = None in texts
            written = "".join(text for text in texts if text is not None)
            rest = memoryview(written.encode(self._encoding, self._errors))
            try:
                while rest:
                    rest = rest[os.write(self._descriptor, rest) :]
            except OSError:  # nobody is there to be told; the app looks for a lost terminal itself
                self._lost.set()
                return


def say_last(lines: Sequence[str]) -> None:
    """Writes lines below the last screen, where the terminal takes them."""
    if not lines or sys.__stderr__ is None:
        return
    output = TerminalOutput(sys.__stderr__)
    output.write("".join(f"{line}\n" for line in lines))
    output.end_soon()
    output.stop()


class TerminalDriver(LinuxDriver):
    """Textual's driver, with an output that a lost or a stalled terminal does not hold up.

    It also asks the terminal for its background, for an app that wants to know.
    """

    _output: TerminalOutput | None = None

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._answers = Answers(self._tell_background)
        self._asked = False
        self._title = ""

    def write(self, data: str) -> None:
        """Writes to the terminal."""
        assert self._output is not None, "The terminal is written to in application mode only."
        self._output.write(data)

    def end_soon(self) -> None:
        """Has the end wait but a moment for a terminal that takes no text."""
        if self._output is not None:
            self._output.end_soon()

    def start_application_mode(self) -> None:
        """Takes the terminal."""
        assert self._file is not None  # there is a terminal
        self._output = TerminalOutput(self._file)
        super().start_application_mode()  # type: ignore[no-untyped-call]
        self.write(KEEP_TITLE)
        self._write_title()
        asks = getattr(self._app, "asks_background", False)
        if asks and not self._asked and self.input_tty and self._file.isatty():
            self._asked = True
            self._answers.ask(self.write)

    def stop_application_mode(self) -> None:
        """Gives the terminal back, with its title."""
        self.write(OLD_TITLE)
        super().stop_application_mode()

    def show_title(self, text: str) -> None:
        """Gives the terminal a title, as long as it is taken."""
        if text != self._title:
            self._title = text
            self._write_title()

    def _write_title(self) -> None:
        if self._title:
            self.write(title(self._title, os.environ))

    def _tell_background(self, luminance: float) -> None:
        """Tells the app how light the background is."""
        self._app.call_later(self._app.background_is, luminance)  # type: ignore[attr-defined]

    def run_input_thread(self) -> None:
        """Reads what is typed until the app ends: as Textual does, but for the answer."""
        parser = XTermParser(self._debug)
        decode = getincrementaldecoder("utf-8")("replace").decode
        with selectors.SelectSelector() as selector:
            selector.register(self.fileno, selectors.EVENT_READ)
            ending = False
            while not ending:
                ending = self.exit_event.is_set()  # then what is there is read once more
                if selector.select(_TYPING):
                    read = os.read(self.fileno, _TYPED)
                    text = self._answers.take(decode(read, final=ending))
                else:
                    read, text = b"-", self._answers.rest()
                for event in (*(parser.feed(text) if text else ()), *parser.tick()):
                    self.process_message(event)
                ending = ending or not read
        with contextlib.suppress(EOFError, ParseError):
            tuple(parser.feed(""))

    def close(self) -> None:
        """Ends the threads."""
        super().close()
        if self._output is not None:
            self._output.stop()

    # Textual writes to the terminal in these handlers of signals, where the lock of the queue may
    # be held by what they interrupt. The loop does so in its turn.

    def _sigtstp_application(self, *_: object) -> None:
        if self._auto_restart:
            self._loop.call_soon_threadsafe(super()._sigtstp_application)
        else:
            super()._sigtstp_application()

    def _sigcont_application(self, *_: object) -> None:
        if self._auto_restart:
            self._loop.call_soon_threadsafe(self._go_on)

    def _go_on(self) -> None:
        """Takes the terminal again after a stop.

        Going away, a terminal sends SIGCONT after SIGHUP: there is nothing to take then. After a
        stop from outside (SIGSTOP) the threads of before are still there.
        """
        if terminal_is_gone():
            return
        if not self._must_signal_resume:
            self.suspend_application_mode()
        self.resume_application_mode()
        self._app.refresh(layout=True)  # the terminal has nothing of what was drawn
