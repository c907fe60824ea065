"""The user's settings: where each value comes from, and what a slip does."""

from __future__ import annotations

import os
from dataclasses import fields
from pathlib import Path

import pytest
import yaml

from dstack_fleets_tui.settings.settings import (
    ENVIRONMENT,
    Values,
    adapter,
    load,
    settings_path,
    with_known_projects,
)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "settings.yml"


def test_defaults(file: Path) -> None:
    settings = load({}, {}, file)
    assert {each.name: getattr(settings, each.name) for each in fields(Values)} == {
        "ascii": False,
        "interval": 2.0,
        "theme": None,
        "mouse": "auto",
        "alert": "bell",
        "insecure_http": False,
        "ca_file": None,
        "dashboard_projects": None,
        "routers_over_ssh": "opened",
        "loss_problems": False,
        "columns": {},
        "aliases": {},
        "read_only": False,
        "projects": {},
    }
    assert set(settings.sources.values()) == {"default"}
    assert settings.notices == ()


def test_order_of_sources(file: Path) -> None:
    file.write_text("interval: 10\ntheme: nord\nascii: true\ninsecure_http: yes\n")
    env = {"DSTACK_FLEETS_TUI_INTERVAL": "20", "DSTACK_FLEETS_TUI_THEME": "gruvbox", "OTHER": "1"}
    settings = load({"interval": 30.0, "ascii": None}, env, file)
    assert (settings.interval, settings.theme, settings.ascii) == (30.0, "gruvbox", True)
    assert settings.insecure_http
    assert settings.sources == {
        "ascii": str(file),
        "interval": "command line",
        "theme": "DSTACK_FLEETS_TUI_THEME",
        "mouse": "default",
        "alert": "default",
        "insecure_http": str(file),
        "ca_file": "default",
        "dashboard_projects": "default",
        "routers_over_ssh": "default",
        "loss_problems": "default",
        "columns": "default",
        "aliases": "default",
        "read_only": "default",
        "projects": "default",
    }
    assert settings.notices == ()


@pytest.mark.parametrize("text", ["1", "true", "yes", "on"])
def test_switches_in_the_environment(file: Path, text: str) -> None:
    assert load({}, {"DSTACK_FLEETS_TUI_ASCII": text}, file).ascii


def test_an_empty_variable_counts_as_not_set(file: Path) -> None:
    settings = load({}, {"DSTACK_FLEETS_TUI_INTERVAL": ""}, file)
    assert settings.interval == 2.0
    assert settings.notices == ()


@pytest.mark.parametrize("value", ["soon", "0", "-1", "nan", "inf", "1e9", "[]"])
def test_a_wrong_value_is_a_notice_and_the_next_source_counts(file: Path, value: str) -> None:
    file.write_text("interval: 7\n")
    settings = load({}, {"DSTACK_FLEETS_TUI_INTERVAL": value}, file)
    assert settings.interval == 7
    (notice,) = settings.notices
    assert notice.startswith("DSTACK_FLEETS_TUI_INTERVAL: interval is not used (")


def test_one_wrong_value_does_not_take_the_others_along(file: Path) -> None:
    file.write_text("interval: [1]\ntheme: nord\nintervall: 3\n")
    settings = load({}, {}, file)
    assert (settings.interval, settings.theme) == (2.0, "nord")
    assert [n.split(" ")[0] for n in settings.notices] == [f"{file}:", "There"]
    assert "no setting intervall" in settings.notices[1]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"interval: 1\n  theme: x\n", "not valid YAML in line 2: "),
        (b"read_only: true\nread_only: false\n", "in line 2: read_only appears twice. It is not"),
        (b"theme: " + b"x" * 2**20, "it is longer than 1 MiB. It is not used."),
        (b"\xff\xfe\x00", "not valid YAML"),
        (b"- interval", "not a list of"),
        (b"text", "not a list of"),
    ],
)
def test_a_broken_file_is_a_notice(file: Path, content: bytes, words: str) -> None:
    file.write_bytes(content)
    settings = load({}, {}, file)
    assert settings.interval == 2.0
    (notice,) = settings.notices
    assert words in notice
    assert str(file) in notice


@pytest.mark.parametrize("content", [None, b"", b"# nothing yet\n"])
def test_no_settings_are_fine(file: Path, content: bytes | None) -> None:
    if content is not None:
        file.write_bytes(content)
    assert load({}, {}, file).notices == ()


def test_a_folder_in_place_of_the_file(tmp_path: Path) -> None:
    (notice,) = load({}, {}, tmp_path).notices
    assert "can't be read: Is a directory" in notice


def test_hostile_names_are_cleaned(file: Path) -> None:
    file.write_text('"a\\e]0;x\\a": 1\n')
    (notice,) = load({}, {}, file).notices
    assert notice.isprintable()


def test_a_ca_file_is_found_beside_the_settings(file: Path) -> None:
    file.write_text("ca_file: certs/ca.pem\n")
    assert load({}, {}, file).ca_file == file.parent / "certs" / "ca.pem"
    file.write_text("ca_file: ~/ca.pem\n")
    assert load({}, {}, file).ca_file == Path.home() / "ca.pem"
    env = {"DSTACK_FLEETS_TUI_CA_FILE": "~/other.pem"}
    assert load({}, env, file).ca_file == Path.home() / "other.pem"


