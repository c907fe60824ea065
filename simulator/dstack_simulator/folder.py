"""The private folder of one simulator, and the environment of what runs in it."""

from __future__ import annotations

import os
import shlex
import shutil
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from dstack_simulator.errors import SimulatorError

#: The variable that everything started by a simulator carries, with a value of its own.
MARK_VARIABLE = "DSTACK_SIMULATOR_MARK"

#: Variables that say where the control API of the world is, for the emulated cloud's backend.
CONTROL_URL_VARIABLE = "DSTACK_SIMULATOR_CONTROL_URL"
CONTROL_TOKEN_VARIABLE = "DSTACK_SIMULATOR_CONTROL_TOKEN"

#: An address where nothing listens: the server's look-ups on the internet end at once.
_NOWHERE = "http://127.0.0.1:9"

#: What the server inherits from the user's environment; everything else is left out.
_INHERITED = ("LANG", "LC_ALL", "LC_CTYPE", "PATH", "TZ", "VIRTUAL_ENV", "COVERAGE_PROCESS_START")

_SSH_WRAPPER = """\
#!/bin/sh
# The server reaches gateways on SSH's own port, which takes root to listen on. For the address of
# an emulated gateway this adds its port; everything else goes to the real program as it is.
for argument; do
  case $argument in
    ubuntu@*)
      if [ -f {ports}/"${{argument#ubuntu@}}" ]; then
        read -r port < {ports}/"${{argument#ubuntu@}}"
        exec {ssh} -p "$port" "$@"
      fi ;;
  esac
done
exec {ssh} "$@"
"""


@dataclass(frozen=True)
class Folder:
    """Paths inside the private folder of one simulator.

    Attributes:
        root: The folder itself.
    """

    root: Path
    temporary: Path
    """For sockets and keys. Short, as the paths of sockets are limited to about 100 bytes."""

    @property
    def home(self) -> Path:
        """The first server's home, so that the user's own is neither read nor written."""
        return self.home_of_server(1)

    @property
    def server(self) -> Path:
        """The first server's database, configuration and logs of jobs."""
        return self.of_server(1)

    @property
    def hosts(self) -> Path:
        """What emulated hosts write."""
        return self.root / "hosts"

    @property
    def gateway_ports(self) -> Path:
        """One file per emulated gateway, named by its address, holding its SSH port."""
        return self.root / "gateways"

    @property
    def authorities(self) -> Path:
        """Certificates of authorities: none."""
        return self.root / "authorities"

    @property
    def ssh(self) -> Path:
        """The SSH program that the server is told to use."""
        return self.root / "ssh"

    @property
    def world_log(self) -> Path:
        """What the process of the emulated world logs."""
        return self.root / "world.log"

    @property
    def server_log(self) -> Path:
        """What the first server logs, over all its restarts."""
        return self.log_of_server(1)

    @property
    def command_log(self) -> Path:
        """What the command line would print while another program has the terminal."""
        return self.root / "simulator.log"

    @property
    def faults(self) -> Path:
        """The pipe that takes names of faults from the command on the simulator."""
        return self.root / "faults"

    def of_server(self, number: int) -> Path:
        """The folder of one of several servers, which are numbered from 1."""
        return self.root / _numbered("server", number)

    def log_of_server(self, number: int) -> Path:
        """What one of several servers logs, over all its restarts."""
        return self.root / f"{_numbered('server', number)}.log"

    def home_of_server(self, number: int) -> Path:
        """The home of one of several servers, each of which writes its address there."""
        return self.root / _numbered("home", number)

    def prepare(self, servers: int) -> None:
        """Creates the folders and the files that servers find when they start."""
        self.root.mkdir(parents=True, exist_ok=True)
        self.root.chmod(0o700)
        for path in (self.hosts, self.gateway_ports, self.authorities):
            path.mkdir(exist_ok=True)
        for number in range(1, servers + 1):
            self.of_server(number).mkdir(exist_ok=True)
            # Without this file dstack's command line asks its maker's site for a newer version.
            home = self.home_of_server(number)
            checked = home / ".cache" / ".dstack" / "cli" / "last_check"
            checked.parent.mkdir(parents=True, exist_ok=True)
            checked.touch()
        self.temporary.mkdir(exist_ok=True, mode=0o700)
        ssh = find_ssh()
        self.ssh.write_text(
            _SSH_WRAPPER.format(ssh=shlex.quote(ssh), ports=shlex.quote(str(self.gateway_ports)))
        )
        self.ssh.chmod(stat.S_IRWXU)

    def environment(self, mark: str, extra: Mapping[str, str]) -> dict[str, str]:
        """The environment of every process of this simulator.

        Args:
            mark: The private mark of the simulator, by which its processes are found.
            extra: Added last.
        """
        environment = {name: os.environ[name] for name in _INHERITED if name in os.environ}
        environment.update(
            {
                "HOME": str(self.home),
                "TMPDIR": str(self.temporary),
                "PYTHONUNBUFFERED": "1",
                "HTTPS_PROXY": _NOWHERE,
                "https_proxy": _NOWHERE,
                "NO_PROXY": "localhost,127.0.0.1",
                "no_proxy": "localhost,127.0.0.1",
                MARK_VARIABLE: mark,
            }
        )
        environment.update(extra)
        return environment


def _numbered(name: str, number: int) -> str:
    return name if number == 1 else f"{name}-{number}"


def last_line(log: Path, start: int = 0) -> str:
    """The last line of a log, for a message.

    Args:
        log: The file.
        start: Where in it to begin.
    """
    with log.open("rb") as file:
        file.seek(start)
        lines = file.read().decode(errors="replace").strip().splitlines()
    return lines[-1].strip() if lines else "It said nothing."


def find_ssh() -> str:
    """The path of the OpenSSH client.

    Raises:
        SimulatorError: There is none.
    """
    path = shutil.which("ssh")
    if path is None:
        raise SimulatorError(
            "The program ssh was not found. Install the OpenSSH client"
            " (Debian: apt install openssh-client)."
        )
    return path
