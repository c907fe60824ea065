from __future__ import annotations

import yaml

from dstack_api_client.model.configuration import MASK, as_yaml, duration, readable, span

FLEET = {
    "type": "fleet",
    "name": "cl",
    "placement": None,
    "blocks": 4,
    "nodes": {"min": 1, "target": 2, "max": 5},
    "resources": {
        "cpu": {"arch": None, "count": {"min": 4, "max": None}},
        "memory": {"min": 16.0, "max": None},
        "shm_size": None,
        "gpu": {"vendor": None, "name": ["H100"], "count": {"min": 1, "max": 8}, "memory": None},
        "disk": {"size": {"min": 100.0, "max": 100.0}},
    },
    "idle_duration": 3600,
    "env": {"A": "secret-1", "B": {"key": "B"}},
    "ssh_config": {
        "hosts": ["10.0.0.1", {"hostname": "10.0.0.2", "port": None, "blocks": 4}],
        "ssh_key": {"public": "p", "private": "secret-2"},
    },
    "registry_auth": {"username": "u", "password": "secret-3"},
}


def test_a_spec_comes_back_in_the_short_forms_of_a_configuration_file():
    assert readable(FLEET)["resources"] == {
        "cpu": "4..",
        "memory": "16GB..",
        "gpu": "H100:1..8",
        "disk": "100GB",
    }
    assert readable(FLEET)["nodes"] == {"min": 1, "target": 2, "max": 5}
    assert readable(FLEET)["idle_duration"] == "1h"


def test_no_secret_is_left_in_the_yaml():
    text = as_yaml(FLEET)
    assert "secret" not in text
    assert yaml.safe_load(text)["env"] == {"A": MASK, "B": None}
    assert yaml.safe_load(text)["ssh_config"]["hosts"][1] == {"hostname": "10.0.0.2", "blocks": 4}


def test_environment_as_a_list_keeps_only_names():
    assert readable({"env": ["A=1", "B"]}) == {"env": [f"A={MASK}", "B"]}


def test_equal_target_makes_nodes_a_plain_range():
    assert readable({"nodes": {"min": 2, "target": 2, "max": 4}}) == {"nodes": "2..4"}
    assert readable({"nodes": {"min": 2, "max": 2}}) == {"nodes": 2}


def test_durations_and_ranges():
    assert [duration(s) for s in (None, -1, 0, 45, 90, 60, 7200, 259200, "off")] == [
        None,
        "off",
        "0s",
        "45s",
        "90s",
        "1m",
        "2h",
        "3d",
        "off",
    ]
    assert [span(1, 8), span(4, 4), span(16, None, "GB"), span(None, 4)] == [
        "1..8",
        "4",
        "16GB..",
        "..4",
    ]


def test_the_router_kind_has_the_name_operators_use():
    assert readable({"router": {"type": "sglang"}}) == {"router": {"type": "smg"}}


def test_a_script_is_written_line_by_line() -> None:
    script = "smg launch \\\n  --host 0.0.0.0 \\\n  --port 8000\n"
    text = as_yaml({"commands": ["pip install smg", script]})
    lines = ["smg launch \\", "  --host 0.0.0.0 \\", "  --port 8000"]
    assert text.splitlines() == [
        "commands:",
        "- pip install smg",
        "- |",
        *(f"  {x}" for x in lines),
    ]
    assert yaml.safe_load(text) == {"commands": ["pip install smg", script]}
