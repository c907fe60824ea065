"""Pictures of a running app, compared with those that are kept: several of one run."""

from __future__ import annotations

from typing import Any

from pytest_textual_snapshot import SVGImageExtension
from syrupy.assertion import SnapshotAssertion
from textual.pilot import Pilot

from tests.painting import all_painted
from tests.waiting import until


def sized(size: tuple[int, int]) -> str:
    """A size in the name of a picture."""
    return f"{size[0]}x{size[1]}"


class Pictures:
    """Takes pictures by name; `pytest --snapshot-update` keeps those that it takes.

    Args:
        kept: What compares with the files.

    Attributes:
        different: Names of those that are not as they are kept.
    """

    def __init__(self, kept: SnapshotAssertion) -> None:
        self._kept = kept.use_extension(SVGImageExtension)
        self.different: list[str] = []

    async def take(self, pilot: Pilot[Any], name: str = "") -> None:
        """Takes a picture once all is painted and stays as it is.

        Args:
            pilot: The app.
            name: What it is of, where a test takes several.
        """
        await pilot.wait_for_scheduled_animations()
        await all_painted(pilot.app, pilot)
        shown = [pilot.app.export_screenshot(simplify=True)]

        async def stays() -> bool:
            await all_painted(pilot.app, pilot)
            shown.append(pilot.app.export_screenshot(simplify=True))
            return shown[-1] == shown[-2]

        await until(stays, what="the screen stays as it is")
        kept = self._kept(name=name) if name else self._kept
        if shown[-1] != kept:
            self.different.append(name or "the only one")
