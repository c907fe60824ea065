"""`get` of several projects: one table of all, and each that fails is named."""

from __future__ import annotations

import csv
import json
import re
from dataclasses import replace
from pathlib import Path

import pytest

from dstack_api_client.connect.connection import Connection
from dstack_api_client.errors import CannotConnectError
from dstack_fleets_tui.cli.main import main
from dstack_fleets_tui.headless import several, whatif
from dstack_fleets_tui.headless.kinds import KINDS
from dstack_fleets_tui.headless.looking import Asked, Look, UnavailableError
from dstack_fleets_tui.names.selection import services
from tests.builders.config_files import MAIN, PROD, write
from tests.builders.sample_look import LOOK

#: On the server of `MAIN`, with no service.
_EMPTY = {**MAIN, "name": "empty", "default": False}
_AWAY = {**MAIN, "name": "away", "default": False}


@pytest.fixture(autouse=True)
def _home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("DSTACK_SERVER_URL", "DSTACK_TOKEN", "DSTACK_PROJECT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / ".dstack").mkdir()
    write(tmp_path / ".dstack" / "config.yml", [MAIN, PROD, _EMPTY, _AWAY])


@pytest.fixture(autouse=True)
def asked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    """Which project was read with which token; each has the same things, `empty` has none."""
    seen: list[tuple[str, str]] = []

    async def observe(connection: Connection, asked: Asked) -> Look:
        seen.append((connection.project, connection.token))
        if connection.project == "away":
            raise UnavailableError("The server is away.", "Wait.")
        snapshot = replace(LOOK.snapshot, project=connection.project)
        if connection.project == "empty":
            return Look(replace(snapshot, services={}, fleets={}, instances={}, replicas={}))
        return replace(LOOK, snapshot=snapshot)

    monkeypatch.setattr(several, "observe", observe)
    monkeypatch.setattr(whatif, "observe", observe)
    return seen


def get(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    code = main(["get", *arguments])
    output, errors = capsys.readouterr()
    return code, output, errors


def test_one_table_names_the_project_of_each_row(
    capsys: pytest.CaptureFixture[str], asked: list[tuple[str, str]]
) -> None:
    code, output, errors = get(capsys, "services", "--project", "main,prod", "-o", "csv")
    assert (code, errors) == (0, "")
    rows = [*csv.DictReader(output.splitlines())]
    names = [service.name for service in services(LOOK.snapshot, None)]
    assert [(row["PROJECT"], row["SERVICE"]) for row in rows] == [
        (project, name) for project in ("main", "prod") for name in names
    ]
    assert sorted(asked) == [("main", "token-main"), ("prod", "token-prod")], "each its own"


def test_json_has_the_object_of_each_project(capsys: pytest.CaptureFixture[str]) -> None:
    code, output, errors = get(capsys, "fleets", "--project", "main,away,empty", "-o", "json")
    whole = json.loads(output)
    first, away, empty = whole["projects"]
    assert (first["project"], empty["project"], empty["fleets"]) == ("main", "empty", [])
    assert [each["name"] for each in first["fleets"]] == sorted(
        fleet.name for fleet in LOOK.snapshot.fleets.values()
    )
    assert away["error"] == {"message": "The server is away.", "hint": "Wait."}
    assert "fleets" not in away, "what was not read has no things, which is not none"
    assert code == 3
    assert errors == "dstack-fleets-tui: away: The server is away. Wait.\n"


def test_all_are_those_of_the_configuration(
    capsys: pytest.CaptureFixture[str], asked: list[tuple[str, str]]
) -> None:
    code, output, errors = get(capsys, "runs", "--project", "all", "-o", "name")
    assert code == 3
    assert "away: The server is away." in errors
    assert {project for project, _ in asked} == {"main", "prod", "empty", "away"}
    assert {line.partition("/")[0] for line in output.splitlines()} == {"main", "prod", "empty"}
    asked.clear()
    get(capsys, "runs", "--project", "all", "--server-url", PROD["url"])
    assert asked == [("prod", "token-prod")], "of that server"


def test_what_is_worst_comes_first_whatever_project_it_is_of(
    capsys: pytest.CaptureFixture[str],
) -> None:
    code, output, _ = get(capsys, "problems", "--project", "main,prod", "-o", "csv")
    severities = [row["SEVERITY"] for row in csv.DictReader(output.splitlines())]
    order = ("critical", "warning", "notice")
    assert severities == sorted(severities, key=order.index)
    assert len(set(severities)) > 1
    assert code == 4
    assert get(capsys, "problems", "--project", "main,away")[0] == 3, "more may be wrong there"
    code, output, _ = get(capsys, "problems", "--project", "empty,main", "--severity", "critical")
    assert "empty: " not in output, "only where nothing is wrong in all of them"


def test_a_name_is_looked_for_in_all(capsys: pytest.CaptureFixture[str]) -> None:
    code, output, errors = get(capsys, "services", "chat", "--project", "empty,main", "-o", "name")
    assert (code, output, errors) == (0, "main/chat\n", "")
    code, output, errors = get(capsys, "services", "chta", "--project", "empty,main")
    assert (code, output) == (1, "")
    assert "in project empty" in errors
    assert "Did you mean chat?" in errors


def test_a_column_of_a_kind_that_is_called_project_too_is_the_owner(
    capsys: pytest.CaptureFixture[str],
) -> None:
    _, output, _ = get(capsys, "fleets", "--project", "main,prod", "-o", "wide")
    titles = output.splitlines()[0].split()
    assert titles[0] == "PROJECT"
    assert titles.count("PROJECT") == 1
    assert "OWNER" in titles


def test_what_no_project_can_answer_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    code, output, errors = get(capsys, "services", "--project", "main,nosuch")
    assert code == 3
    assert "main" in output
    assert "nosuch: Project nosuch (--project) is not in" in errors


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["get", "logs", "chat"], 2),
        (["plan", "chat", "--set", "gpu.priority=1"], 1),
        (["stop", "chat"], 2),
        (["apply", "chat", "--set", "gpu.priority=1", "--yes"], 2),
    ],
)
def test_what_is_of_one_project_takes_no_several(
    arguments: list[str], code: int, asked: list[tuple[str, str]]
) -> None:
    assert main([*arguments, "--project", "main,prod"]) == code
    assert main([*arguments, "--project", "all"]) == code
    assert asked == []


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "logs"])
def test_every_kind_names_the_project_of_each_row(
    kind: str, capsys: pytest.CaptureFixture[str]
) -> None:
    _, output, _ = get(capsys, kind, "--project", "main,empty,prod", "-o", "csv")
    rows = [*csv.DictReader(output.splitlines())]
    of_main, of_prod = (
        [{**row, "PROJECT": ""} for row in rows if row["PROJECT"] == project]
        for project in ("main", "prod")
    )
    assert of_main == of_prod
    assert of_main or kind == "audit"
    _, output, _ = get(capsys, kind, "--project", "main,prod")
    assert output.split("\n\n")[0].count("main: ") == output.split("\n\n")[0].count("prod: ")


