"""The offers of a server's plan, as far as they matter to what starts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from dstack_api_client.edits.offers.prices import PlanOffer
from dstack_api_client.edits.plan.planning import Plan
from dstack_api_client.text import one_line
from dstack_fleets_tui.words import formatting
from dstack_placement.engine import ONLY_GROUP

#: Offers that are shown; the cheapest come first.
MOST = 5
TITLE = "offers for what starts"
NONE = "The server has no offer for what would start."


@dataclass(frozen=True)
class OfferLine:
    """Offers that read the same.

    Attributes:
        group: The replica group; empty for a service without groups.
        what: Where, what and for how much.
        rest: Whether it can be had, and how many of them there are.
    """

    group: str
    what: str
    rest: str


def of_starts(plan: Plan) -> list[PlanOffer] | None:
    """The offers for the groups and in the fleets where a replica starts; None where none does."""
    starts = plan.dry_run.starts if plan.dry_run is not None else ()
    if not starts:
        return None
    # The server has them for every group and lane, whether something starts there or not.
    return [each for each in plan.offers if any(_is_for(each, *start) for start in starts)]


def _is_for(offer: PlanOffer, group: str, fleet: str | None) -> bool:
    known = bool(offer.fleet) and fleet is not None
    return (offer.group or ONLY_GROUP) == group and (not known or offer.fleet == fleet)


def lines(found: Sequence[PlanOffer], labels: Mapping[str, str]) -> tuple[list[OfferLine], int]:
    """The first few, equal ones counted, and how many are left out.

    Args:
        found: The offers.
        labels: What the replica groups are called, by name.
    """
    counted = Counter(map(_words, found))
    shown = [
        OfferLine(
            labels.get(group, group),
            what,
            availability + (f", {number} of them" if number > 1 else ""),
        )
        for (group, what, availability), number in list(counted.items())[:MOST]
    ]
    return shown, max(len(counted) - MOST, 0)


def _words(offer: PlanOffer) -> tuple[str, str, str]:
    kind = "spot" if offer.spot else "on-demand"
    price = f"{formatting.price(offer.price)} $/h"
    where = f"{offer.backend} {offer.region}  {offer.instance}  {kind}"
    # dstack calls the backend and the region of a host of one's own `remote`, and it on-demand.
    what = f"{'SSH host' if offer.backend == 'remote' else where}  {price}"
    group = "" if offer.group == ONLY_GROUP else one_line(offer.group)
    return group, one_line(what), one_line(offer.availability.replace("_", " "))
