"""What a filter lets pass."""

from __future__ import annotations

import pytest

from dstack_widgets.table.cells import Column
from dstack_widgets.table.table_rows import TableRows

COLUMNS = [Column("name", "NAME"), Column("state", "STATE"), Column("price", "$/H")]
ROWS = {
    "a": ("gpu-spot", "Running", "93.1"),
    "b": ("gpu-reserved", "idle", "9.0"),
    "c": ("edge", "running", "spot"),
}


def passing(text: str) -> str:
    rows = TableRows()
    rows.set_columns(COLUMNS)
    rows.replace(ROWS)
    rows.filter_by(text)
    return "".join(rows.order)


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("SPOT", "ac"),
        ("!spot", "b"),
        ("state:running", "ac"),
        ("STATE: Running", "ac"),
        ("st:idle", "b"),
        ("!state:running", "b"),
        ("state:!running", "b"),
        ("$/h:9", "ab"),
        ("price:/^9\\./", "b"),
        ("/^edge$|^idle$/", "bc"),
        ("!/^edge$|^idle$/", "a"),
        ("~gprs", "b"),
        ("name:~gs", "ab"),
        ("nocolumn:x", ""),
        (":", ""),
        ("!", "abc"),
        ("~", ""),
        ("state:", "abc"),
    ],
)
def test_rows_pass(text: str, kept: str) -> None:
    assert passing(text) == kept


def test_an_expression_that_is_none_keeps_all_and_says_so() -> None:
    rows = TableRows()
    rows.set_columns(COLUMNS)
    rows.replace(ROWS)
    rows.filter_by("name:/(/")
    assert len(rows.order) == 3
    assert rows.filter_error.startswith("/(/ is not a regular expression: ")


def test_other_columns_are_looked_into_once_they_are_there() -> None:
    rows = TableRows()
    rows.replace({"a": ("x", "gpu"), "b": ("gpu", "x")})
    rows.set_columns([Column("one", "ONE"), Column("two", "TWO")])
    rows.filter_by("two:gpu")
    assert rows.order == ["a"]
    rows.set_columns([Column("two", "TWO"), Column("one", "ONE")])
    assert rows.order == ["b"]
