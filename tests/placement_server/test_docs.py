"""The pages on placement say what is so."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from dstack_placement.engine import read_configuration
from dstack_placement.server.compat.overrides import OVERRIDES
from tests.servers.findings import findings
from tests.servers.lanes import DOCS, EXAMPLES


def test_the_examples_are_accepted(tmp_path_factory: pytest.TempPathFactory) -> None:
    configurations: list[dict[str, Any]] = [yaml.safe_load(example) for example in EXAMPLES]
    assert len(configurations) == 3
    for configuration in configurations:
        read = read_configuration(configuration, known={"cpu", "gpu-reserved", "gpu-spot"})
        assert read.has_lanes
        assert read.warnings == ()
    found = findings(tmp_path_factory, "read_specs")
    assert found["examples"] == [each["name"] for each in configurations]


def test_the_page_lists_the_overrides() -> None:
    page = (DOCS / "server-addon.md").read_text()
    for override in OVERRIDES:
        name = override.function.removeprefix("dstack._internal.server.")
        assert f"| `{name}` | {override.why} |" in page
    assert page.count("\n| `") == len(OVERRIDES)
