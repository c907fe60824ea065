"""Commands that change something: ended while the request is out, unread, followed blindly."""

from __future__ import annotations

import errno
import json
import os
import signal
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest

from dstack_api_client.edits.follow.following_drains import follow_drain
from dstack_api_client.edits.store.keeping import Store
from dstack_api_client.transport.transport import Transport
from dstack_fleets_tui.cli.main import main
from dstack_fleets_tui.headless import cordoning
from tests.builders.audit_log import lines
from tests.builders.generation import combined
from tests.builders.hurried_edits import hurry, no_sleep
from tests.servers.cordoning_server import CordoningServer
from tests.servers.faulty_proxy import FaultyProxy, proxy_in_a_thread

_APPLY = "apply chat --set priority=7"
_FLEET = "apply fleet-1 -f FILE"
#: By a name: the command, one that comes before it, where its request goes, and the beginning of
#: what is written down once it is done.
COMMANDS: dict[str, tuple[str, str, str, str]] = {
    "apply": (_APPLY, "", "runs/apply", "The change of chat was applied"),
    "undo": ("undo chat", _APPLY, "runs/apply", "The change of chat was applied"),
    "undo --to": ("undo chat --to 0", _APPLY, "runs/apply", "The change of chat was applied"),
    "fleet": (_FLEET, "", "fleets/apply", "The change of fleet-1 was applied"),
    "rebalance": ("rebalance chat", "", "placement/rebalance", "1 move asked for"),
    "stop": ("stop chat", "", "runs/stop", "The stop of chat is sent."),
    "abort": ("stop chat --abort", "", "runs/stop", "The abort of chat is sent."),
    "delete": ("delete chat", "", "runs/delete", "chat is deleted."),
    "cordon": ("cordon fleet-1", "", "placement/cordon", "Fleet fleet-1 is cordoned"),
    "drain": ("drain fleet-1", "", "placement/drain", "Fleet fleet-1 is drained"),
    "uncordon": (
        "uncordon fleet-1",
        "cordon fleet-1",
        "placement/uncordon",
        "Fleet fleet-1 is in service again.",
    ),
}
_SIGNALS = [signal.SIGTERM, signal.SIGHUP, signal.SIGINT]
#: What becomes of a request: it is done and answered, done without an answer, or not done.
_BECAME = ["answered", "done", "lost"]
#: Of these nothing but the answer says what came of them.
_BY_ANSWER = ("rebalance", "delete")


class _Server(CordoningServer):
    """A server that does what it is asked to do, or does not, and then has something happen.

    Attributes:
        deaf: Whether it does nothing of it.
        sent: The paths of what it was asked to do.
        then: Called once it has been asked.
    """

    def __init__(self) -> None:
        super().__init__()
        self.sent: list[str] = []
        self.then: Callable[[], object] = lambda: None

    def _answer(self, path: str, query: dict[str, Any]) -> httpx.Response:
        if not path.endswith(tuple(path for _, _, path, _ in COMMANDS.values())):
            return super()._answer(path, query)
        self.sent.append(path)
        answer = httpx.Response(200, json={}) if self.deaf else super()._answer(path, query)
        self.then()
        return answer


@dataclass
class _Desk:
    """Where commands run.

    Attributes:
        proxy: What is between them and the server.
        server: What they change.
        file: The configuration file of the fleet.
    """

    proxy: FaultyProxy
    server: _Server
    file: Path

    def run(self, command: str, *options: str) -> int:
        """Runs a command; gives the exit code of its process."""
        words = [str(self.file) if word == "FILE" else word for word in command.split()]
        try:
            return main([*words, "--yes", *options])
        except SystemExit as end:
            return int(end.code or 0)

    def prepare(self, name: str) -> tuple[str, str, str]:
        """Makes what there is to change; gives the command, its path and what is written down."""
        command, before, path, done = COMMANDS[name]
        if before:
            assert self.run(before) == 0
        if name == "delete":
            self.server.runs[0]["status"] = "failed"
        self.server.sent.clear()
        return command, path, done

    @property
    def audit(self) -> list[str]:
        return [str(line["result"]) for line in lines(Store.default().audit_path)]


