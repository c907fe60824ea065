"""The options of `get logs`."""

from __future__ import annotations

import argparse
import re
from datetime import timedelta

_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_DURATION = re.compile(r"(\d{1,6})([smhd])", re.ASCII)
#: How far back logs go where nothing else is asked for.
BACK = timedelta(minutes=15)


def add_log_options(get: argparse.ArgumentParser) -> None:
    """Adds them to `get`; with another kind they are refused."""
    group = get.add_argument_group("logs")
    group.add_argument("--replica", metavar="N", type=_number, help="just this replica")
    group.add_argument("--group", metavar="NAME", help="just this replica group")
    group.add_argument(
        "--since",
        metavar="TIME",
        type=_back,
        default=BACK,
        help="how far back: 90s, 15m (the default), 2h, 1d, or start",
    )
    group.add_argument(
        "-f",
        "--follow",
        action="store_true",
        help="keep running and print new lines; JSON has one object a line",
    )


def misused(args: argparse.Namespace) -> str:
    """What is wrong with how they are used; empty where nothing is."""
    asked = args.follow or args.group is not None or args.replica is not None
    if args.kind != "logs":
        named = asked or args.since is not BACK
        return (
            "--replica, --group, --since and --follow only work with `get logs`." if named else ""
        )
    if args.name is None:
        return "`get logs` takes the name of a service."
    if args.follow and args.output not in ("table", "json"):
        return "`--follow` prints a table or JSON."
    return ""


def _number(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 7):
        raise argparse.ArgumentTypeError("has to be the number of a replica")
    return int(text)


def _back(text: str) -> timedelta | None:
    if text == "start":
        return None
    found = _DURATION.fullmatch(text)
    if found is None:
        raise argparse.ArgumentTypeError("has to be 90s, 15m, 2h, 1d or start")
    return timedelta(seconds=int(found[1]) * _SECONDS[found[2]])
