"""What becomes of services if capacity goes, or more replicas are asked for: a row each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from dstack_api_client.model.labels import counted
from dstack_api_client.whatif import Loss, Outcome
from dstack_fleets_tui.tables.looks import Looks
from dstack_fleets_tui.words import formatting, whatif_words
from dstack_widgets.panels.findings import Finding
from dstack_widgets.table.cells import Cell, Column

COLUMNS = (
    Column("service", "SERVICE", min_width=8, max_width=30, priority=10, names=True),
    Column("outcome", "OUTCOME", priority=10),
    Column("now", "NOW", justify="right", priority=7),
    Column("lost", "LOST", justify="right", priority=9),
    Column("stays", "STAYS", justify="right", priority=3),
    Column("starts", "STARTS", min_width=22, max_width=80, priority=10, flexible=True),
    Column("waits", "WAITS", justify="right", priority=8),
    Column("price", "$/H NOW", justify="right", priority=4),
    Column("price_after", "$/H THEN", justify="right", priority=5),
)

#: Style in the palette and glyph of an outcome.
_OUTCOMES = {
    "ends": ("bad", "cross"),
    "minimum broken": ("bad", "warning"),
    "waits": ("warn", "circle"),
    "gives way": ("ok", "arrow"),
    "holds": ("ok", "check"),
}


def cells(outcome: Outcome, looks: Looks) -> Sequence[Cell]:
    """The row of one service: one cell per column of `COLUMNS`."""
    word = whatif_words.outcome(outcome)
    style, glyph = _OUTCOMES[word]
    return (
        outcome.service.name,
        looks.text(f"{getattr(looks.glyphs, glyph)} {word}", style, list(_OUTCOMES).index(word)),
        looks.number(outcome.now),
        looks.number(outcome.lost),
        looks.number(outcome.stays),
        looks.word(whatif_words.starts(outcome)),
        looks.number(outcome.waits, "warn" if outcome.waits else "dim"),
        looks.price(outcome.service.price),
        looks.text(formatting.price(outcome.price_after), "", outcome.price_after),
    )


def head(
    loss: Loss, asked: Sequence[str], outcomes: Sequence[Outcome], looks: Looks
) -> list[tuple[str, str]]:
    """What is asked, and the answer over all services: styles of the palette and texts.

    Args:
        loss: What is lost.
        asked: The replicas that are asked for, as they were typed.
        outcomes: What becomes of the services.
        looks: The signs in use.
    """
    told = [("strong", "What if")]
    if lost := whatif_words.lost(loss, outcomes):
        told.append(("", lost))
    if asked:
        told.append(("", f"With {', '.join(asked)}."))
    told += _counts(outcomes)
    after = [each.price_after for each in outcomes]
    now = sum(each.service.price for each in outcomes)
    then = sum(price or 0.0 for price in after)
    if None not in after and (now or then):
        arrow = looks.glyphs.arrow
        told.append(("", f"{formatting.price(now)} {arrow} {formatting.price(then)} $/h"))
    return told


def _counts(outcomes: Sequence[Outcome]) -> Iterator[tuple[str, str]]:
    """How many services end or hold, minimums break and replicas wait, the worst first."""
    going_on = [each for each in outcomes if each.ending is None]
    for style, number, thing, verbs in (
        ("bad", len(outcomes) - len(going_on), "service", ("ends", "end")),
        ("bad", sum(len(each.broken) for each in going_on), "minimum", ("breaks", "break")),
        ("warn", sum(each.waits for each in going_on), "replica", ("waits", "wait")),
        ("ok", sum(len(each.gives) for each in going_on), "replica", ("gives way", "give way")),
        ("ok", sum(_holds(each) for each in going_on), "service", ("holds", "hold")),
    ):
        if number:
            yield style, f"{counted(number, thing)} {verbs[number > 1]}"


def _holds(outcome: Outcome) -> bool:
    return whatif_words.outcome(outcome) in ("gives way", "holds")


def findings(
    outcome: Outcome | None, others: Sequence[Outcome], notes: Sequence[str]
) -> list[Finding]:
    """What there is to say of the service under the cursor, then of the others that fail.

    Args:
        outcome: The one under the cursor; None for none.
        others: All of them.
        notes: What the answer does not know.
    """
    first = [] if outcome is None else [outcome]
    failing = [each for each in others if each.fails and each is not outcome]
    found = []
    for each in (*first, *failing):
        style = _OUTCOMES[whatif_words.outcome(each)][0]
        found += [
            Finding("accent" if style == "ok" else style, each.service.name, line)
            for line in whatif_words.said(each)
        ]
    return [*found, *(Finding("dim", "", note) for note in notes)]
