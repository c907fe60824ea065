"""Lanes in dstack's own models, and what the stock server makes of them."""

from __future__ import annotations

import json

from tests.placement_server.helpers import in_process, service

PREPARED = "from dstack_placement.server import schema\nschema.install()\n"
DUMP = (
    "import json\n"
    "from dstack._internal.core.models.common import validate_extra_ignore\n"
    "from dstack._internal.core.models.runs import RunSpec\n"
)


def _spec(configuration: dict[str, object], *, addon: bool) -> str:
    """The spec as it is stored and sent: by the add-on, or by the stock server."""
    code = (
        f"{PREPARED if addon else ''}{DUMP}"
        f"given = json.loads({json.dumps(json.dumps({'configuration': configuration}))})\n"
        "answer = validate_extra_ignore(RunSpec, given).model_dump_json()\n"
    )
    return str(in_process(code))


GROUPED = {
    "replicas": None,
    "commands": None,
    "fleets": None,
    "groups": [
        {"name": "prefill", "replicas": 1, "commands": ["serve"]},
        {"name": "decode", "replicas": 2, "commands": ["serve"]},
    ],
}


def test_a_service_without_lanes_is_stored_as_by_the_stock_server() -> None:
    for changes in ({"fleets": ["gpu-spot", "other/gpu"]}, GROUPED):
        configuration = service("chat", **changes)
        assert _spec(configuration, addon=True) == _spec(configuration, addon=False)


def test_lanes_are_stored_and_the_stock_server_drops_them() -> None:
    groups = [
        {**group, "fleets": [{"name": "gpu-spot", "min_replicas": 1}]}
        for group in GROUPED["groups"]  # type: ignore[attr-defined]
    ]
    for changes in ({}, {**GROUPED, "groups": groups}):
        configuration = service("chat", **changes)
        stored = json.loads(_spec(configuration, addon=True))
        names = service("chat", **changes)
        if "groups" in names:
            lanes = stored["configuration"]["groups"][0]["fleets"]
            assert lanes == [{"project": None, "name": "gpu-spot", "min_replicas": 1}]
            names["groups"] = GROUPED["groups"]
        else:
            lanes = stored["configuration"]["fleets"]
            assert lanes[0]["max_replicas"] == 1
            assert lanes[1] == {"project": None, "name": "gpu-spot"}
            names["fleets"] = [lane["name"] for lane in names["fleets"]]
        again = _spec(stored["configuration"], addon=False)
        assert again == _spec(names, addon=False)


def test_a_fleet_of_another_project_is_stored_as_the_stock_server_knows_it() -> None:
    lane = {"name": "other/gpu", "min_replicas": 1}
    stored = json.loads(_spec(service("chat", fleets=[lane]), addon=True))["configuration"]
    assert stored["fleets"] == [{"project": "other", "name": "gpu", "min_replicas": 1}]
    again = json.loads(_spec(stored, addon=False))["configuration"]
    assert again["fleets"] == [{"project": "other", "name": "gpu"}]


def test_it_must_come_before_dstacks_own_models() -> None:
    code = (
        "import dstack._internal.core.models.configurations\n"
        "from dstack_placement.server import schema\n"
        "from dstack_placement.server.errors import AddonError\n"
        "try:\n"
        "    schema.install()\n"
        "except AddonError as error:\n"
        "    answer = str(error)\n"
    )
    assert "Import the add-on before any other module of dstack." in in_process(code)
