from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from textual.content import Content

from dstack_widgets.table.cells import CellValue, Column, Row, same_cell, sort_value
from dstack_widgets.table.table_rows import TableRows, follow

COLUMNS = (Column("name", "NAME"), Column("price", "$/H", justify="right"))


def table(*prices: object) -> TableRows:
    rows = TableRows()
    rows.set_columns(COLUMNS)
    rows.replace({f"r{index}": (f"name {index}", str(price)) for index, price in enumerate(prices)})
    return rows


def test_numbers_sort_as_numbers_and_dashes_come_last_both_ways() -> None:
    rows = table("9.5", "–", "1,200", "10", "")
    rows.sort_by("price")
    assert rows.order == ["r0", "r3", "r2", "r1", "r4"]
    rows.sort_by("price", reverse=True)
    assert rows.order == ["r2", "r3", "r0", "r1", "r4"]


def test_equal_values_keep_the_order_they_came_in_both_ways() -> None:
    rows = table("1", "0", "1", "1")
    rows.sort_by("price", reverse=True)
    assert rows.order == ["r0", "r2", "r3", "r1"]


def test_numbers_within_names_count_as_numbers() -> None:
    rows = TableRows()
    rows.set_columns(COLUMNS)
    rows.replace({name: (name, "") for name in ("gpu-10", "gpu-9", "GPU-1")})
    rows.sort_by("name")
    assert rows.order == ["GPU-1", "gpu-9", "gpu-10"]


def test_values_of_different_kinds_sort_without_failing() -> None:
    rows = table("auto", "3", "off", "1")
    rows.sort_by("price")
    assert rows.order == ["r3", "r1", "r0", "r2"]


def test_a_cell_sorts_by_what_it_means() -> None:
    rows = TableRows()
    rows.set_columns([Column("age", "AGE")])
    rows.replace({"a": (CellValue("2h", sort=7200),), "b": (CellValue("3s", sort=3),), "c": ("–",)})
    rows.sort_by("age")
    assert rows.order == ["b", "a", "c"]


def test_content_can_mean_something_too() -> None:
    rows = TableRows()
    rows.set_columns([Column("bar", "BAR")])
    rows.replace(
        {name: (CellValue(Content(f"{name} busy"), sort=len(name)),) for name in ("bbb", "c", "aa")}
    )
    rows.sort_by("bar")
    assert rows.order == ["c", "aa", "bbb"]
    rows.filter_by("A BUSY")
    assert rows.order == ["aa"]
    assert not same_cell(CellValue(Content.styled("a", "bold")), CellValue(Content("a")))


def test_a_column_has_its_own_rule() -> None:
    rows = TableRows()
    rows.set_columns([Column("gpu", "GPU", sort_key=lambda text: int(text.split("/")[0]))])
    rows.replace({"a": ("10/32",), "b": ("9/10",)})
    rows.sort_by("gpu")
    assert rows.order == ["b", "a"]


def test_nan_counts_as_nothing() -> None:
    assert sort_value(CellValue("?", sort=float("nan"))) is None


def test_an_unknown_column_is_refused() -> None:
    with pytest.raises(KeyError):
        table("1").sort_by("nope")


def test_the_filter_looks_into_every_cell_and_the_search_text() -> None:
    rows = TableRows()
    rows.set_columns([Column("name", "NAME"), Column("note", "NOTE", hidden=True)])
    rows.replace(
        [
            Row("a", ("Alpha", Content.styled("x", "bold"))),
            Row("b", ("beta", "ALPHA two")),
            Row("c", (CellValue("gamma", "bad"), ""), search="alpha"),
            Row("d", ("al", "pha")),
        ]
    )
    rows.filter_by(" aLPHa ")
    assert rows.order == ["a", "b", "c"]
    rows.update({"a": ("omega", "")}, ["b"])
    assert rows.order == ["c"]
    rows.filter_by("")
    assert rows.order == ["a", "c", "d"]


def test_what_looks_different_is_different() -> None:
    assert same_cell("a", "a")
    assert same_cell(CellValue("a", "ok"), CellValue("a", "ok"))
    assert not same_cell(CellValue("a", "ok"), CellValue("a", "bad"))
    assert not same_cell(Content.styled("a", "bold"), Content("a"))
    assert same_cell(Content.styled("a", "bold"), Content.styled("a", "bold"))
    assert not same_cell("a", Content("a"))


def test_a_lost_row_leads_to_its_neighbour() -> None:
    before = ["a", "b", "c", "d"]
    assert follow("b", 1, before, ["x", "a", "b"]) == 2
    assert follow("b", 1, before, ["a", "d", "c"]) == 2
    assert follow("d", 3, before, ["a", "b"]) == 1
    assert follow("b", 1, before, ["x", "y", "z"]) == 1
    assert follow("d", 3, before, ["x"]) == 0


#: What may happen to a table, and a model that does it the plain way.
keys = st.sampled_from([f"k{index}" for index in range(12)])
cells = st.tuples(
    st.sampled_from(["alpha", "beta", "Gamma", "[red]", "日本"]),
    st.one_of(st.integers(0, 5).map(str), st.just("–")),
)
steps = st.lists(
    st.one_of(
        st.tuples(st.just("replace"), st.dictionaries(keys, cells)),
        st.tuples(
            st.just("update"), st.dictionaries(keys, cells, max_size=3), st.lists(keys, max_size=3)
        ),
        st.tuples(st.just("sort"), st.sampled_from([None, "name", "price"]), st.booleans()),
        st.tuples(st.just("filter"), st.sampled_from(["", "a", "3", "zzz"])),
    ),
    max_size=12,
)


def plainly(
    rows: dict[str, tuple[str, str]], sort: str | None, down: bool, needle: str
) -> list[str]:
    found = [key for key, row in rows.items() if any(needle in cell.casefold() for cell in row)]
    if sort is None:
        return found

    def value(key: str) -> object:
        name, price = rows[key]
        return name.casefold() if sort == "name" else float(price)

    missing = [key for key in found if sort == "price" and rows[key][1] == "–"]
    present = [key for key in found if key not in missing]
    return sorted(present, key=value, reverse=down) + missing  # type: ignore[arg-type]


@given(steps)
def test_any_course_of_changes_ends_in_the_plain_order(course: list[tuple]) -> None:
    table = TableRows()
    table.set_columns(COLUMNS)
    rows: dict[str, tuple[str, str]] = {}
    sort: str | None = None
    down = False
    needle = ""
    for step in course:
        if step[0] == "replace":
            rows = dict(step[1])
            table.replace(step[1])
        elif step[0] == "update":
            rows.update(step[1])
            for key in step[2]:
                rows.pop(key, None)
            table.update(step[1], step[2])
        elif step[0] == "sort":
            _, sort, down = step
            table.sort_by(sort, reverse=down)
        else:
            needle = step[1]
            table.filter_by(needle)
        assert table.order == plainly(rows, sort, down, needle)
        assert len(table) == len(rows)
