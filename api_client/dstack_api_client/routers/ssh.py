"""How OpenSSH is told the way into a container, as `dstack attach` goes it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from dstack_api_client.model.replica import Login, SshHop

#: What a server may name: nothing that means something in a configuration or on a command line.
_HOST = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_.:-]*[A-Za-z0-9_])?")
_USER = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")
#: Nobody is asked anything, and a connection that hangs ends.
_OPTIONS = {
    "BatchMode": "yes",
    "ConnectTimeout": "8",
    "ServerAliveInterval": "5",
    "ServerAliveCountMax": "3",
    "ControlMaster": "no",
    "ControlPath": "none",
    "ForwardAgent": "no",
    "ForwardX11": "no",
    "PermitLocalCommand": "no",
}
#: Containers are new machines each time: dstack's own client does not know their keys either.
_UNKNOWN_HOSTS = {"StrictHostKeyChecking": "no", "UserKnownHostsFile": "/dev/null"}
_NAME = "dstack-hop-{}"
#: What `dstack attach` says of a host, and no more.
_OF_DSTACK = frozenset(
    {"HostName", "Port", "User", "IdentityFile", "IdentitiesOnly", "ProxyJump"}
    | {"StrictHostKeyChecking", "UserKnownHostsFile"}
)
#: What OpenSSH says beside what tells something.
_IDLE_WORDS = ("Warning:", "kex_exchange", "Connection closed by UNKNOWN", "stdio forwarding")


class UnsafeNameError(ValueError):
    """A server named a host or a user as none is named."""


@dataclass(frozen=True)
class Way:
    """A way to a port in a container.

    Attributes:
        host: What OpenSSH is told to connect to.
        port: The port in the container.
        config: The text of a configuration to use in place of the user's own; None for that one.
    """

    host: str
    port: int
    config: str | None

    def arguments(self, config: Path | None) -> list[str]:
        """The arguments of OpenSSH that connect its input and output with the port.

        Args:
            config: The file that the configuration was written to.
        """
        # The last of the programs tells when nothing listens on the port.
        first = _first_arguments(config, {"LogLevel": "INFO"})
        return [*first, "-T", "-W", f"localhost:{self.port}", "--", self.host]

    def shell(self, config: Path | None) -> list[str]:
        """The arguments of OpenSSH that open a shell in the terminal.

        Args:
            config: The file that the configuration was written to.
        """
        # Somebody is there who can be asked.
        first = _first_arguments(config, {"LogLevel": "ERROR", "BatchMode": "no"})
        return [*first, "-t", "--", self.host]


def _first_arguments(config: Path | None, own: Mapping[str, str]) -> list[str]:
    file = [] if config is None else ["-F", str(config)]
    return [*file, *(f"-o{name}={value}" for name, value in {**_OPTIONS, **own}.items())]


def way_by_key(login: Login, key: Path) -> Way:
    """The way that the server reports, with a key from a file.

    Raises:
        UnsafeNameError: The server named a host or a user as none is named.
    """
    names = [_NAME.format(number) for number in range(len(login.hops))]
    if login.own_jump:
        # Under its real name, so that the user's own configuration speaks of it.
        names[0] = login.hops[0].host
    lines: list[str] = []
    for number, hop in enumerate(login.hops):
        own = number == 0 and login.own_jump
        lines += _block(names[number], hop, None if own else key)
        if number:
            lines.append(f"  ProxyJump {names[number - 1]}")
        if own:
            lines.append("  Include ~/.ssh/config")
    lines += ["Host *", *_settings({**_OPTIONS, **_UNKNOWN_HOSTS, "LogLevel": "ERROR"})]
    return Way(names[-1], login.port, "\n".join(lines) + "\n")


def way_by_alias(alias: str, login: Login, text: str) -> Way | None:
    """The way that `dstack attach` wrote down while it runs.

    Nothing but what dstack writes counts, and only where it leads through the hosts that the
    server names: a service may be named like any host that the user can log in to.

    Args:
        alias: The name that dstack gives to the container.
        login: The way that the server reports.
        text: dstack's own SSH configuration.

    Returns:
        The way; None where dstack did not write it, or wrote another.

    Raises:
        UnsafeNameError: The name could be taken for something else.
    """
    _checked(alias, _HOST)
    blocks = _blocks(text)
    hops: list[tuple[str, str]] = []
    name: str | None = alias
    while name is not None and len(hops) <= len(login.hops):
        block = blocks.get(name)
        if block is None or not block.keys() <= _OF_DSTACK:
            return None
        hops.insert(0, (block.get("HostName", ""), block.get("Port", "")))
        name = block.get("ProxyJump")
    if hops != [(hop.host, str(hop.port)) for hop in login.hops]:
        return None
    return Way(alias, login.port, None)


def _blocks(text: str) -> dict[str, dict[str, str]]:
    """What a configuration says of each host; of one that stands in it twice, nothing."""
    blocks: dict[str, dict[str, str]] = {}
    block: dict[str, str] = {}
    for line in text.splitlines():
        name, _, value = line.strip().partition(" ")
        if not name or name.startswith("#"):
            continue
        if name == "Host":
            block = {}
            blocks[value] = {} if value in blocks else block
        else:
            block[name] = value.strip()
    return blocks


def same_key(one: str, other: str) -> bool:
    """Whether two public keys are the same, whatever their comments."""
    return one.split()[:2] == other.split()[:2]


def _block(name: str, hop: SshHop, key: Path | None) -> list[str]:
    settings = {
        "HostName": _checked(hop.host, _HOST),
        "Port": str(hop.port),
        "User": _checked(hop.user, _USER),
    }
    if key is not None:
        settings |= {
            "IdentityFile": f'"{key}"',
            "IdentitiesOnly": "yes",
            "IdentityAgent": "none",
        }
    return [f"Host {_checked(name, _HOST)}", *_settings(settings)]


def _settings(settings: dict[str, str]) -> list[str]:
    return [f"  {name} {value}" for name, value in settings.items()]


def _checked(text: str, pattern: re.Pattern[str]) -> str:
    if pattern.fullmatch(text) is None:
        raise UnsafeNameError(f"{text!r} is not a name of a host or a user.")
    return text


def last_words(lines: Sequence[str]) -> str:
    """What OpenSSH said last that tells something."""
    telling = [line for line in lines if not line.startswith(_IDLE_WORDS)]
    return (telling or list(lines) or [""])[-1].rstrip(".")
