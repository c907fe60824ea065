"""Plain tables."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
from rich.cells import cell_len

from dstack_api_client.problems.watch import Severity
from dstack_fleets_tui.headless.get import collect, printed, table
from dstack_fleets_tui.headless.kinds import KINDS
from dstack_fleets_tui.headless.looking import Look
from dstack_fleets_tui.names.selection import NoSuchNameError
from dstack_fleets_tui.output.table import Column, render
from tests.builders.sample_look import LOOK, UNREAD, asked

COLOUR = re.compile("\x1b\\[[0-9;]*m")
HOSTILE = [
    "[/x]",
    "[red]",
    "\x1b]0;owned\x07",
    "a\nb",
    "日本語",
    "\u202eabc",
    "x" * 300,
    "👩‍👩‍👧",
    "",
]


def test_columns_are_aligned_by_cells() -> None:
    columns = (Column("NAME"), Column("N", right=True), Column("LAST"))
    rows = [[name, str(number), "end"] for number, name in enumerate(HOSTILE, start=8)]
    lines = render(columns, rows).splitlines()
    assert len(lines) == len(rows) + 1
    assert {cell_len(line[: line.rindex(" ") + 1]) for line in lines} == {300 + 2 + 2 + 2}
    assert all(line.endswith("end") for line in lines[1:])
    assert "x" * 300 in lines[7], "nothing is cut"


def test_nothing_harmful_gets_through() -> None:
    text = render((Column("NAME"),), [[name] for name in HOSTILE])
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e]", text)
    assert "[/x]" in text
    assert "[red]" in text


def test_numbers_stand_to_the_right_and_no_line_has_trailing_blanks() -> None:
    columns = (Column("A"), Column("N", right=True), Column("B"))
    text = render(columns, [["x", "1", ""], ["y", "100", "z"]])
    assert text == "A    N  B\nx    1\ny  100  z\n"


def test_no_rows_is_a_header() -> None:
    assert render((Column("A"), Column("B")), []) == "A  B\n"


@pytest.mark.parametrize("kind", tuple(KINDS))
def test_colour_changes_no_text(kind: str) -> None:
    plain = table(LOOK, asked(kind))
    coloured = table(LOOK, asked(kind), colour=True)
    assert "\x1b" not in plain
    assert COLOUR.sub("", coloured) == plain
    assert bool(COLOUR.search(coloured)) == (
        kind not in ("events", "history", "audit", "metrics")
    ), "these have no state"


@pytest.mark.parametrize("kind", tuple(KINDS))
def test_plain_is_ascii_and_as_wide(kind: str) -> None:
    text = table(LOOK, asked(kind))
    plain = printed(table(LOOK, asked(kind)), plain=True)
    assert plain.isascii()
    assert [len(line) for line in plain.splitlines()] == [len(line) for line in text.splitlines()]


def row(kind: str, name: str, first: str) -> dict[str, str]:
    header, *lines = table(LOOK, asked(kind, name)).splitlines()
    titles = header.split()
    line = next(line for line in lines if line.startswith(first))
    cells = re.split(r"\s{2,}", line)
    return dict(zip(titles, cells, strict=False))


def test_a_fleet() -> None:
    assert row("fleets", "gpu-spot", "gpu-spot") == {
        "HEALTH": "DEGRADED 2/3",
        "ROOM": "7 blocks, no limit",
        "FLEET": "gpu-spot",
        "KIND": "cloud",
        "STATUS": "active",
        "NODES": "0.. (1)",
        "INSTANCES": "1 busy, 1 unreachable, 1 provisioning (1 unhealthy)",
        "GPUS": "H100 4.5/24",
        "BLOCKS": "9/18",
        "REPLICAS": "1",
        "SPOT": "spot",
        "BACKENDS": "aws",
        "$/H": "31.05",
        "AGE": "12d",
    }


def test_a_service() -> None:
    assert row("services", "chat", "chat") == {
        "SERVICE": "chat",
        "HEALTH": "DEGRADED 2/3",
        "STATUS": "running",
        "PRIO": "50",
        "DESIRED": "3 of 3..6 +1 surge",
        "RUNNING": "3",
        "READY": "2",
        "FLEETS": "gpu-reserved 2, gpu-spot 1, no fleet yet 0+1",
        "ROUTER": "smg ready 1/2",
        "ROLLOUT": "7 (3/4)",
        "$/H": "227.69",
        "AGE": "6h",
        "URL": "https://chat.example",
    }


def test_instances_and_replicas() -> None:
    instance = row("instances", "lab", "lab")
    assert (instance["RUNS"], instance["$/H"]) == ("train trainer node 0 (task, ann)", "–")
    idle = table(LOOK, asked("instances", "gpu-reserved")).splitlines()[2]
    assert idle.split()[-3:] == ["20m", "2d", "–"]
    starting = table(LOOK, asked("replicas", "chat")).splitlines()[3]
    assert starting.split()[:7] == [
        "chat", "2", "decode", "gpu-spot", "gpu-spot-0", "10.0.0.7", "running",
    ]  # fmt: skip
    assert "1/3 0/2" in starting
    assert "out of memory" in table(LOOK, asked("replicas", "broken"))


def lines(kind: str, name: str | None = None) -> list[str]:
    return table(LOOK, asked(kind, name)).splitlines()


def test_a_distribution_is_loud_where_a_baseline_is_not_held() -> None:
    _, reserved, spot, nowhere, blank, *notes = lines("distribution", "chat")
    assert reserved.split()[:7] == ["chat", "10", "gpu-reserved", "–", "3", "4", "3"]
    assert reserved.endswith("BASELINE 2 of 3 for 3m: gpu-reserved has no room")
    assert spot.split()[1:4] == ["0", "gpu-spot", "decode"]
    assert "decode 0+1" in nowhere
    assert nowhere.endswith("every lane is full")
    assert blank == ""
    assert notes[0].endswith("`dstack-fleets-tui rebalance chat --cancel` ends it.")
    assert notes[1:] == ["Group decode is in a rolling deployment."]
    coloured = table(LOOK, asked("distribution", "chat"), colour=True)
    assert "\x1b[31mBASELINE" in coloured


def test_notes_on_several_services_say_on_which() -> None:
    *_, ended, _, chat, plain = lines("distribution")
    assert ended == "broken: The service has ended."
    assert chat == "chat: Group decode is in a rolling deployment."
    assert plain.startswith("plain: No lane of this service")


def test_a_router_has_its_line_and_its_workers() -> None:
    head, blank, _, *workers = lines("router", "chat")
    said = "chat: smg ready, 1 of 2 workers ready, read through the server 2s ago"
    assert head == f"{said}, circuit breakers not known."
    assert blank == ""
    assert len(workers) == 4
    assert workers[0].split()[:7] == ["chat", "in", "sync", "failed", "running", "decode", "0"]
    assert workers[0].endswith("dstack will not repair this.")


def test_a_router_that_was_not_read_says_why() -> None:
    assert lines("router", "plain")[0] == "plain: dynamo not managed. It finds its workers itself."


def test_the_router_of_a_service_without_one() -> None:
    with pytest.raises(NoSuchNameError) as caught:
        table(LOOK, asked("router", "broken"))
    assert caught.value.message == "The service broken has no router that runs."


def test_problems_the_worst_first() -> None:
    _, first, *_, last = lines("problems")
    assert first.startswith("critical")
    assert last.startswith("notice"), "a router that finds its workers itself leaves nothing unread"
    *_, note = table(UNREAD, asked("problems")).splitlines()
    assert note == "Router not read: plain. No way there."
    of_chat = lines("problems", "chat")[1:]
    assert of_chat
    assert all(line.split()[2] == "chat" for line in of_chat)
    assert [line.split()[2] for line in lines("problems", "gpu-spot")[1:]] == [
        "gpu-spot/2",
        "gpu-spot/1",
    ]


NOTE = "\nRouter not read: plain. No way there.\n"
AS_FAR = f"Nothing is wrong, as far as it could be read.\n{NOTE}"
NO_PROBLEM, ELSEWHERE = replace(UNREAD, problems=()), replace(UNREAD, problems=LOOK.problems[-1:])


@pytest.mark.parametrize(
    ("look", "name", "text"),
    [
        (NO_PROBLEM, None, AS_FAR),
        (NO_PROBLEM, "plain", AS_FAR),
        (NO_PROBLEM, "chat", "Nothing is wrong.\n"),
        (replace(LOOK, problems=()), "plain", "Nothing is wrong.\n"),
        (ELSEWHERE, None, f"No problems at this severity.\n{NOTE}"),
        # Those of others are none of this one.
        (ELSEWHERE, "chat", "Nothing is wrong.\n"),
    ],
)
def test_no_problem(look: Look, name: str | None, text: str) -> None:
    critical = replace(asked("problems", name), severity=Severity.CRITICAL)
    assert table(look, critical) == text
    assert collect(look, critical)["problems"] == []


def test_of_one_that_has_less_bad_ones_it_is_said_so() -> None:
    of_chat = [each for each in LOOK.problems if each.service_id == "chat-id"]
    notice = replace(of_chat[0], severity=Severity.NOTICE)
    critical = replace(asked("problems", "chat"), severity=Severity.CRITICAL)
    assert table(replace(LOOK, problems=(notice,)), critical) == "No problems at this severity.\n"


def test_events_the_newest_last() -> None:
    _, first, last, *_ = lines("events")
    assert first.split()[:4] == ["2026-05-01T11:51:00.000Z", "admin", "run", "chat"]
    assert last.split()[1] == "server"
    assert "job chat-0-2, instance gpu-spot-0" in last
