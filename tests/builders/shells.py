"""A run whose replica can be logged in to, and a client that answers for it."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from dstack_api_client.transport import wire
from tests.builders import answers
from tests.builders.memory_client import GivenClient

KEY = "ssh-rsa AAAA"
PRIVATE = "the private key of nobody"


def reachable_client(*, key: str | None = KEY, **changes: Any) -> GivenClient:
    """A client of a server with the run `s-chat`, whose replica 0 runs on a host.

    Args:
        key: The user's public key, as the server has it.
        changes: Of the latest submission of the replica.
    """
    submission = answers.submission(0, **changes)
    data = {"username": "ubuntu", "ssh_port": 2222, "dockerized": True, "ssh_proxy": None}
    submission["job_provisioning_data"].update(data)
    run = answers.as_run(answers.run(1, answers.job(0, submission, name="chat"), name="chat"))
    run.read_spec.ssh_key_pub = KEY

    async def me(kind: type, what: str) -> object:
        if kind is wire.UserKey:
            return wire.UserKey("ann", key, PRIVATE if key else None)
        return wire.User("u-ann", "ann")

    client = GivenClient()
    client.known_runs = {"s-chat": run}
    client.users = SimpleNamespace(me=me)
    client.url = "http://127.0.0.1:3000"
    return client
