"""Saving what a screen shows, in each form."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path

import pytest

from dstack_fleets_tui.screens.charts import ChartsScreen
from dstack_fleets_tui.screens.parts.asking import PickScreen
from dstack_fleets_tui.screens.service.service import ServiceScreen
from tests.builders.apps import GivenFeed, app_on, live
from tests.builders.sample_look import LOOK
from tests.screens import SIZE, filled, on_screen
from tests.waiting import until


def _only(folder: Path, pattern: str) -> Path:
    (found,) = folder.glob(pattern)
    return found


async def test_each_form_of_what_is_in_front(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    app = app_on(GivenFeed(live(LOOK.snapshot)))

    async def saved(argument: str) -> str:
        app.screen.action_do("save", argument)
        name = argument.partition(" ")[2] or argument
        await until(lambda: f"Saved to {tmp_path / name}" in app.said.log[-1].message, what=name)
        return (tmp_path / name).read_text("utf-8")

    async with app.run_test(size=SIZE) as pilot:
        await filled(app)
        app.screen.filter_by("gpu-")
        text = await saved("txt a.txt")
        assert text.startswith("Fleets   project main   2026-05-01T12:00:00.250Z\n")
        assert "filter: gpu-" in text
        rows = [*csv.DictReader((await saved("b.csv")).splitlines())]
        assert [row["FLEET"] for row in rows] == ["gpu-reserved", "gpu-spot"]
        # What is drawn beside a text is not in it, and what has no room on screen is.
        assert rows[0]["INSTANCES"] == "1 busy, 1 idle"
        assert rows[0]["BACKENDS"] == "aws"
        assert (await saved("svg c.svg")).startswith("<svg")

        for argument, why in {
            "b.csv": "b.csv can't be written: File exists.",
            "xml": "No form is named xml. Forms: md,",
        }.items():
            app.screen.action_do("save", argument)
            await until(lambda why=why: why in app.said.log[-1].message, what=why)

        app.open_service("chat-id")
        await on_screen(app, ServiceScreen)
        await until(lambda: app.screen.table.row_count, what="lanes")
        document = await saved("md d.md")
        assert document.startswith("# chat: Distribution\n")
        assert "| gpu-spot | decode | 0 | 0 | – | 2 | 1 |" in document
        assert "- Group decode is in a rolling deployment." in document
        await pilot.press("y")
        await until(lambda: app.screen.view == "yaml", what="the YAML")
        whole = json.loads(await saved("json e.json"))
        assert whole["document"] == {"env": {"PASSWORD": "********"}}
        app.screen.action_do("save", "csv")
        await until(lambda: "There is no table here." in app.said.log[-1].message)

        app.screen.action_do("charts", "chat")
        await on_screen(app, ChartsScreen)
        await pilot.press("ctrl+s")
        await on_screen(app, PickScreen)
        await until(lambda: app.screen.takes_keys, what="that it takes keys")
        await pilot.press("enter")
        await until(lambda: "chat-charts-20260314-" in app.said.log[-1].message, what="a name")
        assert "Replicas" in _only(tmp_path, "chat-charts-*.md").read_text("utf-8")


async def test_no_secret_of_a_message_gets_into_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    replicas = {
        key: replace(each, status_message="login with HF_TOKEN=hunter2 failed")
        for key, each in LOOK.snapshot.replicas.items()
    }
    app = app_on(GivenFeed(live(replace(LOOK.snapshot, replicas=replicas))))
    async with app.run_test(size=SIZE):
        await filled(app)
        app.open_service("chat-id", "replicas")
        await on_screen(app, ServiceScreen)
        await until(lambda: app.screen.table.row_count, what="the replicas")
        for name in ("txt", "md", "csv", "json"):
            path = tmp_path / f"it.{name}"
            app.screen.action_do("save", f"{name} {path}")
            await until(path.exists, what=name)
            text = path.read_text("utf-8")
            assert "login with" in text, name
            assert "hunter2" not in text, name
