"""What a replica makes use of over the last minutes: CPU, memory, GPUs."""

from __future__ import annotations

from collections.abc import Awaitable, Mapping
from dataclasses import dataclass
from datetime import datetime

from dstack_api_client.model.replica import ReplicaKey
from dstack_api_client.transport import wire
from dstack_api_client.transport.client import Client


@dataclass(frozen=True)
class Series:
    """The course of one figure.

    Attributes:
        values: The oldest first; None where there is none.
        top: The most it can be; None where that is not known.
    """

    values: tuple[float | None, ...]
    top: float | None = None

    @property
    def last(self) -> float | None:
        """The newest value."""
        return self.values[-1] if self.values else None


@dataclass(frozen=True)
class Use:
    """What one replica makes use of.

    Attributes:
        at: When the newest values were taken.
        since: When the oldest were.
        cpu: CPUs in use, out of those there are.
        memory: Bytes of memory in use that can't be given back.
        gpu: Percent of all its GPUs.
        gpu_memory: Bytes of all its GPUs.
        gpus: Percent of each GPU.
        gpus_memory: Bytes of each GPU.
        times: When the values of each series were taken.
    """

    at: datetime
    since: datetime
    cpu: Series | None = None
    memory: Series | None = None
    gpu: Series | None = None
    gpu_memory: Series | None = None
    gpus: tuple[Series, ...] = ()
    gpus_memory: tuple[Series, ...] = ()
    times: tuple[datetime, ...] = ()


def metrics_of(
    client: Client, project: str, run_name: str, key: ReplicaKey, *, limit: int
) -> Awaitable[wire.JobMetrics]:
    """Asks for the metrics of one replica.

    Args:
        client: The client to read with.
        project: The project's name.
        run_name: The name of its run.
        key: The replica.
        limit: How many values of each metric, the newest.
    """
    return client.metrics.job(
        project,
        run_name,
        run_id=key.run_id,
        replica_num=key.replica_num,
        job_num=key.job_num,
        limit=limit,
    )


def use_of(answer: wire.JobMetrics) -> Use | None:
    """Makes something to show of a server's metrics.

    Args:
        answer: The server's answer.

    Returns:
        The use; None where there is no metric yet (it takes two looks of the server).
    """
    metrics = {metric.name: metric for metric in answer.metrics}
    times = next((metric.timestamps for metric in answer.metrics if metric.timestamps), None)
    if not times:
        return None
    gpus = _each_gpu(metrics, "gpu_util_percent_gpu", 100.0)
    memory_of_one = _constant(metrics, "gpu_memory_total_bytes")
    gpus_memory = _each_gpu(metrics, "gpu_memory_usage_bytes_gpu", memory_of_one)
    cpus = _constant(metrics, "cpus_detected_num")
    cpu = _series(metrics, "cpu_usage_percent", None)
    memory = "memory_working_set_bytes"
    return Use(
        at=max(times),
        since=min(times),
        cpu=_scaled(cpu, 0.01, cpus) if cpu else None,
        memory=_series(metrics, memory, _constant(metrics, "memory_total_bytes")),
        gpu=_scaled(_sum(gpus), 1 / len(gpus), 100.0) if gpus else None,
        gpu_memory=_sum(gpus_memory) if gpus_memory else None,
        gpus=gpus,
        gpus_memory=gpus_memory,
        times=tuple(reversed(times)),
    )


def _numbers(metric: wire.Metric) -> tuple[float | None, ...]:
    return tuple(
        float(value) if isinstance(value, (int, float)) else None
        for value in reversed(metric.values)
    )


def _series(metrics: Mapping[str, wire.Metric], name: str, top: float | None) -> Series | None:
    metric = metrics.get(name)
    return Series(_numbers(metric), top) if metric is not None and metric.values else None


def _constant(metrics: Mapping[str, wire.Metric], name: str) -> float | None:
    found = _series(metrics, name, None)
    return found.last if found is not None else None


def _each_gpu(
    metrics: Mapping[str, wire.Metric], name: str, top: float | None
) -> tuple[Series, ...]:
    each: list[Series] = []
    while (series := _series(metrics, f"{name}{len(each)}", top)) is not None:
        each.append(series)
    return tuple(each)


def _sum(each: tuple[Series, ...]) -> Series:
    tops = [series.top for series in each]
    values = []
    for at_once in zip(*(series.values for series in each), strict=False):
        known = [value for value in at_once if value is not None]
        values.append(sum(known) if len(known) == len(at_once) else None)
    total = sum(top for top in tops if top is not None)
    return Series(tuple(values), total if None not in tops else None)


def _scaled(series: Series, factor: float, top: float | None) -> Series:
    values = tuple(None if value is None else value * factor for value in series.values)
    return Series(values, top)
