"""`drain --wait`: what is planned, what is told while it is followed, and how it ends."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest

from dstack_api_client.edits.follow.following import State
from dstack_api_client.edits.follow.following_drains import follow_drain
from dstack_api_client.errors import ReadOnlyError
from dstack_fleets_tui.headless import cordoning
from dstack_fleets_tui.headless.manner import Manner
from tests.builders.apps import CONNECTION
from tests.servers.cordoning_server import MOVES, CordoningServer

STAYS = {**MOVES, "action": "stay", "to": None, "why": "fleet-2 has no room"}


class DrainingServer(CordoningServer):
    """A server on which a drain goes on from look to look.

    Args:
        looks: What is left at each look once it is drained, or None once that is cancelled, or
            the status of an answer that says nothing; the last one stays.
    """

    def __init__(self, *looks: list[dict[str, Any]] | int | None) -> None:
        super().__init__()
        self._looks = list(looks)

    def _answer(self, path: str, query: dict[str, Any]) -> httpx.Response:
        if path.endswith("/placement/cordons") and self.cordons:
            found = self._looks.pop(0) if len(self._looks) > 1 else self._looks[0]
            if isinstance(found, int):
                return httpx.Response(found)
            drained = [] if found is None else [{**self.cordons[0], "left": found}]
            return httpx.Response(200, json={"cordons": drained})
        return super()._answer(path, query)


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    follow = partial(follow_drain, every=0.0)
    monkeypatch.setattr(cordoning, "follow_drain", follow)


def _drain(
    monkeypatch: pytest.MonkeyPatch, server: CordoningServer, manner: Manner, action: str = "drain"
) -> State:
    def client(*connection: Any, read_only: bool = False, **options: Any) -> Any:
        return server.client(read_only=read_only)

    monkeypatch.setattr(cordoning, "Client", client)
    return cordoning.change_service_of(CONNECTION, action, "fleet-1", manner, reason="new driver")


def test_it_is_done_once_nothing_is_left(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    server = DrainingServer([MOVES], [MOVES], [])
    assert _drain(monkeypatch, server, Manner(yes=True, wait=60.0)) is State.DONE
    lines = capsys.readouterr().out.splitlines()
    assert "replica 0 of chat on fleet-1-0 moves to fleet-2" in lines
    assert lines[-2:] == ["1 job left: 1 on the way", "It is empty."]


def test_a_server_that_can_not_be_read_for_a_while_is_asked_again(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    server = DrainingServer([MOVES], 500, 500, [MOVES], [])
    assert _drain(monkeypatch, server, Manner(yes=True, wait=60.0)) is State.DONE
    lines = capsys.readouterr().out.splitlines()[-4:]
    assert lines[0] == lines[2] == "1 job left: 1 on the way"
    assert "fail" in lines[1]
    assert lines[3] == "It is empty."


def test_what_stays_is_named_and_a_cancel_is_told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    manner = Manner(yes=True, output="json", wait=60.0)
    assert _drain(monkeypatch, DrainingServer([STAYS]), manner) is State.STILL_WAITING
    result = json.loads(capsys.readouterr().out)["result"]
    assert (result["state"], [each["why"] for each in result["left"]]) == (
        "still waiting",
        ["fleet-2 has no room"],
    )
    assert _drain(monkeypatch, DrainingServer([MOVES], None), manner) is State.FAILED
    assert "The drain of fleet-1 was cancelled." in capsys.readouterr().err


def test_a_cordon_says_its_plan_and_read_only_changes_nothing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    server = CordoningServer()
    assert _drain(monkeypatch, server, Manner(yes=True), "cordon") is State.DONE
    assert server.told == [("cordon", "fleet-1", "new driver")]
    assert "What runs there stays." in capsys.readouterr().out
    with pytest.raises(ReadOnlyError):
        _drain(monkeypatch, server, Manner(yes=True, read_only=True))
    assert len(server.told) == 1
