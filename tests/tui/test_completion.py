"""Completion in a shell, the manual page and the schema of the settings."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from argparse import Namespace
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
import yaml

from dstack_api_client.connect.connection import Connection
from dstack_api_client.errors import CannotConnectError
from dstack_fleets_tui.cli import completion
from dstack_fleets_tui.cli.main import main
from dstack_fleets_tui.pages.man_page import page
from dstack_fleets_tui.settings.own_keys import checked
from dstack_fleets_tui.settings.settings import Values, load
from tests import ROOT
from tests.servers.faulty_proxy import proxy_in_a_thread
from tests.servers.networked_server import NetworkedServer

#: Prints what bash would offer for each line that it is given, a line each.
OFFERS = """
eval "$(dstack-fleets-tui completion bash)"
asked=$(complete -p dstack-fleets-tui | sed 's/.* -F \\([^ ]*\\) .*/\\1/')
for COMP_LINE in "$@"; do
  COMP_POINT=${#COMP_LINE} COMP_TYPE=9 COMPREPLY=()
  "$asked" dstack-fleets-tui
  echo ${COMPREPLY[*]}
done
"""


#: The command line, which waits for a server as long as a busy machine takes.
COMMAND = """
import sys
from dstack_fleets_tui.cli import completion, main
completion._PATIENCE = 120
sys.exit(main.main())
"""


@pytest.fixture
def shell(tmp_path: Path) -> dict[str, str]:
    """The environment of a shell that has the command, and a home with two projects."""
    command = tmp_path / "dstack-fleets-tui"
    command.write_text(f"#!{sys.executable}\n{COMMAND}")
    command.chmod(0o755)
    projects = [
        {"name": name, "url": "http://127.0.0.1:1", "token": "t", "default": name == "main"}
        for name in ("main", "prod")
    ]
    (tmp_path / ".dstack").mkdir()
    (tmp_path / ".dstack" / "config.yml").write_text(yaml.safe_dump({"projects": projects}))
    own = {k: v for k, v in os.environ.items() if not k.startswith(("DSTACK_", "XDG_", "COMP_"))}
    return {**own, "HOME": str(tmp_path), "PATH": f"{tmp_path}:{own['PATH']}"}


@pytest.fixture
def server() -> Iterator[tuple[NetworkedServer, str]]:
    network = NetworkedServer()
    with proxy_in_a_thread(network) as proxy:
        yield network, proxy.url


def offers(shell: dict[str, str], *lines: str) -> list[list[str]]:
    command = ["bash", "--norc", "-c", OFFERS, "bash", *lines]
    done = subprocess.run(command, env=shell, capture_output=True, text=True, timeout=180)
    assert done.stderr == ""
    return [line.split() for line in done.stdout.splitlines()]


def test_commands_options_and_names_are_completed(
    shell: dict[str, str], server: tuple[NetworkedServer, str]
) -> None:
    network, url = server
    names = sorted(run["run_spec"]["run_name"] for run in network.runs)
    hostile = network.fleets[0]
    kept = sorted(fleet["name"] for fleet in network.fleets[1:])
    hostile["name"] = "$(reboot)"
    shell |= {"DSTACK_SERVER_URL": url, "DSTACK_TOKEN": "secret-token", "DSTACK_PROJECT": "main"}
    commands, kinds, services, fleets, beginning, projects = offers(
        shell,
        "dstack-fleets-tui wha",
        "dstack-fleets-tui get prob",
        "dstack-fleets-tui apply ",
        "dstack-fleets-tui get fleets ",
        "dstack-fleets-tui apply --replicas 2 cha",
        "dstack-fleets-tui --project ",
    )
    assert commands == ["whatif"]
    assert kinds == ["problems"]
    assert sorted(services) == names
    assert sorted(fleets) == kept
    assert beginning == ["chat"]
    assert projects == ["main", "prod", "all"]


def test_without_a_server_options_are_completed_and_nothing_is_said(shell: dict[str, str]) -> None:
    names, options = offers(shell, "dstack-fleets-tui undo ch", "dstack-fleets-tui undo --wa")
    assert names == []
    assert options == ["--wait"]


def test_names_are_those_of_all_projects_that_are_named(
    shell: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def ask(connection: Connection, names: Any) -> list[str]:
        if connection.project == "prod":
            raise CannotConnectError("It is away.", "Wait.")
        return ["chat", connection.project]

    monkeypatch.setenv("HOME", shell["HOME"])
    monkeypatch.delenv("DSTACK_PROJECT", raising=False)
    monkeypatch.setattr(completion, "_ask", ask)
    assert completion.services(Namespace(project="main,prod,nosuch")) == ["chat", "main"]
    assert completion.services(Namespace(project="main")) == ["chat", "main"]
    assert completion.services(Namespace(project="prod")) == []


@pytest.mark.parametrize("name", ["bash", "zsh", "fish"])
def test_a_script_for_each_shell(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["completion", name]) == 0
    assert "dstack-fleets-tui" in capsys.readouterr().out


def test_the_manual_page_is_what_the_parser_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "0")  # another day
    kept = (ROOT / "docs" / "dstack-fleets-tui.1").read_text()
    assert page() == kept, "run `make docs`"


def test_the_schema_of_the_settings(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["schema"]) == 0
    schema: dict[str, Any] = json.loads(capsys.readouterr().out)
    assert set(schema["properties"]) == {each.name for each in fields(Values)}
    assert not schema["additionalProperties"]
    assert all(each["description"] for each in schema["properties"].values())
    written = tmp_path / "settings.yml"
    written.write_text("# yaml-language-server: $schema=settings.schema.json\ninterval: 5\n")
    assert load({}, {}, written).interval == 5


def test_the_schema_of_the_keys(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["schema", "keys"]) == 0
    schema: dict[str, Any] = json.loads(capsys.readouterr().out)
    assert not schema["additionalProperties"]
    named = schema["properties"]
    assert "rebalance" in named
    assert not {"open", "back"} & set(named), "they keep their keys"
    assert all(each["description"] for each in named.values())
    taken, wrong = checked(dict.fromkeys(named, "f9"))
    assert not [each for each in wrong if "no such binding" in each or "keeps its keys" in each]
    assert taken
