"""Which command opens a shell in a replica, and when there is none."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from dstack_api_client.model.replica import ReplicaKey
from dstack_api_client.replica.shell import NoShellError, Shell, attach_command, shell_in
from tests.builders.shells import PRIVATE, reachable_client
from tests.builders.snapshots import replica

REPLICA = replica()
ATTACHED = """
Host chat-host
  HostName {host}
  Port 2222
  User ubuntu

Host chat
  HostName localhost
  Port 10022
  User root
  ProxyJump chat-host
"""


def left(folder: Path) -> list[Path]:
    return [*folder.iterdir()]


async def found(tmp_path: Path, attached: Path | None = None, **changes: Any) -> Shell:
    client = reachable_client(**changes)
    return await shell_in(
        client,  # type: ignore[arg-type]
        "main",
        REPLICA,
        parent=tmp_path,
        attached=attached or tmp_path / "none",
    )


async def test_the_key_lies_in_a_folder_that_goes_with_the_shell(tmp_path: Path) -> None:
    shell = await found(tmp_path)
    assert shell.folder is not None
    config = shell.folder.path / "config"
    assert shell.command[:3] == ["ssh", "-F", str(config)]
    assert shell.command[-3:] == ["-t", "--", "dstack-hop-1"]
    assert PRIVATE not in " ".join(shell.command)
    assert (shell.folder.path / "key").read_text() == f"{PRIVATE}\n"
    assert (shell.folder.path / "key").stat().st_mode & 0o777 == 0o600
    shell.close()
    assert not left(tmp_path)


@pytest.mark.parametrize("status", ["pulling", "terminating", "failed"])
async def test_only_one_that_runs_has_a_shell(tmp_path: Path, status: str) -> None:
    with pytest.raises(NoShellError, match="There is a shell only in one that runs"):
        await found(tmp_path, status=status)
    assert not left(tmp_path)


async def test_another_s_run_says_how_to_attach(tmp_path: Path) -> None:
    with pytest.raises(NoShellError) as raised:
        await found(tmp_path, key="ssh-rsa BBBB")
    assert "chat lets only the key of admin in" in str(raised.value)
    assert "Run dstack attach --project main --replica 0 chat in" in str(raised.value)


@pytest.mark.parametrize(("host", "used"), [("{}", True), ("10.9.9.9", False)])
async def test_only_what_dstack_wrote_and_the_server_confirms_is_used(
    tmp_path: Path, host: str, used: bool
) -> None:
    client = reachable_client(key=None)
    submission = client.known_runs["s-chat"].jobs[0].job_submissions[0]  # type: ignore[index]
    assert submission.job_provisioning_data is not None
    real = str(submission.job_provisioning_data.hostname)
    attached = tmp_path / "config"
    attached.write_text(ATTACHED.format(host=host.format(real)))
    if used:
        shell = await found(tmp_path, attached, key=None)
        assert shell.command[:3] == ["ssh", "-F", str(attached)]
        assert shell.command[-3:] == ["-t", "--", "chat"]
    else:
        with pytest.raises(NoShellError, match="The server has no SSH key of this user"):
            await found(tmp_path, attached, key=None)


async def test_without_openssh_it_says_so(tmp_path: Path) -> None:
    client: Any = reachable_client()
    with pytest.raises(NoShellError, match="nossh is not installed on this machine"):
        await shell_in(client, "main", REPLICA, program="nossh", parent=tmp_path)


async def test_a_replica_that_is_gone_says_so(tmp_path: Path) -> None:
    gone = replace(REPLICA, key=ReplicaKey("s-chat", 7, 0))
    client: Any = reachable_client()
    with pytest.raises(NoShellError, match="chat 7 is gone"):
        await shell_in(client, "main", gone, parent=tmp_path)


def test_the_command_to_attach_names_project_replica_and_node() -> None:
    node = replica("train", 0, key=ReplicaKey("r-train", 0, 2), run_type="task")
    assert attach_command(node, "a b") == "dstack attach --project 'a b' --replica 0 --job 2 train"
