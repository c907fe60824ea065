"""How a change is carried out, and what is said of it while it is followed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, replace

from dstack_api_client.edits.follow.following import Progress, State
from dstack_fleets_tui.headless.plan import Output, say, write
from dstack_fleets_tui.output.plans import end_text, progress_text
from dstack_fleets_tui.output.streams import give_up_output, unwritten

_STAYS = "The change stays applied, and the server goes on with it; it is not followed further."


@dataclass(frozen=True)
class Manner:
    """How a change is carried out.

    Attributes:
        yes: Whether nobody is asked.
        wait: Seconds to follow it; None does not.
        output: In which form it is told.
        plain: Whether text is kept to ASCII where that is not up to names.
        read_only: Whether every change is refused.
        protected: Whether the service's name has to be typed.
        confirmed: The name, where it was typed beforehand.
    """

    yes: bool = False
    wait: float | None = None
    output: Output = "table"
    plain: bool = False
    read_only: bool = False
    protected: bool = False
    confirmed: str | None = None


async def followed(
    looks: Callable[[float], AsyncIterator[Progress]],
    manner: Manner,
    *,
    left: str = _STAYS,
    line: Callable[[Progress], str] = progress_text,
    end: Callable[[Progress], str] = end_text,
) -> Progress | None:
    """Follows what was asked for and reports it, a line for every change.

    Args:
        looks: Looks at it for so many seconds.
        manner: How.
        left: What is said where it is interrupted.
        line: What is said of a look.
        end: What is said of the last one.

    Returns:
        The last look; None where it is not waited for.
    """
    if manner.wait is None:
        return None
    last = Progress(State.MOVING, 0.0)
    shown = line(last)
    try:
        async for last in looks(manner.wait):
            # Of the last look only what its lanes came to: why it is the last is said below.
            says = bool(last.lanes) or not last.final
            if says and (what := line(replace(last, elapsed=0.0))) != shown:
                shown = what
                tell(manner, line(last))
    except asyncio.CancelledError:
        say(left)
        raise
    tell(manner, end(last))
    return last


def tell(manner: Manner, text: str) -> None:
    """Tells what happens: people on the output, beside it when that is for a program."""
    if not text:
        return
    if manner.output == "json":
        for line in text.splitlines():
            say(line)
    else:
        write_told(f"{text}\n")


def write_told(text: str) -> None:
    """Writes what is told of a change that was sent: what comes of it goes on without an output."""
    try:
        write(text)
    except OSError as error:
        why = unwritten(error)
        if why is None:
            raise
        give_up_output()
        say(f"The output can't be written: {why}.")
