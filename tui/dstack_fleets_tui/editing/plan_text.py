"""A plan in lines: the fields that change, what follows from that, offers and warnings."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

from rich.cells import cell_len
from textual.content import Content

from dstack_api_client.configuration import as_yaml
from dstack_api_client.edits.difference import ChangeKind, FieldChange
from dstack_api_client.edits.fleets import FleetPlan
from dstack_api_client.edits.planning import Plan
from dstack_api_client.edits.prices import PlanOffer
from dstack_api_client.edits.warnings import PlanWarning, Risk
from dstack_api_client.runs import ONLY_GROUP
from dstack_fleets_tui import formatting
from dstack_fleets_tui.editing import outlook
from dstack_widgets.glyphs import UNICODE, Glyphs
from dstack_widgets.palette import style_of
from dstack_widgets.text import literal

#: Offers that are shown; the cheapest come first.
MOST_OFFERS = 5

_KINDS = {
    ChangeKind.NO_RESTART: "ok",
    ChangeKind.ROLLING: "warn",
    ChangeKind.NOT_IN_PLACE: "bad",
}
_RISKS = {Risk.NOTE: "dim", Risk.WARNING: "warn", Risk.DANGER: "bad"}


def of_service(plan: Plan, glyphs: Glyphs = UNICODE) -> list[Content]:
    """The plan of a service's edit, the warnings first."""
    blocks = [warnings(plan.warnings, glyphs), changes(plan.changes, glyphs)]
    if plan.dry_run is not None:
        blocks.append(list(outlook.whole(plan.dry_run, glyphs)))
        starting = {row.group for row in plan.dry_run.replicas if row.action in ("start", "move")}
        if starting:
            # The server tells of every group, whether something starts there or not.
            found = [each for each in plan.offers if (each.group or ONLY_GROUP) in starting]
            blocks.append(offers(found))
    return _joined(blocks)


def of_fleet(plan: FleetPlan, glyphs: Glyphs = UNICODE) -> list[Content]:
    """The plan of a fleet's edit, or of a new one."""
    blocks = [warnings(plan.warnings, glyphs), changes(plan.changes, glyphs)]
    doing = []
    if plan.starts:
        doing.append(_starting(plan))
    if plan.ends:
        names = ", ".join(instance.name for instance in plan.ends)
        doing.append(literal(f"end {len(plan.ends)}", style_of("strong")) + literal(f"  {names}"))
    blocks.append(doing)
    if plan.base is None:
        blocks.append(offers(plan.offers, "offers for its instances") if plan.offers else [])
        text = as_yaml(plan.expected.get("configuration") or {})
        blocks.append([literal(line) for line in text.splitlines()])
    elif plan.starts:
        blocks.append(offers(plan.offers))
    return _joined(blocks)


def _starting(plan: FleetPlan) -> Content:
    """How many instances start, and what they cost at the cheapest offer."""
    line = literal(f"start {plan.starts}", style_of("strong"))
    if not plan.offers:
        return line
    least = plan.starts * min(offer.price for offer in plan.offers)
    return line + literal(f"  {formatting.price(least)} $/h at the cheapest offer", style_of("dim"))


def changes(found: Sequence[FieldChange], glyphs: Glyphs = UNICODE) -> list[Content]:
    """A line per field: what it was, what it becomes, and what kind of change that is."""
    wide = max((cell_len(change.name) for change in found), default=0)
    lines = []
    for change in found:
        padding = " " * (wide - cell_len(change.name))
        line = literal("~ ", style_of("accent")) + literal(f"{change.name}{padding}  ")
        line += literal(change.old, style_of("dim"))
        line += literal(f" {glyphs.arrow} ") + literal(change.new, style_of("strong"))
        line += literal(f"   {change.kind.value}", style_of(_KINDS[change.kind]))
        if change.note:
            line += literal(f", {change.note}", style_of("dim"))
        lines.append(line)
    return lines


def warnings(found: Iterable[PlanWarning], glyphs: Glyphs = UNICODE) -> list[Content]:
    """A line per warning, the gravest first."""
    return [
        literal(f"{glyphs.warning} ", style_of(_RISKS[warning.risk]))
        + literal(warning.line, style_of(_RISKS[warning.risk]))
        for warning in found
    ]


def offers(found: Sequence[PlanOffer], title: str = "offers for what starts") -> list[Content]:
    """What the server could start, as far as it told."""
    if not found:
        return [literal("The server has no offer for what would start.", style_of("warn"))]
    lines = [literal(title, style_of("dim"))]
    counted = Counter(map(_offer, found))
    for (group, what, availability), number in list(counted.items())[:MOST_OFFERS]:
        line = literal(f"  {group}  " if group else "  ", style_of("dim")) + literal(what)
        times = f", {number} of them" if number > 1 else ""
        lines.append(line + literal(f"  {availability}{times}", style_of("dim")))
    left = len(counted) - MOST_OFFERS
    if left > 0:
        lines.append(literal(f"  and {left} more", style_of("dim")))
    return lines


def _offer(offer: PlanOffer) -> tuple[str, str, str]:
    """An offer in words: its group, what it is, and whether it can be had."""
    kind = "spot" if offer.spot else "on-demand"
    price = f"{formatting.price(offer.price)} $/h"
    what = f"{offer.backend} {offer.region}  {offer.instance}  {kind}  {price}"
    return offer.group, what, offer.availability.replace("_", " ")


def _joined(blocks: Iterable[Sequence[Content]]) -> list[Content]:
    """The blocks with an empty line between them."""

    def parts() -> Iterator[Content]:
        first = True
        for block in blocks:
            if not block:
                continue
            if not first:
                yield Content()
            first = False
            yield from block

    return list(parts())
