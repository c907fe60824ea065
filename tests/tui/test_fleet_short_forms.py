"""The way back of a fleet whose values are stored, or written, in dstack's short forms."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from dstack._internal.core.models.fleets import FleetConfiguration

from dstack_fleets_tui.cli.main import main
from tests.builders.changing_server import FleetServer
from tests.builders.hurried_edits import hurry
from tests.servers.faulty_proxy import proxy_in_a_thread


@pytest.mark.parametrize(
    ("stored", "written"),
    [
        ({"nodes": "1..4"}, {"nodes": "0..2"}),
        ({"nodes": "1..4"}, {"nodes": {"min": 0, "max": 2}}),
        ({"nodes": {"min": 1, "target": 2, "max": 4}}, {"nodes": "0..2"}),
        ({"nodes": {"min": 1, "max": 4}}, {"nodes": " 2 .. "}),
        ({"nodes": {"min": "1", "max": "4"}}, {"nodes": "..4"}),
        ({"nodes": 2}, {"nodes": "3"}),
        ({"nodes": "2"}, {}),
        ({"max_price": "1.5"}, {"max_price": 2}),
        ({"max_price": 2}, {"max_price": "1.5"}),
        (
            {"resources": {"gpu": "H100:8", "memory": "24GB..", "disk": "100GB"}},
            {"resources": {"gpu": {"name": ["H100"], "count": {"min": 4, "max": 4}}, "cpu": 2}},
        ),
        (
            {"resources": {"gpu": {"name": ["L4"], "memory": "24GB"}, "cpu": {"count": "2.."}}},
            {"resources": {"gpu": "L4:24GB", "cpu": "2.."}},
        ),
        ({"spot_policy": "auto", "regions": ["eu"]}, {"spot_policy": "spot", "tags": {"a": "b"}}),
    ],
)
def test_there_is_a_way_back_from_and_to_every_form_that_dstack_takes(
    stored: dict[str, Any],
    written: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    hurry(monkeypatch)
    for name in ("HOME", "XDG_STATE_HOME", "XDG_CONFIG_HOME"):
        monkeypatch.setenv(name, str(tmp_path))
    configuration = {"type": "fleet", "name": "gpu", **stored}
    changed = {"type": "fleet", "name": "gpu", **written}
    for each in (configuration, changed):
        assert FleetConfiguration.model_validate(each), "dstack takes it"
    file = tmp_path / "gpu.dstack.yml"
    file.write_text(yaml.safe_dump(changed))
    with proxy_in_a_thread(FleetServer("gpu", configuration)) as proxy:
        monkeypatch.setenv("DSTACK_SERVER_URL", proxy.url)
        monkeypatch.setenv("DSTACK_PROJECT", "main")
        monkeypatch.setenv("DSTACK_TOKEN", "secret-token")
        assert isinstance(proxy.server, FleetServer)
        assert main(["apply", "gpu", "-f", str(file), "--yes"]) == 0
        assert proxy.server.configuration == changed
        assert main(["undo", "gpu", "--fleet", "--yes"]) == 0
        assert proxy.server.configuration == configuration
        assert main(["undo", "gpu", "--fleet", "--yes"]) == 0
        assert proxy.server.configuration == changed
