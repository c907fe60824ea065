"""Every command of the shell in the documents does what they say, as it stands there.

It runs in an empty home, on a server with the placement add-on. The names of the documents are
those of the scenario `lanes`, in the projects `prod` and `staging`.
"""

from __future__ import annotations

import asyncio
import shlex
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import certifi
import pytest
import pytest_asyncio
import yaml

from dstack_simulator.handle.handle import Handle
from dstack_simulator.scenarios import scenario as scenarios
from tests.builders.documented_commands import DOCUMENTS, arguments, shell_commands
from tests.builders.generation import longest
from tests.servers.commands import environment, here
from tests.servers.sharing import emptied
from tests.waiting import until

pytestmark = [pytest.mark.e2e, pytest.mark.slow, longest]

#: Names that documents use where any would do.
_NAMES = {"chat": "chat-70b", "NAME": "chat-70b"}
_LAB = {
    "type": "fleet",
    "name": "lab",
    "nodes": "0..1",
    "backends": ["aws"],
    "regions": ["us-east-1"],
    "resources": {"gpu": "L4:8"},
}
_TRAIN = {
    "type": "task",
    "name": "train",
    "commands": ["sleep 3600"],
    "fleets": ["edge-l4"],
    "resources": {"gpu": "L4:1"},
}
#: What needs a terminal: `test_demo` runs the one, `test_packaging` plays the recording.
_ON_TERMINALS = ("demo", "--replay")
#: Commands that change something, by their first word.
_CHANGING = frozenset(
    {"apply", "undo", "rebalance", "cordon", "drain", "uncordon", "stop", "delete"}
)
#: What changes something, in an order in which each has something to change.
_WRITES = """
apply chat-70b --set gpu-spot.min_replicas=2 --yes --wait
undo chat-70b --yes --wait
apply chat --set gpu-spot.min_replicas=2 --set gpu-spot.priority=20 --wait
undo chat
undo chat --to 3
undo NAME --to 3
rebalance chat-70b --yes --wait
rebalance chat
rebalance -o json
rebalance chat --cancel
cordon gpu-reserved/0 --reason "new driver"
uncordon gpu-reserved/0
drain gpu-reserved/0 --reason "new driver" --yes --wait
uncordon gpu-reserved/0 --yes
drain gpu-reserved/0 --wait
drain --wait
drain gpu-reserved --reason "returned to the provider" --yes
apply lab -f fleet.dstack.yml --wait
undo lab
undo NAME --fleet
stop train --abort --yes
stop chat --wait
delete chat --yes
"""
#: Codes of commands that tell with them what they found.
_FOUND = {"plan": (0, 2), "whatif": (0, 4), "problems": (0, 4)}


def documented() -> list[list[str]]:
    """The commands that are shown whole, each once."""
    found = {
        tuple(words): None
        for document in DOCUMENTS
        for command in shell_commands(document.read_text("utf-8"))
        if (words := arguments(command)) is not None
    }
    return [[*words] for words in found]


def _service() -> dict[str, Any]:
    """`chat-70b` as it was applied."""
    (found,) = (
        step.apply
        for step in scenarios.load("lanes").steps
        if step.apply is not None and step.apply["name"] == "chat-70b"
    )
    return found


@pytest_asyncio.fixture(scope="module")
async def prod(addon_server: Handle) -> AsyncIterator[Handle]:
    project = await addon_server.add_project("prod", scenarios.load("lanes"))
    await addon_server.add_project("staging", scenarios.load("empty"))
    await project.settled()
    await project.apply(_LAB)
    await project.apply(_TRAIN)
    yield project
    await emptied(project)


