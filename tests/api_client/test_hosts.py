"""Hosts of SSH fleets added and removed: as values, with what follows, and what is sent."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import httpx
import pytest

from dstack_api_client.edits.base.base import Base, read_fleet
from dstack_api_client.edits.base.difference import ChangeKind, NotInPlaceError
from dstack_api_client.edits.errors import InvalidEditError
from dstack_api_client.edits.fleet import fleets
from dstack_api_client.edits.fleet.fleet import FleetEdit
from dstack_api_client.edits.fleet.fleets import FleetPlan, plan_fleet
from dstack_api_client.edits.fleet.host_effects import host_effects
from dstack_api_client.edits.fleet.host_keys import key_files
from dstack_api_client.edits.follow.following_fleets import goal_of
from dstack_api_client.edits.outlook.warnings import Risk
from dstack_api_client.edits.perform.performing import perform
from dstack_api_client.edits.perform.undoing import undo_fleet
from dstack_api_client.edits.store.keeping import Store
from dstack_api_client.transport.client import Client
from tests.builders.ssh_fleet_edit import PRIVATE, base, edit, host, snapshot


def names(change: FleetEdit) -> list[str]:
    return [each.name for each in change.hosts]


def lines(change: FleetEdit) -> str:
    return " ".join(problem.line for problem in change.problems())


def test_hosts_come_and_go_and_the_rest_stays_as_it_was_received():
    changed = edit().with_host("10.0.0.3").with_host("10.0.0.4 port=22 blocks=auto user=root")
    changed = changed.without_host("10.0.0.1")
    assert names(changed) == ["10.0.0.2", "10.0.0.3", "10.0.0.4"]
    ssh = changed.configuration["ssh_config"]
    assert ssh["hosts"][0] == host("10.0.0.2", port=2222)
    assert ssh["hosts"][1] == "10.0.0.3"
    assert ssh["hosts"][2] == {"hostname": "10.0.0.4", "port": 22, "blocks": "auto", "user": "root"}
    assert ssh["identity_file"] == "~/.ssh/lab"
    assert changed.problems() == ()


def test_a_host_that_was_removed_comes_back_as_it_was():
    changed = edit().without_host("10.0.0.2")
    assert names(changed) == ["10.0.0.1"]
    assert not changed.with_host("10.0.0.2").changed
    with pytest.raises(InvalidEditError, match="keeps its settings"):
        changed.with_host("10.0.0.2 port=22")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "Write the host's name"),
        ("a b", "b is not an option of a host"),
        ("a port=0", "0 is not a port"),
        ("a port=70000", "70000 is not a port"),
        ("a blocks=0", "`blocks` is a number from 1"),
        ("a internal_ip=ten", "ten is not an IP address"),
        ("10.0.0.1", "has the host 10.0.0.1 already"),
        ("$(id)", "Write the host's name"),
    ],
)
def test_a_host_that_is_not_taken_says_why(text: str, told: str):
    with pytest.raises(InvalidEditError, match=told.replace("(", r"\(")):
        edit().with_host(text)


def test_what_is_wrong_with_hosts_is_said():
    assert "at least one host" in lines(edit().without_host("10.0.0.1").without_host("10.0.0.2"))
    assert "listed twice" in lines(edit("a", "a"))
    with_ip = edit(host("a", internal_ip="10.1.0.1"))
    assert "Write one for b too" in lines(with_ip.with_host("b"))
    assert lines(with_ip.with_host("b internal_ip=10.1.0.2")) == ""


def test_a_fleet_that_names_no_key_file_is_not_edited_here():
    with pytest.raises(NotInPlaceError, match=r"no file is named for that of 10\.0\.0\.1"):
        edit("10.0.0.1", host("b", identity_file="b"), identity_file=None)
    edit(host("b", identity_file="b"), identity_file=None)


def test_key_files_are_those_that_the_configuration_names():
    jump = {"hostname": "j", "identity_file": "~/.ssh/jump"}
    found = base("a", host("b", identity_file="~/.ssh/b", proxy_jump=jump), "c")
    assert key_files(found.configuration) == ("~/.ssh/lab", "~/.ssh/b", "~/.ssh/jump")


def test_the_plan_says_what_comes_what_goes_and_what_is_in_use():
    found = host_effects(edit().with_host("10.0.0.3").without_host("10.0.0.1"), snapshot())
    assert found is not None
    assert (found.added, [each.name for each in found.removed]) == (("10.0.0.3",), ["lab-0"])
    assert (found.now, found.after) == (2, 2)
    assert [(each.key, each.risk) for each in found.warnings] == [
        ("host-in-use", Risk.DANGER),
        ("keys", Risk.NOTE),
    ]
    assert "10.0.0.1 is in use: the server refuses the whole change" in found.warnings[0].line
    idle = host_effects(edit().without_host("10.0.0.2"), snapshot())
    assert idle is not None
    assert [each.key for each in idle.warnings] == ["keys"]


def _write(path: Path, text: str | None) -> None:
    if text is None:
        path.unlink()
    else:
        path.write_text(text)


# On a server ----------------------------------------------------------------------------------


class HostServer:
    """A server with one SSH fleet: it wants the keys, compares them, and gives none back."""

    def __init__(self, configuration: dict[str, Any], key: dict[str, str]) -> None:
        self.stored = copy.deepcopy(configuration)
        self.key = key
        self.sent: list[str] = []
        self.lent: httpx.Response | None = None
        """What it answers when it is asked whom it lends to."""

    def client(self) -> Client:
        return Client("http://server", "t", transport=httpx.MockTransport(self))

    def __call__(self, request: httpx.Request) -> httpx.Response:
        path, body = request.url.path, json.loads(request.content or b"{}")
        self.sent.append(request.content.decode())
        if path.endswith("/get_my_user"):
            return httpx.Response(200, json={"id": "1", "username": "me"})
        if path.endswith("/get"):
            return httpx.Response(200, json=self._fleet())
        if path.endswith("exports/list"):
            return self.lent or httpx.Response(404)
        spec = body["plan"]["spec"] if "plan" in body else body["spec"]
        ssh = spec["configuration"]["ssh_config"]
        if ssh.get("ssh_key") is None:
            said = {"detail": [{"msg": "No ssh key specified", "code": "error"}]}
            return httpx.Response(400, json=said)
        same = ssh["ssh_key"] == self.key
        ssh["ssh_key"] = None
        if path.endswith("/apply"):
            self.stored = spec["configuration"]
            return httpx.Response(200, json=self._fleet())
        action = "update" if same else "create"
        return httpx.Response(200, json={"action": action, "effective_spec": spec, "offers": []})

    def _fleet(self) -> dict[str, Any]:
        spec = {"configuration": self.stored, "profile": {"name": "default"}}
        head = {"id": "f-lab", "name": "lab", "status": "active", "project_name": "main"}
        return {**head, "spec": spec}


@pytest.fixture
def key(tmp_path: Path) -> Path:
    path = tmp_path / "lab"
    path.write_text(PRIVATE)
    path.with_name("lab.pub").write_text("ssh-ed25519 AAAA me\n")
    return path


@pytest.fixture
def server(key: Path) -> HostServer:
    pair = {"public": "ssh-ed25519 AAAA me\n", "private": PRIVATE}
    return HostServer(dict(base(identity_file=str(key)).configuration), pair)


async def begun(client: Client) -> FleetEdit:
    return FleetEdit.begin(await read_fleet(client, "main", "lab"))


async def planned(client: Client, change: FleetEdit) -> FleetPlan:
    return await plan_fleet(client, change, snapshot=snapshot())


async def test_keys_are_sent_and_nowhere_else(server: HostServer, tmp_path: Path):
    store = Store(tmp_path / "state")
    async with server.client() as client:
        plan = await planned(client, (await begun(client)).with_host("10.0.0.3 port=2200"))
        assert [(each.name, each.kind) for each in plan.changes] == [
            ("ssh_config hosts 10.0.0.3", ChangeKind.NO_RESTART)
        ]
        assert goal_of(plan).least == 3
        done = await perform(client, plan, store, user="me")
        assert names(FleetEdit.begin(done.now)) == ["10.0.0.1", "10.0.0.2", "10.0.0.3"]

        back = undo_fleet(store, done.now)
        assert names(back.edit) == ["10.0.0.1", "10.0.0.2"]
        assert back.left_out == ()
        assert any(
            str(server.stored["ssh_config"]["identity_file"]) in each.line
            for each in (await planned(client, back.edit)).warnings
        )
    assert sum("nobody-sees-this" in each for each in server.sent) == 3
    assert "nobody-sees-this" not in repr((plan, done))
    for path in (tmp_path / "state").rglob("*"):
        if path.is_file():
            assert "nobody-sees-this" not in path.read_text(), path


@pytest.mark.parametrize(
    ("status", "told", "line", "risk"),
    [
        (200, ["guest"], "The fleet is exported to guest: it changes for their runs too.",
         Risk.WARNING),
        (200, [], None, None),
        (404, [], None, None),
        (500, [], "It is not known which projects the fleet is exported to: ", Risk.NOTE),
    ],
)  # fmt: skip
async def test_a_plan_says_to_whom_the_fleet_is_lent(
    server: HostServer, status: int, told: list[str], line: str | None, risk: Risk | None
):
    lent = {"id": "e", "imports": [{"project_name": name} for name in told],
            "exported_fleets": [{"id": "f-lab"}]}  # fmt: skip
    server.lent = httpx.Response(status, json=[lent] if status == 200 else {"detail": "No"})
    async with server.client() as client:
        edit = await begun(client)
        plan = await planned(client, edit.without_host("10.0.0.2"))
        found = [each for each in plan.warnings if each.key == "lent"]
        assert [each.risk for each in found] == ([] if risk is None else [risk])
        assert not found or found[0].line.startswith(line or "")
        assert (await planned(client, edit)).warnings == (), "nothing changes"


async def test_a_host_that_was_removed_is_put_back_with_what_it_had(
    server: HostServer, tmp_path: Path
):
    store = Store(tmp_path / "state")
    async with server.client() as client:
        plan = await planned(client, (await begun(client)).without_host("10.0.0.2"))
        assert [each.name for each in plan.ends] == ["lab-1"]
        assert goal_of(plan).ends == {"i-lab-1"}
        done = await perform(client, plan, store)
        back = undo_fleet(store, done.now)
        assert back.edit.configuration["ssh_config"]["hosts"] == [
            "10.0.0.1",
            host("10.0.0.2", port=2222),
        ]


async def test_a_key_that_can_not_be_read_is_one_sentence(server: HostServer, key: Path):
    async with server.client() as client:
        change = (await begun(client)).with_host("c")
        _write(key, "a password")
        with pytest.raises(InvalidEditError, match=r"lab is not an SSH private key\. Name one\."):
            await planned(client, change)
        _write(key, None)
        with pytest.raises(InvalidEditError, match=r"lab can't be read: No such file"):
            await planned(client, change)
        assert not any("password" in each for each in server.sent)


async def test_another_key_than_the_fleet_has_is_named(server: HostServer, key: Path):
    async with server.client() as client:
        _write(key, PRIVATE + "another\n")
        with pytest.raises(NotInPlaceError, match="is another one than the fleet has") as error:
            await planned(client, (await begun(client)).with_host("c"))
        assert str(key) in error.value.message


async def test_a_whole_file_and_a_text_add_and_remove_hosts(server: HostServer, key: Path):
    async with server.client() as client:
        first = await begun(client)
        text = fleets.as_text(first).replace("- 10.0.0.1", "- 10.0.0.3")
        changed = await fleets.with_text(client, first, text)
        assert names(changed) == ["10.0.0.3", "10.0.0.2"]
        file = f"""
