"""`get` on the command line: its forms, what is asked for, and how it ends."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
import yaml

from dstack_api_client.connect.connection import Connection
from dstack_api_client.problems.watch import Severity
from dstack_fleets_tui.cli.main import main
from dstack_fleets_tui.headless import get as get_module
from dstack_fleets_tui.headless.kinds import KINDS
from dstack_fleets_tui.headless.looking import Asked, Look
from tests.builders.sample_look import LOOK

TOKEN = "token-of-the-test"
pytestmark = pytest.mark.usefixtures("command_home")


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> list[Connection]:
    """Reading gives the snapshot of the tests; the connections that were read."""
    connections: list[Connection] = []

    async def observe(connection: Connection, asked: Asked) -> Look:
        connections.append(connection)
        return LOOK

    monkeypatch.setattr(get_module, "observe", observe)
    return connections


def test_json(seen: list[Connection], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["get", "services", "chat", "-o", "json", "--project", "main"]) == 0
    printed, said = capsys.readouterr()
    whole = json.loads(printed)
    assert list(whole) == ["version", "project", "observed_at", "services"]
    assert [service["name"] for service in whole["services"]] == ["chat"]
    assert said == ""
    (connection,) = seen
    assert (connection.url, connection.token) == ("http://127.0.0.1:1", TOKEN)


@pytest.mark.parametrize("kind", tuple(KINDS))
def test_yaml_is_the_same_object(
    kind: str, seen: list[Connection], capsys: pytest.CaptureFixture[str]
) -> None:
    code = 4 if kind == "problems" else 0
    named = [kind, "chat"] if kind == "logs" else [kind]
    assert main(["get", *named, "-o", "json"]) == code
    as_json = json.loads(capsys.readouterr().out)
    assert main(["get", *named, "-o", "yaml"]) == code
    assert yaml.safe_load(capsys.readouterr().out) == as_json
    assert as_json[kind]


def test_a_table(seen: list[Connection], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["get", "fleets"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == [
        "FLEET", "cpu", "edge-l4", "gpu-reserved", "gpu-spot", "lab",
    ]  # fmt: skip
    assert main(["get", "services", "--all"]) == 0
    assert "finished" in capsys.readouterr().out


@pytest.mark.parametrize("output", ["table", "json", "yaml"])
def test_problems_are_an_exit_code(
    output: str,
    seen: list[Connection],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["get", "problems", "-o", output]) == 4
    assert main(["get", "problems", "edge-l4", "--severity", "critical", "-o", output]) == 0

    async def nothing(connection: Connection, asked: Asked) -> Look:
        return replace(LOOK, problems=())

    monkeypatch.setattr(get_module, "observe", nothing)
    assert main(["get", "problems", "-o", output]) == 0
    assert capsys.readouterr().err == ""


def test_what_is_asked_for(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    questions: list[Asked] = []

    async def observe(connection: Connection, asked: Asked) -> Look:
        questions.append(asked)
        return LOOK

    monkeypatch.setattr(get_module, "observe", observe)
    main(["get", "events", "chat", "--limit", "7"])
    main(["get", "router", "--no-ssh"])
    main(["get", "problems", "--severity", "warning"])
    main(["get", "logs", "chat", "--group", "decode", "--replica", "2", "--since", "2h"])
    main(["get", "logs", "chat"])
    main(["get", "logs", "chat", "--since", "start"])
    assert questions == [
        Asked("events", "chat", limit=7),
        Asked("router", limit=50, ssh=False),
        Asked("problems", limit=50, severity=Severity.WARNING),
        Asked("logs", "chat", limit=50, group="decode", replica=2, back=timedelta(hours=2)),
        Asked("logs", "chat", limit=50, back=timedelta(minutes=15)),
        Asked("logs", "chat", limit=50),
    ]


@pytest.mark.parametrize(
    ("terminal", "variable", "coloured"), [(True, "", True), (True, "1", False), (False, "", False)]
)
def test_colour(
    terminal: bool,
    variable: str,
    coloured: bool,
    seen: list[Connection],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("NO_COLOR", variable)
    monkeypatch.setattr(sys.stdout, "isatty", lambda: terminal)
    assert main(["get", "instances"]) == 0
    assert ("\x1b[" in capsys.readouterr().out) == coloured


@pytest.mark.parametrize("where", ["before", "after", "environment"])
def test_plain_tables(
    where: str,
    seen: list[Connection],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    arguments = ["get", "fleets"]
    if where == "before":
        arguments.insert(0, "--ascii")
    elif where == "after":
        arguments.append("--ascii")
    else:
        monkeypatch.setenv("DSTACK_FLEETS_TUI_ASCII", "1")
    assert main(arguments) == 0
    assert capsys.readouterr().out.isascii()


@pytest.mark.parametrize("kind", ["services", "replicas"])
def test_an_unknown_service(
    kind: str, seen: list[Connection], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["get", kind, "chatt", "-o", "json"]) == 1
    printed, said = capsys.readouterr()
    assert printed == ""
    assert "There is no service chatt in project main. Did you mean chat?" in said


@pytest.mark.parametrize("kind", ["fleets", "instances"])
def test_an_unknown_fleet(
    kind: str, seen: list[Connection], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["get", kind, "\x1b[2J[red]zzz"]) == 1
    said = capsys.readouterr().err
    assert "There is no fleet" in said
    assert "It has: cpu, edge-l4, gpu-reserved, gpu-spot, lab." in said
    assert said.rstrip("\n").isprintable()


def test_a_server_that_is_away(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["get", "fleets"]) == 3
    printed, said = capsys.readouterr()
    assert printed == ""
    assert said.count("\n") == 1
    assert "http://127.0.0.1:1" in said
    assert TOKEN not in said


def test_plain_http(capsys: pytest.CaptureFixture[str], seen: list[Connection]) -> None:
    url = "http://dstack.example"
    os.environ["DSTACK_SERVER_URL"] = url
    assert main(["get", "fleets"]) == 3
    assert "--insecure-http" in capsys.readouterr().err
    assert main(["get", "fleets", "--insecure-http"]) == 0
    assert main(["--insecure-http", "get", "fleets"]) == 0
    os.environ["DSTACK_FLEETS_TUI_INSECURE_HTTP"] = "1"
    assert main(["get", "fleets"]) == 0
    del os.environ["DSTACK_FLEETS_TUI_INSECURE_HTTP"]
    assert [connection.url for connection in seen] == [url] * 3


def test_warnings_and_notices_do_not_mix_with_what_is_printed(
    command_home: Path,
    seen: list[Connection],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("DSTACK_FLEETS_TUI_INTERVAL", "soon")
    monkeypatch.delenv("DSTACK_TOKEN")
    config = command_home / ".dstack" / "config.yml"
    config.parent.mkdir()
    config.write_text("projects: [{name: main, url: 'https://h', token: t}]")
    config.chmod(0o600)
    assert main(["get", "fleets", "-o", "json"]) == 0
    printed, said = capsys.readouterr()
    assert json.loads(printed)["project"] == "main"
    assert "DSTACK_FLEETS_TUI_INTERVAL: interval is not used" in said
    assert "DSTACK_SERVER_URL is not used" in said


def test_debug_settings(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--debug-settings", "--interval", "5"]) == 0
    printed = capsys.readouterr().out
    rows = {line.split()[0]: line.split()[1:] for line in printed.splitlines() if line}
    assert rows["server"] == ["http://127.0.0.1:1", "DSTACK_SERVER_URL"]
    assert rows["project"] == ["main", "DSTACK_PROJECT"]
    assert rows["interval"] == ["5.0", "command", "line"]
    assert TOKEN not in printed
