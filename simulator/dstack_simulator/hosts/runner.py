"""The runner inside an emulated container: takes a job, runs its commands, hands over its log."""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import Callable, Coroutine, Mapping
from pathlib import Path
from typing import Any, Literal

from dstack_simulator.hosts.engine import EngineOptionsError, read_engine_options
from dstack_simulator.hosts.load import ENGINE, IDLE, ROUTER, WORKLOAD, Load, Meter
from dstack_simulator.hosts.logs import LogBuffer
from dstack_simulator.hosts.network import Network
from dstack_simulator.hosts.requests import Tally
from dstack_simulator.hosts.router import (
    RouterError,
    RouterProcess,
    port_of,
    router_arguments,
)
from dstack_simulator.hosts.script import (
    Action,
    Engine,
    Exit,
    Finish,
    Router,
    Sleep,
    Step,
    Workload,
    read_script,
)
from dstack_simulator.hosts.specs import Timings, passed
from dstack_simulator.hosts.worker import Worker

_logger = logging.getLogger("dstack_simulator.runner")

_DEFAULT_PORT = 8000
_METRICS_PORT = 29000
_PORT_TAKEN_STATUS = 98
_USAGE_STATUS = 2
_INTERRUPTED_STATUS = 130

RunnerState = Literal["new", "submitted", "running", "ended"]


class _ScriptEndedError(Exception):
    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