type: fleet
name: lab
ssh_config:
  user: ubuntu
  identity_file: {key}
  hosts: [10.0.0.1, 10.0.0.9]
"""
        made = await fleets.with_file(client, first, file, {})
        assert names(made) == ["10.0.0.1", "10.0.0.9"]
        with pytest.raises(InvalidEditError, match="is not of the fleet lab"):
            await fleets.with_file(client, first, "type: fleet\nname: other\n", {})


def test_a_key_that_a_server_gives_back_is_kept_nowhere(tmp_path: Path):
    jump = {"hostname": "j", "user": "u", "identity_file": "k", "ssh_key": {"private": PRIVATE}}
    before = base("10.0.0.1", host("10.0.0.2", proxy_jump=jump))
    after = FleetEdit.begin(before).without_host("10.0.0.2")
    store = Store(tmp_path)
    store.keep_applied(before, Base(**{**_fields(before), "spec": after.spec}))
    store.keep_draft(after.base, after.spec)
    written = "".join(path.read_text() for path in tmp_path.rglob("*") if path.is_file())
    assert "10.0.0.2" in written
    assert "nobody-sees-this" not in written
    kept = store.applied(before.target)
    assert kept is not None
    assert kept.left_out == ("ssh_config hosts 10.0.0.2",)


def _fields(of: Base) -> dict[str, Any]:
    return {name: getattr(of, name) for name in of.__dataclass_fields__}
