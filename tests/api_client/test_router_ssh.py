"""How OpenSSH is told the way, and how a key lies on disk."""

from __future__ import annotations

import stat
import subprocess
import sys
from pathlib import Path

import pytest

from dstack_api_client.join.logins import address_of, login_of
from dstack_api_client.model.replica import Login, SshHop
from dstack_api_client.private_folder import PrivateFolder
from dstack_api_client.routers.ssh import (
    UnsafeNameError,
    last_words,
    same_key,
    way_by_alias,
    way_by_key,
)
from tests.builders import answers

HOST = SshHop("10.0.0.1", 2222, "ubuntu")
CONTAINER = SshHop("localhost", 10022, "root")
JUMP = SshHop("bastion.acme.example", 22, "me")


def resolved(tmp_path: Path, login: Login) -> dict[str, dict[str, str]]:
    """What OpenSSH itself makes of the configuration, by host, in the order of the hops."""
    way = way_by_key(login, tmp_path / "key")
    config = tmp_path / "config"
    config.write_text(way.config or "")
    found: dict[str, dict[str, str]] = {}
    name: str | None = way.host
    while name:
        text = subprocess.run(
            ["ssh", "-F", str(config), "-G", name],
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        found[name] = dict(line.partition(" ")[::2] for line in text.splitlines())
        name = found[name].get("proxyjump")
    return dict(reversed(found.items()))


def test_a_container_is_reached_through_its_host(tmp_path: Path) -> None:
    login = Login((HOST, CONTAINER), own_jump=False, port=8000, key=None)
    host, container = resolved(tmp_path, login).values()
    assert (host["hostname"], host["port"], host["user"]) == ("10.0.0.1", "2222", "ubuntu")
    assert (container["hostname"], container["port"]) == ("localhost", "10022")
    for hop in (host, container):
        assert hop["identityfile"] == str(tmp_path / "key")
        assert (hop["identitiesonly"], hop["batchmode"]) == ("yes", "yes")
        assert hop["userknownhostsfile"] == "/dev/null"
        assert hop["controlmaster"] == "false"
    way = way_by_key(login, tmp_path / "key")
    words = way.arguments(tmp_path / "config")
    assert words[:2] == ["-F", str(tmp_path / "config")]
    assert words[-4:] == ["-W", "localhost:8000", "--", way.host]


def test_a_jump_host_has_no_key_but_the_users_own(tmp_path: Path) -> None:
    """dstack has no key for it: it is in the user's configuration or agent."""
    login = Login((JUMP, HOST, CONTAINER), own_jump=True, port=8000, key=None)
    jump, host, container = resolved(tmp_path, login).items()
    assert jump[0] == "bastion.acme.example"
    assert (jump[1]["user"], jump[1]["port"]) == ("me", "22")
    assert jump[1]["identityfile"] != str(tmp_path / "key")
    assert jump[1]["identitiesonly"] == "no"
    assert host[1]["identityfile"] == container[1]["identityfile"] == str(tmp_path / "key")
    text = way_by_key(login, tmp_path / "key").config
    assert text is not None
    assert text.index("Include ~/.ssh/config") < text.index("Host dstack-hop-1")


@pytest.mark.parametrize(
    "hop",
    [
        SshHop("10.0.0.1\nProxyCommand touch /tmp/x", 22, "root"),
        SshHop("-oProxyCommand=x", 22, "root"),
        SshHop("host;x", 22, "root"),
        SshHop("a b", 22, "root"),
        SshHop("", 22, "root"),
        SshHop("%h", 22, "root"),
        SshHop("host", 22, "root\n  ProxyCommand x"),
        SshHop("host", 22, "-l"),
        SshHop("host", 22, ""),
    ],
)
def test_a_server_can_smuggle_nothing_into_the_configuration(hop: SshHop) -> None:
    with pytest.raises(UnsafeNameError):
        way_by_key(Login((hop, CONTAINER), own_jump=False, port=8000, key=None), Path("key"))
    with pytest.raises(UnsafeNameError):
        way_by_key(Login((HOST, hop), own_jump=True, port=8000, key=None), Path("key"))


ATTACHED = """\
Host chat-70b-host
    HostName 10.0.0.1
    Port 2222
    User ubuntu
    IdentityFile ~/.dstack/ssh/id_rsa
    IdentitiesOnly yes
    StrictHostKeyChecking no
    UserKnownHostsFile /dev/null
Host chat-70b
    HostName localhost
    Port 10022
    User root
    IdentityFile ~/.dstack/ssh/id_rsa
    IdentitiesOnly yes
    StrictHostKeyChecking no
    UserKnownHostsFile /dev/null
    ProxyJump chat-70b-host
"""
LOGIN = Login((HOST, CONTAINER), own_jump=False, port=8000, key=None)


def test_what_dstack_attached_to_is_used_where_it_is_the_same_host() -> None:
    way = way_by_alias("chat-70b", LOGIN, ATTACHED)
    assert way is not None
    assert (way.host, way.port, way.config) == ("chat-70b", 8000, None)
    # Not the user's own configuration, in which the name may be another machine's.
    assert way.arguments(Path("theirs"))[:2] == ["-F", "theirs"]
    with pytest.raises(UnsafeNameError):
        way_by_alias("-oProxyCommand=x", LOGIN, ATTACHED)


@pytest.mark.parametrize(
    "text",
    [
        "",
        ATTACHED.replace("Host chat-70b\n", "Host chat-71b\n"),
        ATTACHED.replace("10.0.0.1", "10.0.0.2"),
        ATTACHED.replace("Port 2222", "Port 22"),
        ATTACHED.replace("    ProxyJump chat-70b-host\n", ""),
        ATTACHED.replace("ProxyJump chat-70b-host", "ProxyJump bastion"),
        ATTACHED.replace("ProxyJump chat-70b-host", "ProxyJump chat-70b"),
        ATTACHED.replace("ProxyJump chat-70b-host", "ProxyCommand ssh -W %h:%p x"),
        ATTACHED + "Host chat-70b\n    HostName prod-db\n",
        "Host chat-70b\n    HostName 10.0.0.1\n    Port 2222\n    User root\n",
    ],
)
def test_a_service_named_like_another_machine_leads_nowhere(text: str) -> None:
    assert way_by_alias("chat-70b", LOGIN, text) is None


def test_keys_are_compared_without_their_comments() -> None:
    assert same_key("ssh-rsa AAAA me@here", "ssh-rsa AAAA\n")
    assert not same_key("ssh-rsa AAAA", "ssh-rsa AAAB")


def test_the_last_words_are_those_that_tell() -> None:
    lines = ["Warning: Permanently added it.", "me@host: Permission denied (publickey)."]
    assert last_words(lines) == "me@host: Permission denied (publickey)"
    assert last_words(["Warning: odd"]) == "Warning: odd"
    assert last_words(["host: No route.", "stdio forwarding failed"]) == "host: No route"
    assert last_words([]) == ""


# The way that a server's answer tells


def login(**changes: object) -> Login | None:
    job = answers.job(0, service_port=8000, **changes.pop("spec", {}))  # type: ignore[arg-type]
    data = {"username": "ubuntu", "ssh_port": 2222, "dockerized": True, "ssh_proxy": None}
    submission = job["job_submissions"][0]
    submission["job_provisioning_data"].update({**data, **changes.pop("data", {})})  # type: ignore[dict-item]
    submission["job_runtime_data"].update(changes.pop("runtime", {}))
    job["job_connection_info"] = changes.pop("through", None)
    run = answers.as_run(answers.run(1, job))
    run.read_spec.ssh_key_pub = "ssh-rsa AAAA"
    assert run.jobs is not None
    assert run.jobs[0].job_submissions is not None
    return login_of(run.read_spec, run.jobs[0], run.jobs[0].job_submissions[0])


def test_a_container_on_a_host() -> None:
    assert login() == Login(
        (SshHop("10.0.0.1", 2222, "ubuntu"), CONTAINER),
        own_jump=False,
        port=8000,
        key="ssh-rsa AAAA",
    )


def test_a_mapped_port_and_the_user_of_the_container() -> None:
    found = login(runtime={"ports": {"10022": 32769}, "username": "worker"})
    assert found is not None
    assert found.hops[-1] == SshHop("localhost", 32769, "worker")
    found = login(spec={"user": {"username": "from-spec"}})
    assert found is not None
    assert found.hops[-1].user == "from-spec"


def test_a_host_behind_a_jump_host() -> None:
    proxy = {"hostname": "bastion", "username": "me", "port": 22}
    found = login(data={"ssh_proxy": proxy})
    assert found is not None
    assert [hop.host for hop in found.hops] == ["bastion", "10.0.0.1", "localhost"]
    assert found.own_jump


def test_a_container_that_is_a_machine_of_its_own() -> None:
    proxy = {"hostname": "jump-pod", "username": "root", "port": 32000}
    found = login(data={"dockerized": False, "ssh_proxy": proxy})
    assert found is not None
    assert [(hop.host, hop.user) for hop in found.hops] == [
        ("jump-pod", "root"),
        ("10.0.0.1", "root"),
    ]
    assert not found.own_jump


def test_the_ssh_proxy_of_a_server() -> None:
    through = {"sshproxy_hostname": "ssh.acme.example", "sshproxy_upstream_id": "abc"}
    found = login(through=through)
    assert found == Login(
        (SshHop("ssh.acme.example", 22, "abc_root"),), own_jump=False, port=8000, key=None
    )


def test_no_way_is_told_before_a_host_is_known() -> None:
    assert login(data={"hostname": None}) is None
    assert login(data={"ssh_port": None}) is None


@pytest.mark.parametrize(
    ("data", "spec", "configuration", "address"),
    [
        ({"internal_ip": "10.1.0.1"}, {"service_port": 9000}, {}, "10.1.0.1:9000"),
        ({}, {"service_port": 9000}, {}, "10.0.0.1:9000"),
        ({}, {}, {"port": 8000}, "10.0.0.1:8000"),
        ({}, {}, {"port": {"local_port": 1, "container_port": 8000}}, "10.0.0.1:8000"),
        ({}, {}, {}, None),
        ({"hostname": None}, {"service_port": 9000}, {}, None),
    ],
)
def test_where_a_router_dials_a_replica(
    data: dict[str, object],
    spec: dict[str, object],
    configuration: dict[str, object],
    address: str | None,
) -> None:
    job = answers.job(0, **spec)
    job["job_submissions"][0]["job_provisioning_data"].update(data)
    run = answers.as_run(answers.run(1, job, configuration=configuration))
    assert run.jobs is not None
    assert run.jobs[0].job_submissions is not None
    found = run.jobs[0].job_submissions[0].job_provisioning_data
    assert address_of(run.read_spec, run.jobs[0].job_spec, found) == address


# The key on disk


def test_only_its_owner_can_read_a_key(tmp_path: Path) -> None:
    folder = PrivateFolder(tmp_path)
    key = folder.write("key", "secret")
    assert stat.S_IMODE(folder.path.stat().st_mode) == 0o700
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    with pytest.raises(FileExistsError):
        folder.write("key", "another")
    folder.remove("key", "not there")
    assert not key.exists()
    folder.write("other", "secret")
    folder.close()
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_process_left_is_removed_by_the_next(tmp_path: Path) -> None:
    program = (
        "import os, pathlib, signal, sys\n"
        "from dstack_api_client.private_folder import PrivateFolder\n"
        "PrivateFolder(pathlib.Path(sys.argv[1])).write('key', 'secret')\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    subprocess.run([sys.executable, "-c", program, str(tmp_path)], check=False)
    assert [path.name for path in tmp_path.glob("*/*")] == ["key"]
    mine = PrivateFolder(tmp_path)
    other = PrivateFolder(tmp_path)
    assert set(tmp_path.iterdir()) == {mine.path, other.path}
