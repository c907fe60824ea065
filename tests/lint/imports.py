"""What the modules of the packages import, type-checking imports included."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

import grimp

PACKAGES = (
    "dstack_api_client",
    "dstack_fleets_tui",
    "dstack_placement",
    "dstack_simulator",
    "dstack_widgets",
)


@cache
def imports() -> Mapping[str, set[str]]:
    """By module, what it imports of the packages."""
    graph = grimp.build_graph(*PACKAGES, cache_dir=None)
    return {name: graph.find_modules_directly_imported_by(name) for name in graph.modules}


def folders(imports: Mapping[str, set[str]]) -> set[str]:
    """The modules that others are in, and the packages."""
    return {name.rpartition(".")[0] for name in imports} - {""}
