"""The command line of the simulator."""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from dstack_simulator.errors import SimulatorError
from dstack_simulator.handle.simulator import Simulator
from dstack_simulator.scenarios import asked_faults
from dstack_simulator.scenarios import scenario as scenarios

_FAILED = 1
_NOT_FOUND = 127
#: Seconds between two signs of life while the server starts.
_TICK = 1.0


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command; returns its exit code."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    command: list[str] = []
    if "--" in given:
        at = given.index("--")
        given, command = given[:at], given[at + 1 :]
    options = _parser().parse_args(given)
    try:
        if options.list:
            for name, description in scenarios.shipped().items():
                _say(f"{name:<10} {description}")
            return 0
        return _run(options, command)
    except SimulatorError as error:
        print(error, file=sys.stderr)  # noqa: T201
        return _FAILED
    except KeyboardInterrupt:
        return 128 + signal.SIGINT


def _run(options: argparse.Namespace, command: list[str]) -> int:
    if command and shutil.which(command[0]) is None:
        print(f"The program {command[0]} was not found. Check the command.", file=sys.stderr)  # noqa: T201
        return _NOT_FOUND
    scenario = scenarios.load(options.scenario)
    faults = [scenario.fault_named(name) for name in options.fault]
    simulator = Simulator(
        options.scenario, port=options.port, folder=options.folder, launcher=options.launcher
    )
    # A plain SIGTERM or SIGHUP would end this process without its `finally`.
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _interrupt)
    try:
        simulator.open()
        starting = f"Starting dstack's server with the scenario {options.scenario} ..."
        if not command:
            _say(starting)
        with _progress("Waiting for the server" if not command else starting):
            simulator.wait_ready()
        if command:
            return _run_command(simulator, command, faults)
        try:
            _serve(simulator, faults)
        except KeyboardInterrupt:
            _say("Ending.")
        return 0
    finally:
        simulator.stop()


def _run_command(
    simulator: Simulator, command: list[str], wanted: Sequence[scenarios.NamedFault]
) -> int:
    # The scenario goes on being applied beside; what happens to it is for the log, as the
    # terminal is the command's.
    log = simulator.folder.command_log

    def settle() -> None:
        try:
            simulator.wait_settled()
            log.write_text("The scenario is there.\n")
            for fault in wanted:
                _set(simulator, fault)
        except (SimulatorError, OSError) as error:
            if log.parent.exists():
                log.write_text(f"{error}\n")

    def set_asked(asked: scenarios.NamedFault) -> None:
        try:
            _set(simulator, asked)
        except SimulatorError as error:
            with log.open("a", encoding="utf-8") as lines:
                lines.write(f"{error}\n")

    threading.Thread(target=settle, daemon=True).start()
    faults = asked_faults.listen(simulator.folder.faults, simulator.scenario.faults, set_asked)
    process = subprocess.Popen(command, env={**os.environ, **simulator.environment, **faults})
    # Ctrl+C at the terminal goes to both; what it means is the command's to say.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        code = process.wait()
    except BaseException:
        process.terminate()
        process.wait()
        raise
    return code if code >= 0 else 128 - code


def _set(simulator: Simulator, fault: scenarios.NamedFault) -> None:
    for call in fault.calls:
        simulator.control.call(f"{simulator.project}/faults/{call.fault}", call.arguments)


@contextmanager
def _progress(text: str) -> Iterator[None]:
    """Says on a terminal what is waited for, with the seconds so far; elsewhere nothing."""
    if not sys.stderr.isatty():
        yield
        return
    over = threading.Event()
    begun = time.monotonic()

    def tell() -> None:
        told = f"\r{text} {time.monotonic() - begun:.0f} s"
        print(told, end="", file=sys.stderr, flush=True)  # noqa: T201

    def count() -> None:
        tell()
        while not over.wait(_TICK):
            tell()

    thread = threading.Thread(target=count, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
        print(file=sys.stderr)  # noqa: T201


def _serve(simulator: Simulator, wanted: Sequence[scenarios.NamedFault]) -> None:
    _say(
        f"url      {simulator.url}\n"
        f"token    {simulator.token}\n"
        f"project  {simulator.project}\n"
        f"logs     {simulator.folder.root}\n"
        "\n"
        "Connect with\n"
        f"  export DSTACK_SERVER_URL={simulator.url}"
        f" DSTACK_TOKEN={simulator.token} DSTACK_PROJECT={simulator.project}\n"
        "  dstack-fleets-tui\n"
        "\n"
        "Press Ctrl+C to end."
    )
    if simulator.scenario.steps:
        _say("Applying the scenario ...")
        simulator.wait_settled()
        _say("The scenario is there.")
    for fault in wanted:
        _set(simulator, fault)
        _say(f"{fault.description[:1].upper()}{fault.description[1:]}.")
    threading.Event().wait()


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise SystemExit(128 + number)


def _say(text: str) -> None:
    print(text, flush=True)  # noqa: T201


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m dstack_simulator",
        description="Starts a real dstack server with emulated hosts and cloud, on loopback.",
        epilog=(
            "With `-- COMMAND ...`, starts the command when the server answers, with"
            " DSTACK_SERVER_URL, DSTACK_TOKEN and DSTACK_PROJECT set, and ends with it."
        ),
    )
    parser.add_argument(
        "--scenario",
        default="demo",
        metavar="NAME",
        help="one of --list, or a YAML file (default: demo)",
    )
    parser.add_argument("--list", action="store_true", help="list the scenarios and exit")
    parser.add_argument(
        "--fault",
        action="append",
        default=[],
        metavar="NAME",
        help="a fault of the scenario, set once that is complete; may be given several times,"
        " and an unknown name lists them",
    )
    parser.add_argument("--port", type=int, help="the server's port (default: any free one)")
    parser.add_argument(
        "--folder", type=Path, help="keep the database and logs there (default: a temporary one)"
    )
    parser.add_argument(
        "--launcher",
        action="append",
        default=[],
        metavar="MODULE",
        help="a module that the server's process imports before anything of dstack; repeatable",
    )
    return parser