class Runner:
    """One job. It is submitted, runs once, and ends.

    It stops as dstack's runner stops one: its commands get a SIGINT, and those that have not ended
    some seconds later are killed. Of them, an engine that drains and a router take their time.
    """

    def __init__(
        self,
        *,
        network: Network,
        load: Load,
        meter: Meter,
        gpus: int,
        timings: Timings,
        folder: Path,
        version: str,
        open_tally: Callable[[str], Tally],
    ) -> None:
        self.state: RunnerState = "new"
        self.run_name = ""
        self.log = LogBuffer()
        self.worker: Worker | None = None
        self.router: RouterProcess | None = None
        self.exit_status: int | None = None
        self.version = version
        self.no_connections_since: float | None = time.monotonic()
        """When the last SSH connection to the container ended; none while there is one."""
        self._network = network
        self._load = load
        self._meter = meter
        self._gpus = gpus
        self._timings = timings
        self._folder = folder
        self._open_tally = open_tally
        self._runner_log = LogBuffer()
        self._events: list[dict[str, Any]] = []
        self._spec: dict[str, Any] = {}
        self._env: dict[str, str] = {}
        self._configuration: dict[str, Any] = {}
        self._task: asyncio.Task[None] | None = None
        self._background: list[asyncio.Task[int]] = []
        self._crash_status: int | None = None
        self._interrupted = asyncio.Event()
        self._end_reason: str | None = None
        self._timers: list[asyncio.TimerHandle] = []
        self._restarting = False
        self._step_count = 0

    @property
    def port(self) -> int:
        """The port of the service that the job is part of."""
        port = self._configuration.get("port")
        value = port.get("container_port") if isinstance(port, dict) else port
        return value if isinstance(value, int) else _DEFAULT_PORT

    @property
    def is_service(self) -> bool:
        """Whether the job is a replica of a service."""
        return self._configuration.get("type") == "service"

    @property
    def has_router(self) -> bool:
        """Whether a router of the same service dials this replica."""
        groups = self._configuration.get("groups") or self._configuration.get("replicas")
        return isinstance(groups, list) and any(
            isinstance(group, dict) and group.get("router") for group in groups
        )

    def submit(self, body: Mapping[str, Any]) -> None:
        """Takes the job's specification."""
        self._spec = dict(body["job_spec"])
        run_spec = body.get("run_spec") or body["run"]["run_spec"]
        self._configuration = dict(run_spec["configuration"])
        self.run_name = run_spec["run_name"] or ""
        self.state = "submitted"

    def start(self) -> None:
        """Starts the commands."""
        self.state = "running"
        self._record("running")
        self._task = asyncio.ensure_future(self._run())
        self._task.add_done_callback(_report_defect)
        duration = self._spec.get("max_duration")
        if duration:
            self._later(duration, lambda: self._interrupt("max_duration_exceeded"))

    def stop(self) -> None:
        """Begins to stop the job, and does not wait until it has ended."""
        if self.state == "running":
            self._interrupt()
        else:
            self._end_idle()

    async def kill(self) -> None:
        """Ends the job at once, if it is still going, as the end of its container does."""
        if self.state == "running" and self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
        self._end_idle()

    def _end_idle(self) -> None:
        if self.state != "ended":
            self.state = "ended"
            self._record("terminated")

    def _interrupt(self, reason: str | None = None) -> None:
        if self.state != "running" or self._interrupted.is_set():
            return
        assert self._task is not None
        self._end_reason = reason
        self._interrupted.set()
        if self.router is not None:
            self.router.interrupt()
        self._later(self._timings.killing, self._task.cancel)

    def _later(self, seconds: float, action: Callable[[], object]) -> None:
        self._timers.append(asyncio.get_running_loop().call_later(seconds, action))

    async def crash(self, exit_status: int) -> None:
        """Lets the job's process die with a status."""
        if self.state == "running" and self._task is not None:
            self._crash_status = exit_status
            self._task.cancel()
            await asyncio.wait([self._task])

    async def restart_router(self) -> None:
        """Kills the router process; the commands start it again, with an empty list of workers."""
        if self.router is not None:
            self._restarting = True
            self.router.kill()

    async def _run(self) -> None:
        status: int | None = None
        try:
            status = await self._run_script()
        except asyncio.CancelledError:
            # Killed: it crashed, did not stop in time, or lost its container.
            pass
        except RouterError as error:
            self.log.write(str(error))
            status = 127
        await self._clean_up()
        if self._crash_status is not None:
            self._finish(self._crash_status)
        elif status is None or self._interrupted.is_set():
            self.state = "ended"
            self._meter.profile = IDLE
            self._record("terminated", reason=self._end_reason)
        else:
            self._finish(status)

    def _finish(self, status: int) -> None:
        self.state = "ended"
        self.exit_status = status
        self._meter.profile = IDLE
        if status == 0:
            self._record("done", exit_status=0)
        else:
            self._runner_log.write(f"exit status {status}")
            self._record("failed", reason="container_exited_with_error", exit_status=status)

    async def _clean_up(self) -> None:
        for timer in self._timers:
            timer.cancel()
        for task in self._background:
            task.cancel()
        if self._background:
            await asyncio.wait(self._background)
        self._background.clear()

    async def _run_script(self) -> int:
        self._env = {name: str(value) for name, value in (self._spec.get("env") or {}).items()}
        self._env.setdefault("DSTACK_GPUS_NUM", str(self._gpus))
        self._env.setdefault("DSTACK_GPUS_PER_NODE", str(self._gpus))
        steps = read_script(
            self._spec.get("commands") or [],
            self._env,
            kind="service" if self.is_service else "task",
        )
        status = 0
        try:
            for step in steps:
                if self._interrupted.is_set():
                    break
                if (step.join == "if_ok" and status) or (step.join == "if_failed" and not status):
                    continue
                status = await self._run_step(step)
        except _ScriptEndedError as end:
            return end.status
        if self._interrupted.is_set() and self._background:
            # What runs in the background got the SIGINT too, and may take its time.
            await asyncio.wait(self._background)
        return status

    async def _run_step(self, step: Step) -> int:
        if step.background:
            self._background.append(asyncio.ensure_future(self._perform(step.action)))
            return 0
        return await self._perform(step.action)

    async def _perform(self, action: Action) -> int:
        if isinstance(action, Exit):
            raise _ScriptEndedError(action.status)
        if isinstance(action, Sleep):
            seconds = math.inf if action.seconds is None else action.seconds
            await self._unless_interrupted(passed(lambda: seconds))
            return 0
        if isinstance(action, Finish):
            if action.text:
                self.log.write(action.text)
            return action.status
        if isinstance(action, Router):
            return await self._run_router(action)
        if isinstance(action, Engine):
            return await self._run_engine(action)
        return await self._run_workload(action)

    async def _unless_interrupted(self, step: Coroutine[Any, Any, None]) -> None:
        """Waits for the end of a step, or for a SIGINT."""
        ends = [asyncio.ensure_future(step), asyncio.ensure_future(self._interrupted.wait())]
        try:
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for end in ends:
                end.cancel()

    async def _run_engine(self, action: Engine) -> int:
        model = self._configuration.get("model")
        name = model.get("name") if isinstance(model, dict) else model
        try:
            options = read_engine_options(
                action.command, default_model=name or "emulated/model", env=self._env
            )
        except EngineOptionsError as error:
            self.log.write(str(error))
            return _USAGE_STATUS
        worker = Worker(
            options,
            self._load,
            self.log,
            port=self.port,
            timings=self._timings,
            tally=self._open_tally(self.run_name),
        )
        worker.log_start()
        await self._unless_interrupted(passed(lambda: self._timings.loading))
        if self._interrupted.is_set():
            return _INTERRUPTED_STATUS
        server = worker.serve()
        try:
            if self.has_router:
                # The router dials its workers itself, so these need a socket.
                await self._network.open_for_all(self.port, server)
            else:
                self._network.open_in_process(self.port, server)
        except OSError as error:
            self.log.write(f"[Errno {error.errno}] port {self.port} cannot be opened: {error}")
            return _PORT_TAKEN_STATUS
        self.worker = worker
        self._meter.profile = ENGINE
        worker.log_ready()
        try:
            await self._interrupted.wait()
            if options.drains:
                self._network.refuse(self.port)
                await worker.drain()
        finally:
            worker.cut()
            await self._network.close_port(self.port)
            await worker.close()
        return _INTERRUPTED_STATUS

    async def _run_router(self, action: Router) -> int:
        port = port_of(action.arguments, self.port)
        arguments = router_arguments(
            action.arguments, address=self._network.address, metrics_port=_METRICS_PORT
        )
        self._meter.profile = ROUTER
        self._network.declare_real(port)
        try:
            while True:
                self.router = RouterProcess(arguments, folder=self._folder, on_line=self.log.write)
                status = await self.router.run()
                if not self._restarting or self._interrupted.is_set():
                    return status
                self._restarting = False
                self.log.write("The router restarts.")
        finally:
            await self._network.close_port(port)

    async def _run_workload(self, action: Workload) -> int:
        self._meter.profile = WORKLOAD
        self.log.write(f"+ {action.command}")
        await self._interrupted.wait()
        return 0

    def _record(
        self, state: str, *, reason: str | None = None, exit_status: int | None = None
    ) -> None:
        event: dict[str, Any] = {"timestamp": self.log.stamp(), "state": state}
        if reason is not None:
            event["termination_reason"] = reason
            event["termination_message"] = ""
        if exit_status is not None:
            event["exit_status"] = exit_status
        self._events.append(event)

    def pull(self, timestamp: int, no_connections_secs: int) -> dict[str, Any]:
        """What happened after a timestamp, and the log since."""
        if self.worker is not None and self.state == "running":
            self.worker.log_progress()
        elif self.state == "running" and self._meter.profile is WORKLOAD:
            self._step_count += 1
            loss = 2.5 / (1 + self._step_count * 0.02) + 0.4
            self.log.write(f"step {self._step_count * 50} loss {loss:.4f}")
        states = [event for event in self._events if event["timestamp"] > timestamp]
        return {
            "job_states": states,
            "job_logs": self.log.after(timestamp),
            "runner_logs": self._runner_log.after(timestamp),
            "last_updated": max(self.log.stamp(), self._runner_log.stamp()),
            "no_connections_secs": no_connections_secs,
            # A job that stops has more to say until it has ended; its container lives as long.
            "has_more": self.state != "ended",
        }

    def metrics(self) -> dict[str, Any]:
        """The container's metrics now."""
        sample = self._meter.sample()
        gpu = {
            "gpu_memory_usage_bytes": sample.gpu_memory_bytes,
            "gpu_util_percent": sample.gpu_util_percent,
        }
        return {
            "timestamp_micro": int(time.time() * 1e6),
            "cpu_usage_micro": sample.cpu_usage_micro,
            "memory_usage_bytes": sample.memory_bytes,
            "memory_working_set_bytes": int(sample.memory_bytes * 0.9),
            "gpus": [gpu] * self._gpus,
        }

    def idle_seconds(self) -> int:
        """Seconds without an SSH connection to the container."""
        if self.no_connections_since is None:
            return 0
        return int(time.monotonic() - self.no_connections_since)


def _report_defect(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        _logger.error("An emulated job ended by a defect of the simulator", exc_info=error)
