"""Edits as text: what was not touched stays, secrets are masked, and slips are told."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import httpx
import msgspec
import pytest

from dstack_api_client.edits.base.base import fleet_of
from dstack_api_client.edits.base.difference import NotInPlaceError
from dstack_api_client.edits.errors import InvalidEditError
from dstack_api_client.edits.fleet.fleet import FleetEdit, why_not
from dstack_api_client.edits.fleet.host_keys import with_keys
from dstack_api_client.edits.service import texts
from dstack_api_client.model.configuration import MASK, readable
from dstack_api_client.transport.client import Client
from tests.builders.service_edits import SECRET, edit, group


def _echo(request: httpx.Request) -> httpx.Response:
    """A server that takes every spec as it is."""
    asked = msgspec.json.decode(request.content)
    answer = {"action": "update", "job_plans": [], "effective_run_spec": asked["run_spec"]}
    return httpx.Response(200, json=answer)


@pytest.fixture
def client() -> Client:
    return Client("http://server", "t", transport=httpx.MockTransport(_echo))


def _merged(written: Mapping[str, Any], **changes: Any) -> Any:
    raw = edit(**changes).configuration
    return texts.merged(raw, readable(raw), written)


async def test_text_that_was_not_changed_changes_nothing(client: Client) -> None:
    begun = edit(groups=[group("front"), group("decode", router={"type": "sglang"})])
    assert SECRET not in texts.as_text(begun)
    assert await texts.with_text(client, begun, f"# a remark\n{texts.as_text(begun)}\n") is begun


def test_only_what_was_written_is_different() -> None:
    raw = edit().configuration
    written = {**readable(raw), "priority": 7}
    assert texts.merged(raw, readable(raw), written) == {**raw, "priority": 7}
    written["env"] = {"HF_TOKEN": MASK, "NEW": "1"}
    assert _merged(written)["env"] == {"HF_TOKEN": SECRET, "NEW": "1"}
    del written["commands"]
    assert "commands" not in _merged(written), "the server's default"


def test_lanes_and_groups_are_known_by_their_names() -> None:
    groups = [group("front", of_a_later_version={"a": None}), group("decode")]
    raw = edit(groups=groups).configuration
    written: Any = readable(raw)
    written["groups"] = [{**written["groups"][1], "replicas": 3}, written["groups"][0]]
    written["fleets"] = ["gpu-spot", {"name": "gpu-new", "priority": 2}]
    made = texts.merged(raw, readable(raw), written)
    assert made["groups"] == [{**groups[1], "replicas": 3}, groups[0]]
    assert made["fleets"] == [raw["fleets"][1], {"name": "gpu-new", "priority": 2}]


@pytest.mark.parametrize("place", [{"commands": [MASK]}, {"env": {"OTHER": MASK}}])
def test_a_mask_where_no_secret_was(place: dict[str, Any]) -> None:
    with pytest.raises(InvalidEditError, match="stands where no secret was"):
        _merged({**readable(edit().configuration), **place})


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a: [", "not valid YAML in line"),
        ("- a", "not a list of `name: value`"),
        ("", "not a list of `name: value`"),
        ("type: task\nname: chat", "not of the service chat"),
        ("type: service\nname: other", "not of the service chat"),
    ],
)
async def test_slips(client: Client, text: str, words: str) -> None:
    with pytest.raises(InvalidEditError, match=words):
        await texts.with_text(client, edit(), text)


async def test_what_needs_more_than_text(client: Client) -> None:
    text = texts.as_text(edit())
    with pytest.raises(NotInPlaceError, match="`files` can't be changed here"):
        await texts.with_text(client, edit(), f"{text}files: [a]\n")
    stock = edit(lanes=False, fleets=["gpu-spot"])
    lanes = texts.as_text(stock).replace("- gpu-spot", "- {name: gpu-spot, priority: 1}")
    with pytest.raises(NotInPlaceError, match="placement add-on"):
        await texts.with_text(client, stock, lanes)


async def test_a_file_takes_variables_from_where_it_is_run(client: Client) -> None:
    text = "port: 8000\nenv: [HF_TOKEN, OTHER, PLAIN=1]"
    changed = await texts.with_file(client, edit(), text, {"OTHER": "2"})
    assert changed.configuration["env"] == {"HF_TOKEN": SECRET, "OTHER": "2", "PLAIN": "1"}
    assert (changed.configuration["type"], changed.configuration["name"]) == ("service", "chat")
    with pytest.raises(InvalidEditError, match="The variable OTHER of `env` has no value"):
        await texts.with_file(client, edit(), text, {})


def test_notes_stand_on_top_once() -> None:
    first = texts.with_note("a: 1\n", ["Wrong.", "Also\nwrong."])
    assert first.splitlines() == ["# ! Wrong.", "# ! Also wrong.", "a: 1"]
    assert texts.with_note(first, ["Other."]).splitlines() == ["# ! Other.", "a: 1"]
    assert texts.parsed(first) == {"a": 1}


def _fleet(client: Client, **resource: Any) -> Any:
    whole = {"id": "1", "name": "lab", "status": "active", "project_name": "main", **resource}
    return fleet_of(client, "main", msgspec.json.encode(whole))


def test_fleets_that_can_not_be_edited(client: Client) -> None:
    ssh = _fleet(client, spec={"configuration": {"ssh_config": {"hosts": ["a"]}}})
    with pytest.raises(NotInPlaceError, match="no file is named for that of a"):
        FleetEdit.begin(ssh)
    imported = _fleet(client, project_name="other", spec={"configuration": {}})
    assert why_not(imported) == ("lab belongs to project other.", "Change it there.")
    assert why_not(_fleet(client, spec={"configuration": {"nodes": {"min": 0}}})) is None


PRIVATE = "-----BEGIN OPENSSH PRIVATE KEY-----\nprivate\n"


def test_keys_are_read_where_hosts_have_their_own(tmp_path: Any) -> None:
    key = tmp_path / "key"
    key.write_text(PRIVATE)
    key.with_name("key.pub").write_text("public")
    jump = {"hostname": "j", "identity_file": str(key)}
    ssh = {
        "identity_file": str(key),
        "hosts": ["a", {"hostname": "b", "identity_file": str(key), "proxy_jump": jump}],
    }
    made = with_keys({"type": "fleet", "ssh_config": ssh})["ssh_config"]
    pair = {"public": "public", "private": PRIVATE}
    assert made["ssh_key"] == pair
    assert made["hosts"][0] == "a"
    assert made["hosts"][1]["ssh_key"] == made["hosts"][1]["proxy_jump"]["ssh_key"] == pair
    assert "ssh_key" not in ssh, "what was read is left as it is"
