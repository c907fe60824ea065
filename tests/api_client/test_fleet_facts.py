from __future__ import annotations

from dstack_api_client.analysis.fleet_facts import fleet_facts
from dstack_api_client.model.configuration import MASK
from tests.builders.snapshots import fleet


def facts(kind="cloud", profile=None, **configuration):
    spec = {"configuration": {"type": "fleet", **configuration}, "profile": profile or {}}
    return dict(fleet_facts(fleet("f", kind=kind, spec=spec)))


def test_hosts_proxy_jumps_and_names_of_variables_are_readable():
    jump = {"hostname": "head", "user": "ops", "port": 2222, "identity_file": "~/.ssh/head"}
    shown = facts(
        "ssh",
        placement="cluster",
        blocks="auto",
        env={"NCCL": "secret", "HF_TOKEN": {"key": "HF_TOKEN"}},
        ssh_config={
            "user": "ubuntu",
            "port": None,
            "identity_file": "~/.ssh/id",
            "ssh_key": {"private": "secret"},
            "network": "10.0.0.0/8",
            "proxy_jump": jump,
            "hosts": [
                "10.0.0.1",
                {
                    "hostname": "10.0.0.2",
                    "user": "root",
                    "port": 22022,
                    "internal_ip": "10.1.0.2",
                    "blocks": 4,
                    "proxy_jump": {**jump, "hostname": "other", "port": None},
                },
            ],
        },
    )
    assert shown["kind"] == "SSH hosts"
    assert shown["placement"] == "cluster"
    assert shown["blocks"] == "auto"
    assert shown["identity file"] == "~/.ssh/id"
    assert shown["network"] == "10.0.0.0/8"
    assert shown["proxy jump"] == "ops@head:2222"
    assert shown["host 0"] == "10.0.0.1"
    assert shown["host 1"] == (
        "root@10.0.0.2:22022, internal 10.1.0.2, blocks 4, through ops@other"
    )
    assert shown["env NCCL"] == MASK
    assert shown["env HF_TOKEN"] == "from the client"
    assert "secret" not in str(shown)
    assert "spot policy" not in shown


def test_what_a_cloud_fleet_may_start_is_readable():
    shown = facts(
        nodes={"min": 1, "target": 2, "max": 5},
        resources={"gpu": {"name": ["H100"], "count": {"min": 8, "max": 8}}},
        spot_policy="auto",
        backends=["aws", "gcp"],
        regions=["us-east-1"],
        idle_duration=3600,
        max_price=9.5,
        reservation="cr-1",
        retry={"on_events": ["no-capacity"], "duration": 3600},
        tags={"team": "x"},
    )
    assert shown["nodes"] == "1..5"
    assert shown["target"] == "2"
    assert shown["gpu"] == "H100:8"
    assert shown["spot policy"] == "auto"
    assert shown["backends"] == "aws, gcp"
    assert shown["regions"] == "us-east-1"
    assert shown["idle duration"] == "1h"
    assert shown["max price"] == "9.5 $/h"
    assert shown["reservation"] == "cr-1"
    assert shown["retry"] == "on no-capacity, for 1h"
    assert shown["tags team"] == "x"


def test_defaults_that_decide_something_are_said():
    shown = facts(nodes={"min": 0, "max": None})
    assert shown["nodes"] == "0.."
    assert shown["target"] == "0"
    assert shown["spot policy"] == "on-demand (default)"
    assert shown["backends"] == "any"
    assert shown["idle duration"] == "3d (default)"
    assert shown["retry"] == "off"


def test_a_profile_counts_where_the_configuration_is_silent():
    profile = {"spot_policy": "spot", "regions": ["a"], "max_price": 3.0, "tags": {"cost": "A 17"}}
    shown = facts(profile=profile, regions=["b"])
    assert shown["spot policy"] == "spot (profile)"
    assert shown["max price"] == "3 $/h (profile)"
    assert shown["tags cost"] == "A 17 (profile)"
    assert shown["regions"] == "b"


def test_what_a_text_can_not_say_of_a_gpu_has_lines_of_its_own():
    gpu = {
        "vendor": "nvidia",
        "name": ["L4", "H100"],
        "count": {"min": 1, "max": 8},
        "memory": {"min": 20.0, "max": None},
        "total_memory": {"min": 40.0, "max": None},
        "compute_capability": [8, 0],
    }
    shown = facts(resources={"gpu": gpu, "disk": {"size": {"min": 200.0}, "kind": "ssd"}})
    assert shown["gpu"] == "nvidia:L4,H100:20GB..:1..8"
    assert shown["gpu total_memory"] == "40GB.."
    assert shown["gpu compute_capability"] == "8.0"
    assert shown["disk kind"] == "ssd"
    assert not [text for text in shown.values() if "{" in text]
