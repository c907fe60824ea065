"""What a server can do beyond what every dstack server can."""

from __future__ import annotations

from dataclasses import dataclass

#: Features of the add-on that this client asks for by name.
LANES, PLACEMENT, PLACEMENT_LIST, ROUTER = "lanes", "placement", "list", "router"
RECLAIM = "reclaim"
#: That a preview takes a `reclaim` to try.
PREVIEW_RECLAIM = "preview-reclaim"
CORDONS = "cordons"
#: That the list of placements tells what gateways counted.
TRAFFIC = "traffic"


@dataclass(frozen=True)
class Capabilities:
    """What was found out about a server when it was connected to.

    Attributes:
        server_version: dstack's version as the server reports it; None in development.
        lanes: Whether its schema lets the `fleets` of a service be lanes.
        placement_version: The version of the placement add-on; None on a stock server.
        features: What the add-on says it can do (`placement`, `preview`, `rebalance`, ...).
        unread: Why the last question whether there is an add-on, and what it can do, has no answer;
            what stands here is then what was known before.
    """

    server_version: str | None = None
    lanes: bool = False
    placement_version: str | None = None
    features: frozenset[str] = frozenset()
    unread: str = ""

    @property
    def has_addon(self) -> bool:
        """Whether the server has the placement add-on."""
        return self.placement_version is not None

    def can(self, feature: str) -> bool:
        """Whether the add-on has a feature."""
        return feature in self.features

    @property
    def abilities(self) -> tuple[str, ...]:
        """What the server can do beyond what every dstack does."""
        parts = []
        if self.placement_version is not None:
            parts.append(f"placement {self.placement_version}")
        elif self.lanes:
            parts.append("lanes")
        elif self.unread:
            parts.append("add-on not known")
        if self.can(ROUTER):
            parts.append("router list through the server")
        return tuple(parts)


#: What is assumed until a server was asked: nothing.
UNKNOWN = Capabilities()
