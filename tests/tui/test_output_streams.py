"""Standard streams that are closed, full or read by nobody: what is said, and what goes on."""

from __future__ import annotations

import errno
import io
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from dstack_api_client.edits.store.keeping import Store
from dstack_fleets_tui.cli.main import main
from tests.builders.audit_log import ends
from tests.builders.hurried_edits import hurry
from tests.builders.network_commands import COMMANDS, WRITES
from tests.servers.faulty_proxy import proxy_in_a_thread
from tests.servers.networked_server import NetworkedServer

_FULL = OSError(errno.ENOSPC, "No space left on device")
_UNREAD = BrokenPipeError(errno.EPIPE, "Broken pipe")


class _Output(io.StringIO):
    """A stream that takes nothing, or nothing more."""

    encoding = "utf-8"

    def __init__(self, is_full: Callable[[], Any], error: OSError) -> None:
        super().__init__()
        self._is_full = is_full
        self._error = error
        self._file = Path(os.devnull).open("w")  # noqa: SIM115 - as long as the stream

    def fileno(self) -> int:
        return self._file.fileno()

    def write(self, text: str) -> int:
        if self._is_full():
            raise self._error
        return super().write(text)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[NetworkedServer]:
    hurry(monkeypatch)
    for name in ("HOME", "XDG_STATE_HOME", "XDG_CONFIG_HOME"):
        monkeypatch.setenv(name, str(tmp_path))
    with proxy_in_a_thread(NetworkedServer()) as proxy:
        monkeypatch.setenv("DSTACK_SERVER_URL", proxy.url)
        monkeypatch.setenv("DSTACK_PROJECT", "main")
        monkeypatch.setenv("DSTACK_TOKEN", "secret-token")
        assert isinstance(proxy.server, NetworkedServer)
        yield proxy.server


@pytest.mark.parametrize("error", [_FULL, _UNREAD], ids=["full", "unread"])
@pytest.mark.parametrize("command", [name for name in WRITES if name != "undo"])
def test_a_change_that_was_made_ends_as_one_without_an_output(
    server: NetworkedServer,
    command: str,
    error: OSError,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(sys, "stdout", _Output(lambda: server.writes, error))
    arguments, code = COMMANDS[command]
    assert main(arguments) == code
    assert len(server.writes) == 1
    assert "The output can't be written: " in capsys.readouterr().err
    assert not any("not" in str(end["result"]) for end in ends(Store.default().audit_path))


@pytest.mark.usefixtures("server")
@pytest.mark.parametrize("arguments", [["get", "services"], ["get", "services", "-o", "json"]])
def test_a_full_disk_is_a_sentence(
    arguments: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with Path("/dev/full").open("w") as full:
        monkeypatch.setattr(sys, "stdout", full)
        assert main(arguments) == 1
    said = capsys.readouterr().err
    assert said == "dstack-fleets-tui: The output can't be written: No space left on device.\n"


@pytest.mark.usefixtures("server")
def test_nobody_can_be_asked_over_a_closed_input(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "stdin", None)
    assert main(["apply", "chat", "--set", "priority=7"]) == 1
    assert "There is no terminal to ask on. Give --yes" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["apply chat --set priority=7", "stop chat", "rebalance chat"])
@pytest.mark.parametrize("yes", [[], ["--yes"]])
def test_a_name_that_is_not_the_one_that_changes_confirms_nothing(
    server: NetworkedServer, command: str, yes: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """Where the project is not protected, too: a script that was given the wrong name is wrong."""
    assert main([*command.split(), *yes, "--confirm", "other"]) == 1
    said = capsys.readouterr().err
    assert "--confirm names other, but this changes chat. Nothing was changed." in said
    assert server.writes == []


@pytest.mark.usefixtures("server")
def test_what_nobody_is_told_beside_the_output_ends_nothing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "stderr", _Output(lambda: True, _FULL))
    assert main(["get", "services", "nobody"]) == 1
    assert main(["apply", "chat", "--set", "priority=7", "--yes"]) == 0
    assert "applied" in capsys.readouterr().out


def test_streams_that_were_closed_lead_nowhere(tmp_path: Path) -> None:
    """Else the next file that is opened would be the output."""
    program = f"""
import sys
from dstack_fleets_tui.output import streams
streams.open_closed()
with open({str(tmp_path / "file")!r}, "w") as file:
    print("not in the file")
    print("nor this", file=sys.stderr)
    file.write(f"{{file.fileno()}} {{sys.stdin.read()!r}}")
"""
    command = ["sh", "-c", 'exec "$0" -c "$1" <&- >&- 2>&-', sys.executable, program]
    assert subprocess.run(command, check=False).returncode == 0
    assert (tmp_path / "file").read_text() == "3 ''"
