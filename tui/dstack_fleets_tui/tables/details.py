"""What stands beside a list of the row under the cursor."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from textual.content import Content

from dstack_api_client.analysis.distribution import distribution_of
from dstack_api_client.analysis.health import Health, fleet_health
from dstack_api_client.events.stream import event_of
from dstack_api_client.model.fleet import Fleet, Instance
from dstack_api_client.model.service import Service
from dstack_api_client.model.snapshot import Snapshot
from dstack_api_client.problems.model import Kind, Problem, Severity
from dstack_api_client.replica.last_lines import LastLines
from dstack_api_client.transport import wire
from dstack_fleets_tui.tables import (
    distribution,
    events,
    fleets,
    group_rows,
    health,
    instances,
    services,
)
from dstack_fleets_tui.tables import problems as problem_list
from dstack_fleets_tui.tables.looks import Looks
from dstack_fleets_tui.words import words
from dstack_widgets.drawing.palette import style_of
from dstack_widgets.drawing.text import literal, shorten
from dstack_widgets.panels.detail_pane import Section
from dstack_widgets.panels.findings import finding_lines
from dstack_widgets.panels.flow import flow_lines
from dstack_widgets.table.cells import Cells, Column
from dstack_widgets.table.table_lines import table_lines

#: Events of one thing that are told.
_EVENTS = 8
#: Columns of lanes for which there is no room here.
_NOT_HERE = ("stopping", "price")


def of_service(
    service: Service,
    snapshot: Snapshot,
    known: Health | None,
    problems: Sequence[Problem],
    read: Sequence[wire.Event],
    looks: Looks,
    width: int,
) -> list[Section]:
    """How a service is, what is wrong with it, its lanes, and what happened.

    Args:
        service: The service.
        snapshot: Where the rest is looked up.
        known: How it is, where that can be told.
        problems: What is wrong with it.
        read: The events that were read so far, the oldest first.
        looks: Time and glyphs to show it with.
        width: Cells of a line.
    """
    facts = [
        services.groups(service),
        f"deployment {words.progress(service)}",
        f"model {service.model}" if service.model else "",
        f"by {service.user}",
        service.url or "",
        words.traffic(snapshot.traffic.get(service.id)),
    ]
    brief = any(each.kind is Kind.BASELINE for each in problems)
    told = service.error or service.status_message
    about = [told] if told and told != service.status and not problems else []
    return [
        _head(service.name, known, [*facts, *about], looks, width),
        _problems(problems, service.name, looks, width),
        _lanes(service, snapshot, looks, width, brief=brief),
        _events(read, _of_service(service), looks, width),
    ]


def of_fleet(
    fleet: Fleet,
    snapshot: Snapshot,
    problems: Sequence[Problem],
    read: Sequence[wire.Event],
    looks: Looks,
    width: int,
    height: int,
) -> list[Section]:
    """How a fleet is, what is wrong with it, its room and its instances, and what happened.

    Arguments as for `of_service`, and `height`: instances are told for so many lines.
    """
    cordon = snapshot.cordon_of(fleet)
    told = fleets.facts(fleet, looks, cordon)
    facts = [f"nodes {words.nodes(fleet)}", f"room {words.room(fleet, snapshot)}", *told]
    return [
        _head(fleet.name, fleet_health(snapshot, fleet), facts, looks, width),
        _problems(problems, fleet.name, looks, width),
        _instances(fleet, snapshot, looks, width, height),
        _events(read, _of_fleet(fleet, snapshot), looks, width),
    ]


def of_problem(
    problem: Problem,
    snapshot: Snapshot,
    read: Sequence[wire.Event],
    looks: Looks,
    width: int,
    height: int,
    *,
    written: LastLines | None,
    worst: Problem | None,
    told: Collection[str],
    key: str,
) -> list[Section]:
    """What is wrong, what can be done, who feels it, how it is there, what happened, what it wrote.

    Args:
        problem: The problem.
        snapshot: Where the rest is looked up.
        read: The events that were read so far, the oldest first.
        looks: Time and glyphs to show it with.
        width: Cells of a line.
        height: Lines for which instances are told.
        written: What the replica that it is about wrote last, where that was read.
        worst: The first of all.
        told: The keys of problems of which the list says already, in full, what is wrong.
        key: The key that goes there.
    """

    def lines_of(one: Problem) -> list[Content]:
        said = problem_list.finding(one)
        text = one.hint if one.hint and one.key in told else said.text
        return finding_lines([said._replace(text=text)], width, None, looks.glyphs)

    lines = lines_of(problem)
    service = snapshot.services.get(problem.service_id or "")
    fleet = snapshot.fleets.get(problem.fleet_id or "")
    felt = [each for each in problem.affects if each.name != problem.subject]
    rows = [(each.name, health.cell(each.health, looks)) for each in felt]
    columns = (Column("service", "SERVICE", names=True), Column("health", "HEALTH"))
    there = service or fleet
    if there is not None:
        goes = literal(key, style_of("accent")) + " " + _where(problem, there.name)
        lines += [goes.truncate(width)]
    found = [
        Section("", lines),
        Section("Services", table_lines(columns, rows, width, titles=False, glyphs=looks.glyphs)),
    ]
    if service is not None:
        found.append(_lanes(service, snapshot, looks, width, brief=True))
        found.append(_events(read, _of_service(service), looks, width))
    elif fleet is not None:
        found.append(_instances(fleet, snapshot, looks, width, height))
        found.append(_events(read, _of_fleet(fleet, snapshot), looks, width))
    if written is not None:
        found.append(_written(written, looks, width))
    if worst is not None and worst.key != problem.key and worst.severity is Severity.CRITICAL:
        # What can be done about it stays in sight.
        found.append(Section("Worst of all", lines_of(worst)))
    return found


def problems_of(service: Service, problems: Iterable[Problem]) -> list[Problem]:
    """Those of the problems that concern a service."""
    return [
        each
        for each in problems
        if each.service_id == service.id
        or any(affected.name == service.name for affected in each.affects)
    ]


def _where(problem: Problem, name: str) -> Content:
    view = f"{problem.view.capitalize()} of " if problem.view else ""
    return literal(f"opens {view}{name}", style_of("dim"))


def _head(
    name: str, known: Health | None, facts: Sequence[str], looks: Looks, width: int
) -> Section:
    """The name, how it is, and what it is."""
    title = literal(name, style_of("strong"))
    if known is not None:
        title += literal(f"  {health.text(known, looks)}", style_of(health.style(known.state)))
    parts = [literal(fact, style_of("dim")) for fact in facts if fact]
    return Section("", flow_lines([title, *parts], width, looks.glyphs.ellipsis))


def _problems(problems: Sequence[Problem], name: str, looks: Looks, width: int) -> Section:
    said = [problem_list.finding(each, subject=each.subject != name) for each in problems]
    return Section("Problems", finding_lines(said, width, None, looks.glyphs))


def _lanes(
    service: Service, snapshot: Snapshot, looks: Looks, width: int, *, brief: bool
) -> Section:
    """Its lanes, fleets or replica groups; a minimum's cause where no problem says it."""
    if not service.jobs_known:
        return Section("Fleets", [literal("Reading the replicas.", style_of("dim"))])
    shown = distribution_of(snapshot, service)
    columns: Sequence[Column]
    rows: list[Cells]
    if shown.by_group:
        title, columns = "Replica groups", group_rows.COLUMNS
        rows = [
            group_rows.cells(row, shown.labels, shown, looks, brief=brief) for row in shown.by_group
        ]
    else:
        shape = distribution.shape(shown, width, looks.glyphs.ellipsis)
        columns = shape.columns
        title = "Lanes" if any(row.lane is not None for row in shown.rows) else "Fleets"
        rows = [distribution.cells(row, shape, looks, brief=brief) for row in shown.rows]
    kept = [at for at, column in enumerate(columns) if column.key not in _NOT_HERE]
    lines = table_lines(
        [columns[at] for at in kept],
        [[row[at] for at in kept] for row in rows],
        width,
        wraps="why",
        glyphs=looks.glyphs,
    )
    return Section(title, lines if rows else ())


