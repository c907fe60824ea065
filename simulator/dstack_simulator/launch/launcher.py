"""Starts dstack's own server command with the emulated cloud registered in it.

`python -m dstack_simulator.launch.launcher [--before MODULE ...] [--pace PACE] -- ARGUMENTS`
imports the named modules, then registers the emulated cloud through dstack's hook for more
configurators, then runs dstack's command line with the arguments. The package stays as it is
installed; a module that must come before everything else of dstack is named with `--before`. With
`--preload` it loads dstack, and runs the command line in a fork for each line of arguments that it
reads.
"""

from __future__ import annotations

import argparse
import gc
import importlib
import os
import signal
import sys
from typing import get_args

from dstack_simulator.folder import MARK_VARIABLE
from dstack_simulator.launch.forks import next_fork
from dstack_simulator.processes import end_marked, when_input_ends
from dstack_simulator.scenarios.scenario import Pace


def _end() -> None:
    end_marked(os.environ[MARK_VARIABLE], besides=(os.getpid(),))
    os.kill(os.getpid(), signal.SIGKILL)


def main() -> None:
    """Runs the launcher; returns when the server has ended."""
    parser = argparse.ArgumentParser(prog="dstack_simulator.launch.launcher", description=__doc__)
    parser.add_argument("--before", action="append", default=[], metavar="MODULE")
    parser.add_argument("--pace", choices=get_args(Pace), default="real")
    parser.add_argument("--preload", action="store_true")
    parser.add_argument("arguments", nargs=argparse.REMAINDER)
    options = parser.parse_args()
    arguments = options.arguments
    if arguments[:1] == ["--"]:
        arguments = arguments[1:]
    if not options.preload:
        when_input_ends(_end)

    # dstack wants this before anything that may import grpc.
    from dstack._internal.server import bootstrap

    bootstrap.set_up_process()
    for module in options.before:
        importlib.import_module(module)
    if options.pace == "quick":
        from dstack_simulator.launch.pace import quicken

        quicken()

    from dstack._internal.core.backends.configurators import register_configurator

    from dstack_simulator.launch.backend import EmulatedConfigurator

    register_configurator(EmulatedConfigurator)

    from dstack._internal.cli.main import main as dstack

    # Looking for garbage takes servers in tests a seventh of their time as Python sets it.
    gc.set_threshold(10_000, 20, 50)
    if options.preload:
        importlib.import_module("dstack._internal.server.main")
        arguments = next_fork(_end)
        when_input_ends(_end)
    sys.argv = ["dstack", *arguments]
    dstack()


if __name__ == "__main__":
    main()