def test_what_happened_is_in_the_order_of_time(capsys: pytest.CaptureFixture[str]) -> None:
    for kind in ("events", "history"):
        _, output, _ = get(capsys, kind, "--project", "main,prod", "-o", "csv")
        rows = [*csv.DictReader(output.splitlines())]
        assert [row["TIME"] for row in rows] == sorted(row["TIME"] for row in rows)
        assert [row["PROJECT"] for row in rows[:2]] == ["main", "prod"], "not one after the other"


def test_figures_of_several_are_one_file_for_prometheus(
    capsys: pytest.CaptureFixture[str],
) -> None:
    _, output, _ = get(capsys, "metrics", "--project", "main,empty,prod", "-o", "prometheus")
    assert output.count("# TYPE dstack_fleets_service_replicas gauge") == 1
    running = re.findall(
        r'^dstack_fleets_service_replicas{project="(\w+)",service="chat",state="running"}',
        output,
        re.MULTILINE,
    )
    assert running == ["main", "prod"]
    assert 'dstack_fleets_read_timestamp_seconds{project="empty"}' in output


def test_a_report_has_a_part_of_each_project_that_has_the_service(
    capsys: pytest.CaptureFixture[str],
) -> None:
    code, output, errors = get(capsys, "report", "chat", "--project", "main,empty,prod")
    assert (code, errors) == (0, "")
    assert output.count("\n## Replicas\n") == 2
    assert [line for line in output.splitlines() if line.startswith(("# ", "Project "))] == [
        *_head(output, "main"),
        *_head(output, "prod"),
    ]


