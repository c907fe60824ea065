"""What a fault of this program or of what it reads looks like to whoever uses it."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta

import pytest

from dstack_api_client import fault_log
from dstack_api_client.connect.connection import ConfigError
from dstack_api_client.edits.errors import InvalidEditError
from dstack_api_client.edits.store.keeping import Store
from dstack_api_client.private_folder import remove_left_behind
from dstack_api_client.problems.routers import unread
from dstack_fleets_tui.changes import service as changing
from dstack_fleets_tui.changes import text as changing_texts
from dstack_fleets_tui.changes.service import Changing
from dstack_fleets_tui.cli import get
from dstack_fleets_tui.cli import main as cli
from dstack_fleets_tui.editing.texts import Editing
from dstack_fleets_tui.headless.get import collect, table
from dstack_fleets_tui.headless.looking import Asked, Look
from dstack_fleets_tui.live.poller import Poller
from dstack_fleets_tui.screens.edit.text import (
    EditorError,
    StoppedError,
    Written,
    edit_outside,
    editor_of,
)
from dstack_fleets_tui.screens.trouble import TroubleScreen
from tests.builders.apps import GivenFeed, app_on, live
from tests.builders.snapshots import NOW, snapshot
from tests.screens import SIZE, filled, header, on_screen
from tests.waiting import until

SECRET = "hunter2-is-the-password"


@pytest.fixture(autouse=True)
def state(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))


async def test_a_read_that_takes_too_long_makes_the_state_late():
    app = app_on(GivenFeed(live(snapshot())))
    moment = NOW
    app.now = lambda: moment
    async with app.run_test(size=SIZE):
        await filled(app)
        await until(lambda: "live" in header(app))
        moment = NOW + timedelta(seconds=3 * app.interval)
        assert app.header_state().connection == "live"
        moment += timedelta(seconds=1)
        assert app.header_state().connection == "late"
        app.screen.show_state()
        await until(lambda: "late since" in header(app))
        app.paused = True
        assert app.header_state().connection == "paused"


async def test_records_that_can_not_be_read_are_named_once_and_counted():
    messages = ("Of the runs, [red]a can't be read: odd.", "Of the runs, b can't be read: odd.")
    known = replace(snapshot(), unreadable=messages)
    app = app_on(GivenFeed(live(known), live(known, known)))
    async with app.run_test(size=SIZE):
        await filled(app)
        await until(lambda: len(app.said.log) == 1)
        (notice,) = app.said.log
        assert notice.message.startswith(f"{messages[0]} 1 more can't be read.")
        await until(lambda: "2 unreadable" in header(app))


def test_what_was_said_is_remembered_of_so_many_only():
    """A server that names another record at each poll does not fill the memory."""
    app = app_on(GivenFeed())
    for number in range(3000):
        assert app._is_news(f"record {number} can't be read")
        assert app._is_news("the placement can't be read") is (number == 0)
    assert len(app._noticed) == 1000


async def test_a_fault_in_the_app_ends_it_with_one_line_and_no_values(capsys):
    app = app_on(GivenFeed(live(snapshot())))

    def broken():
        password = SECRET
        raise KeyError(password)

    async def run():
        async with app.run_test(size=SIZE):
            await filled(app)
            app.call_later(broken)
            await until(lambda: not app.is_running)

    with pytest.raises(KeyError):
        await run()
    app._print_error_renderables()
    output = "".join(capsys.readouterr())
    assert SECRET not in output
    assert "KeyError in test_faults.py" in output
    assert "Traceback" not in output
    log = fault_log.path()
    assert log.stat().st_mode & 0o777 == 0o600
    assert "KeyError" in log.read_text()
    assert SECRET not in log.read_text()


def test_a_fault_in_a_command_is_one_line(monkeypatch, capsys):
    def broken(args):
        password = SECRET
        raise RuntimeError(password)

    monkeypatch.setattr(get, "_get", broken)
    assert cli.main(["get", "fleets"]) == 1
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "RuntimeError in test_faults.py" in error
    assert str(fault_log.path()) in error
    assert SECRET not in error + fault_log.path().read_text()


def test_the_log_does_not_grow_for_ever(monkeypatch):
    monkeypatch.setattr(fault_log, "_MOST", 500)
    for _ in range(50):
        fault_log.write(ValueError("x"))
    assert fault_log.path().stat().st_size < 1000


def test_a_log_that_can_not_be_written_is_no_fault_of_its_own(monkeypatch, tmp_path):
    file = tmp_path / "file"
    file.write_text("")
    monkeypatch.setenv("XDG_STATE_HOME", str(file))
    assert fault_log.write(ValueError("x")) is None


@pytest.mark.parametrize("command", ["vi '", 'vi "x', "vi \\"])
def test_an_editor_that_is_no_command_is_a_sentence(command):
    with pytest.raises(EditorError, match="EDITOR is not a command"):
        editor_of({"EDITOR": command})


class _Suspended:
    restored = False

    def suspend(self):
        return self

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.restored = True


@pytest.mark.parametrize(
    ("command", "says"),
    [
        (["/nowhere/editor"], "can't be started"),
        (["vi\0"], "can't be started"),
        (["false"], "ended with status 1"),
        (["rm", "-f"], "can't be used"),
    ],
)
def test_an_editor_that_fails_is_a_sentence(command, says):
    with pytest.raises(EditorError, match=says):
        edit_outside(_Suspended(), command, "a: 1\n")


@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP"])
def test_a_signal_ends_the_editor_and_what_was_saved_is_handed_over(monkeypatch, tmp_path, name):
    """The terminal is taken back, and nothing is left in the folder of temporary files."""
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    number = getattr(signal, name)
    before = signal.getsignal(number)
    script = f"echo 'typed: 1' > \"$0\"; kill -{number} {os.getpid()}; exec sleep 60"
    app = _Suspended()
    with pytest.raises(StoppedError) as stopped:
        edit_outside(app, ["sh", "-c", script], "a: 1\n")
    assert (stopped.value.signal, stopped.value.text) == (number, "typed: 1\n")
    assert app.restored
    assert list(tmp_path.iterdir()) == []
    assert signal.getsignal(number) == before


def test_ctrl_c_is_the_editor_s(monkeypatch, tmp_path):
    """A terminal sends it to the dashboard too."""
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    script = f"kill -{signal.SIGINT.value} {os.getpid()}; echo 'typed: 1' > \"$0\""
    assert edit_outside(_Suspended(), ["sh", "-c", script], "a: 1\n") == "typed: 1\n"


def test_what_a_killed_dashboard_left_goes_at_the_next_start(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    gone = subprocess.Popen(["true"])
    gone.wait()
    left = tmp_path / f"dstack-fleets-tui-{gone.pid}-x"
    left.mkdir()
    (left / "edit.dstack.yml").write_text("a: 1")
    remove_left_behind()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("kept", ["draft", "text"])
async def test_what_was_typed_is_kept_when_the_dashboard_is_ended(monkeypatch, tmp_path, kept):
    """As a draft where it can be read; else as text, which is there the next time."""
    ended, done = [], []

    def stops(app, command, text):
        raise StoppedError(15, "typed: 1\n")

    async def read(source, text):
        if kept == "text":
            raise InvalidEditError(["odd"])
        return text

    monkeypatch.setattr(changing_texts, "edit_outside", stops)
    monkeypatch.setenv("VISUAL", "vi")
    app = app_on(GivenFeed(live(snapshot())))
    app.store = Store(tmp_path / "kept")
    app.end = ended.append
    async with app.run_test(size=SIZE):
        await filled(app)
        app.changing.as_text(Editing("chat", "k", "a: 1\n", read, done.append, drafted=True))
        await until(lambda: ended)
    assert ended == [15]
    assert done == (["typed: 1\n"] if kept == "draft" else [])
    key = f"{app.place}\0k"
    left = app.changing.store.take_text(key)
    assert left == (None if kept == "draft" else "typed: 1\n")
    assert app.changing.store.take_text(key) is None, "it is handed out once"


async def test_a_signal_ends_the_dashboard_with_the_code_of_the_signal():
    app = app_on(GivenFeed(live(snapshot())))
    async with app.run_test(size=SIZE):
        await filled(app)
        app.end(15)
        app.end(1)
        await until(lambda: not app.is_running)
    assert app.return_value == 143


async def test_a_change_that_takes_too_long_when_the_dashboard_ends_is_ended(monkeypatch):
    monkeypatch.setattr(changing, "_FINISH_WITHIN", 0.01)
    app = app_on(GivenFeed())
    task = app.changing.keep(asyncio.Event().wait())
    await app.changing.finish(soon=True)
    assert task.cancelled()


class _Broken:
    """A source that raises at its first polls."""

    def __init__(self, faults):
        self.left = faults
        self.polls = 0

    async def poll(self, *, full=False):
        self.polls += 1
        if self.left:
            self.left -= 1
            raise ZeroDivisionError(SECRET)
        yield self.polls


async def test_a_fault_in_a_poll_is_noticed_and_the_next_poll_goes_on():
    found, brought = [], []
    poller = Poller(_Broken(2), brought.append, interval=0.0, on_fault=found.append)
    task = asyncio.create_task(poller.run())
    try:
        await until(lambda: brought)
    finally:
        task.cancel()
    assert [type(error) for error in found] == [ZeroDivisionError] * 2
    with pytest.raises(ZeroDivisionError):
        await Poller(_Broken(1), brought.append, interval=0.0).run()


async def test_a_fault_is_said_once_in_the_dashboard():
    app = app_on(GivenFeed(live(snapshot())))
    async with app.run_test(size=SIZE):
        await filled(app)
        with pytest.raises(ZeroDivisionError) as caught:
            raise ZeroDivisionError(SECRET)
        for _ in range(3):
            app.fault(caught.value)
        await until(lambda: len(app.said.log) == 1)
        (notice,) = app.said.log
        assert "ZeroDivisionError in test_faults.py" in notice.message
        assert SECRET not in notice.message


async def test_a_certificate_file_that_is_gone_is_trouble_and_no_end():
    @asynccontextmanager
    async def gone(connection):
        raise ConfigError("The CA file can't be read.", "Name another.")
        yield

    app = app_on(GivenFeed())
    app._open_source = gone
    async with app.run_test(size=SIZE):
        await on_screen(app, TroubleScreen)


async def test_a_bad_editor_is_a_notice_and_the_text_is_edited_here(monkeypatch, tmp_path):
    class App:
        ascii, place = False, "main @ server"

        def __init__(self):
            self.warned = []

        def warn(self, text):
            self.warned.append(text)

        async def push_screen_wait(self, screen):
            return Written(f"{screen._text}b: 2\n", used=True)

    monkeypatch.delenv("VISUAL", raising=False)
    monkeypatch.setenv("EDITOR", "vi '")
    app = App()

    async def read(source, text):
        return text

    editing = Editing("chat", "k", "a: 1\n", read, lambda made: None)
    written = await Changing(app, Store(tmp_path)).texts._written(editing, "a: 1\n")
    assert written == Written("a: 1\nb: 2\n", used=True)
    assert app.warned == ["EDITOR is not a command: No closing quotation. Fix it, or unset it."]


def test_what_can_not_be_read_is_among_the_notes_of_the_problems():
    message = "Of the runs of project main, b can't be read: odd."
    known = replace(snapshot(), unreadable=(message,))
    assert unread(known) == (message,)
    for name in (None, "chat"):
        asked = Asked("problems", name)
        assert message in collect(Look(known), asked)["notes"]
        assert message in table(Look(known), asked)
