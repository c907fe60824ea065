"""The SSH keys of a fleet's hosts, read from the files that its configuration names."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from dstack_api_client.edits.errors import InvalidEditError
from dstack_api_client.text import one_line

_KEYGEN_LIMIT = 10.0


def with_keys(configuration: Mapping[str, Any]) -> dict[str, Any]:
    """A fleet's configuration with the SSH keys of the files that it names.

    Raises:
        InvalidEditError: A file can't be read.
    """
    whole = dict(configuration)
    ssh = whole.get("ssh_config")
    if isinstance(ssh, Mapping):
        whole["ssh_config"] = _with_key(ssh)
        hosts = ssh.get("hosts")
        if isinstance(hosts, list):
            whole["ssh_config"]["hosts"] = [
                _with_key(host) if isinstance(host, Mapping) else host for host in hosts
            ]
    return whole


async def spec_with_keys(spec: Mapping[str, Any]) -> Mapping[str, Any]:
    """A fleet's spec as it is sent, with the keys of its hosts; it must not be shown or kept.

    Raises:
        InvalidEditError: A file can't be read.
    """
    configuration = spec.get("configuration")
    if not isinstance(configuration, Mapping) or configuration.get("ssh_config") is None:
        return spec
    return {**spec, "configuration": await asyncio.to_thread(with_keys, configuration)}


def key_files(configuration: Mapping[str, Any]) -> tuple[str, ...]:
    """The files that a fleet's configuration names for the keys of its hosts, each once."""
    return tuple(dict.fromkeys(_key_files(configuration.get("ssh_config"))))


def keys_line(configuration: Mapping[str, Any]) -> str:
    """Which files' keys a plan of this configuration sends; empty where none."""
    files = key_files(configuration)
    if not files:
        return ""
    one = len(files) == 1
    return (
        f"The {'key' if one else 'keys'} in {', '.join(map(one_line, files))}"
        f" {'is' if one else 'are'} read and sent to the server, and not kept here."
    )


def _key_files(owner: Any) -> Iterator[str]:
    if not isinstance(owner, Mapping):
        return
    if isinstance(owner.get("identity_file"), str):
        yield owner["identity_file"]
    yield from _key_files(owner.get("proxy_jump"))
    hosts = owner.get("hosts")
    for host in hosts if isinstance(hosts, list) else ():
        yield from _key_files(host)


def _with_key(owner: Mapping[str, Any]) -> dict[str, Any]:
    whole = dict(owner)
    if isinstance(whole.get("identity_file"), str):
        whole["ssh_key"] = _read_key(Path(whole["identity_file"]).expanduser())
    if isinstance(whole.get("proxy_jump"), Mapping):
        whole["proxy_jump"] = _with_key(whole["proxy_jump"])
    return whole


def _read_key(path: Path) -> dict[str, str]:
    public = path.with_name(f"{path.name}.pub")
    try:
        private = path.read_text()
        if "PRIVATE KEY-----" not in private.partition("\n")[0]:
            # It would be sent as it is, whatever it is.
            raise InvalidEditError(
                [f"The file {one_line(str(path))} is not an SSH private key. Name one."]
            )
        if public.exists():
            return {"public": public.read_text(), "private": private}
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not text"
        raise InvalidEditError(
            [f"The SSH key {one_line(str(path))} can't be read: {why}. Name a private key file."]
        ) from error
    try:
        made = subprocess.run(
            ["ssh-keygen", "-y", "-P", "", "-f", str(path)],
            capture_output=True,
            text=True,
            timeout=_KEYGEN_LIMIT,
            check=True,
        )
    except (OSError, subprocess.SubprocessError) as error:
        what = f"The SSH key {one_line(str(path))} is not a private key without a passphrase."
        raise InvalidEditError([f"{what} Name one, or put its public key beside it."]) from error
    # Without its comment, as dstack has it: a fleet is changed only with the key that it has.
    return {"public": " ".join(made.stdout.split()[:2]), "private": private}
