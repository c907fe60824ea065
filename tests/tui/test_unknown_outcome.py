"""Commands of which it is not known what became of their change, and commands that are ended."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from contextlib import asynccontextmanager

import pytest

from dstack_api_client.edits.base.base import read_service
from dstack_api_client.edits.base.outcome import UnknownOutcomeError
from dstack_api_client.edits.perform.rebalancing import Prospect
from dstack_api_client.errors import UnansweredError
from dstack_api_client.feed.feed import Feed
from dstack_fleets_tui.headless import apply, ending
from dstack_fleets_tui.headless.looking import poll
from dstack_fleets_tui.headless.plan import Desk, Wanted, parse_all, planned
from tests.builders.apps import CONNECTION
from tests.builders.changing_server import ChangingServer

MANNER = apply.Manner(yes=True, output="json")


@pytest.fixture(autouse=True)
def desk(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    server = ChangingServer()

    @asynccontextmanager
    async def opened(connection, service, *, read_only=True):
        async with server.client() as client:
            snapshot = await poll(Feed(client, "main"), full=True)
            yield Desk(client, snapshot, await read_service(client, "main", service))

    monkeypatch.setattr(apply, "desk", opened)
    return server


def raising(error):
    async def raises(*arguments, **options):
        raise error

    return raises


def test_apply_prints_what_it_planned_and_that_the_outcome_is_not_known(monkeypatch, capsys):
    monkeypatch.setattr(apply, "perform", raising(UnknownOutcomeError("Not known.", "Look.")))
    wanted = Wanted("chat", parse_all(["priority=7"]), (), None, None)
    with pytest.raises(UnknownOutcomeError):
        apply.apply(CONNECTION, "chat", lambda at: planned(at, wanted), MANNER)
    said = json.loads(capsys.readouterr().out)
    assert [change["field"] for change in said["changes"]] == ["priority"]
    assert said["result"]["applied"] is None
    assert said["result"]["deployment"] is None
    assert said["result"]["message"] == "Not known."


def test_rebalance_prints_that_the_outcome_is_not_known(monkeypatch, capsys):
    async def prospect(*arguments):
        return Prospect(None, None)

    monkeypatch.setattr(apply.rebalancing, "prospect", prospect)
    monkeypatch.setattr(apply.rebalancing, "rebalance", raising(UnansweredError("No.", "Look.")))
    with pytest.raises(UnansweredError):
        apply.rebalance(CONNECTION, "chat", MANNER)
    said = json.loads(capsys.readouterr().out)
    assert (said["service"], said["result"]["applied"]) == ("chat", None)


@pytest.mark.parametrize(
    ("name", "ends"),
    [("SIGTERM", SystemExit), ("SIGHUP", SystemExit), ("SIGINT", KeyboardInterrupt)],
)
def test_a_signal_lets_a_command_look_what_became_of_its_change(name, ends):
    number, seen = getattr(signal, name), []

    async def change():
        await asyncio.to_thread(bool)  # the loop goes on, as for a request
        return "done"

    async def command():
        os.kill(os.getpid(), number)
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            seen.append(await change())
            raise

    before = signal.getsignal(number)
    with pytest.raises(ends) as ended:
        ending.run(command())
    assert seen == ["done"]
    if ends is SystemExit:
        assert ended.value.code == 128 + number
    assert signal.getsignal(number) == before


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
def test_a_question_ends_at_once(name):
    """The loop stands still while it is answered."""
    number = getattr(signal, name)

    async def command():
        with ending.at_once():
            return signal.getsignal(number)

    expected = signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL
    assert ending.run(command()) == expected
