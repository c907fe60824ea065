"""What `get` prints for other programs and for documents."""

from __future__ import annotations

import csv
from collections.abc import Sequence

import pytest
from markdown_it import MarkdownIt
from prometheus_client.parser import text_string_to_metric_families

from dstack_api_client.text import one_line
from dstack_fleets_tui.cli.main import main
from dstack_fleets_tui.headless.get import Output, for_programs, table
from dstack_fleets_tui.headless.kinds import KINDS, kind_named
from dstack_fleets_tui.headless.kinds.metrics import HELP
from dstack_fleets_tui.output.forms import as_csv, as_markdown
from dstack_fleets_tui.output.table import Column
from dstack_fleets_tui.words.formatting import NOTHING
from tests.builders.sample_look import LOOK, asked

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
    text = document(LOOK, asked("report", "chat"))
    headings = [line for line in text.splitlines() if line.startswith("#")]
    assert headings == [
        "# chat: DEGRADED 2/3",
        "## Problems",
        "## Distribution",
        "## Replicas",
        "## Router",
        "## Events",
    ]
    assert "- **critical**, for 3m: chat: gpu-reserved: baseline 2 of 3: gpu-reserved has" in text
    assert [
        "2026-05-01T11:51:00.000Z",
        "admin",
        "run chat",
        "Run submitted. Status: SUBMITTED",
    ] in (cells(text))
    plain = document(LOOK, asked("report", "plain"))
    assert "SERVICE" not in plain.partition("## Problems")[2]
    assert "- Router not read: plain." in plain


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["services", "-o", "prometheus"], "Only metrics have the form that Prometheus reads"),
        (["report", "chat", "-o", "json"], "A report is for people"),
        (["report"], "A report is of one service."),
    ],
)
def test_forms_that_there_are_not(
    arguments: list[str], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["get", *arguments]) == 2
    assert says in capsys.readouterr().err


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
    assert lines[1].endswith("replicas, priority  Run updated. Deployment: 7.")
