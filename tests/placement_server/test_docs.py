"""The pages on placement say what is so."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from dstack_placement.engine import read_configuration
from dstack_placement.server.overrides import OVERRIDES
from tests.placement_server.helpers import DOCS, EXAMPLES, in_process


@pytest.mark.parametrize("example", EXAMPLES)
def test_the_examples_are_accepted(example: str) -> None:
    configuration: dict[str, Any] = yaml.safe_load(example)
    read = read_configuration(configuration, known={"cpu", "gpu-reserved", "gpu-spot"})
    assert read.managed
    assert read.warnings == ()
    code = (
        "from dstack_placement.server import schema\nschema.install()\n"
        "from dstack._internal.core.models.configurations import DstackConfiguration\n"
        f"answer = DstackConfiguration.model_validate({configuration!r}).root.name\n"
    )
    assert in_process(code) == configuration["name"]


def test_there_are_examples() -> None:
    assert len(EXAMPLES) == 2


def test_the_page_lists_the_overrides() -> None:
    page = (DOCS / "server-addon.md").read_text()
    for override in OVERRIDES:
        name = override.function.removeprefix("dstack._internal.server.")
        assert f"| `{name}` | {override.why} |" in page
    assert page.count("\n| `") == len(OVERRIDES)
