"""The projects that one can switch to while the dashboard runs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from dstack_api_client.connect.connection import ConfigError, Connection
from dstack_fleets_tui.settings.settings import Settings


@dataclass(frozen=True)
class Projects:
    """How other projects are found.

    Attributes:
        names: Those of dstack's configuration.
        connect: Where the one of a name is, or why that is not known.
        guarded: The settings once it is known which project is connected to.
    """

    names: Callable[[], Sequence[str]]
    connect: Callable[[str], Connection | ConfigError]
    guarded: Callable[[Settings, Connection], Settings]
