"""The setting by which minimums take places from other services, in edits."""

from __future__ import annotations

from dataclasses import replace

import pytest

from dstack_api_client.edits.errors import EditError, InvalidEditError
from dstack_api_client.edits.service import assignments, checks
from dstack_api_client.edits.service.checks import FieldName
from dstack_api_client.edits.service.service import ServiceEdit
from dstack_placement.engine import Reclaim
from tests.builders.service_edits import WITH_LANES, base

KNOWS = replace(WITH_LANES, features=WITH_LANES.features | {"reclaim"})
_PATH = ("configuration", "reclaim")


def _edit(**changes: object) -> ServiceEdit:
    return ServiceEdit.begin(base(**changes), KNOWS)


def test_the_setting_is_written_only_where_it_says_something() -> None:
    begun = _edit()
    assert begun.reclaim is Reclaim.OFF
    changed = begun.with_reclaim(Reclaim.LOWER)
    assert changed.reclaim is Reclaim.LOWER
    assert changed.configuration["reclaim"] == "lower"
    assert list(changed.changes) == [_PATH]
    assert not changed.with_reclaim(Reclaim.OFF).changed


def test_the_setting_that_was_written_comes_back_as_it_was() -> None:
    begun = _edit(reclaim="off")
    assert not begun.with_reclaim(Reclaim.ANY).with_reclaim(Reclaim.OFF).changed
    assert _edit(reclaim="any").with_reclaim(Reclaim.OFF).configuration.get("reclaim") is None


@pytest.mark.parametrize(
    ("text", "reclaim"), [("any", Reclaim.ANY), ("LOWER", Reclaim.LOWER), ("", Reclaim.OFF)]
)
def test_assignments(text: str, reclaim: Reclaim) -> None:
    found = assignments.assign(_edit(), assignments.parse(f"reclaim={text}"))
    assert found.reclaim is reclaim


def test_an_assignment_of_no_value_names_those_that_there_are() -> None:
    with pytest.raises(InvalidEditError, match="Use one of: off, lower, any"):
        assignments.assign(_edit(), assignments.parse("reclaim=some"))


def test_a_server_that_does_not_know_it_is_named() -> None:
    begun = ServiceEdit.begin(base(), WITH_LANES)
    with pytest.raises(EditError, match="knows no `reclaim`"):
        begun.with_reclaim(Reclaim.ANY)
    written = begun.with_configuration({**begun.configuration, "reclaim": "any"})
    found = checks.problems(written)
    assert [problem.field for problem in found] == [FieldName("reclaim")]
    assert "Update it" in found[0].line


def test_a_wrong_value_is_marked_at_the_field() -> None:
    found = checks.problems(_edit(reclaim="some"))
    assert [(problem.field, problem.line) for problem in found] == [
        (FieldName("reclaim"), "`reclaim` is some. Use one of: off, lower, any.")
    ]
