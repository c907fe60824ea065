"""`whatif`: what becomes of services if capacity goes, or more replicas are asked for."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from dstack_api_client.connect.connection import ConfigError, Connection
from dstack_api_client.model.snapshot import Snapshot
from dstack_api_client.text import one_line
from dstack_api_client.whatif import Loss, Outcome
from dstack_fleets_tui.headless import several
from dstack_fleets_tui.headless.get import as_json, observe, printed
from dstack_fleets_tui.headless.looking import Asked
from dstack_fleets_tui.names.selection import NoSuchNameError
from dstack_fleets_tui.names.whatif_question import Question, answer
from dstack_fleets_tui.output.colours import colour
from dstack_fleets_tui.output.notices import say
from dstack_fleets_tui.output.payload import VERSION, number, optional_number, time
from dstack_fleets_tui.output.table import Column, render
from dstack_fleets_tui.words import whatif_words
from dstack_fleets_tui.words.formatting import NOTHING, price

_ASKED = Asked("distribution", ssh=False)
_COLUMNS = (
    Column("SERVICE"),
    Column("NOW", right=True),
    Column("LOST", right=True),
    Column("STAYS", right=True),
    Column("STARTS"),
    Column("WAITS", right=True),
    Column("$/H NOW", right=True),
    Column("$/H THEN", right=True),
    Column("OUTCOME", paint=colour),
)


def whatif(connection: Connection, question: Question, output: str, *, plain: bool = False) -> bool:
    """Reads a project and prints the answer.

    Args:
        connection: Where to read.
        question: What is asked.
        output: `table` or `json`.
        plain: Whether a table is kept to ASCII where that is not up to names.

    Returns:
        Whether a minimum would break or a service would end.

    Raises:
        ApiError: The server could not be read, or has nothing of a name.
    """
    look = asyncio.run(observe(connection, _ASKED))
    snapshot = look.snapshot
    loss, outcomes = answer(snapshot, question)
    if output == "json":
        sys.stdout.write(printed(as_json(collect(snapshot, question, outcomes))))
    else:
        sys.stdout.write(printed(text(snapshot, loss, outcomes), plain=plain))
    return any(each.fails for each in outcomes)


def whatif_of_several(
    connections: Mapping[str, Connection | ConfigError],
    question: Question,
    output: str,
    *,
    plain: bool = False,
) -> several.Outcome:
    """Reads projects and prints the answer of each, below its name.

    One that can't be read, or has nothing of a name in the question, is named.

    Args:
        connections: Where each project is, or why that is not known.
        question: What is asked of each that has what it names.
        output: `table` or `json`.
        plain: Whether a table is kept to ASCII where that is not up to names.

    Returns:
        Wrong where a minimum would break or a service would end in one of them.

    Raises:
        NoSuchNameError: None of them has what is named, and all were read.
    """
    items: list[dict[str, Any]] = []
    texts: list[str] = []
    failures: list[several.Part] = []
    fails = False
    for part in asyncio.run(several.read_several(connections, _ASKED)):
        if part.look is not None:
            snapshot = part.look.snapshot
            try:
                loss, outcomes = answer(snapshot, question)
            except NoSuchNameError as error:
                failures.append(several.Part(part.project, failure=error))
                continue
            items.append(collect(snapshot, question, outcomes))
            texts.append(f"{one_line(part.project)}\n{text(snapshot, loss, outcomes)}")
            fails = fails or any(each.fails for each in outcomes)
        else:
            failures.append(part)
            items.append(several.unread_item(part))
    if not items:
        raise NoSuchNameError(" ".join(str(each.failure) for each in failures), "")
    if output == "json":
        sys.stdout.write(printed(as_json({"version": VERSION, "projects": items})))
    else:
        sys.stdout.write(printed("\n".join(texts), plain=plain))
    for each in failures:
        say(f"{each.project}: {each.failure}")
    return several.Outcome(fails, any(each.unread for each in failures))


def collect(snapshot: Snapshot, question: Question, outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """The object that JSON shows, described in docs/json.md."""
    return {
        "version": VERSION,
        "project": snapshot.project,
        "observed_at": time(snapshot.observed_at),
        "without": list(question.without),
        "replicas": list(question.counts),
        "holds": not any(each.fails for each in outcomes),
        "services": [_item(each) for each in outcomes],
    }


def _item(outcome: Outcome) -> dict[str, Any]:
    return {
        "id": outcome.service.id,
        "name": outcome.service.name,
        "replicas": {
            "now": outcome.now,
            "lost": outcome.lost,
            "stay": outcome.stays,
            "start": sum(each.count for each in outcome.starts),
            "wait": outcome.waits,
            "move": outcome.moves,
            "instance_unknown": outcome.unplaced,
        },
        "starts": [
            {
                "fleet": each.fleet,
                "group": each.group,
                "replicas": each.count,
                "room_known": each.sure,
            }
            for each in outcome.starts
        ],
        "waits_because": outcome.why or None,
        "broken_minimums": [
            {
                "pool": each.pool or None,
                "fleet": each.fleet,
                "replicas": each.held,
                "min_replicas": each.minimum,
            }
            for each in outcome.broken
        ],
        "reclaims": [
            {"service": way.service, "replica": way.number, "fleet": way.fleet, "to": way.to}
            for way in outcome.reclaims
        ],
        "gives_way": [
            {"replica": way.number, "fleet": way.fleet, "to": way.to, "for": way.short}
            for way in outcome.gives
        ],
        "ends": outcome.ending.value if outcome.ending is not None else None,
        "price_per_hour": number(outcome.service.price),
        "price_per_hour_after": optional_number(outcome.price_after),
    }


def text(snapshot: Snapshot, loss: Loss, outcomes: Sequence[Outcome]) -> str:
    """The same for people: what is lost, a row per service, and what there is to say of each."""
    lost = whatif_words.lost(loss, outcomes)
    lines = [lost] if lost else []
    if not outcomes:
        return "\n".join([*lines, "No service is affected.", ""])
    table = render(_COLUMNS, [_row(each) for each in outcomes])
    said = [f"{each.service.name}: {line}" for each in outcomes for line in whatif_words.said(each)]
    parts = [table.rstrip("\n")]
    if lines:
        parts = [*lines, "", *parts]
    if said:
        parts = [*parts, "", *said]
    return "\n".join([*parts, ""])


def _row(outcome: Outcome) -> Sequence[str]:
    return (
        outcome.service.name,
        str(outcome.now),
        str(outcome.lost),
        str(outcome.stays),
        whatif_words.starts(outcome) or NOTHING,
        str(outcome.waits),
        price(outcome.service.price),
        price(outcome.price_after),
        whatif_words.outcome(outcome),
    )