@pytest.fixture(scope="module")
def home(prod: Handle, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The home of someone who has added two projects, with the files that documents name."""
    folder = tmp_path_factory.mktemp("home")
    (folder / ".dstack").mkdir()
    (folder / ".secrets").mkdir()
    projects = [
        {"name": name, "url": prod.url, "token": prod.token, "default": name == prod.project}
        for name in (prod.project, "staging")
    ]
    for path, text in {
        ".dstack/config.yml": yaml.safe_dump({"projects": projects}),
        ".secrets/dstack-token": prod.token,
        "company-ca.pem": Path(certifi.where()).read_text("ascii"),
        "fleet.dstack.yml": yaml.safe_dump({**_LAB, "nodes": "0..2"}),
        "FILE": yaml.safe_dump(_service()),
    }.items():
        (folder / path).write_text(text)
        (folder / path).chmod(0o600)
    return folder


class Shell:
    """Runs commands in that home.

    Attributes:
        token_file: A file with a token.
    """

    def __init__(self, prod: Handle, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self._prod = prod
        self._home = home
        self.token_file = home / ".secrets" / "dstack-token"
        monkeypatch.chdir(home)

    def run(self, words: list[str]) -> tuple[int, str, str]:
        """Its exit code, output and errors."""
        ended = here(self._prod, *words, home=self._home, **_NOT_SET)
        return ended.returncode, ended.stdout, ended.stderr

    async def change(self, words: list[str]) -> tuple[int, str]:
        """The exit code and errors of a program of its own: signals are for the main thread."""
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "dstack_fleets_tui", *words),
            env=environment(self._prod, self._home, **_NOT_SET),
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
        )
        _, errors = await process.communicate()
        return process.returncode or 0, errors.decode()

    async def begin(self, words: list[str]) -> int:
        """The exit code of one that goes on, interrupted once it reads what there is."""
        log = self._home / "requests.log"
        log.unlink(missing_ok=True)
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "dstack_fleets_tui", *words, "--log-file", str(log)),
            env=environment(self._prod, self._home, **_NOT_SET),
            stdout=asyncio.subprocess.DEVNULL,
        )
        await until(
            lambda: process.returncode is not None or (log.exists() and "/runs" in log.read_text()),
            limit=60,
            what="a look at the runs",
        )
        process.send_signal(signal.SIGINT)
        return await process.wait()


#: What a test's own environment has; here the configuration says it.
_NOT_SET = {"DSTACK_SERVER_URL": "", "DSTACK_TOKEN": "", "DSTACK_PROJECT": ""}


@pytest.fixture
def shell(prod: Handle, home: Path, monkeypatch: pytest.MonkeyPatch) -> Shell:
    return Shell(prod, home, monkeypatch)


def _meant(words: list[str]) -> list[str]:
    """A command with its names, and with one where a sentence leaves it out."""
    names = {**_NAMES, "NAME": "lab"} if "--fleet" in words else _NAMES
    words = [names.get(word, word) for word in words]
    command, *rest = words
    if rest and command in {"plan", "rebalance"} and rest[0].startswith("-"):
        return [command, "chat-70b", *rest]
    if command == "drain" and rest[0].startswith("-"):
        return [command, "gpu-reserved/0", *rest]
    return words


async def test_what_only_reads(shell: Shell) -> None:
    wrong = []
    for words in documented():
        if not words or words[0].startswith("-") or words[0] in {*_CHANGING, *_ON_TERMINALS}:
            continue
        if (len(words) == 1 and words[0] != "schema") or words == ["get", "logs"]:
            continue  # it is named, not shown
        meant = _meant(words)
        if {"--watch", "--follow"} & {*words}:
            code = await shell.begin(meant)
            if code != 130:
                wrong.append((words, code, "it goes on"))
            continue
        code, output, errors = await asyncio.to_thread(shell.run, meant)
        if code not in _FOUND.get(words[1 if words[0] == "get" else 0], (0,)) or not output:
            wrong.append((words, code, errors))
    assert wrong == []


def test_what_opens_the_dashboard_finds_the_server(shell: Shell) -> None:
    wrong = []
    for words in documented():
        if (words and not words[0].startswith("-")) or words[:1] == ["--replay"]:
            continue
        places = {"FILE": str(shell.token_file), "~/.secrets/dstack-token": str(shell.token_file)}
        code, output, errors = shell.run(
            [*(places.get(word, word) for word in words), "--debug-settings"]
        )
        if code != 0 or ("(hidden)" not in output and words != ["--version"]):
            wrong.append((words, code, errors))
    assert wrong == []


async def test_what_changes_something(prod: Handle, shell: Shell) -> None:
    shown = [words for words in documented() if len(words) > 1 and words[0] in _CHANGING]
    order = [shlex.split(line) for line in _WRITES.strip().splitlines()]
    last = ["stop", "chat-70b", "--yes", "--wait"]
    assert sorted([*order, last]) == sorted(shown), "each is run here"
    wrong = []
    for words in order:
        # Without the option they ask, on a terminal.
        said = [] if "--yes" in words else ["--yes"]
        code, errors = await shell.change([*_meant(words), *said])
        if code != 0:
            wrong.append((words, code, errors))
    await prod.apply(_service())
    code, errors = await shell.change(last)
    assert (wrong, code) == ([], 0), errors
