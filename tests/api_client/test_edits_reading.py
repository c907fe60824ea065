"""How often a configuration is read while it is edited."""

from __future__ import annotations

from typing import Any

import pytest

from dstack_api_client.edits.outlook import dryrun
from dstack_api_client.edits.service import checks
from dstack_api_client.edits.service.service import ServiceEdit
from dstack_fleets_tui.editing import form
from dstack_placement.engine import ServiceSpec
from dstack_widgets.drawing.glyphs import UNICODE
from tests.builders.outlooks import BOTH, begun, project


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The configurations that were read."""
    found: list[Any] = []
    whole = ServiceSpec.read.__func__  # type: ignore[attr-defined]

    def counted(cls: type[ServiceSpec], configuration: Any, **options: Any) -> ServiceSpec:
        found.append(configuration)
        spec: ServiceSpec = whole(cls, configuration, **options)
        return spec

    monkeypatch.setattr(ServiceSpec, "read", classmethod(counted))
    return found


def redraw(edit: ServiceEdit) -> None:
    """All that the form shows of an edit."""
    snapshot = project(*BOTH)
    problems = checks.problems(edit, checks.known_fleets(snapshot))
    form.rows(edit, problems, UNICODE)
    checks.warnings(edit)
    dryrun.dry_run_here(edit, snapshot)


def test_a_configuration_is_read_once_for_each_edit(read: list[Any]) -> None:
    edit = begun()
    redraw(edit)
    assert len(read) == 1, "what the edit began with"
    for priority in range(1, 6):
        edit = edit.with_lane("", "spot", priority=priority)
        redraw(edit)
        redraw(edit)
        assert len(read) == 1 + priority