def test_the_usual_place(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    path = settings_path()
    assert path.is_relative_to(tmp_path)
    assert path.parts[-2:] == ("dstack-fleets-tui", "settings.yml")
    path.parent.mkdir(parents=True)
    path.write_text("theme: nord\n")
    assert load().theme == os.environ.get("DSTACK_FLEETS_TUI_THEME", "nord")


def test_every_setting_is_described() -> None:
    described = adapter().json_schema()["properties"]
    assert [*described] == [each.name for each in fields(Values)]
    for name, said in described.items():
        assert said["description"], name


def test_the_document_lists_every_setting_and_its_default() -> None:
    document = (Path(__file__).parents[2] / "docs" / "connecting.md").read_text()
    rows = [
        [cell.strip().strip("`") for cell in line.strip("|").split("|")]
        for line in document.splitlines()
        if "DSTACK_FLEETS_TUI_" in line and line.startswith("|")
    ]
    assert [(name, variable) for name, _, variable, *_ in rows] == [
        (name, f"{ENVIRONMENT}{name.upper()}") for name in vars(Values())
    ]
    for name, _, _, default, meaning in rows:
        if default:
            assert yaml.safe_load(default) == getattr(Values(), name)
        else:
            assert getattr(Values(), name) is None
        assert meaning


def test_what_holds_for_one_project(file: Path) -> None:
    file.write_text("projects: {prod: {protected: true}, audit: {read_only: yes}}\n")
    settings = load({}, {}, file)
    assert settings.notices == ()
    assert settings.protected_in("prod")
    assert not settings.read_only_in("prod")
    assert settings.read_only_in("audit")
    assert not settings.protected_in("other")
    assert load({"read_only": True}, {}, file).read_only_in("other")


@pytest.mark.parametrize(
    "text",
    ["projects: {prod: {protekted: true}}\n", "read_only: perhaps\n", "projects: [prod]\n", "a: ["],
)
def test_a_slip_in_what_guards_makes_nothing_writable(file: Path, text: str) -> None:
    file.write_text(text)
    settings = load({}, {}, file)
    assert settings.read_only_in("prod")
    (notice,) = settings.notices
    assert "is not used" in notice
    assert notice.endswith("Until then nothing can be changed.")


@pytest.mark.parametrize(
    "name", ["read-only", "readonly", "Read_Only", "read_onlu", "protected", "protect", "project"]
)
def test_a_misspelt_guard_makes_nothing_writable(file: Path, name: str) -> None:
    file.write_text(f"{name}: true\n")
    settings = load({}, {}, file)
    assert settings.read_only_in("prod")
    (notice,) = settings.notices
    assert notice.startswith(f"There is no setting {name} (")
    assert notice.endswith("Until then nothing can be changed.")
    variable = f"{ENVIRONMENT}{name.upper()}"
    assert load({}, {variable: "true"}, file.parent / "none.yml").read_only_in("prod")


@pytest.mark.parametrize("name", ["colour", "intervall", "ascii_only", "demo"])
def test_another_unknown_setting_is_only_a_notice(file: Path, name: str) -> None:
    file.write_text(f"{name}: true\n")
    settings = load({}, {}, file)
    assert len(settings.notices) == 1
    assert not settings.read_only_in("prod")


def test_a_guard_of_a_project_that_nobody_knows_makes_nothing_writable(file: Path) -> None:
    file.write_text("projects: {prdo: {protected: true}, lab: {}}\n")
    settings = load({}, {}, file)
    refusing = with_known_projects(settings, "prod", ["prod", "stage"])
    assert refusing.read_only_in("prod")
    (notice,) = refusing.notices
    assert notice.startswith("`projects` in the settings guards prdo, and no project of that name")
    assert refusing.guard_notices == (notice,)
    assert with_known_projects(settings, "stage", ["prod", "prdo"]).notices == ()
    assert with_known_projects(settings, "prdo", ["prod"]).notices == (), "it is this one"
    assert with_known_projects(settings, "prod", []).read_only_in("prod"), "it is much like it"
    assert not with_known_projects(settings, "stage", []).read_only_in("stage")


def test_projects_in_the_environment(file: Path) -> None:
    variable = "DSTACK_FLEETS_TUI_PROJECTS"
    assert load({}, {variable: "{prod: {protected: true}}"}, file).protected_in("prod")
    settings = load({}, {variable: "{prod: ["}, file)
    assert settings.read_only_in("prod")
    start = f"{variable}: projects is not used (not valid YAML in line 1"
    assert settings.notices[0].startswith(start)


def test_yaml_takes_on_and_off_for_more_than_words(file: Path) -> None:
    file.write_text("mouse: off\nalert: off\n")
    settings = load({}, {}, file)
    assert (settings.mouse, settings.alert) == ("off", "off")
    assert settings.notices == ()
