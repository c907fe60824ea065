"""The replicas of a service."""

from __future__ import annotations

from collections.abc import Sequence

from dstack_api_client.snapshot import Link, Replica, Service, Snapshot
from dstack_fleets_tui import words
from dstack_fleets_tui.formatting import NOTHING
from dstack_fleets_tui.tables.looks import Looks
from dstack_widgets.cells import Cell, Column

COLUMNS = (
    Column("replica", "REPL", justify="right", priority=10),
    Column("group", "GROUP", priority=8, max_width=20),
    Column("fleet", "FLEET", priority=9, max_width=24),
    Column("instance", "INSTANCE", priority=7, max_width=30),
    Column("state", "STATE", priority=10),
    Column("probes", "PROBES", priority=6),
    Column("gpu", "GPU", priority=3),
    Column("deployment", "DEPL", justify="right", priority=5),
    Column("restarts", "RESTARTS", justify="right", priority=4),
    Column("price", "$/H", justify="right", priority=4),
    Column("age", "AGE", justify="right", priority=6),
    Column("message", "MESSAGE", priority=2, max_width=80),
)


def cells(replica: Replica, service: Service, snapshot: Snapshot, looks: Looks) -> Sequence[Cell]:
    """The row of one replica: one cell per column of `COLUMNS`."""
    outdated = replica.active and replica.deployment_num != service.deployment_num
    # Of some only the run's fleet is known.
    doubt = " (run)" if replica.link is Link.RUN_FLEET else ""
    return (
        looks.number(replica.key.replica_num),
        looks.word(words.group(replica.group)),
        looks.text((replica.fleet_name or NOTHING) + doubt),
        looks.text(instance_label(replica, snapshot)),
        looks.state(replica.status),
        looks.text(*probes(replica, looks)),
        looks.word(str(replica.gpus) if replica.gpus else None),
        looks.number(replica.deployment_num, "warn" if outdated else ""),
        looks.number(replica.submission_num),
        looks.price(replica.price),
        looks.age(replica.submitted_at),
        replica.message,
    )


def instance_label(replica: Replica, snapshot: Snapshot) -> str:
    """The instance's number and host, as far as known."""
    instance = snapshot.instances.get(replica.instance_id or "")
    if instance is None:
        return replica.hostname or NOTHING
    host = instance.hostname or replica.hostname
    return f"{instance.num}  {host}" if host else str(instance.num)


def probes(replica: Replica, looks: Looks) -> tuple[str, str]:
    """Ready or the streak of each probe against what it needs, and the style of it."""
    if replica.status != "running":
        return NOTHING, "dim"
    if replica.ready:
        return f"{looks.glyphs.check} ready", "ok"
    streaks = " ".join(f"{probe.streak}/{probe.ready_after}" for probe in replica.probes)
    return f"{looks.glyphs.cross} {streaks}", "warn"


def summary(replica: Replica) -> str:
    """One line on a replica: its job, how its place is known, and the last message in full."""
    place = {
        Link.EXACT: "",
        Link.HOST: "",
        Link.RUN_FLEET: "its instance is not known, the fleet is the run's",
        Link.UNKNOWN: "not placed yet" if replica.active else "",
    }[replica.link]
    # Of an SSH host both are "remote".
    where = " ".join(dict.fromkeys(part for part in (replica.backend, replica.region) if part))
    spot = "" if replica.spot is None else "spot" if replica.spot else "on-demand"
    ended = "" if replica.exit_status is None else f"exit status {replica.exit_status}"
    parts = (replica.job_name, where, spot, place, ended, replica.message)
    return "  ".join(part for part in parts if part)
