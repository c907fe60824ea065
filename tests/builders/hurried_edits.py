"""Edits that wait for nothing between their reads."""

from __future__ import annotations

import pytest
from anyio import lowlevel

from dstack_api_client.edits.fleet import new_fleets
from dstack_api_client.edits.perform import performing
from dstack_api_client.edits.plan import applying


def hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    """Takes the limits and the pauses from applying, until the test is over."""
    for module, names in ((applying, ("LIMIT", "LATE")), (new_fleets, ("LIMIT",))):
        for name in names:
            monkeypatch.setattr(module, name, 0.0)
    for function in (applying.apply, performing.apply_fleet, performing.create_fleet):
        defaults = dict(function.__kwdefaults__)
        quick = {name: 0.0 for name in ("limit", "late") if name in defaults}
        monkeypatch.setattr(function, "__kwdefaults__", {**defaults, **quick, "sleep": no_sleep})


async def no_sleep(seconds: float) -> None:
    """Lets others run instead."""
    del seconds
    await lowlevel.checkpoint()
