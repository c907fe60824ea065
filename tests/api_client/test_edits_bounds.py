"""Counts that can't be planned: each is refused with a sentence, before anything is worked out."""

from __future__ import annotations

from typing import Any

import pytest

from dstack_api_client.edits.errors import InvalidEditError
from dstack_api_client.edits.outlook.dryrun import dry_run_here
from dstack_api_client.edits.service.assignments import assign, parse
from dstack_api_client.edits.service.checks import (
    MOST,
    FieldName,
    Problem,
    problems,
    replica_range,
    whole_number,
)
from tests.builders.service_edits import edit, group

HUGE = ["10001", "1000000", "9" * 5000, "+" + "9" * 30]


@pytest.mark.parametrize("text", HUGE)
def test_a_typed_count_is_bounded(text: str) -> None:
    found = whole_number(text, FieldName("min_replicas"))
    assert isinstance(found, Problem)
    assert found.line.endswith(f"is too large. Write {MOST} or less.")
    assert len(found.line) < 80


@pytest.mark.parametrize("text", ["10001", "0..1000000", "9" * 5000, f"1..{'9' * 5000}"])
def test_a_typed_range_is_bounded(text: str) -> None:
    found = replica_range(text)
    assert isinstance(found, Problem)
    assert f"Write {MOST} or less." in found.line
    assert len(found.line) < 100


@pytest.mark.parametrize(
    ("text", "number"), [("0", 0), ("007", 7), ("+3", 3), ("-0", 0), ("10000", 10_000), ("", None)]
)
def test_what_is_a_number_stays_one(text: str, number: int | None) -> None:
    assert whole_number(text, FieldName("min_replicas")) == number


@pytest.mark.parametrize("text", ["-1", "1.5", "٣", "x" * 5000, "--1", "1e3"])
def test_what_is_none_is_short(text: str) -> None:
    found = whole_number(text, FieldName("min_replicas"))
    assert isinstance(found, Problem)
    assert len(found.line) < 80


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"groups": [group("front", replicas=MOST + 1)]}, f"Write {MOST} or less."),
        (
            {"fleets": [{"name": "gpu-reserved", "max_replicas": MOST + 1}]},
            f"Write {MOST} or less.",
        ),
        # The engine has a bound of its own, for what other clients store.
        ({"fleets": [{"name": "gpu-reserved", "min_replicas": 10**30}]}, "is above 1000000."),
    ],
)
def test_counts_of_the_text_are_bounded(changes: dict[str, Any], line: str) -> None:
    begun = edit()
    changed = begun.with_configuration({**begun.configuration, **changes})
    assert any(line in problem.line for problem in problems(changed))


@pytest.mark.parametrize(
    "text", ["gpu-spot.min_replicas=1000000", "gpu-spot.priority=" + "9" * 5000]
)
def test_counts_of_the_command_line_are_bounded(text: str) -> None:
    with pytest.raises(InvalidEditError, match=f"Write {MOST} or less"):
        assign(edit(), parse(text))


def test_what_the_server_holds_is_not_worked_out_beyond_the_bound() -> None:
    stored = edit(replicas={"min": 1_000_000, "max": 1_000_000})
    with pytest.raises(InvalidEditError, match="can't be planned here"):
        dry_run_here(stored, None)  # type: ignore[arg-type]
