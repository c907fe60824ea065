"""The hosts of an SSH fleet, as its configuration lists them.

The server adds and removes hosts in place, and changes none that is there (dstack 0.22.5,
`services/fleets.py`). It refuses a change as a whole that removes a host on which something runs.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from dstack_api_client.edits.errors import InvalidEditError
from dstack_api_client.text import one_line
from dstack_placement.engine import mapping

#: What of a host can be written beside its name, and what it looks like.
OPTIONS: Mapping[str, str] = {
    "user": "user=ubuntu",
    "port": "port=2222",
    "identity_file": "identity_file=~/.ssh/lab",
    "internal_ip": "internal_ip=10.0.0.7",
    "blocks": "blocks=4 or blocks=auto",
}
_NAME = re.compile(r"[A-Za-z0-9_.:%\[\]-]+")
_MOST_PORTS = 65535


@dataclass(frozen=True, slots=True)
class Host:
    """One host.

    Attributes:
        name: Its name or address.
        values: What is said of it besides.
    """

    name: str
    values: Mapping[str, Any]


def is_ssh(configuration: Mapping[str, Any]) -> bool:
    """Whether a fleet's configuration is of hosts that are reached by SSH."""
    return configuration.get("ssh_config") is not None


def hosts_of(configuration: Mapping[str, Any]) -> tuple[Host, ...]:
    """The hosts in a fleet's configuration, in its order."""
    listed = mapping(configuration.get("ssh_config")).get("hosts")
    return tuple(
        Host(str(mapping(entry).get("hostname") or ""), mapping(entry))
        if isinstance(entry, Mapping)
        else Host(str(entry), {})
        for entry in (listed if isinstance(listed, list) else ())
    )


def keyless(configuration: Mapping[str, Any]) -> tuple[str, ...]:
    """The hosts for which no key file is named."""
    if mapping(configuration.get("ssh_config")).get("identity_file"):
        return ()
    return tuple(h.name for h in hosts_of(configuration) if not h.values.get("identity_file"))


def host_entry(text: str) -> str | dict[str, Any]:
    """Reads a host as somebody types it: `10.0.0.7 port=2222 user=ubuntu`.

    Raises:
        InvalidEditError: It can't be understood.
    """
    name, *options = text.split() or [""]
    if _NAME.fullmatch(name) is None:
        raise InvalidEditError(["Write the host's name or address: 10.0.0.7, or node-7.lab."])
    values: dict[str, Any] = {}
    for option in options:
        key, equals, value = option.partition("=")
        if not equals or not value or key not in OPTIONS:
            known = ", ".join(OPTIONS.values())
            raise InvalidEditError([f"{one_line(option)} is not an option of a host. Use {known}."])
        values[key] = _option(key, value)
    return {"hostname": name, **values} if values else name


def host_problems(configuration: Mapping[str, Any]) -> Iterator[str]:
    """What is wrong with a fleet's hosts, a line each."""
    hosts = hosts_of(configuration)
    if not hosts:
        yield "A fleet has at least one host. Leave one, or delete the fleet."
    names = [host.name for host in hosts]
    for name in dict.fromkeys(each for each in names if names.count(each) > 1):
        yield f"The host {one_line(name)} is listed twice. Leave one of them."
    for name in keyless(configuration):
        what = f"No key file is named for {one_line(name)}."
        yield f"{what} Write `identity_file` for it or for the fleet."
    with_ip = [host.name for host in hosts if host.values.get("internal_ip")]
    if with_ip and len(with_ip) < len(hosts):
        name = next(each for each in names if each not in with_ip)
        yield f"The other hosts have an `internal_ip`. Write one for {one_line(name)} too."


def _option(key: str, value: str) -> Any:
    if key == "port":
        if not value.isascii() or not value.isdigit() or not 0 < int(value[:6]) <= _MOST_PORTS:
            raise InvalidEditError([f"{one_line(value)} is not a port. Use 1 to {_MOST_PORTS}."])
        return int(value)
    if key == "blocks" and value != "auto":
        if not value.isascii() or not value.isdigit() or int(value[:6]) < 1:
            raise InvalidEditError(["`blocks` is a number from 1, or auto."])
        return int(value[:6])
    if key == "internal_ip":
        try:
            ipaddress.ip_address(value)
        except ValueError:
            raise InvalidEditError([f"{one_line(value)} is not an IP address."]) from None
    return value