def _head(report: str, project: str) -> list[str]:
    lines = report.splitlines()
    (at,) = (number for number, line in enumerate(lines) if line.startswith(f"Project {project}"))
    return [lines[at - 2], lines[at]]


def test_a_what_if_has_the_answer_of_each_project(capsys: pytest.CaptureFixture[str]) -> None:
    several_projects = ("--project", "main,empty,prod")
    fleet = next(iter(LOOK.snapshot.fleets.values())).name
    one = main(["whatif", "--without", fleet, "--project", "main"])
    alone = capsys.readouterr().out
    assert main(["whatif", "--without", fleet, *several_projects]) == one
    output, errors = capsys.readouterr()
    assert output == f"main\n{alone}\nprod\n{alone}"
    assert "empty: There is no" in errors
    assert main(["whatif", "--without", "nosuch", *several_projects]) == 1
    assert capsys.readouterr().out == ""
    away = ("--project", "main,away", "-o", "json")
    assert main(["whatif", "--without", fleet, *away]) == 3
    first, second = json.loads(capsys.readouterr().out)["projects"]
    assert (first["project"], first["without"]) == ("main", [fleet])
    assert second["error"]["message"] == "The server is away."


def test_the_setting_is_for_the_dashboard_and_no_script(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], asked: list[tuple[str, str]]
) -> None:
    settings = tmp_path / ".config" / "dstack-fleets-tui" / "settings.yml"
    settings.parent.mkdir(parents=True)
    settings.write_text("dashboard_projects: main,prod\n")

    def opened(*options: str) -> list[str]:
        main([*options, "--debug-settings"])
        output, errors = capsys.readouterr()
        assert errors == ""
        return re.findall(r"^project +(\S+) +(\S+)", output, re.MULTILINE)

    assert opened() == [("main", str(settings)), ("prod", str(settings))]
    config = str(tmp_path / ".dstack" / "config.yml")
    assert opened("get", "services") == [("main", config)]
    assert opened("--project", "empty") == [("empty", "--project")]
    assert [name for name, _ in opened("--server-url", PROD["url"])] == ["prod"]
    settings.write_text("dashboard_projects: main,nosuch\n")
    assert main([]) == 3
    assert f"Project nosuch ({settings}) is not in" in capsys.readouterr().err


def test_one_token_goes_to_one_server(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    asked: list[tuple[str, str]],
) -> None:
    monkeypatch.setenv("DSTACK_TOKEN", "token-env")
    code, _, errors = get(capsys, "services", "--project", "main,prod")
    assert (code, asked) == (2, [])
    assert "The token from DSTACK_TOKEN would be sent to several servers" in errors
    assert get(capsys, "services", "--project", "main,empty")[0] == 0


def test_a_failure_while_reading_is_one_of_that_project(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    read = several.observe

    async def observe(connection: Connection, asked: Asked) -> Look:
        if connection.project == "prod":
            raise CannotConnectError("It broke off.", "Try again.")
        return await read(connection, asked)

    monkeypatch.setattr(several, "observe", observe)
    code, output, errors = get(capsys, "instances", "--project", "prod,main")
    assert code == 3
    assert "main" in output
    assert "prod: It broke off. Try again." in errors
