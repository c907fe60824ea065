"""Edits of lanes that a server previews."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from dstack_api_client.edits.service.service import ServiceEdit
from dstack_api_client.model.capabilities import Capabilities
from tests.builders import service_edits

PREVIEWS = Capabilities("0.22.5", True, "1.0", frozenset({"lanes", "preview"}))
LANES = [{"name": "reserved", "min_replicas": 1}, {"name": "spot"}]


def begun(**changes: Any) -> ServiceEdit:
    """An edit of the service chat of two replicas."""
    base = service_edits.base(**{"fleets": LANES, **changes})
    return ServiceEdit.begin(replace(base, id="s-chat"), PREVIEWS)
