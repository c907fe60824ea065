"""A shell in a replica: what is run, what is written down, and where there is none."""

from __future__ import annotations

import os
from contextlib import nullcontext
from dataclasses import replace

import pytest

from dstack_api_client.edits.store import audit_log
from dstack_fleets_tui.screens.parts.asking import AskScreen
from dstack_fleets_tui.screens.replica import ReplicaScreen
from dstack_fleets_tui.screens.service.service import ServiceScreen
from dstack_fleets_tui.settings.settings import ProjectValues, Settings
from tests.builders.apps import GivenFeed, app_on, live
from tests.builders.shells import reachable_client
from tests.builders.snapshots import replica, snapshot
from tests.screens import SIZE, brought, filled, on_screen
from tests.waiting import until, until_equal


@pytest.fixture
def ssh(monkeypatch, tmp_path):
    """Stands for OpenSSH: writes down its arguments and what is in the key's folder."""
    program = tmp_path / "bin" / "ssh"
    program.parent.mkdir()
    program.write_text(
        f'#!/bin/sh\necho "$@" > {tmp_path}/ran\nls "${{2%/*}}" > {tmp_path}/keys\n'
        f"exit $(cat {tmp_path}/status 2>/dev/null || echo 0)\n"
    )
    program.chmod(0o700)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    return tmp_path


def made(settings=None):
    shot = snapshot(replicas=[replica()])
    app = app_on(GivenFeed(live(shot)), settings, reachable_client())
    app.suspend = nullcontext
    return app, shot


def said(app):
    return app.said.log[-1].message if app.said.log else ""


async def test_x_opens_a_shell_and_c_copies_the_way_to_attach(ssh):
    app, shot = made()
    async with app.run_test(size=SIZE) as pilot:
        await filled(app)
        app.open_service("s-chat", "replicas")
        await on_screen(app, ServiceScreen)
        await until(lambda: app.screen.table.cursor_key, what="a replica")
        await pilot.press("x")
        await until((ssh / "ran").exists, what="the shell")
        assert (ssh / "ran").read_text().split()[-3:] == ["-t", "--", "dstack-hop-1"]
        await until(lambda: len(audit_log.read(app.changing.store.folder)[0]) == 2, what="both")
        lines, _ = audit_log.read(app.changing.store.folder)
        assert [(each.action, each.user, each.name) for each in lines] == [
            ("shell", "ann", "chat")
        ] * 2
        assert [each.result for each in lines] == [
            "A shell in chat 0 opened",
            "A shell in chat 0 ended with status 0",
        ]
        assert sorted((ssh / "keys").read_text().split()) == ["config", "key"]
        await until(lambda: not [*ssh.glob("dstack-fleets-tui-*-*")], what="that the key is gone")

        await pilot.press("c")
        await until_equal(lambda: app.clipboard, "dstack attach --project main --replica 0 chat")
        (ssh / "status").write_text("255")
        app.open_replica(shot.services["s-chat"].replica_keys[0])
        await on_screen(app, ReplicaScreen)
        await pilot.press("x")
        await until(lambda: said(app).startswith("The connection to chat 0 was lost"))

        pulling = replace(shot.replicas[replica().key], status="pulling", ready=False)
        await brought(app, pilot, replace(shot, replicas={pulling.key: pulling}))
        (ssh / "ran").unlink()
        await pilot.press("x")
        await until(lambda: said(app).startswith("chat 0 is pulling. There is a shell only"))
        assert not (ssh / "ran").exists()


@pytest.mark.parametrize("guard", ["read_only", "protected"])
async def test_a_guarded_project_gives_no_shell_unasked(ssh, guard):
    app, _ = made(Settings(projects={"main": ProjectValues(**{guard: True})}))
    async with app.run_test(size=SIZE) as pilot:
        await filled(app)
        app.open_replica(replica().key)
        await on_screen(app, ReplicaScreen)
        await pilot.press("x")
        if guard == "read_only":
            await until(lambda: said(app).startswith("This is read-only"))
        else:
            await on_screen(app, AskScreen)
            await until(lambda: app.screen.takes_keys, what="that it takes keys")
            await pilot.press("escape")
            await on_screen(app, ReplicaScreen)
        assert not (ssh / "ran").exists()
