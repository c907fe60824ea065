"""`get report`: how a service is, as Markdown for an incident's channel."""

from __future__ import annotations

from dataclasses import replace

from dstack_api_client.secrets import masked
from dstack_fleets_tui.headless.kinds import (
    distribution,
    events,
    history,
    problems,
    replicas,
    router,
    services,
)
from dstack_fleets_tui.headless.kinds.record import Kind
from dstack_fleets_tui.headless.looking import Asked, Look, Source
from dstack_fleets_tui.names import selection
from dstack_fleets_tui.output.forms import as_markdown, markdown
from dstack_fleets_tui.output.payload import time
from dstack_fleets_tui.words.formatting import NOTHING, age

#: What was last done to the service, so many lines.
_DONE = 10


async def _read(source: Source, asked: Asked) -> Look:
    look = await problems.KIND.read(source, asked)
    client, snapshot = source.client, look.snapshot
    happened = await events.newest(client, snapshot, asked)
    ids = [each.id for each in selection.services(snapshot, asked.name)]
    done = await events.newest_of(client, [{"target_runs": ids}], _DONE)
    return replace(look, events=happened, done=done, since=source.since)


def document(look: Look, asked: Asked) -> str:
    """The report: what is wrong first, then where everything is, then what happened.

    It is handed on: what messages of the server hold of secrets is masked, too.
    """
    service, *_ = selection.services(look.snapshot, asked.name)
    health = look.healths.get(service.id)
    where = f"Project {look.snapshot.project}, {time(look.snapshot.observed_at)}"
    parts = [
        f"# {markdown(service.name)}: {health or service.status}\n\n{markdown(where)}\n",
        _table(services.KIND, look, asked),
        "## Problems\n\n" + _problems(look, asked),
        "## Distribution\n\n" + _table(distribution.KIND, look, asked),
        "## Replicas\n\n" + _table(replicas.KIND, look, asked),
    ]
    if service.id in look.snapshot.routers:
        parts.append("## Router\n\n" + _table(router.KIND, look, asked))
    parts.append(
        "## Deployments\n\n" + _table(history.KIND, replace(look, events=look.done), asked)
    )
    parts.append("## Events\n\n" + _table(events.KIND, look, asked))
    return "\n".join(parts)


def _problems(look: Look, asked: Asked) -> str:
    found = problems.KIND.choose(look, asked)
    lines = []
    for each in found:
        since = f", for {age(each.since, look.snapshot.observed_at)}" if each.since else ""
        hint = f" {markdown(masked(each.hint))}" if each.hint else ""
        said = markdown(masked(f"{each.subject}: {each.text}"))
        lines.append(f"- **{each.severity.name.lower()}**{since}: {said}.{hint}")
    if not found and problems.KIND.nothing is not None:
        lines.append(problems.KIND.nothing(look, asked))
    notes = problems.KIND.notes(look, asked) if problems.KIND.notes is not None else ()
    lines += [f"- {markdown(note)}" for note in notes]
    return "".join(f"{line}\n" for line in lines)


def _table(kind: Kind, look: Look, asked: Asked) -> str:
    """The table of a kind, with the lines beside it, without columns that say nothing here."""
    things = kind.choose(look, asked)
    rows = [row for thing in things for row in kind.rows(thing, look.snapshot)]
    kept = [
        number
        for number, column in enumerate(kind.columns)
        if column.title != "SERVICE" and any(row[number] not in (NOTHING, "") for row in rows)
    ]
    columns = [kind.columns[number] for number in kept]
    rows = [[masked(row[number]) for number in kept] for row in rows]
    above = [f"{markdown(masked(line))}\n" for line in kind.above(things, look.snapshot)]
    below = [f"- {markdown(masked(line))}\n" for line in kind.below(things, look.snapshot)]
    table = as_markdown(columns, rows) if rows else "None.\n"
    return "\n".join(part for part in ("".join(above), table, "".join(below)) if part)


KIND = Kind(
    choose=lambda look, asked: selection.services(look.snapshot, asked.name),
    columns=services.COLUMNS,
    rows=services.KIND.rows,
    item=services.KIND.item,
    read=_read,
    document=document,
)
