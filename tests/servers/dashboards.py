"""What the tests of screens look for."""

from __future__ import annotations

from textual.widgets import Static

from dstack_fleets_tui.app.app import FleetsApp
from dstack_fleets_tui.screens.parts.questions import Asking
from dstack_widgets.panels.findings import Findings
from dstack_widgets.panels.flow import Flow
from tests.waiting import until


async def shown(app: FleetsApp, kind: type, *, limit: float = 20) -> None:
    """Waits for a screen, and until it takes keys."""

    def there() -> bool:
        screen = app.screen
        ready = not isinstance(screen, Asking) or screen.takes_keys
        return isinstance(screen, kind) and screen.is_mounted and ready

    await until(
        there,
        limit=limit,
        what=kind.__name__,
    )


def text(app: FleetsApp, selector: str = "#text") -> str:
    """What a text says."""
    return str(app.screen.query_one(selector, Static).content)


def findings(app: FleetsApp) -> list[str]:
    """What is wrong with an edit."""
    return [finding.text for finding in app.screen.query_one(Findings).findings]


async def ended(app: FleetsApp, word: str = "done", *, limit: float = 150) -> None:
    """Waits until a change that is followed has ended so."""
    await until(
        lambda: word in app.screen.query_one("#head", Flow).text,
        limit=limit,
        what=f"the change to be {word}: {text(app)}",
    )
