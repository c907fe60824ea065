"""What ends with a run, for people and for programs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from dstack_api_client.edits.perform.stopping import StopAction
from dstack_api_client.model.every_run import Run, fleets_of, run_message, run_type, running_jobs
from dstack_api_client.model.labels import counted, in_status
from dstack_api_client.model.service import Service
from dstack_api_client.model.snapshot import Snapshot
from dstack_fleets_tui.output.payload import VERSION, Item, number
from dstack_fleets_tui.words import formatting

_KINDS = {"dev-environment": "dev environment"}
_HOW = {
    "stop": "Stop: processes are asked to end, and killed if they have not after 10 s.",
    "abort": "Abort: processes are killed at once.",
}


def stop_title(action: StopAction, run: Run) -> str:
    """What is asked for: `Stop service chat`."""
    kind = run_type(run)
    return f"{action.capitalize()} {_KINDS.get(kind, kind)} {run.name}"


def stop_lines(run: Run, snapshot: Snapshot, actions: tuple[StopAction, ...]) -> Iterator[str]:
    """What ends with a run, a line each.

    Args:
        run: The run.
        snapshot: Where it is.
        actions: What can be chosen.
    """
    said = run_message(run, snapshot)
    began = formatting.age(run.submitted_at, snapshot.observed_at)
    yield f"{run.user} submitted it {began} ago. It {in_status(run.status)}{_because(said)}."
    if "delete" in actions:
        yield "It disappears from the lists, and its logs can't be shown any more. Its events stay."
        return
    jobs = snapshot.active_in(run)
    if jobs:
        thing = "replica" if isinstance(run, Service) else "job"
        where = ", ".join(fleets_of(jobs))
        yield f"Ends: {counted(len(jobs), thing)}{f' in {where}' if where else ''}."
    if isinstance(run, Service) and run.url:
        model = f", and so does the model {run.model}" if run.model else ""
        yield f"{run.url} stops answering{model}."
    if run.price:
        price = formatting.price(run.price)
        yield f"Cost: {price} $/h. Cloud instances cost money until their fleet ends the idle ones."
    yield from (_HOW[action] for action in actions)
    if isinstance(run, Service) and run.running:
        yield "Open requests are cut off."
    yield "It is started again only by its configuration file: `dstack apply -f FILE`."


def _because(said: str) -> str:
    return f": {said.rstrip('.')}" if said else ""


def stop_item(action: StopAction, run: Run, snapshot: Snapshot) -> Item:
    """The object that JSON shows of a stop, described in docs/stopping.md."""
    jobs = snapshot.active_in(run)
    about: dict[str, Any] = {
        "version": VERSION,
        "server": snapshot.server.url,
        "project": snapshot.project,
        "action": action,
        "run": run.name,
        "id": run.id,
        "type": run_type(run),
        "status": run.status,
        "user": run.user,
        "jobs": {"active": len(jobs), "running": running_jobs(jobs)},
        "fleets": fleets_of(jobs),
        "price_per_hour": number(run.price),
    }
    url, model = (run.url, run.model) if isinstance(run, Service) else (None, None)
    return {**about, "url": url, "model": model}
