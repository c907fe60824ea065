"""A plan in lines: the fields that change, what follows from that, offers and warnings."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from rich.cells import cell_len
from textual.content import Content

from dstack_api_client.edits.base.difference import ChangeKind, FieldChange
from dstack_api_client.edits.fleet.fleets import FleetPlan
from dstack_api_client.edits.offers.prices import PlanOffer
from dstack_api_client.edits.outlook.warnings import PlanWarning, Risk
from dstack_api_client.edits.plan.planning import Plan
from dstack_api_client.model.configuration import as_yaml
from dstack_api_client.text import one_line
from dstack_fleets_tui.editing import outlook
from dstack_fleets_tui.output.offers import NONE, TITLE, of_starts
from dstack_fleets_tui.output.offers import lines as offer_lines
from dstack_fleets_tui.words import formatting
from dstack_placement.engine import mapping
from dstack_widgets.drawing.glyphs import UNICODE, Glyphs
from dstack_widgets.drawing.palette import style_of
from dstack_widgets.drawing.text import literal

_KINDS = {
    ChangeKind.NO_RESTART: "ok",
    ChangeKind.ROLLING: "warn",
    ChangeKind.NOT_IN_PLACE: "bad",
}
_RISKS = {Risk.NOTE: "dim", Risk.WARNING: "warn", Risk.DANGER: "bad"}
_GRAVE = {Risk.DANGER: "DANGER: "}


def of_service(plan: Plan, glyphs: Glyphs = UNICODE) -> list[Content]:
    """The plan of a service's edit, the warnings first."""
    blocks = _begun(plan, glyphs)
    if plan.dry_run is not None:
        blocks.append(_titled("replicas", outlook.of_plan(plan.dry_run, glyphs)))
        blocks.append(_titled("price", [outlook.price(plan.dry_run, glyphs)]))
    starting = of_starts(plan)
    if starting is not None and plan.dry_run is not None:
        blocks.append(offers(starting, labels=plan.dry_run.labels))
    return _joined(blocks)


def of_fleet(plan: FleetPlan, glyphs: Glyphs = UNICODE) -> list[Content]:
    """The plan of a fleet's edit, or of a new one."""
    blocks = _begun(plan, glyphs)
    doing = []
    if plan.starts:
        doing.append(_starting(plan))
    if plan.added:
        names = ", ".join(map(one_line, plan.added))
        doing.append(literal(f"add {len(plan.added)}", style_of("strong")) + literal(f"  {names}"))
    if plan.ends:
        names = ", ".join(instance.name for instance in plan.ends)
        doing.append(literal(f"end {len(plan.ends)}", style_of("strong")) + literal(f"  {names}"))
    blocks.append(_titled("instances", doing))
    if plan.base is None:
        blocks.append(offers(plan.offers, "offers for its instances") if plan.offers else [])
        text = as_yaml(mapping(plan.expected.get("configuration")))
        blocks.append([literal(line) for line in text.splitlines()])
    elif plan.starts:
        blocks.append(offers(plan.offers))
    return _joined(blocks)


def _begun(plan: Plan | FleetPlan, glyphs: Glyphs) -> list[list[Content]]:
    """What every plan begins with."""
    return [
        _titled("warnings", warnings(plan.warnings, glyphs)),
        _titled("changes", changes(plan.changes, glyphs)),
    ]


def _titled(title: str, lines: Sequence[Content]) -> list[Content]:
    """Lines below their heading; nothing where there are none."""
    return [literal(title, style_of("dim")), *lines] if lines else []


def _starting(plan: FleetPlan) -> Content:
    """How many instances start, and what they cost at the cheapest offer."""
    line = literal(f"start {plan.starts}", style_of("strong"))
    if not plan.offers:
        return line
    least = plan.starts * min(offer.price for offer in plan.offers)
    return line + literal(f"  {formatting.price(least)} $/h at the cheapest offer", style_of("dim"))


def changes(found: Sequence[FieldChange], glyphs: Glyphs = UNICODE) -> list[Content]:
    """A line per field: what it was, what it becomes, and what kind of change that is."""
    wide = max((cell_len(change.label) for change in found), default=0)
    lines = []
    for change in found:
        padding = " " * (wide - cell_len(change.label))
        line = literal("~ ", style_of("accent")) + literal(f"{change.label}{padding}  ")
        line += literal(change.old, style_of("dim"))
        line += literal(f" {glyphs.arrow} ") + literal(change.new, style_of("strong"))
        line += literal(f"   {change.kind.value}", style_of(_KINDS[change.kind]))
        if change.note:
            line += literal(f", {change.note}", style_of("dim"))
        lines.append(line)
    return lines


def warnings(found: Iterable[PlanWarning], glyphs: Glyphs = UNICODE) -> list[Content]:
    """A line per warning, the gravest first; a danger says so, for terminals without colours."""
    return [
        literal(
            f"{glyphs.sign(_RISKS[warning.risk])} {_GRAVE.get(warning.risk, '')}",
            style_of(_RISKS[warning.risk]),
        )
        + literal(warning.line, style_of(_RISKS[warning.risk]))
        for warning in found
    ]


def offers(
    found: Sequence[PlanOffer], title: str = TITLE, labels: Mapping[str, str] | None = None
) -> list[Content]:
    """What the server could start, as far as it told."""
    if not found:
        return [literal(NONE, style_of("warn"))]
    shown, left = offer_lines(found, labels or {})
    lines = [literal(title, style_of("dim"))]
    for offer in shown:
        group = f"  {offer.group}  " if offer.group else "  "
        line = literal(group, style_of("dim")) + literal(offer.what)
        lines.append(line + literal(f"  {offer.rest}", style_of("dim")))
    if left:
        lines.append(literal(f"  and {left} more", style_of("dim")))
    return lines


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