def _instances(fleet: Fleet, snapshot: Snapshot, looks: Looks, width: int, most: int) -> Section:
    here = sorted(instances.of_fleet(fleet, snapshot).values(), key=_worst_first)
    rows = [instances.cells(each, snapshot, looks) for each in here[:most]]
    lines = table_lines(instances.COLUMNS, rows, width, glyphs=looks.glyphs) if rows else ()
    return Section("Instances", lines, len(here) - len(rows))


def _worst_first(instance: Instance) -> tuple[bool, bool, int]:
    return (instance.state != "unreachable", instance.health == "healthy", instance.num)


@dataclass(frozen=True)
class _About:
    """What tells the events of a thing: its ids, and how what is gone of it was named."""

    ids: frozenset[str]
    kind: str
    """The kind of target that has such a name."""
    name: re.Pattern[str] | None
    """None where two things have such names."""

    def has(self, target: wire.EventTarget) -> bool:
        if target.id in self.ids:
            return True
        if self.name is None or target.type != self.kind:
            return False
        return self.name.fullmatch(target.name) is not None


def _of_service(service: Service) -> _About:
    name = re.compile(rf"{re.escape(service.name)}-\d+-\d+")
    return _About(frozenset({service.id}), "job", name)


def _of_fleet(fleet: Fleet, snapshot: Snapshot) -> _About:
    # dstack names an instance of a lent fleet without its project, as one of an own fleet.
    own_name = _own_name(fleet)
    shared = any(_own_name(each) == own_name for each in snapshot.fleets.values() if each != fleet)
    name = None if shared else re.compile(rf"{re.escape(own_name)}-\d+")
    return _About(frozenset({fleet.id, *fleet.instance_ids}), "instance", name)


def _own_name(fleet: Fleet) -> str:
    return fleet.name.rpartition("/")[2]


def _events(read: Sequence[wire.Event], about: _About, looks: Looks, width: int) -> Section:
    """The last events of a thing, the newest first, out of those that were read anyway."""
    found = []
    for event in reversed(read):
        if any(about.has(target) for target in event.targets or ()):
            found.append(event_of(event))
            if len(found) == _EVENTS:
                break
    today = looks.today
    rows = [events.row(event, today, looks).cells[:-1] for event in found]
    lines = table_lines(events.COLUMNS[:-1], rows, width, titles=False, glyphs=looks.glyphs)
    return Section("Last events", lines)


def _written(read: LastLines, looks: Looks, width: int) -> Section:
    """The last log lines of a replica, or why they can't be read."""
    lines: list[Content] = []
    today = looks.today
    for line in read.lines:
        time = events.time_of(line.at, today) + "  "
        text = shorten(line.text, width - len(time), looks.glyphs.ellipsis)
        lines.append(literal(time, style_of("dim")) + literal(text))
    if read.failure is not None:
        lines.append(literal(f"Not read. {read.failure}", style_of("warn")))
    return Section(f"Last log lines of {read.writer.name}", lines)