@pytest.fixture
def desk(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[_Desk]:
    hurry(monkeypatch)
    monkeypatch.setitem(Transport.__init__.__kwdefaults__, "sleep", no_sleep)
    for name in ("HOME", "XDG_STATE_HOME", "XDG_CONFIG_HOME"):
        monkeypatch.setenv(name, str(tmp_path))
    file = tmp_path / "fleet.dstack.yml"
    file.write_text("type: fleet\nname: fleet-1\nnodes: 0..5\nbackends: [aws]\n")
    server = _Server()
    with proxy_in_a_thread(server) as proxy:
        monkeypatch.setenv("DSTACK_SERVER_URL", proxy.url)
        monkeypatch.setenv("DSTACK_PROJECT", "main")
        monkeypatch.setenv("DSTACK_TOKEN", "secret-token")
        yield _Desk(proxy, server, file)


@pytest.mark.parametrize(("name", "became"), combined([*COMMANDS], _BECAME))
def test_a_command_that_is_ended_meanwhile_says_what_became_of_its_change(
    desk: _Desk, name: str, became: str, capsys: pytest.CaptureFixture[str]
) -> None:
    command, path, done = desk.prepare(name)
    before = len(desk.audit)
    number = _SIGNALS[([*COMMANDS].index(name) + _BECAME.index(became)) % len(_SIGNALS)]
    desk.server.deaf = became == "lost"
    desk.server.then = lambda: os.kill(os.getpid(), number)
    desk.proxy.fails("right" if became == "answered" else "reset in the body", path)
    code = desk.run(command)
    said = capsys.readouterr().err

    assert len(desk.server.sent) == 1, "a write is never repeated"
    sent, end = desk.audit[before:]
    assert sent == "sent"
    assert "Interrupted while the change is being made" in said
    if became == "answered" or (became == "done" and name not in _BY_ANSWER):
        assert end.startswith(done)
        assert code == 128 + number
        assert "It is not followed." in said
    else:
        # Of a spec, a read says that it is as it was.
        known = path.endswith("/apply") and became == "lost"
        assert end.startswith("not applied: " if known else "not known: ")
        assert code == (1 if known else 6)


@pytest.mark.parametrize(
    ("command", "path"), [("stop chat", "runs/stop"), ("cordon fleet-1", "placement/cordon")]
)
def test_a_program_is_told_that_it_is_not_known(
    desk: _Desk, command: str, path: str, capsys: pytest.CaptureFixture[str]
) -> None:
    desk.server.deaf = True
    desk.proxy.fails("reset in the body", path)
    assert desk.run(f"{command} -o json") == 6
    result = json.loads(capsys.readouterr().out)["result"]
    assert result["state"] is None
    assert "no answer says whether it was made" in result["message"]


@pytest.mark.parametrize("later", ["cordon", "abort"])
def test_the_next_command_says_of_what_the_end_was_not_seen(
    desk: _Desk, later: str, capsys: pytest.CaptureFixture[str]
) -> None:
    desk.server.deaf = True
    desk.proxy.fails("reset in the body", "runs/stop")
    assert desk.run("stop chat") == 6
    desk.server.deaf = False
    desk.proxy.works()
    assert desk.run(COMMANDS[later][0]) == 0
    assert "`stop` of chat was sent at " in capsys.readouterr().err


class _Full:
    """An output that takes nothing any more once something was changed."""

    encoding = "utf-8"

    def __init__(self, server: _Server) -> None:
        self._server = server
        self._file = Path(os.devnull).open("w")  # noqa: SIM115 - as long as the stream

    def fileno(self) -> int:
        return self._file.fileno()

    def write(self, text: str) -> int:
        if self._server.sent:
            raise OSError(errno.ENOSPC, "No space left on device")
        return len(text)

    def flush(self) -> None:
        pass


@pytest.mark.parametrize("name", ["stop", "drain"])
def test_a_program_that_reads_nothing_is_no_failure(
    desk: _Desk, name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    command, _, done = desk.prepare(name)
    monkeypatch.setattr(sys, "stdout", _Full(desk.server))
    assert desk.run(command, "-o", "json") == 0
    assert "The output can't be written: " in capsys.readouterr().err
    assert desk.audit[-1].startswith(done)


_FOLLOWED = [("drain", "placement/cordons"), ("fleet", "events/list")]


@pytest.mark.parametrize(("name", "reads"), _FOLLOWED)
def test_what_is_followed_is_looked_at_again_where_it_can_not_be_read(
    desk: _Desk,
    name: str,
    reads: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The change was made: a code that says that nothing can be reached is not its code."""
    monkeypatch.setattr(cordoning, "follow_drain", partial(follow_drain, every=0.0))
    command, _, done = desk.prepare(name)
    desk.server.then = lambda: desk.proxy.fails("HTML 502", reads)
    assert desk.run(command, "--wait", "0.1", "-o", "json") == 5
    told = capsys.readouterr()
    assert "is too busy or restarting" in told.err
    assert json.loads(told.out)["result"]["message"].startswith(done)


@pytest.mark.parametrize(("name", "reads"), _FOLLOWED)
def test_one_that_is_ended_while_it_follows_says_that_the_server_goes_on(
    desk: _Desk, name: str, reads: str, capsys: pytest.CaptureFixture[str]
) -> None:
    command, _, _ = desk.prepare(name)

    def ends_it(path: str) -> None:
        if desk.server.sent and path.endswith(reads):
            desk.server.fail = lambda path: None
            os.kill(os.getpid(), signal.SIGTERM)

    desk.server.fail = ends_it
    assert desk.run(command, "--wait", "60") == 128 + signal.SIGTERM
    assert "it is not followed further." in capsys.readouterr().err
