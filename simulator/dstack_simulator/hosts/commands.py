"""What the commands do that a dstack server runs on a host while it takes it in.

Each entry of a table is a pattern and an action. An action works on the host's private files and on
its shim, and returns what the real command would print. A command that no pattern knows fails as
it would in a shell, and is kept in `CommandTable.unknown`.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, Protocol, TypeVar


@dataclass(frozen=True)
class CommandResult:
    """What a command printed, and its exit status."""

    stdout: str = ""
    stderr: str = ""
    exit_status: int = 0


class Machine(Protocol):
    """A machine with files."""

    @property
    def files(self) -> Path:
        """The folder that stands for `/`."""


class ShimMachine(Machine, Protocol):
    """A machine that a shim can be installed on."""

    architecture: str

    def authorize(self, public_key: str) -> None:
        """Lets a key log in."""

    def start_shim(self) -> None:
        """(Re)starts the shim."""

    def host_info(self) -> str | None:
        """The text of `host_info.json`; none before the shim has started."""

    def shim_health(self) -> str | None:
        """The answer of the shim's health check; none before it has started."""


class NginxMachine(Machine, Protocol):
    """A machine on which nginx passes requests to the replicas of services."""

    def take_out(self, job_id: str, *, is_last: bool) -> str:
        """Takes a replica's socket away; what the command prints."""


AnyMachine = TypeVar("AnyMachine", bound=Machine)
Action = Callable[[AnyMachine, "re.Match[str]"], CommandResult]


class CommandTable(Generic[AnyMachine]):
    """Patterns and their actions, in the order in which they are tried."""

    def __init__(self, entries: Iterable[tuple[str, Action[AnyMachine]]]) -> None:
        self._entries = [(re.compile(pattern, re.DOTALL), action) for pattern, action in entries]
        self.unknown: list[str] = []

    def run(self, machine: AnyMachine, command: str) -> CommandResult:
        """Runs a command line on a machine."""
        for pattern, action in self._entries:
            match = pattern.match(command)
            if match is not None:
                return action(machine, match)
        self.unknown.append(command)
        word = command.split(maxsplit=1)[0] if command.strip() else ""
        return CommandResult(stderr=f"sh: {word}: command not found\n", exit_status=127)


def real_path(machine: Machine, path: str) -> Path:
    """The private file that stands for a path of the machine."""
    inside = Path(path.strip("'\"")).relative_to("/")
    if ".." in inside.parts:
        raise ValueError(f"{path} leaves the machine's folder. Use a path without '..'.")
    return machine.files / inside


def succeed(machine: Machine, match: re.Match[str]) -> CommandResult:
    """Does nothing, quietly."""
    return CommandResult()


def _architecture(machine: ShimMachine, match: re.Match[str]) -> CommandResult:
    return CommandResult(stdout=f"{machine.architecture}\n")


def _authorize(machine: ShimMachine, match: re.Match[str]) -> CommandResult:
    for line in match["keys"].splitlines():
        _blob, _tab, entry = line.partition("\t")
        if entry:
            machine.authorize(entry)
    return CommandResult()


def _move(machine: Machine, match: re.Match[str]) -> CommandResult:
    source, target = real_path(machine, match["source"]), real_path(machine, match["target"])
    if not source.exists():
        message = f"mv: cannot stat '{match['source']}': No such file or directory\n"
        return CommandResult(stderr=message, exit_status=1)
    target.parent.mkdir(parents=True, exist_ok=True)
    source.replace(target)
    return CommandResult()


def _install_service(machine: ShimMachine, match: re.Match[str]) -> CommandResult:
    moved = _move(machine, match)
    if moved.exit_status == 0:
        machine.start_shim()
    return moved


def _remove_if_there(machine: Machine, match: re.Match[str]) -> CommandResult:
    path = real_path(machine, match["path"])
    if not path.exists():
        return CommandResult(exit_status=1)
    path.unlink()
    return CommandResult()


def _host_info(machine: ShimMachine, match: re.Match[str]) -> CommandResult:
    text = machine.host_info()
    if text is None:
        message = f"cat: {match['path']}: No such file or directory\n"
        return CommandResult(stderr=message, exit_status=1)
    return CommandResult(stdout=text)


def _shim_health(machine: ShimMachine, match: re.Match[str]) -> CommandResult:
    text = machine.shim_health()
    return CommandResult(exit_status=7) if text is None else CommandResult(stdout=text)


def _shim_status(machine: ShimMachine, match: re.Match[str]) -> CommandResult:
    state = "inactive (dead)" if machine.shim_health() is None else "active (running)"
    return CommandResult(stdout=f"● dstack-shim.service - dstack-shim\n     Active: {state}\n")


def host_commands() -> CommandTable[ShimMachine]:
    """The commands with which a server takes a host into an SSH fleet."""
    return CommandTable(
        [
            (r"uname -m\s*$", _architecture),
            (r"set -eu\n.*authorized_keys.*3<<'(?P<eof>\w+)'\n(?P<keys>.*)\n(?P=eof)", _authorize),
            (r"sudo sh -c 'dlpath=", succeed),
            (
                r"sudo mkdir -p \S+ && sudo mv (?P<source>\S+) (?P<target>\S+)",
                _move,
            ),
            (
                r"\s*sudo mv (?P<source>\S+) (?P<target>\S+).*systemctl restart dstack-shim",
                _install_service,
            ),
            (r"sudo test -e (?P<path>\S+) && sudo rm \S+", _remove_if_there),
            (r"sudo cat (?P<path>\S+host_info\.json)", _host_info),
            (r"curl -s http://localhost:\d+/api/healthcheck", _shim_health),
            (r"sudo systemctl status dstack-shim", _shim_status),
        ]
    )


def _update_gateway(machine: Machine, match: re.Match[str]) -> CommandResult:
    build = shlex.split(match["arguments"])[-1] if match["arguments"].strip() else ""
    return CommandResult(stdout=f"The build {build} is already installed. Skipping...\n")


def _make_folder(machine: Machine, match: re.Match[str]) -> CommandResult:
    real_path(machine, match["path"]).mkdir(parents=True, exist_ok=True)
    return CommandResult()


def _remove(machine: Machine, match: re.Match[str]) -> CommandResult:
    real_path(machine, match["path"]).unlink(missing_ok=True)
    return CommandResult()


def _take_out(machine: NginxMachine, match: re.Match[str]) -> CommandResult:
    said = machine.take_out(match["job"], is_last=match["last"] == "last")
    return CommandResult(stdout=f"{said}\n")


def gateway_commands() -> CommandTable[NginxMachine]:
    """The commands that a server runs on a gateway, with the placement add-on too."""
    return CommandTable(
        [
            (r"mkdir -p (?P<path>\S+)\s*$", _make_folder),
            (r"rm -f (?P<path>\S+)\s*$", _remove),
            (
                r"/bin/sh -c '.*# replica .*' sh (?P<job>[0-9a-f]{32}) (?P<last>last|one) \S+$",
                _take_out,
            ),
            (r"/bin/sh -c '.*dstack\.gateway.*' sh (?P<arguments>.*)$", _update_gateway),
        ]
    )
