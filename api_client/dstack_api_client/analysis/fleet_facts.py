"""Everything a fleet's configuration says, as labelled lines."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from dstack_api_client.model.configuration import GPU_PARTS, gpu_text, readable
from dstack_api_client.model.fleet import Fleet
from dstack_api_client.model.profile import MARK, of_profile
from dstack_placement.engine import mapping

#: Label of a line and its text.
Fact = tuple[str, str]


def fleet_facts(fleet: Fleet) -> list[Fact]:
    """Lists what the fleet's configuration says, defaults included where they decide something.

    Args:
        fleet: The fleet, with its spec.

    Returns:
        Labels and texts in reading order, values of the profile marked. Secrets are masked.
    """
    spec = fleet.spec
    profile, given = mapping(spec.get("profile")), mapping(spec.get("configuration"))
    # A profile's values hold where the configuration is silent (dstack's FleetSpec.merged_profile).
    merged = {**profile, **{key: value for key, value in given.items() if value is not None}}
    config = readable(merged)
    found = [*_placement(fleet, config), *_cost(fleet, config), *_hosts(config), *_rest(config)]
    added = of_profile(spec)
    return [(label, f"{text}{MARK}" if field in added else text) for label, text, field in found]


class _Said(NamedTuple):
    """A fact, and the field that it is about where a profile may have it."""

    label: str
    text: str
    field: str = ""


def _placement(fleet: Fleet, config: Mapping[str, Any]) -> Iterator[_Said]:
    yield _Said("kind", "SSH hosts" if fleet.kind == "ssh" else "cloud")
    yield _Said("placement", str(config.get("placement", "any")))
    nodes = config.get("nodes")
    if isinstance(nodes, Mapping):
        top = nodes.get("max")
        yield _Said("nodes", f"{nodes.get('min', 0)}..{'' if top is None else top}")
        yield _Said("target", str(nodes.get("target", nodes.get("min", 0))))
    elif nodes is not None:
        yield _Said("nodes", str(nodes))
        yield _Said("target", str(nodes).partition("..")[0] or "0")
    yield _Said("blocks", str(config.get("blocks", 1)))
    for name, value in mapping(config.get("resources")).items():
        yield from _resource(name, value)


def _resource(name: str, value: Any) -> Iterator[_Said]:
    """One part of `resources`; what its short text can't say has a line each."""
    if not isinstance(value, Mapping):
        yield _Said(name, _listed(value))
        return
    short = gpu_text(value) if name == "gpu" else ""
    if short:
        yield _Said(name, short)
    for key, item in value.items():
        if not short or key not in GPU_PARTS:
            yield _Said(f"{name} {key}", _listed(item))


def _cost(fleet: Fleet, config: Mapping[str, Any]) -> Iterator[_Said]:
    if fleet.kind == "ssh":
        return
    yield _Said("spot policy", str(config.get("spot_policy", "on-demand (default)")), "spot_policy")
    yield _Said("reservation", str(config.get("reservation", "none")), "reservation")
    for key, label in (
        ("backends", "backends"),
        ("regions", "regions"),
        ("availability_zones", "zones"),
        ("instance_types", "instance types"),
    ):
        yield _Said(label, _listed(config.get(key, "any")), key)
    price = config.get("max_price")
    known = isinstance(price, int | float)
    yield _Said("max price", f"{price:g} $/h" if known else str(price or "none"), "max_price")
    yield _Said("idle duration", str(config.get("idle_duration", "3d (default)")), "idle_duration")
    yield _Said("retry", _retry(config.get("retry")), "retry")


def _hosts(config: Mapping[str, Any]) -> Iterator[_Said]:
    ssh = config.get("ssh_config")
    if not isinstance(ssh, Mapping):
        return
    yield _Said("user", str(ssh.get("user", "per host")))
    yield _Said("SSH port", str(ssh.get("port", 22)))
    yield _Said("identity file", str(ssh.get("identity_file", "not stored")))
    yield _Said("network", str(ssh.get("network", "found by dstack")))
    if "proxy_jump" in ssh:
        yield _Said("proxy jump", _jump(ssh["proxy_jump"]))
    hosts = ssh.get("hosts")
    for number, host in enumerate(hosts if isinstance(hosts, list) else ()):
        yield _Said(f"host {number}", _host(host))


def _rest(config: Mapping[str, Any]) -> Iterator[_Said]:
    for label in ("env", "tags"):
        value = config.get(label)
        if isinstance(value, Mapping):
            for name, text in value.items():
                yield _Said(
                    f"{label} {name}", "from the client" if text is None else str(text), label
                )
        elif isinstance(value, Sequence) and not isinstance(value, str):
            for item in value:
                name, _, text = str(item).partition("=")
                yield _Said(f"{label} {name}", text or "from the client", label)
    options = config.get("backend_options")
    for option in options if isinstance(options, list) else ():
        said = ", ".join(f"{key} {value}" for key, value in mapping(option).items())
        yield _Said("backend options", said or str(option), "backend_options")


def _listed(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def _retry(retry: Any) -> str:
    if not isinstance(retry, Mapping):
        return "on" if retry else "off"
    events = _listed(retry.get("on_events", [])) or "any event"
    length = retry.get("duration")
    return f"on {events}" + (f", for {length}" if length else "")


def _host(host: Any) -> str:
    if not isinstance(host, Mapping):
        return str(host)
    parts = [str(host.get("hostname", "?"))]
    if "port" in host:
        parts[0] += f":{host['port']}"
    if "user" in host:
        parts[0] = f"{host['user']}@{parts[0]}"
    if "internal_ip" in host:
        parts.append(f"internal {host['internal_ip']}")
    if "blocks" in host:
        parts.append(f"blocks {host['blocks']}")
    if "proxy_jump" in host:
        parts.append(f"through {_jump(host['proxy_jump'])}")
    return ", ".join(parts)


def _jump(jump: Any) -> str:
    if not isinstance(jump, Mapping):
        return str(jump)
    port = f":{jump['port']}" if "port" in jump else ""
    return f"{jump.get('user', '')}@{jump.get('hostname', '?')}{port}".lstrip("@")
