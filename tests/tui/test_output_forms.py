"""What `get` prints for other programs and for documents."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import replace

import pytest
from markdown_it import MarkdownIt
from prometheus_client.parser import text_string_to_metric_families

from dstack_api_client.text import one_line
from dstack_fleets_tui.cli.main import main
from dstack_fleets_tui.headless.columns import NoSuchColumnError
from dstack_fleets_tui.headless.get import Output, for_programs, table
from dstack_fleets_tui.headless.kinds import KINDS, kind_named
from dstack_fleets_tui.headless.kinds.metrics import HELP
from dstack_fleets_tui.output.forms import as_csv, as_markdown
from dstack_fleets_tui.output.table import Column
from dstack_fleets_tui.words.formatting import NOTHING
from tests.builders.sample_look import LOOK, UNREAD, asked

_COLUMNS = (Column("NAME"), Column("$/H", right=True))
_ODD = ('a "b", c', "1|2 *x* <i> `y` [z](u) \\")


def cells(markdown: str) -> list[list[str]]:
    """The cells of the tables of a document, as a reader of Markdown sees them."""
    rows: list[list[str]] = []
    for token in MarkdownIt("commonmark").enable("table").parse(markdown):
        if token.type == "tr_open":
            rows.append([])
        elif token.type == "inline" and token.level == 4:
            kinds = {each.type for each in token.children or ()}
            assert kinds <= {"text", "text_special"}, token.content
            rows[-1].append("".join(each.content for each in token.children or ()))
    return rows


def printed(kind: str, output: Output, name: str | None = None) -> str:
    return for_programs(LOOK, asked(kind, name), output)


def test_odd_texts_come_out_as_they_are() -> None:
    titles = [each.title for each in _COLUMNS]
    assert [*csv.reader(as_csv(_COLUMNS, [_ODD]).splitlines())] == [titles, [*_ODD]]
    assert cells(as_markdown(_COLUMNS, [_ODD])) == [titles, [*_ODD]]
    assert as_markdown(_COLUMNS, []) == "| NAME | $/H |\n| --- | ---: |\n"
    # A channel that shows no Markdown shows the arrow as it is.
    assert "SUBMITTED -> RUNNING" in as_markdown(_COLUMNS, [("SUBMITTED -> RUNNING", "> 1")])
    assert r"\> 1" in as_markdown(_COLUMNS, [("", "> 1")])
    assert as_csv(_COLUMNS, [("two\nlines", "\x1b[31m")]).count("\n") == 2


@pytest.mark.parametrize("kind", tuple(KINDS))
def test_all_forms_of_a_table_have_the_same_cells(kind: str) -> None:
    record = kind_named(kind)
    things = record.choose(LOOK, asked(kind))
    rows = [row for thing in things for row in record.rows(thing, LOOK.snapshot)]
    expected = [[each.title for each in record.columns]]
    expected += [[one_line(cell) for cell in row] for row in rows]
    assert cells(printed(kind, "md")) == expected
    empty = [[cell if cell != NOTHING else "" for cell in row] for row in expected]
    assert [*csv.reader(printed(kind, "csv").splitlines())] == empty


@pytest.mark.parametrize(
    ("kind", "name", "names"),
    [
        ("services", None, ["broken", "chat", "plain"]),
        ("instances", "gpu-reserved", ["gpu-reserved-0", "gpu-reserved-1"]),
        ("replicas", "chat", ["chat-0-0", "chat-0-1", "chat-0-2", "chat-0-3", "chat-0-4",
                              "chat-0-5"]),
        ("distribution", "chat", ["chat"]),
        ("events", None, ["e-1", "e-2", "e-3", "e-4"]),
        ("metrics", "cpu", ["fleet_health", "fleet_instances", "fleet_gpus",
                            "fleet_price_dollars_per_hour"]),
    ],
)  # fmt: skip
def test_names_alone(kind: str, name: str | None, names: Sequence[str]) -> None:
    assert printed(kind, "name", name).splitlines() == [*names]


def test_metrics_as_prometheus_reads_them() -> None:
    samples = {
        (each.name.removeprefix("dstack_fleets_"), *sorted(each.labels.items())): each.value
        for family in text_string_to_metric_families(printed("metrics", "prometheus"))
        for each in family.samples
    }
    assert {name for name, *_ in samples} == {*HELP}
    project = ("project", "main")
    chat, lane = ("service", "chat"), (("fleet", "gpu-reserved"), ("lanes_of", ""))
    assert samples["service_replicas", project, chat, ("state", "ready")] == 2
    assert samples["service_replicas", project, chat, ("state", "desired")] == 3
    assert samples["service_requests_per_second", project, chat] == 3.2
    assert samples["service_seconds_per_request", project, chat] == 0.41
    assert samples["service_health", project, chat, ("state", "degraded")] == 1
    assert samples["service_health", project, chat, ("state", "ok")] == 0
    assert samples[("lane_short", *lane, project, chat)] == 1
    assert samples[("lane_replicas", *lane, project, chat, ("state", "running"))] == 2
    assert samples["router_workers", project, chat, ("state", "stale")] == 1
    assert samples["fleet_gpus", ("fleet", "gpu-spot"), project, ("state", "busy")] == 4.5
    assert samples["problems", project, ("state", "critical")] == 3
    of_chat = printed("metrics", "prometheus", "chat")
    assert 'service="chat"' in of_chat
    assert 'service="plain"' not in of_chat


def test_a_report() -> None:
    document = kind_named("report").document
    assert document is not None
    text = document(replace(LOOK, done=LOOK.events), asked("report", "chat"))
    headings = [line for line in text.splitlines() if line.startswith("#")]
    assert headings == [
        "# chat: DEGRADED 2/3",
        "## Problems",
        "## Distribution",
        "## Replicas",
        "## Router",
        "## Deployments",
        "## Events",
    ]
    assert "- **critical**, for 3m: chat: gpu-reserved: baseline 2 of 3: gpu-reserved has" in text
    assert [
        "2026-05-01T11:51:00.000Z",
        "admin",
        "run chat",
        "Run submitted. Status: SUBMITTED",
    ] in (cells(text))
    assert "| 7 | replicas, priority | Run updated. Deployment: 7. |" in text
    # It is handed on: a message of the server may name what a command had.
    told = [replace(each, message="Run updated: TOKEN=hunter2") for each in LOOK.events]
    spoken = document(replace(LOOK, events=tuple(told), done=tuple(told)), asked("report", "chat"))
    assert "TOKEN=" in spoken
    assert "hunter2" not in spoken
    plain = document(UNREAD, asked("report", "plain"))
    assert "SERVICE" not in plain.partition("## Problems")[2]
    assert "- Router not read: plain. No way there." in plain


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["services", "-o", "prometheus"], "-o prometheus is for metrics"),
        (["report", "chat", "-o", "json"], "A report is Markdown"),
        (["report"], "A report needs the name of a service."),
        (["fleets", "-o", "json", "--columns", "fleet"], "-o json has no columns."),
    ],
)
def test_forms_that_there_are_not(
    arguments: list[str], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["get", *arguments]) == 2
    assert says in capsys.readouterr().err


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind_named(kind).wide])
def test_a_wide_table_has_what_the_table_has_and_more(kind: str) -> None:
    wide = [*csv.reader(for_programs(LOOK, replace(asked(kind), wide=True), "csv").splitlines())]
    usual = [*csv.reader(printed(kind, "csv").splitlines())]
    assert [row[: len(usual[0])] for row in wide] == usual
    more = [title for title in wide[0][len(usual[0]) :] if any(row[wide[0].index(title)]
                                                               for row in wide[1:])]  # fmt: skip
    assert more or len(wide) == 1


def test_columns_by_title_and_by_key() -> None:
    wanted = replace(asked("services"), columns=("ready", "SERVICE", "replicas.max", "autoscaled"))
    rows = [*csv.reader(for_programs(LOOK, wanted, "csv").splitlines())]
    assert rows[:3] == [
        ["READY", "SERVICE", "REPLICAS MAX", "AUTOSCALED"],
        ["0", "broken", "", "no"],
        ["2", "chat", "6", "yes"],
    ]
    assert table(LOOK, wanted).splitlines()[0].split()[:2] == ["READY", "SERVICE"]


def test_a_column_that_is_not_there_is_answered_with_those_that_are() -> None:
    with pytest.raises(NoSuchColumnError) as error:
        table(LOOK, replace(asked("fleets"), columns=("flet",)))
    assert str(error.value).startswith("No column is named flet. Columns: fleet, health, kind, ")
    assert "by their keys in JSON: id, name, project," in str(error.value)


def test_tables_stay_as_they_are() -> None:
    assert table(LOOK, asked("metrics", "cpu")).splitlines()[0].split() == [
        "METRIC", "SERVICE", "FLEET", "LANES", "OF", "STATE", "VALUE",
    ]  # fmt: skip


def test_the_history_of_a_service_is_what_was_done_to_itself() -> None:
    lines = table(LOOK, asked("history")).splitlines()[1:]
    assert [line.split()[1:5] for line in lines] == [
        ["admin", "chat", "–", "–"],
        ["ada", "chat", "7", "replicas,"],
        ["server", "chat", "–", "–"],
    ]
    assert lines[1].split("replicas, priority")[1].split() == [
        "Run", "updated.", "Deployment:", "7.", "–",
    ]  # fmt: skip
