"""The projects that one can switch to while the dashboard runs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from dstack_api_client.connect.connection import ConfigError, Connection
    from dstack_fleets_tui.settings.settings import Settings


@dataclass(frozen=True)
class Projects:
    """How other projects are found.

    Attributes:
        names: Those of dstack's configuration.
        connect: Where the one of a name is, or why that is not known.
        guarded: The settings once it is known which project is connected to.
        meant: The names that are meant by one: several with commas between them, or all.
    """

    names: Callable[[], Sequence[str]]
    connect: Callable[[str], Connection | ConfigError]
    guarded: Callable[[Settings, Connection], Settings]
    meant: Callable[[str], Sequence[str]] = lambda text: text.split(",")
