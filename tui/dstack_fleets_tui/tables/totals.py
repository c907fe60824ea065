"""What a whole project adds up to, in one line above its lists."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from dstack_api_client.analysis.health import Health, HealthState
from dstack_api_client.model.labels import counted
from dstack_api_client.model.snapshot import Snapshot
from dstack_fleets_tui.tables import health
from dstack_fleets_tui.words import formatting


def totals(snapshot: Snapshot, healths: Mapping[str, Health]) -> list[tuple[str, str]]:
    """Services by health, replicas, GPUs and the price: styles of the palette and texts.

    Args:
        snapshot: The project.
        healths: How its services are.
    """
    told = []
    by_state = Counter(each.state for each in healths.values())
    for state in HealthState:
        number = by_state[state]
        if number:
            told.append((health.style(state), f"{number} {state.value.upper()}"))
    if healths:
        serving = sum(each.serving for each in healths.values())
        desired = sum(each.desired for each in healths.values())
        told.append(("", f"{serving}/{counted(desired, 'replica')} ready"))
    fleets = snapshot.fleets.values()
    gpus = sum(fleet.gpus_total for fleet in fleets)
    if gpus:
        busy = formatting.count(sum(fleet.gpus_busy for fleet in fleets))
        told.append(("", f"{busy}/{counted(gpus, 'GPU')} busy"))
    price = sum(fleet.price for fleet in fleets)
    if price:
        told.append(("", f"{formatting.price(price)} $/h"))
    return told
