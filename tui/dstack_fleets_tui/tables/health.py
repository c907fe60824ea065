"""How services and fleets are, as sign and word."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from dstack_api_client.analysis.health import Health, HealthState
from dstack_api_client.problems.model import Affected
from dstack_fleets_tui.tables.looks import Looks
from dstack_widgets.table.cells import CellValue

#: Of each state: its style in the palette and the glyph before it.
_STATES: Mapping[HealthState, tuple[str, str]] = {
    HealthState.DOWN: ("bad", "cross"),
    HealthState.DEGRADED: ("warn", "warning"),
    HealthState.STARTING: ("starting", "circle"),
    HealthState.OK: ("ok", "check"),
}
_WEIGHTS = {state: weight for weight, state in enumerate(HealthState)}


def style(state: HealthState) -> str:
    """The style of a state in the palette."""
    return _STATES[state][0]


def text(health: Health, looks: Looks) -> str:
    """`✗ DOWN`, `! DEGRADED 5/7`, `✓ OK`: with its sign."""
    return f"{getattr(looks.glyphs, _STATES[health.state][1])} {health}"


def cell(health: Health | None, looks: Looks) -> CellValue:
    """Sign and word; a dash for what serves nobody by intent."""
    if health is None:
        return looks.word(None)
    return CellValue(
        text(health, looks),
        style(health.state),
        (_WEIGHTS[health.state], health.serving - health.desired),
    )


def of_affected(affects: Sequence[Affected], subject: str, looks: Looks) -> CellValue:
    """The worst of the services that a problem concerns; its name where that is not said beside.

    Args:
        affects: The services, the worst first.
        subject: What the problem is about.
        looks: Time and glyphs to show it with.
    """
    if not affects:
        return looks.word(None)
    worst = affects[0]
    found = cell(worst.health, looks)
    if worst.name == subject:
        return found
    more = f" +{len(affects) - 1}" if len(affects) > 1 else ""
    return found._replace(text=f"{found.text} {worst.name}{more}")
