"""What a replica is, where it runs and what it makes use of, as names and values."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from dstack_api_client.model.fleet import Instance
from dstack_api_client.model.labels import counted
from dstack_api_client.model.replica import Link, Replica
from dstack_api_client.model.snapshot import Snapshot
from dstack_api_client.replica.metrics import Series, Use
from dstack_api_client.replica.watch import Closely, Metrics, Output
from dstack_fleets_tui.tables import replicas
from dstack_fleets_tui.tables.looks import Looks
from dstack_fleets_tui.words import words
from dstack_widgets.drawing.bars import sparkline
from dstack_widgets.drawing.text import literal, shorten
from dstack_widgets.panels.facts import Fact, Heading
from dstack_widgets.table.cells import CellValue

#: Lines of output at the end.
_LINES = 8
#: Cells beside a sparkline, for names and numbers.
_BESIDE = 46
#: Most GPUs of which each has a line.
_MOST_GPUS = 8
_GB = 1024**3


def facts(
    replica: Replica, snapshot: Snapshot, closely: Closely, looks: Looks, width: int
) -> Sequence[Fact | Heading]:
    """Puts together what the page of a replica begins with.

    Args:
        replica: The replica.
        snapshot: Where the rest is looked up.
        closely: What is read of this replica only.
        looks: Time and glyphs to show it with.
        width: Cells of a line.

    Returns:
        Names and values.
    """
    return [
        *_state(replica, snapshot, looks),
        *_host(replica, snapshot, looks),
        *_use(closely.metrics, replica, looks, max(16, min(60, width - _BESIDE))),
        *_output(closely.output, looks, width),
    ]


def _state(replica: Replica, snapshot: Snapshot, looks: Looks) -> Iterator[Fact | Heading]:
    ready, style = replicas.probes(replica, looks)
    if replica.message and replica.message != replica.status:
        yield Fact("message", CellValue(replica.message, "" if replica.active else "bad"))
    if replica.status == "running":
        streaks = ", ".join(
            f"{probe.streak} in a row, {probe.ready_after} needed" for probe in replica.probes
        )
        told = f"{ready}  ({streaks or 'no probes'})"
        yield Fact("probes", CellValue(told, style))
    if replica.exit_status is not None:
        yield Fact("exit status", str(replica.exit_status))
    if replica.is_router:
        yield Fact("role", "the router of the service")
    placement = snapshot.placements.get(replica.key.run_id)
    placed = placement.replicas if placement else ()
    for each in placed:
        if each.job_id == replica.submission_id and (each.reason or each.why):
            why = ": ".join(part for part in (each.reason, each.why) if part)
            yield Fact("placed", CellValue(why, "warn" if each.reason == "fallback" else ""))
    router = snapshot.routers.get(replica.key.run_id)
    for worker in router.workers if router else ():
        if worker.replica == replica.key:
            health = worker.router_health or "not listed"
            load = "" if worker.load is None else f", load {worker.load}"
            told = f"{worker.sync.value}, the router says {health}{load}"
            if worker.message:
                told += f". {worker.message}"
            yield Fact("router", CellValue(told, "bad" if worker.wrong else ""))


def _host(replica: Replica, snapshot: Snapshot, looks: Looks) -> Iterator[Fact | Heading]:
    yield Heading("Host")
    instance = snapshot.instances.get(replica.instance_id or "")
    if instance is None:
        how = {
            Link.RUN_FLEET: "not known; the fleet is the run's",
            Link.UNKNOWN: "not placed yet" if replica.active else "not known",
        }
        yield Fact("instance", how.get(replica.link, "gone"))
        if replica.hostname:
            yield Fact("address", replica.hostname)
        return
    doubt = "" if replica.link is Link.EXACT else "  (by its host name)"
    yield Fact("instance", f"{instance.name}  {instance.hostname or ''}{doubt}")
    yield Fact("state", _instance_state(instance, looks))
    where = dict.fromkeys(
        part for part in (instance.backend, instance.region, instance.availability_zone) if part
    )
    kind = "" if instance.backend == "remote" else instance.instance_type or ""
    spot = "spot" if instance.spot else ""
    yield Fact("where", "  ".join(part for part in (" ".join(where), kind, spot) if part))
    blocks = f"{instance.busy_blocks} of {counted(instance.total_blocks, 'block')} busy"
    share = f"{replica.gpus}" if replica.gpus else "no GPU"
    yield Fact("share", f"{share}  of {instance.gpus or 'no GPU'}, {blocks}")
    others = [
        words.job(snapshot.replicas[key])
        for key in instance.jobs
        if key != replica.key and key in snapshot.replicas
    ]
    others += dict.fromkeys(guest.run for guest in snapshot.guests_on(instance))
    if others:
        yield Fact("beside it", ", ".join(others))


def _instance_state(instance: Instance, looks: Looks) -> CellValue:
    state = looks.state(instance.state)
    if instance.health == "healthy":
        return state
    return CellValue(f"{state.text}, health {instance.health}", "bad")


def _use(metrics: Metrics, replica: Replica, looks: Looks, width: int) -> Iterator[Fact | Heading]:
    use = metrics.use
    if use is None:
        yield Heading("Metrics")
        yield Fact("metrics", _no_use(metrics, replica))
        return
    since = use.since.astimezone().strftime("%H:%M")
    until = use.at.astimezone().strftime("%H:%M:%S")
    yield Heading(f"Metrics, {since} to {until}")
    if metrics.failure is not None:
        yield Fact("metrics", CellValue(str(metrics.failure), "warn"))
    yield from _each(use, looks, width)


def _no_use(metrics: Metrics, replica: Replica) -> CellValue:
    if metrics.failure is not None:
        return CellValue(str(metrics.failure), "warn")
    if metrics.read_at is None:
        return CellValue("reading", "dim")
    told = "the server takes the first after some seconds" if replica.active else "none were kept"
    return CellValue(told, "dim")


def _each(use: Use, looks: Looks, width: int) -> Iterator[Fact]:
    lines: list[tuple[str, Series, str]] = []
    if use.gpu is not None:
        told = f"{_number(use.gpu.last)} %  peak {_number(_peak(use.gpu))} %"
        lines.append(("GPU use", use.gpu, told))
    if use.gpu_memory is not None:
        lines.append(("GPU memory", use.gpu_memory, _gigabytes(use.gpu_memory)))
    if use.memory is not None:
        lines.append(("memory", use.memory, _gigabytes(use.memory)))
    if use.cpu is not None:
        of_all = "" if use.cpu.top is None else f" of {_number(use.cpu.top)}"
        lines.append(("CPUs", use.cpu, _number(use.cpu.last, digits=1) + of_all))
    wide = max((len(told) for _, _, told in lines), default=0)
    for name, series, told in lines:
        cells = min(width, len(series.values))
        drawn = sparkline(series.values, cells, series.top, glyphs=looks.glyphs)
        yield Fact(name, literal(f"{told:<{wide}}  ") + drawn)
    if len(use.gpus) > 1:
        each = [f"{n} {_number(series.last)} %" for n, series in enumerate(use.gpus[:_MOST_GPUS])]
        if len(use.gpus) > _MOST_GPUS:
            each.append(f"and {len(use.gpus) - _MOST_GPUS} more")
        yield Fact("each GPU", "   ".join(each))


def _peak(series: Series) -> float | None:
    return max((value for value in series.values if value is not None), default=None)


def _gigabytes(series: Series) -> str:
    of_all = "" if series.top is None else f" of {_number(series.top / _GB)}"
    used = None if series.last is None else series.last / _GB
    return f"{_number(used, digits=1)}{of_all} GB"


def _number(number: float | None, *, digits: int = 0) -> str:
    return "?" if number is None else f"{number:,.{digits}f}"


def _output(output: Output, looks: Looks, width: int) -> Iterator[Fact | Heading]:
    yield Heading("Output")
    if output.failure is not None:
        yield Fact("not read", CellValue(str(output.failure), "warn"))
    elif not output.lines:
        told = "none" if output.read_at is not None else "reading"
        yield Fact("lines", CellValue(told, "dim"))
    for line in output.lines[-_LINES:]:
        at = line.at.astimezone().strftime("%H:%M:%S")
        yield Fact(at, shorten(line.text, max(20, 2 * width), looks.glyphs.ellipsis))
