"""Two dashboards of one user at once, on one state folder: each keeps what it has, none waits."""

from __future__ import annotations

import json
import signal
from pathlib import Path
from typing import Any

import pytest

from dstack_api_client.edits.base.base import Target
from dstack_api_client.edits.store.keeping import Store
from dstack_api_client.edits.store.kept import Kept
from tests.servers.dashboard_process import Dashboard, beside, dashboard, to_list
from tests.waiting import until

pytestmark = pytest.mark.slow

_RIGHT, _ENTER = "\x1b[C", "\r"
#: How many drafts each writes while the other does.
_MANY = 12


def _values(kept: Kept | None) -> list[Any]:
    return [step.new["min"] for step in kept.steps] if kept is not None else []


async def _type(at: Dashboard, number: int) -> None:
    """Types a number over the field, and waits until it is kept as a draft."""
    at.terminal.press(f"{number}{_ENTER}")
    await until(lambda: str(number) in at.kept, what=f"the draft {number}")


async def test_what_both_type_and_send_is_kept(tmp_path: Path) -> None:
    async with dashboard(tmp_path, EDITOR="") as one, beside(one) as two:
        target = Target(one.environment["DSTACK_SERVER_URL"], "main", "service", "chat")
        for each in (one, two):
            await to_list(each)
            await each.press("e", "nothing changed yet")
        for number in range(_MANY):
            one.terminal.press(f"{4000 + number}{_ENTER}")
            two.terminal.press(f"{5000 + number}{_ENTER}")
        await _type(one, 4711)
        await _type(two, 5711)

        await two.press("p", "Plan for chat")
        await two.press_until(_RIGHT, "[ Apply ]")
        two.terminal.press(_ENTER)
        await two.shows("was applied")
        assert one.server.writes == ["/api/project/main/runs/apply"]
        store = Store(one.state)
        assert _values(store.applied(target)) == [5711]
        assert _values(store.draft(target)) == [4711], "of the other, which goes on"

        await _type(one, 4712)
        for each in (one, two):
            each.terminal.process.send_signal(signal.SIGTERM)
            assert await each.ended() == 128 + signal.SIGTERM
            assert b"holds the lock" not in each.terminal.written
            assert b"Traceback" not in each.terminal.written
        assert _values(store.draft(target)) == [4712]
        assert store.sent(target) is None
        lines = [json.loads(line) for line in store.audit_path.read_text().splitlines()]
        assert [line["result"] for line in lines][:1] == ["sent"]
        assert [" was applied as deployment " in line["result"] for line in lines] == [False, True]
        assert not (one.state / "faults.log").exists()
