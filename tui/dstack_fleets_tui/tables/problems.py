"""The list of what is wrong."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from dstack_api_client.problems.model import Problem, Severity
from dstack_fleets_tui.tables import health
from dstack_fleets_tui.tables.looks import Looks
from dstack_fleets_tui.words import formatting
from dstack_widgets.panels.findings import Finding
from dstack_widgets.table.cells import Cell, CellValue, Column

#: Of each severity: its word, its style in the palette and the glyph before it.
_SEVERITIES = {
    Severity.CRITICAL: ("critical", "bad", "cross"),
    Severity.WARNING: ("warning", "warn", "warning"),
    Severity.NOTICE: ("notice", "dim", "dot"),
}

COLUMNS = (
    Column("severity", "SEVERITY", priority=9),
    Column("kind", "KIND", priority=7),
    Column("subject", "WHERE", min_width=12, max_width=36, priority=10, flexible=True, names=True),
    Column("health", "HEALTH", min_width=14, max_width=40, priority=9, flexible=True),
    Column("problem", "WHAT IS WRONG", min_width=30, max_width=240, priority=10, flexible=True),
    Column("since", "FOR", justify="right", priority=9),
    Column("price", "$/H", justify="right", priority=8),
)


def cells(problem: Problem, looks: Looks, *, new: bool = False) -> Sequence[Cell]:
    """The row of one problem: one cell per column of `COLUMNS`.

    Args:
        problem: The problem.
        looks: Time and glyphs to show it with.
        new: Whether it came up since somebody looked at the list.
    """
    age = looks.age(problem.since, at_least=problem.at_least)
    word, style, glyph = _SEVERITIES[problem.severity]
    loud = problem.severity is Severity.CRITICAL
    return (
        CellValue(f"{getattr(looks.glyphs, glyph)} {word}", style, -problem.severity),
        problem.kind.value,
        looks.text(problem.subject, "bad" if loud else "strong"),
        health.of_affected(problem.affects, problem.subject, looks),
        looks.text(problem.text, "bad" if loud else ""),
        age._replace(text=f"new {age.text}", style="accent") if new else age,
        looks.price(problem.price),
    )


def findings(
    problem: Problem | None, worst: Problem | None, notes: Iterable[str] = ()
) -> list[Finding]:
    """What is to be said of a problem, and of the worst one where that is critical.

    Args:
        problem: The one under the cursor; None for none.
        worst: The first of all.
        notes: What can't be known.

    Returns:
        Its text in full and what can be done; what can be done about the worst one; the notes.
    """
    said = [finding(problem)] if problem is not None else []
    if (
        problem is not None
        and worst is not None
        and worst.key != problem.key
        and worst.severity is Severity.CRITICAL
    ):
        said.append(finding(worst))
    return [*said, *(Finding("dim", "", note) for note in notes)]


def finding(problem: Problem, *, subject: bool = True) -> Finding:
    """What is wrong and what can be done.

    Args:
        problem: The problem.
        subject: Whether to say what it is about; not where all that is shown is of that.
    """
    text = problem.text if problem.text.endswith((".", "!", "?")) else f"{problem.text}."
    return Finding(
        _SEVERITIES[problem.severity][1] if problem.severity > Severity.NOTICE else "accent",
        problem.subject if subject else "",
        f"{text} {problem.hint}".rstrip(),
    )


def loudest(problems: Iterable[Problem]) -> str:
    """The style of the worst of them in the palette."""
    return _SEVERITIES[max((each.severity for each in problems), default=Severity.NOTICE)][1]


def counts(problems: Sequence[Problem]) -> list[tuple[str, str]]:
    """`1 critical`, `2 warnings`, ...: styles of the palette and texts, the worst first."""
    told = []
    for severity, (word, style, _) in _SEVERITIES.items():
        number = sum(problem.severity is severity for problem in problems)
        if number:
            plural = "s" if number > 1 and severity is not Severity.CRITICAL else ""
            told.append((style, f"{number} {word}{plural}"))
    price = sum(problem.price or 0.0 for problem in problems)
    if price:
        told.append(("", f"{formatting.price(price)} $/h unused"))
    return told
