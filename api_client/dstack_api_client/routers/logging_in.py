"""With which key, and by which name, this user logs in to a container over SSH."""

from __future__ import annotations

from pathlib import Path

from dstack_api_client import errors
from dstack_api_client.model.replica import Login, Replica
from dstack_api_client.routers.ssh import UnsafeNameError, Way, same_key, way_by_alias
from dstack_api_client.transport import wire
from dstack_api_client.transport.client import Client

#: Below the user's home, where `dstack attach` writes the way to what it is attached to.
_ATTACHED = Path(".dstack", "ssh", "config")


async def own_key(client: Client, login: Login, name: str, owner: str) -> tuple[str, str]:
    """The user's private key from the server, where the run lets it in.

    Args:
        client: Where it is asked for.
        login: The way in.
        name: The run.
        owner: Whose run it is.

    Returns:
        The text of the key; else why there is none, without a full stop.
    """
    try:
        user = await client.users.me(wire.UserKey, "the user's own keys")
    except errors.ApiError as error:
        return "", f"The user's key could not be read: {error.message.rstrip('.')}"
    if not user.ssh_private_key or not user.ssh_public_key:
        return "", "The server has no SSH key of this user"
    if login.key is not None and not same_key(login.key, user.ssh_public_key):
        return "", f"{name} lets only the key of {owner} in, not this user's"
    return user.ssh_private_key.rstrip("\n") + "\n", ""


def attached_way(job: Replica, login: Login, config: Path | None = None) -> tuple[Way, Path] | None:
    """The way that `dstack attach` wrote down, while it runs, and where.

    Args:
        job: Where to.
        login: The way that the server reports.
        config: dstack's own SSH configuration; that in the user's home if None.

    Returns:
        The way and the configuration; None where nothing is attached by that name.
    """
    first = job.key.replica_num == 0 and job.key.job_num == 0
    alias = job.run_name if first else job.job_name
    try:
        config = config or Path.home() / _ATTACHED
        text = config.read_text(encoding="utf-8", errors="replace")
        way = way_by_alias(alias, login, text)
    except (OSError, RuntimeError, UnsafeNameError):
        return None
    return (way, config) if way is not None else None
